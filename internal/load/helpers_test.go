package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a run of a second, of what is reached by dial.
func small(dial func(context.Context, string, string) (net.Conn, error)) Options {
	return Options{Conns: 4, Rate: 50, Duration: time.Second, Window: 3, NetDial: dial}
}

// distance is how long it takes to read something; nothing else takes any virtual time. So latencies are known, and
// closed loops do not stand still in time.
const distance = 5 * time.Millisecond

// far dials from a distance.
func far(s *skeintest.Listener) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := s.DialContext(ctx, network, addr)
		return farConn{nc}, err
	}
}

type farConn struct{ net.Conn }

func (c farConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		<-time.After(distance)
	}
	return n, err
}

// plugin is one that has only hooks.
func plugin(setup func(h *skein.Host)) skein.Plugin {
	return skein.Func("test", func(_ context.Context, h *skein.Host) error {
		setup(h)
		return nil
	})
}

// fake is a server of which each answer is the test's own.
type fake struct {
	// status is what an upgrade is answered, 0: 101.
	status int
	// on is told of each packet and may answer with messages. false: what a good server would answer.
	on func(p wire.Packet, send func(frame string)) bool
	// raw is told of each message instead, by a server of another protocol.
	raw func(payload []byte, send func(frame string))

	mu      sync.Mutex
	conns   []net.Conn
	control map[byte]int // frames that were no text, and empty ones, by opcode
	serving sync.WaitGroup
}

// start serves until the end of the test.
func (f *fake) start(t *testing.T, l net.Listener) {
	t.Helper()
	f.control = map[byte]int{}
	f.serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, nc)
			f.mu.Unlock()
			f.serving.Go(func() { f.serve(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.cut()
		f.serving.Wait()
	})
}

// cut ends all connections without a word.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, nc := range f.conns {
		_ = nc.Close()
	}
}

func (f *fake) seen(op byte) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.control[op]
}

func (f *fake) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	in := bufio.NewReader(nc)
	if _, err := http.ReadRequest(in); err != nil {
		return
	}
	if f.status != 0 {
		_, _ = fmt.Fprintf(nc, "HTTP/1.1 %d %s\r\nContent-Length: 8\r\n\r\nnot here", f.status, http.StatusText(f.status))
		return
	}
	_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	for {
		op, payload, err := readClient(in)
		if err != nil {
			return
		}
		f.take(nc, op, payload)
	}
}

func (f *fake) take(nc net.Conn, op byte, payload []byte) {
	if op != opText || len(payload) == 0 {
		f.mu.Lock()
		f.control[op]++
		f.mu.Unlock()
		return
	}
	send := func(frame string) { _, _ = io.WriteString(nc, frame) }
	if f.raw != nil {
		f.raw(payload, send)
		return
	}
	for p := range wire.JSON.Packets(payload) {
		if f.on != nil && f.on(p, send) {
			continue
		}
		if p.CID != nil {
			send(text(string(wire.JSON.AppendResult(nil, p.CID, []byte(`{"isAuthenticated":true}`)))))
		}
	}
}

// readClient reads a frame of a client of this package.
func readClient(in *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1] & 127)
	switch n {
	case follow16:
		var b [2]byte
		_, err = io.ReadFull(in, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case follow64:
		var b [8]byte
		_, err = io.ReadFull(in, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n+4)
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, nil, err
	}
	if head[1]&masked == 0 || binary.BigEndian.Uint32(payload) != 0 {
		return 0, nil, fmt.Errorf("not masked with zeros: % x", head)
	}
	return head[0] & 15, payload[4:], nil
}

// text is a server's text frame.
func text(payload string) string { return serverFrame(final|opText, payload) }

func serverFrame(first byte, payload string) string {
	var b strings.Builder
	b.WriteByte(first)
	switch n := len(payload); {
	case n <= longest7:
		b.WriteByte(byte(n))
	case n < 1<<16:
		b.WriteByte(follow16)
		b.Write(binary.BigEndian.AppendUint16(nil, uint16(n)))
	default:
		b.WriteByte(follow64)
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	return b.String() + payload
}
