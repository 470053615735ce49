package ws

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// raw is one frame as it goes over the wire; nothing in it needs to be legal.
type raw struct {
	first   byte
	bare    bool // not masked
	payload string
	form    int    // 16 or 64 forces a length form
	declare uint64 // announces another length than the payload's
}

func (f raw) bytes() []byte {
	b := []byte{f.first}
	n := uint64(len(f.payload))
	if f.declare != 0 {
		n = f.declare
	}
	mask := bitMask
	if f.bare {
		mask = 0
	}
	switch {
	case f.form == 64 || f.form == 0 && n > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), n)
	case f.form == 16 || f.form == 0 && n > 125:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = append(b, mask|byte(n))
	}
	if f.bare {
		return append(b, f.payload...)
	}
	key := [4]byte{byte(rand.Uint32()), 0x5a, byte(rand.Uint32()), 0xff}
	b = append(b, key[:]...)
	for i := range len(f.payload) {
		b = append(b, f.payload[i]^key[i%4])
	}
	return b
}

func wire(frames ...raw) []byte {
	var b []byte
	for _, f := range frames {
		b = append(b, f.bytes()...)
	}
	return b
}

func text(s string) raw     { return raw{first: bitFin | opText, payload: s} }
func binaryOf(s string) raw { return raw{first: bitFin | opBinary, payload: s} }
func ping(s string) raw     { return raw{first: bitFin | opPing, payload: s} }
func closing(code int, reason string) raw {
	return raw{first: bitFin | opClose, payload: string([]byte{byte(code >> 8), byte(code)}) + reason}
}

// got is one frame that a peer has read.
type got struct {
	first   byte
	masked  bool
	payload string
}

func (g got) code() int {
	if len(g.payload) < 2 {
		return CodeNoStatus
	}
	return int(binary.BigEndian.Uint16([]byte(g.payload)))
}

// readFrame reads one frame without any of the package's own code.
func readFrame(r io.Reader) (got, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return got{}, err
	}
	n := uint64(head[1] & 0x7f)
	long := map[uint64]int{126: 2, 127: 8}[n]
	if long > 0 {
		var size [8]byte
		if _, err := io.ReadFull(r, size[8-long:]); err != nil {
			return got{}, err
		}
		n = binary.BigEndian.Uint64(size[:])
	}
	g := got{first: head[0], masked: head[1]&bitMask != 0}
	var key [4]byte
	if g.masked {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return got{}, err
		}
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return got{}, err
	}
	for i := range p {
		p[i] ^= key[i%4]
	}
	g.payload = string(p)
	return g, nil
}

func wantFrame(t *testing.T, r io.Reader, first byte, payload string) {
	t.Helper()
	g, err := readFrame(r)
	if err != nil {
		t.Fatalf("reading a frame: %v", err)
	}
	if g.first != first || g.payload != payload {
		t.Fatalf("got frame %#x %.60q, want %#x %.60q", g.first, g.payload, first, payload)
	}
}

func wantClose(t *testing.T, r io.Reader, code int) {
	t.Helper()
	for {
		g, err := readFrame(r)
		if err != nil {
			t.Fatalf("got %v, want close %d", err, code)
		}
		if g.first != bitFin|opClose {
			continue
		}
		if g.code() != code {
			t.Fatalf("got close %d, want %d", g.code(), code)
		}
		return
	}
}

func wantEOF(t *testing.T, r io.Reader) {
	t.Helper()
	rest, err := io.ReadAll(r)
	if err != nil || len(rest) > 0 {
		t.Fatalf("got %q and %v, want the end", rest, err)
	}
}

func send(t *testing.T, w io.Writer, frames ...raw) {
	t.Helper()
	if _, err := w.Write(wire(frames...)); err != nil {
		t.Fatalf("writing: %v", err)
	}
}

// spy is a Handler that tells a test what it got.
type spy struct {
	messages chan Message
	ticks    chan time.Time
	closed   chan CloseError
	endings  atomic.Int32
	on       func(*Conn, Message) // before the message is told, if not nil
}

func newSpy() *spy {
	return &spy{messages: make(chan Message, 1<<16), ticks: make(chan time.Time, 64), closed: make(chan CloseError, 2)}
}

func (s *spy) Message(c *Conn, m Message) {
	if s.on != nil {
		s.on(c, m)
	}
	s.messages <- m
}
func (s *spy) Tick(*Conn)                   { s.ticks <- time.Now() }
func (s *spy) Closed(_ *Conn, e CloseError) { s.closed <- e }
func (s *spy) Ending(*Conn)                 { s.endings.Add(1) }

func echo(c *Conn, m Message) { _ = c.Send(NewFrame(m.Binary, m.Data)) }

func (s *spy) wantClosed(t *testing.T, code int, local bool) CloseError {
	t.Helper()
	e := <-s.closed
	if e.Code != code || e.Local != local {
		t.Fatalf("got Closed with %d, local %v (%v), want %d, local %v", e.Code, e.Local, e, code, local)
	}
	return e
}

func (s *spy) wantMessage(t *testing.T, want string) {
	t.Helper()
	if m := <-s.messages; string(m.Data) != want {
		t.Fatalf("got message %.60q, want %.60q", m.Data, want)
	}
}

// newRuntime gives a Runtime that ends with the test.
func newRuntime(tb testing.TB) *Runtime {
	tb.Helper()
	r := NewRuntime(Config{Shards: 2})
	tb.Cleanup(r.Close)
	return r
}

// eachDriver runs a test with a Runtime of each driver.
func eachDriver(t *testing.T, run func(*testing.T, *Runtime)) {
	t.Helper()
	t.Parallel()
	for _, d := range Drivers() {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			r := NewRuntime(Config{Shards: 2, Driver: d})
			t.Cleanup(r.Close)
			run(t, r)
		})
	}
}

// serveOn starts a server's connection on nc.
func serveOn(tb testing.TB, r *Runtime, nc net.Conn, o Options, h Handler) *Conn {
	tb.Helper()
	t := terms{}
	if o.Compression {
		t.window = maxWindow
	}
	c, err := r.adopt(nc, t, o)
	if err != nil {
		tb.Fatalf("adopting a connection: %v", err)
	}
	c.Start(h)
	return c
}

// onPipe starts a server's connection on a pipe without buffers, and gives the peer's end.
func onPipe(t *testing.T, r *Runtime, o Options, h Handler) (*Conn, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	return serveOn(t, r, ours, o, h), theirs
}

// onMemory is onPipe with buffers of any size and a half-close.
func onMemory(t *testing.T, r *Runtime, o Options, h Handler) (*Conn, net.Conn) {
	t.Helper()
	ours, theirs := memoryPipe()
	t.Cleanup(func() { _ = theirs.Close() })
	return serveOn(t, r, ours, o, h), theirs
}

// onTCP is onPipe over a real socket.
func onTCP(tb testing.TB, r *Runtime, o Options, h Handler) (*Conn, *net.TCPConn) {
	tb.Helper()
	ours, theirs := tcpPair(tb)
	return serveOn(tb, r, ours, o, h), theirs
}

func tcpPair(tb testing.TB) (server net.Conn, client *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = nc.Close() })
	if server, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(60 * time.Second)) // a lost frame shall fail the test, not hang it
	return server, nc.(*net.TCPConn)
}

// memoryHalf is one direction of a buffered pipe.
type memoryHalf struct {
	mu     sync.Mutex
	change sync.Cond
	data   bytes.Buffer
	closed bool
}

func (h *memoryHalf) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.data.Len() == 0 && !h.closed {
		h.change.Wait()
	}
	return h.data.Read(p)
}

func (h *memoryHalf) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, io.ErrClosedPipe
	}
	defer h.change.Broadcast()
	return h.data.Write(p)
}

func (h *memoryHalf) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.change.Broadcast()
}

type memoryConn struct{ in, out *memoryHalf }

func memoryPipe() (a, b net.Conn) {
	x, y := new(memoryHalf), new(memoryHalf)
	x.change.L, y.change.L = &x.mu, &y.mu
	return memoryConn{x, y}, memoryConn{y, x}
}

func (c memoryConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c memoryConn) Write(p []byte) (int, error) { return c.out.Write(p) }
func (c memoryConn) CloseWrite() error           { c.out.close(); return nil }
func (c memoryConn) Close() error                { c.out.close(); c.in.close(); return nil }
func (c memoryConn) LocalAddr() net.Addr         { return &net.UnixAddr{Name: "memory"} }
func (c memoryConn) RemoteAddr() net.Addr        { return &net.UnixAddr{Name: "memory"} }
func (c memoryConn) SetDeadline(time.Time) error { return nil }
func (c memoryConn) SetReadDeadline(time.Time) error {
	return os.ErrNoDeadline
}

func (c memoryConn) SetWriteDeadline(time.Time) error {
	return os.ErrNoDeadline
}

func closeCode(t *testing.T, err error) int {
	t.Helper()
	var e CloseError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a CloseError", err)
	}
	return e.Code
}
