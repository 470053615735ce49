package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pairs gives connected sockets, one pair after the other.
func pairs(t *testing.T) func() (server net.Conn, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return func() (net.Conn, *net.TCPConn) {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(60 * time.Second)) // as in tcpPair
		return server, nc.(*net.TCPConn)
	}
}

// shortLife connects, talks and ends in one of all ways, while the server goes on sending. What the peer reads must be
// its own: the descriptors of a storm are used again at once.
func shortLife(t *testing.T, r *Runtime, pair func() (net.Conn, *net.TCPConn), id, way int) {
	t.Helper()
	name := fmt.Sprint("peer ", id)
	h := newSpy()
	h.messages = make(chan Message, 4)
	h.on = echo
	ours, peer := pair()
	c := serveOn(t, r, ours, Options{CloseWait: 5 * time.Second}, h)
	var senders sync.WaitGroup
	senders.Go(func() {
		f := NewFrame(false, []byte(name))
		for i := 0; i < 100 && c.Send(f) == nil; i++ { // far more would be too many for a peer that does not read
			runtime.Gosched()
		}
	})
	_, _ = peer.Write(wire(text(name)))
	for range 3 {
		if g, err := readFrame(peer); err != nil || g.payload != name {
			t.Errorf("%s: got %.40q, %v", name, g.payload, err)
		}
	}
	if m := <-h.messages; string(m.Data) != name {
		t.Errorf("%s: the server got %.40q", name, m.Data)
	}
	switch way {
	case 0:
		_ = peer.SetLinger(0) // a reset
	case 1:
		c.Terminate()
	case 2:
		c.Close(4000, "")
		wantClose(t, peer, 4000)
	case 3:
		_, _ = peer.Write(wire(closing(4001, "")))
	}
	_ = peer.Close()
	if e := <-h.closed; e.Code == 0 {
		t.Errorf("%s: got %v", name, e)
	}
	senders.Wait()
}

func TestStormOfConnectionsMixesNothingUp(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		const workers, each = 50, 100
		var wg sync.WaitGroup
		for w := range workers {
			pair := pairs(t)
			rng := rand.New(rand.NewPCG(11, uint64(w)))
			wg.Go(func() {
				for i := range each {
					shortLife(t, r, pair, w*each+i, rng.IntN(5))
				}
			})
		}
		wg.Wait()
		r.Close()
		if n := r.Conns(); n != 0 || r.Panics() != 0 {
			t.Errorf("got %d connections and %d panics, want none", n, r.Panics())
		}
	})
}

// until waits for what nothing tells of.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); <-time.After(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// stopReading makes the peer fill the inbox, and gives the gate that lets the handler empty it.
func stopReading(t *testing.T, r *Runtime, o Options) (c *Conn, peer *net.TCPConn, h *spy, gate chan struct{}) {
	t.Helper()
	h, gate = newSpy(), make(chan struct{})
	h.on = func(*Conn, Message) { <-gate }
	o.Inbox = 30
	c, peer = onTCP(t, r, o, h)
	for i := range 10 {
		send(t, peer, text(fmt.Sprint("message ", i)))
	}
	until(t, "reading stops", c.in.resting)
	return c, peer, h, gate
}

// The one edge that an edge-triggered poller tells of the end with comes while nobody wants to read.
func TestEndThatComesWhileReadingIsStoppedIsSeen(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		for range 20 {
			_, peer, h, gate := stopReading(t, r, Options{})
			_ = peer.CloseWrite()
			close(gate)
			for i := range 10 {
				h.wantMessage(t, fmt.Sprint("message ", i))
			}
			if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, io.EOF) {
				t.Errorf("got cause %v, want the end of the stream", e.Err)
			}
		}
	})
}

func TestOctetsAndEndThatComeBeforeStartAreSeen(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		for range 20 {
			ours, peer := tcpPair(t)
			octets := wire(text("early"), text("late"))
			c, err := r.adopt(ours, terms{early: octets[:15]}, Options{Inbox: 1})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = peer.Write(octets[15:])
			_ = peer.CloseWrite()
			h := newSpy()
			c.Start(h)
			h.wantMessage(t, "early")
			h.wantMessage(t, "late")
			if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, io.EOF) {
				t.Errorf("got cause %v, want the end of the stream", e.Err)
			}
		}
	})
}

// No event of the socket's announces octets that came with the handshake.
func TestEarlyMessagesGetThroughASmallInbox(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		ours, _ := tcpPair(t)
		var early []byte
		const n = 500
		for i := range n {
			early = append(early, wire(text(fmt.Sprint(i)))...)
		}
		c, err := r.adopt(ours, terms{early: early}, Options{Inbox: 5})
		if err != nil {
			t.Fatal(err)
		}
		h := newSpy()
		c.Start(h)
		for i := range n {
			h.wantMessage(t, fmt.Sprint(i))
		}
	})
}

func TestReadingStopsAndGoesOnWithoutLosingAnything(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		h.on = func(*Conn, Message) { runtime.Gosched() }
		_, peer := onTCP(t, r, Options{Inbox: 200}, h)
		const n = 5000
		message := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", i%300)) }
		go func() {
			for i := range n {
				_, _ = peer.Write(wire(text(message(i))))
			}
			_ = peer.CloseWrite()
		}()
		for i := range n {
			h.wantMessage(t, message(i))
		}
		_ = h.wantClosed(t, CodeAbnormal, false)
	})
}

// block makes the peer's socket take nothing more.
func block(t *testing.T, c *Conn) {
	t.Helper()
	f := NewFrame(true, noise(1<<20))
	for range 16 {
		if err := c.Send(f); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "sending is blocked", func() bool { return c.out.has(stateBlocked) })
}

func TestResetEndsAPendingSend(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		c, peer := onTCP(t, r, Options{Outbox: 64 << 20, CloseWait: time.Hour, Stall: time.Hour}, h)
		block(t, c)
		_ = peer.SetLinger(0)
		_ = peer.Close()
		_ = h.wantClosed(t, CodeAbnormal, false) // the cause is whatever finds out first: the read or the send
		if c.Pending() != 0 {
			t.Errorf("got %d octets still held", c.Pending())
		}
	})
}

// Nobody reads, so it is the pending send that finds out.
func TestResetEndsAPendingSendThoughReadingIsStopped(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		c, peer, h, gate := stopReading(t, r, Options{Outbox: 64 << 20, CloseWait: 50 * time.Millisecond})
		block(t, c)
		_ = peer.SetLinger(0)
		_ = peer.Close()
		until(t, "TCP is closed", func() bool { return c.out.has(stateClosed) })
		close(gate)
		if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, errUnwilling) {
			t.Errorf("got cause %v, want that the peer takes nothing", e.Err)
		}
	})
}

func TestPeerThatTakesLittleAtATimeGetsEverything(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		ours, peer := tcpPair(t)
		_ = ours.(*net.TCPConn).SetWriteBuffer(64 << 10)
		_ = peer.SetReadBuffer(64 << 10)
		c := serveOn(t, r, ours, Options{Outbox: 64 << 20}, newSpy())
		var want bytes.Buffer
		random := noise(30000)
		rng := rand.New(rand.NewPCG(12, 13))
		for range 200 {
			f := NewFrame(true, random[:rng.IntN(len(random))])
			want.Write(f.data)
			_ = c.Send(f)
		}
		if c.Pending() == 0 {
			t.Error("nothing is pending: the test does not test")
		}
		got := make([]byte, 0, want.Len())
		for len(got) < want.Len() {
			n, err := peer.Read(got[len(got):min(cap(got), len(got)+1+rng.IntN(5000))])
			if err != nil {
				t.Fatalf("after %d of %d octets: %v", len(got), want.Len(), err)
			}
			got = got[:len(got)+n]
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Error("the octets differ")
		}
		until(t, "nothing is pending", func() bool { return c.Pending() == 0 })
	})
}

func TestRuntimeClosesWhilePeersFlood(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		var wg sync.WaitGroup
		var spies []*spy
		for range 8 {
			h := newSpy()
			h.messages = make(chan Message, 1)
			h.on = func(c *Conn, m Message) {
				echo(c, m)
				select {
				case <-h.messages:
				default:
				}
			}
			_, peer := onTCP(t, r, Options{}, h)
			wg.Go(func() {
				for {
					if _, err := peer.Write(wire(text("flood"), frag(opText, "half"), ping(""), last("half"))); err != nil {
						return
					}
				}
			})
			wg.Go(func() { _, _ = io.Copy(io.Discard, peer) })
			spies = append(spies, h)
		}
		for _, h := range spies {
			until(t, "all are being flooded", func() bool { return len(h.messages) > 0 })
		}
		r.Close()
		wg.Wait()
		for _, h := range spies {
			if len(h.closed) != 1 {
				t.Errorf("got %d calls of Closed, want 1", len(h.closed))
			}
		}
		if n := r.Conns(); n != 0 {
			t.Errorf("got %d connections, want none", n)
		}
	})
}

// A connection can be taken over while the runtime is being closed: it is refused and cut, or taken and ended.
func TestConnectionsThatComeWhileTheRuntimeClosesAreCut(t *testing.T) {
	t.Parallel()
	for _, d := range Drivers() {
		for range 50 {
			r := NewRuntime(Config{Shards: 1, Driver: d})
			ours, peer := tcpPair(t)
			var wg sync.WaitGroup
			wg.Go(r.Close)
			wg.Go(func() {
				c, err := r.adopt(ours, terms{}, Options{})
				if err == nil {
					c.Start(newSpy())
				} else if !errors.Is(err, ErrClosed) {
					t.Errorf("got %v, want ErrClosed", err)
				}
			})
			if _, err := peer.Read(make([]byte, 1)); err == nil || errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("got %v, want the end", err)
			}
			wg.Wait()
		}
	}
}
