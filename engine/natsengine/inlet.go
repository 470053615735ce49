package natsengine

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// inletMessages and inletBytes are what may wait for the dispatcher. Above
	// it nothing more is read, so that NATS keeps the rest, up to its own bound.
	inletMessages = 4 << 10
	inletBytes    = 32 << 20
	// inletSpare is more than one read of nats.go's 32 KiB can hold: a message
	// of ours takes 30 octets at least. So the queue never overflows, and
	// nats.go never drops a message.
	inletSpare = 2 << 10
)

// inlet is the queue between the connection to NATS and the dispatcher. It
// holds the connection's reader back when the dispatcher is slow.
type inlet struct {
	queue chan *nats.Msg
	// read and taken are octets; their difference is what waits.
	read, taken atomic.Int64
	freed       chan struct{} // holds one when something was taken
}

func newInlet() *inlet {
	return &inlet{queue: make(chan *nats.Msg, inletMessages+inletSpare), freed: make(chan struct{}, 1)}
}

// done is told of each message when it has been handled.
func (in *inlet) done(m *nats.Msg) {
	in.taken.Add(int64(len(m.Subject) + len(m.Data)))
	select {
	case in.freed <- struct{}{}:
	default:
	}
}

// open reports whether the reader may go on.
func (in *inlet) open() bool {
	waiting := len(in.queue)
	if waiting == 0 {
		// What was read and is not a message, such as protocol lines, is
		// forgotten here.
		in.read.Store(0)
		in.taken.Store(0)
		return true
	}
	return waiting < inletMessages && in.read.Load()-in.taken.Load() < inletBytes
}

// gatedConn is a connection to NATS that is read as fast as the dispatcher
// works, and that breaks when a write takes too long.
type gatedConn struct {
	net.Conn
	inlet   *inlet
	patient time.Duration // how long one write may take
	once    sync.Once
	closed  chan struct{}
}

func (in *inlet) gate(c net.Conn, patient time.Duration) net.Conn {
	return &gatedConn{Conn: c, inlet: in, patient: patient, closed: make(chan struct{})}
}

func (c *gatedConn) Read(b []byte) (int, error) {
	for !c.inlet.open() {
		// The timer covers a token that a former connection's reader has taken.
		retry := time.NewTimer(10 * time.Millisecond)
		select {
		case <-c.inlet.freed:
		case <-retry.C:
		case <-c.closed:
			retry.Stop()
			return 0, net.ErrClosed
		}
		retry.Stop()
	}
	n, err := c.Conn.Read(b)
	c.inlet.read.Add(int64(n))
	return n, err
}

// Write closes the connection when it does not get through: nats.go notices a
// broken connection only when it reads.
func (c *gatedConn) Write(b []byte) (int, error) {
	err := c.SetWriteDeadline(time.Now().Add(c.patient))
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		_ = c.Close() // broken already
	}
	return n, err
}

func (c *gatedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
