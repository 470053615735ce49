package ws

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestConnIsSmall(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(Conn{}); got > 240 {
		t.Errorf("a Conn has %d octets, want at most 240", got)
	}
	if got := unsafe.Sizeof(socket{}); got > 96 {
		t.Errorf("a socket has %d octets, want at most 96", got)
	}
}

// inBubble runs a test on both kinds of pipe, with fake time.
func inBubble(t *testing.T, run func(*testing.T, connector)) {
	t.Helper()
	t.Parallel()
	for name, connect := range map[string]connector{"pipe": onPipe, "memory": onMemory} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { run(t, connect) })
		})
	}
}

type connector = func(*testing.T, *Runtime, Options, Handler) (*Conn, net.Conn)

func TestMessagesAndFramesKeepTheirOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		h.on = echo
		_, peer := connect(t, newRuntime(t), Options{}, h)
		go func() {
			for i := range 500 {
				_, _ = peer.Write(wire(text(fmt.Sprint(i))))
			}
		}()
		for i := range 500 {
			wantFrame(t, peer, 0x81, fmt.Sprint(i))
		}
	})
}

func TestPingIsAnsweredBeforeTheMessageAroundIt(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		h.on = echo
		_, peer := connect(t, newRuntime(t), Options{}, h)
		send(t, peer, frag(opText, "a"), ping("p"))
		wantFrame(t, peer, 0x8a, "p")
		send(t, peer, last("b"), raw{first: 0x8a})
		wantFrame(t, peer, 0x81, "ab")
	})
}

func TestFullInboxStopsReading(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		gate := make(chan struct{})
		h.on = func(*Conn, Message) { <-gate }
		r := newRuntime(t)
		var pauses atomic.Int32
		r.config.Paused = func() { pauses.Add(1) }
		c, peer := connect(t, r, Options{Inbox: 1000}, h)
		var expect []string
		go func() {
			for i := range 100 {
				_, _ = peer.Write(wire(text(fmt.Sprintf("%03d%s", i, strings.Repeat("x", 97)))))
			}
		}()
		for i := range 100 {
			expect = append(expect, fmt.Sprintf("%03d", i))
		}
		<-time.After(time.Minute)
		synctest.Wait()
		c.in.mu.Lock()
		waiting, paused := c.in.bytes, c.in.paused
		c.in.mu.Unlock()
		if waiting < 900 || waiting > 1000 || !paused { // one more is being handled
			t.Errorf("got %d octets waiting, paused %v, want 900 to 1000 and a pause", waiting, paused)
		}
		if got := pauses.Load(); got != 1 {
			t.Errorf("got told of %d pauses, want 1", got)
		}
		if idle := c.Idle(); idle != 0 {
			t.Errorf("while reading is stopped: got idle %v, want 0", idle)
		}
		close(gate)
		for _, want := range expect {
			if m := <-h.messages; string(m.Data[:3]) != want {
				t.Fatalf("got message %.3s, want %s", m.Data, want)
			}
		}
	})
}

func TestManyTinyMessagesFillTheInboxToo(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		gate := make(chan struct{})
		h.on = func(*Conn, Message) { <-gate }
		c, peer := connect(t, newRuntime(t), Options{}, h)
		const n = 5000
		go func() { _, _ = peer.Write(bytes.Repeat(wire(text("x")), n)) }()
		synctest.Wait()
		c.in.mu.Lock()
		waiting := c.in.queue.len()
		c.in.mu.Unlock()
		if waiting < inboxCount-1 || waiting > inboxCount { // one more is being handled
			t.Errorf("got %d messages waiting, want about %d", waiting, inboxCount)
		}
		close(gate)
		for range n {
			<-h.messages
		}
	})
}

func TestJobsRunInOrderWithMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		var order []string
		h.on = func(c *Conn, m Message) {
			order = append(order, string(m.Data))
			c.Do(func() { order = append(order, "job") })
		}
		c, peer := connect(t, newRuntime(t), Options{}, h)
		send(t, peer, text("a"))
		synctest.Wait()
		send(t, peer, text("b"))
		synctest.Wait()
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		c.Do(func() { t.Error("a job ran after Closed") })
		synctest.Wait()
		if want := []string{"a", "job", "b", "job"}; !slices.Equal(order, want) {
			t.Errorf("got %q, want %q", order, want)
		}
	})
}

func TestIdleCountsFromTheLastMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		c, peer := connect(t, newRuntime(t), Options{}, newSpy())
		pass := func(want time.Duration) {
			t.Helper()
			<-time.After(time.Second)
			synctest.Wait()
			if got := c.Idle(); got != want {
				t.Errorf("got idle %v, want %v", got, want)
			}
		}
		pass(time.Second)
		send(t, peer, ping(""))
		wantFrame(t, peer, 0x8a, "")
		pass(2 * time.Second)
		send(t, peer, frag(opText, "a"))
		pass(3 * time.Second)
		send(t, peer, last("b"))
		pass(time.Second)
	})
}

func TestPanicEndsItsConnectionOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		var log bytes.Buffer
		var seen any
		r := NewRuntime(Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Panicked: func(v any, stack []byte) {
			if seen = v; len(stack) == 0 {
				t.Error("got no stack")
			}
		}})
		defer r.Close()
		bad, good := newSpy(), newSpy()
		bad.on = func(*Conn, Message) { panic("boom") }
		good.on = echo
		_, victim := connect(t, r, Options{}, bad)
		_, other := connect(t, r, Options{}, good)
		send(t, victim, text("a"))
		wantClose(t, victim, CodeInternal)
		_ = victim.Close()
		_ = bad.wantClosed(t, CodeInternal, true)
		send(t, other, text("b"))
		wantFrame(t, other, 0x81, "b")
		if r.Panics() != 1 || seen != "boom" || !strings.Contains(log.String(), "boom") {
			t.Errorf("got %d panics, %v, log %q", r.Panics(), seen, log.String())
		}
	})
}

// panicky panics in the calls that are not a message.
type panicky struct{ *spy }

func (panicky) Tick(*Conn) { panic("tick") }
func (p panicky) Closed(c *Conn, e CloseError) {
	p.spy.Closed(c, e)
	panic("closed")
}

func TestPanicsInTickAndClosedAreRecovered(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := panicky{newSpy()}
		r := newRuntime(t)
		c, peer := connect(t, r, Options{}, h)
		c.Schedule(time.Second)
		wantClose(t, peer, CodeInternal)
		_ = peer.Close()
		_ = h.wantClosed(t, CodeInternal, true)
		synctest.Wait()
		if r.Panics() != 2 || r.Conns() != 0 {
			t.Errorf("got %d panics and %d connections, want 2 and 0", r.Panics(), r.Conns())
		}
	})
}

func TestClientMasksAndServerDoesNot(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		r := newRuntime(t)
		ours, theirs := memoryPipe()
		c, err := r.adopt(ours, terms{client: true}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		h := newSpy()
		c.Start(h)
		shared := NewFrame(false, []byte("shared"))
		_ = c.Send(shared)
		if _, err := theirs.Write(wire(raw{first: 0x89, bare: true, payload: "p"})); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"shared", "p"} {
			if g, err := readFrame(theirs); err != nil || !g.masked || g.payload != want {
				t.Errorf("got %+v, %v, want %q masked", g, err, want)
			}
		}
		if string(shared.data[shared.head:]) != "shared" {
			t.Error("the shared frame changed")
		}
		_, _ = theirs.Write(wire(text("a masked frame")))
		if g, err := readFrame(theirs); err != nil || !g.masked || g.code() != CodeProtocol {
			t.Errorf("got %+v, %v, want close 1002, masked", g, err)
		}
		_ = h.wantClosed(t, CodeProtocol, true)
	})
}

func TestCompressionIsUsedForLongMessagesBothWays(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		h.on = echo
		_, peer := connect(t, newRuntime(t), Options{Compression: true}, h)
		go func() { _, _ = peer.Write(wire(text("short"))) }()
		wantFrame(t, peer, 0x81, "short")
		go func() {
			_, _ = peer.Write(wire(raw{first: 0xc1, payload: string(flatten(t, prose(5000)))}))
		}()
		g, err := readFrame(peer)
		if err != nil || g.first != 0xc1 || len(g.payload) > 2500 {
			t.Errorf("got frame %#x of %d octets, %v, want it compressed", g.first, len(g.payload), err)
		}
		if m := <-h.messages; string(m.Data) != "short" {
			t.Errorf("got %q", m.Data)
		}
		h.wantMessage(t, string(prose(5000)))
	})
}

func TestEqualLimitsAreShared(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	a, b := r.share(Options{}.limits()), r.share(Options{Outbox: defaultOutbox, Protocols: []string{"x"}}.limits())
	if a != b {
		t.Error("equal limits are stored twice")
	}
	for i := range 10 * knownLimits {
		if got := r.share(Options{Inbox: i + 1}.limits()); got.inbox != i+1 {
			t.Fatalf("got inbox %d, want %d", got.inbox, i+1)
		}
	}
	if len(r.known) > knownLimits {
		t.Errorf("got %d sets of limits kept, want at most %d", len(r.known), knownLimits)
	}
}

// A fault of ours on a path that a peer's octets take must end one connection, not the process.
func TestPanicWhileReadingIsRecovered(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		r := newRuntime(t)
		c, peer := connect(t, r, Options{}, h)
		c.rt.decoders.New = func() any { panic("broken pool") }
		send(t, peer, text("a"))
		wantClose(t, peer, CodeInternal)
		_ = h.wantClosed(t, CodeInternal, true)
		if r.Panics() != 1 {
			t.Errorf("got %d panics, want 1", r.Panics())
		}
	})
}

func TestJobGivenBeforeStartRunsFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		r := newRuntime(t)
		ours, peer := memoryPipe()
		_, _ = peer.Write(wire(text("second")))
		c, err := r.adopt(ours, terms{protocol: "p"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c.Idle() != 0 || c.Subprotocol() != "p" || c.RemoteAddr().String() != "memory" {
			t.Errorf("got idle %v, subprotocol %q, address %v", c.Idle(), c.Subprotocol(), c.RemoteAddr())
		}
		ran := false
		c.Do(func() { ran = true })
		h := newSpy()
		h.on = func(*Conn, Message) {
			if !ran {
				t.Error("the message came first")
			}
		}
		c.Start(h)
		h.wantMessage(t, "second")
	})
}

func TestHugeLimitsDoNotOverflow(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		h.on = echo
		o := Options{MaxMessage: math.MaxInt, Inbox: math.MaxInt, Outbox: math.MaxInt, Stall: math.MaxInt64, CloseWait: math.MaxInt64, Compression: true}
		c, peer := connect(t, newRuntime(t), o, h)
		send(t, peer, raw{first: 0xc1, payload: "\xf2\x48\xcd\xc9\xc9\x07\x00"})
		wantFrame(t, peer, 0x81, "Hello")
		<-time.After(time.Hour)
		_ = c.Send(NewFrame(false, nil))
		<-time.After(time.Hour)
		wantFrame(t, peer, 0x81, "")
	})
}
