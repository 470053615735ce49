package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// meters is how many goroutines can count at once without waiting for each other.
const meters = 8

// meter counts what some connections see.
type meter struct {
	mu       sync.Mutex
	latency  histogram
	late     int64
	repeated int64
}

// note takes down a latency.
func (m *meter) note(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latency.add(d)
}

// sum is what all meters have counted together.
func sum(all *[meters]meter) *meter {
	total := new(meter)
	for i := range all {
		m := &all[i]
		m.mu.Lock()
		total.latency.merge(&m.latency)
		total.late += m.late
		total.repeated += m.repeated
		m.mu.Unlock()
	}
	return total
}

// crowd is the subscribers.
type crowd struct {
	*bench

	publishers []*publisher
	loops      loops
	reading    sync.WaitGroup
	closing    atomic.Bool

	mu      sync.Mutex
	members []*member
}

// member is one subscriber. One goroutine at a time reads for it.
type member struct {
	crowd  *crowd
	n      int
	out    io.WriteCloser
	meter  *meter
	frames splitter
	heard  []tally // by publisher, and that by the place of the channel
	reply  []byte  // to be sent when the frames at hand are done

	// Of the frames at hand.
	now   time.Duration
	from  int // a run of messages of one publisher
	count int64
}

// admit takes over a connection that has been subscribed.
func (c *crowd) admit(_ context.Context, n int, cn *conn) error {
	m := &member{crowd: c, n: n, out: cn, meter: &c.meters[n%meters], heard: make([]tally, len(c.publishers)*c.places()), frames: cn.frames}
	c.mu.Lock()
	c.members = append(c.members, m)
	c.mu.Unlock()
	early := make([]byte, cn.in.Buffered())
	_, _ = cn.in.Read(early) // it is there
	if err := m.take(early); err != nil {
		return err
	}
	taken, err := c.loops.take(m, cn.nc)
	if err == nil && !taken {
		c.reading.Go(func() { m.follow(cn) })
	}
	return err
}

// follow reads a connection that no loop reads.
func (m *member) follow(c *conn) {
	for {
		n, err := c.nc.Read(c.buf)
		if n > 0 {
			err = m.take(c.buf[:n])
		}
		if err != nil {
			m.lost(err)
			return
		}
	}
}

// lost ends everything, unless it is what ends.
func (m *member) lost(err error) {
	if m.crowd.closing.Load() {
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server has ended the connection")
	}
	m.crowd.fail(fmt.Errorf("subscriber %d of %d: %w", m.n+1, m.crowd.Conns, err))
}

// take counts what is in the octets of one read.
func (m *member) take(b []byte) error {
	m.now, m.count = time.Since(m.crowd.start), 0
	m.meter.mu.Lock()
	err := m.frames.feed(b, m)
	m.meter.mu.Unlock()
	m.arrived()
	if len(m.reply) > 0 && err == nil {
		_, err = m.out.Write(m.reply)
		m.reply = m.reply[:0]
	}
	return err
}

func (m *member) frame(op byte, payload []byte) error {
	reply, done, err := routine(m.crowd.Protocol, op, payload)
	if m.reply = append(m.reply, reply...); done {
		return err
	}
	measuring := m.crowd.measuring.Load()
	for {
		s, rest, ok := findStamp(payload)
		if !ok {
			return nil
		}
		payload = rest
		if !m.hear(s) {
			continue
		}
		if measuring {
			m.meter.latency.add(m.now - s.at)
		}
	}
}

// hear counts one message, unless it is one of another run on the same channel, or of a channel not subscribed to.
func (m *member) hear(s stamp) bool {
	place, ok := m.crowd.place(m.n, int(s.channel))            //nolint:gosec // five digits
	if !ok || s.publisher >= uint64(len(m.crowd.publishers)) { // none with Idle
		return false
	}
	from := int(s.publisher) //nolint:gosec // less than there are
	if from != m.from {
		m.arrived()
		m.from = from
	}
	switch m.heard[place*len(m.crowd.publishers)+from].see(s.number) {
	case repeated:
		m.meter.repeated++
		return true
	case late:
		m.meter.late++
	case inOrder:
	}
	m.count++
	return true
}

// arrived tells the publisher of its messages.
func (m *member) arrived() {
	if m.count > 0 {
		m.crowd.publishers[m.from].arrived(m.count)
		m.count = 0
	}
}

// close ends all connections and waits for those who read them.
func (c *crowd) close() {
	c.closing.Store(true)
	c.loops.close()
	for _, m := range c.members {
		_ = m.out.Close() // either way it is over
	}
	c.reading.Wait()
}
