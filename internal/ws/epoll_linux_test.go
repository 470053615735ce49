package ws

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

func TestDescriptorIsSmall(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(descriptor{}); got > 80 {
		t.Errorf("a descriptor has %d octets, want at most 80", got)
	}
}

// onEpoll gives a Runtime with that driver.
func onEpoll(t *testing.T) *Runtime {
	t.Helper()
	r := NewRuntime(Config{Shards: 2, Driver: DriverEpoll})
	t.Cleanup(r.Close)
	if _, ok := r.driver.(*epoll); !ok {
		t.Fatalf("got driver %T", r.driver)
	}
	return r
}

func TestEpollTakesPlainTCPAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	r := onEpoll(t)
	plain, _ := tcpPair(t)
	d := serveOn(t, r, plain, Options{}, newSpy())
	if _, ok := d.link.(*descriptor); !ok {
		t.Errorf("TCP: got %T", d.link)
	}
	if _, err := plain.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the net.Conn: got %v, want it closed and out of Go's poller", err)
	}
	inner, _ := tcpPair(t)
	w := &watched{inner, make(chan struct{})}
	c := serveOn(t, r, w, Options{}, newSpy())
	if _, ok := c.link.(*told); !ok {
		t.Errorf("watched TCP: got %T", c.link)
	}
	select {
	case <-w.closed:
		t.Error("the watcher was told of the end before it")
	default:
	}
	pipe, _ := net.Pipe()
	c = serveOn(t, r, pipe, Options{}, newSpy())
	if _, ok := c.link.(*stream); !ok {
		t.Errorf("a pipe: got %T", c.link)
	}
	inner, _ = tcpPair(t)
	c = serveOn(t, r, clever{inner.(*net.TCPConn)}, Options{}, newSpy())
	if _, ok := c.link.(*stream); !ok {
		t.Errorf("a type of its own: got %T", c.link)
	}
}

// Serial, because it counts what the whole process has.
func TestIdleConnectionIsNoMoreThanADescriptor(t *testing.T) {
	r := onEpoll(t)
	first, _ := onTCP(t, r, Options{}, newSpy()) // starts the loops
	first.Terminate()
	before, open := runtime.NumGoroutine(), descriptors(t)
	const n = 200
	var conns []*Conn
	for range n {
		h := newSpy()
		h.messages = make(chan Message, 1)
		c, peer := onTCP(t, r, Options{}, h)
		send(t, peer, text("a"))
		h.wantMessage(t, "a")
		conns = append(conns, c)
	}
	until(t, "no goroutine is left but executors at rest", func() bool { return runtime.NumGoroutine() <= before+benchSize })
	if got := descriptors(t); got > open+2*n {
		t.Errorf("got %d descriptors, want %d and two for each connection", got, open)
	}
	for _, c := range conns {
		c.Terminate()
	}
	r.Close()
	if got := descriptors(t); got > open+n {
		t.Errorf("at the end: got %d descriptors, want %d and the peers'", got, open)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestEventsForAnEarlierDescriptorAreForNobody(t *testing.T) {
	t.Parallel()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	place := func() (*descriptor, syscall.EpollEvent) {
		ours, _ := tcpPair(t)
		fd, err := duplicate(ours.(*net.TCPConn))
		if err != nil {
			t.Fatal(err)
		}
		_ = ours.Close()
		d := &descriptor{loop: l, fd: int32(fd)}
		if err := l.add(d); err != nil {
			t.Fatal(err)
		}
		return d, syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: d.slot, Pad: d.generation}
	}
	first, early := place()
	other, third := place()
	first.cut()
	second, late := place()
	if second.slot != first.slot || len(l.slots) != 2 {
		t.Fatalf("got slots %d and %d of %d: the test does not test", first.slot, second.slot, len(l.slots))
	}
	bell := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: theBell}
	l.n = copy(l.events, []syscall.EpollEvent{early, bell, third, late})
	todo, _ := l.take(nil)
	if l.woken[0] != nil || l.woken[1] != nil || l.woken[2] != other || l.woken[3] != second {
		t.Errorf("got %p, want nobody twice, %p and %p", l.woken[:4], other, second)
	}
	if len(todo) != 1 || todo[0] != first {
		t.Errorf("got %p to do, want to tell of the cut one", todo)
	}
	second.cut()
	other.cut()
}

// pretender says every other time that there is no room, though there is: as if it came before await was called.
type pretender struct {
	link

	honest bool
}

func (p *pretender) send(s *sender) (int, error) {
	if p.honest = !p.honest; p.honest {
		return 0, errWouldBlock
	}
	return p.link.send(s)
}

func TestRoomThatComesBeforeItIsAwaitedIsNotMissed(t *testing.T) {
	t.Parallel()
	c, peer := onTCP(t, onEpoll(t), Options{}, newSpy())
	c.link = &pretender{link: c.link}
	for i := range 50 {
		_ = c.Send(NewFrame(false, []byte{byte('0' + i)}))
		wantFrame(t, peer, 0x81, string([]byte{byte('0' + i)}))
	}
}

// With levels instead of edges the set would report such a connection for ever.
func TestResetConnectionThatIsNotReadFromIsNotReportedAgain(t *testing.T) {
	t.Parallel()
	c, peer, h, gate := stopReading(t, onEpoll(t), Options{})
	_ = peer.SetLinger(0)
	_ = peer.Close()
	events := make([]syscall.EpollEvent, loopEvents)
	set := c.link.(*descriptor).loop.set
	_, _ = syscall.EpollWait(set, events, 0) // maybe instead of the loop
	for range 100 {
		if n, err := syscall.EpollWait(set, events, 0); n != 0 || err != nil {
			t.Fatalf("got %d events, %v, want none", n, err)
		}
	}
	close(gate)
	if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, syscall.ECONNRESET) {
		t.Errorf("got cause %v, want a reset", e.Err)
	}
}

// The connection is cut while the loop reads from it, in the middle of a message.
func TestCutConnectionIsLetGoByItsLoop(t *testing.T) {
	t.Parallel()
	r := onEpoll(t)
	var conns []*Conn
	for range 20 {
		h := newSpy()
		c, peer := onTCP(t, r, Options{}, h)
		send(t, peer, text("a"), frag(opText, "half"))
		h.wantMessage(t, "a")
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		conns = append(conns, c)
	}
	r.Close()
	for _, c := range conns {
		if c.decoder != nil {
			t.Error("the decoder with half a message is still held")
		}
	}
}

func TestConnectionThatCannotBeWatchedParks(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	broken := &loop{set: -1}
	driver := &epoll{rt: r, loops: []*loop{broken}}
	driver.begin.Do(func() {})
	r.driver = driver
	h := newSpy()
	h.on = echo
	c, peer := onTCP(t, r, Options{}, h)
	if _, ok := c.link.(*socket); !ok {
		t.Errorf("got %T, want a socket", c.link)
	}
	send(t, peer, text("a"))
	wantFrame(t, peer, 0x81, "a")
	c.Terminate()
	wantEOF(t, peer) // no duplicate keeps TCP open
	if len(broken.free) != 1 || broken.slots[0] != nil {
		t.Error("the slot was not given back")
	}
	r.driver = park{} // the broken loop cannot be closed
}

func TestConnectionThatIsClosedAlreadyIsLost(t *testing.T) {
	t.Parallel()
	ours, _ := tcpPair(t)
	_ = ours.Close()
	h := newSpy()
	serveOn(t, onEpoll(t), ours, Options{}, h)
	_ = h.wantClosed(t, CodeAbnormal, false)
}

// withDescriptors runs fn while the process can have only n descriptors more.
func withDescriptors(t *testing.T, n int, fn func()) {
	t.Helper()
	next, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(next)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	tight := limit
	tight.Cur = uint64(next + n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	fn()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// Serial, because it takes the whole process's descriptors away.
func TestWithoutDescriptorsConnectionsPark(t *testing.T) {
	open := descriptors(t)
	for n := range 3 { // the first loop needs two, and a connection one more
		var log bytes.Buffer
		r := NewRuntime(Config{Shards: 2, Driver: DriverEpoll, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ours, peer := tcpPair(t)
		h := newSpy()
		h.on = echo
		var c *Conn
		withDescriptors(t, n, func() { c = serveOn(t, r, ours, Options{}, h) })
		if _, ok := c.link.(*socket); !ok || n < 2 && !strings.Contains(log.String(), "too many open files") {
			t.Errorf("with %d: got %T and log %q, want a socket and a warning", n, c.link, log.String())
		}
		send(t, peer, text("a"))
		wantFrame(t, peer, 0x81, "a")
		r.Close()
		_ = peer.Close()
	}
	if got := descriptors(t); got > open {
		t.Errorf("got %d descriptors, want %d", got, open)
	}

	r := onEpoll(t)
	ours, peer := tcpPair(t)
	h := newSpy()
	h.on = echo
	var c *Conn
	withDescriptors(t, 0, func() { c = serveOn(t, r, ours, Options{}, h) })
	if _, ok := c.link.(*socket); !ok {
		t.Errorf("got %T, want a socket", c.link)
	}
	send(t, peer, text("a"))
	wantFrame(t, peer, 0x81, "a")
}

func TestAddressOutlivesTheConnection(t *testing.T) {
	t.Parallel()
	h := newSpy()
	c, peer := onTCP(t, onEpoll(t), Options{}, h)
	want := peer.LocalAddr().String()
	_ = peer.Close()
	if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, io.EOF) {
		t.Errorf("got %v", e)
	}
	if got := c.RemoteAddr().String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLinkOfACutConnectionTouchesNothing(t *testing.T) {
	t.Parallel()
	h := newSpy()
	c, _ := onTCP(t, onEpoll(t), Options{}, h)
	d := c.link.(*descriptor)
	c.Terminate()
	_ = h.wantClosed(t, CodeAbnormal, true)
	if _, err := d.send(&sender{batch: []byte("x")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send: got %v, want it closed", err)
	}
	if d.shut() {
		t.Error("shut: got true")
	}
	d.await(nil)
}
