package ws

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestSocketCarriesMessagesOfAllSizes(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		h.on = echo
		_, peer := onTCP(t, r, Options{MaxMessage: 8 << 20, Outbox: 32 << 20}, h)
		sizes := []int{0, 1, 125, 126, readSize - 8, readSize, readSize + 1, 100000, 5 << 20}
		go func() {
			for _, n := range sizes {
				_, _ = peer.Write(wire(binaryOf(string(noise(n)))))
			}
		}()
		for _, n := range sizes {
			g, err := readFrame(peer)
			if err != nil || g.payload != string(noise(n)) {
				t.Fatalf("%d octets: got %d, %v", n, len(g.payload), err)
			}
		}
	})
}

func TestManyFramesLeaveInFewSends(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		c, peer := onTCP(t, r, Options{}, h)
		const n = 1000
		block := make(chan struct{})
		for range r.shards { // keep the shards busy until all is pending
			stop, _ := onTCP(t, r, Options{}, newSpy())
			stop.link = blockedLink{stop.link, block}
			_ = stop.Send(NewFrame(false, nil))
		}
		counted := &countingLink{link: c.link}
		c.link = counted
		for i := range n {
			_ = c.Send(NewFrame(false, fmt.Appendf(nil, "%04d", i)))
		}
		close(block)
		for i := range n {
			wantFrame(t, peer, 0x81, fmt.Sprintf("%04d", i))
		}
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		if most := n*6/scratchSize + 2; counted.sends > most {
			t.Errorf("got %d sends, want at most %d", counted.sends, most)
		}
	})
}

// blockedLink holds its shard up.
type blockedLink struct {
	link
	until <-chan struct{}
}

func (l blockedLink) send(s *sender) (int, error) {
	<-l.until
	return l.link.send(s)
}

type countingLink struct {
	link
	sends int
}

func (l *countingLink) send(s *sender) (int, error) {
	l.sends++
	return l.link.send(s)
}

// An edge-triggered poller tells the end together with the last octets, once.
func TestEndBehindTheLastOctetsIsSeen(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		for i := range 200 {
			h := newSpy()
			_, peer := onTCP(t, r, Options{}, h)
			send(t, peer, text(fmt.Sprint(i)))
			_ = peer.Close()
			h.wantMessage(t, fmt.Sprint(i))
			if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, io.EOF) && !errors.Is(e, syscall.ECONNRESET) {
				t.Errorf("got cause %v, want the end of the stream", e.Err)
			}
		}
	})
}

func TestPeerThatShutsDownItsSideStillGetsTheClose(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		h.on = echo
		_, peer := onTCP(t, r, Options{}, h)
		send(t, peer, text("a"), closing(1000, ""))
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantFrame(t, peer, 0x81, "a")
		wantClose(t, peer, 1000)
		wantEOF(t, peer)
		_ = h.wantClosed(t, 1000, false)
	})
}

// Closing a socket with unread octets resets it, and the reset can overtake the close frame.
func TestCloseFrameArrivesThoughThePeerGoesOnSending(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		for range 20 {
			h := newSpy()
			_, peer := onTCP(t, r, Options{MaxMessage: 10}, h)
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = peer.Write(wire(text("far too long for it")))
				for range 50 {
					_, _ = peer.Write(make([]byte, 10000))
				}
				_ = peer.CloseWrite()
			})
			wantClose(t, peer, CodeTooBig)
			wg.Wait()
			wantEOF(t, peer)
			_ = h.wantClosed(t, CodeTooBig, true)
		}
	})
}

func TestSlowReaderGetsEverythingInOrderAndDoesNotDelayOthers(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		slow, slowPeer := onTCP(t, r, Options{Outbox: 64 << 20}, newSpy())
		fast, fastPeer := onTCP(t, r, Options{}, newSpy())
		payload := noise(50000)
		const n = 400 // far more than the socket's buffers
		for i := range n {
			payload[0], payload[1] = byte(i), byte(i>>8)
			if err := slow.Send(NewFrame(true, payload)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			_ = fast.Send(NewFrame(false, fmt.Append(nil, i)))
			wantFrame(t, fastPeer, 0x81, fmt.Sprint(i))
		}
		if slow.Pending() == 0 {
			t.Error("nothing is pending: the test does not test")
		}
		for i := range n {
			payload[0], payload[1] = byte(i), byte(i>>8)
			wantFrame(t, slowPeer, 0x82, string(payload))
		}
	})
}

func TestPeerThatDoesNotReadIsDropped(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		for name, o := range map[string]Options{
			"by octets": {Outbox: 1 << 20, CloseWait: 50 * time.Millisecond, SlowCode: 4100},
			"by stall":  {Outbox: 1 << 30, Stall: 100 * time.Millisecond, CloseWait: 50 * time.Millisecond, SlowCode: 4100},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newSpy()
				c, _ := onTCP(t, r, o, h)
				f := NewFrame(true, noise(100000))
				for range 200 {
					if c.Send(f) != nil {
						break
					}
					if name == "by octets" { // the shard shall fill the socket first
						runtime.Gosched()
					}
				}
				_ = h.wantClosed(t, 4100, true)
				if c.Pending() != 0 {
					t.Errorf("got %d octets still held", c.Pending())
				}
			})
		}
	})
}

func TestSlowPeerThatReadsAgainFindsTheCloseFrame(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		c, peer := onTCP(t, r, Options{Outbox: 4 << 20, CloseWait: 10 * time.Second, SlowCode: 4100}, h)
		for c.Send(NewFrame(true, noise(100000))) == nil {
		}
		whole := 0
		for {
			g, err := readFrame(peer)
			if err != nil {
				t.Fatalf("after %d frames: %v", whole, err)
			}
			if g.first == 0x88 {
				if g.code() != 4100 {
					t.Errorf("got close %d, want 4100", g.code())
				}
				break
			}
			if g.payload != string(noise(100000)) {
				t.Fatalf("frame %d is damaged", whole)
			}
			whole++
		}
		send(t, peer, closing(4100, ""))
		_ = h.wantClosed(t, 4100, true)
	})
}

// A send after close must not reach whoever has the descriptor next.
func TestClosedDescriptorIsNeverWrittenTo(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					h := newSpy()
					c, peer := onTCP(t, r, Options{}, h)
					secret := NewFrame(true, noise(2000))
					go func() {
						for c.Send(secret) == nil {
						}
					}()
					if _, err := readFrame(peer); err != nil {
						t.Error(err)
					}
					c.Terminate()
					fresh, other := tcpPair(t) // likely with the same descriptor
					_ = fresh.Close()
					if stray, _ := io.ReadAll(other); len(stray) > 0 {
						t.Errorf("got %d octets that were not for this connection", len(stray))
					}
					_ = other.Close()
					_ = peer.Close()
					if e := <-h.closed; e.Code != CodeAbnormal && e.Code != CodePolicy { // the sender may have been too fast
						t.Errorf("got %v, want 1006 or 1008", e)
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestWriteErrorLetsTheReaderFindThePeersClose(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		gate := make(chan struct{})
		h.on = func(c *Conn, _ Message) {
			<-gate
			for range 50 {
				_ = c.Send(NewFrame(true, noise(10000)))
				runtime.Gosched()
			}
		}
		_, peer := onTCP(t, r, Options{}, h)
		send(t, peer, text("a"), closing(4009, "gone"))
		_ = peer.Close()
		close(gate)
		if e := <-h.closed; e.Code != 4009 || e.Local {
			t.Errorf("got %v, want the peer's 4009", e)
		}
	})
}

// watched is a connection that only counts, as those of a limiting listener.
type watched struct {
	net.Conn
	closed chan struct{}
}

func (w *watched) UnwrapConn() net.Conn { return w.Conn }
func (w *watched) Close() error {
	close(w.closed)
	return w.Conn.Close()
}

// clever has a descriptor by embedding, and octets of its own.
type clever struct{ *net.TCPConn }

func (c clever) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

func TestWrappedConnectionIsReadBeneathOnlyIfItSaysSo(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		ours, peer := tcpPair(t)
		w := &watched{ours, make(chan struct{})}
		h := newSpy()
		c := serveOn(t, r, w, Options{}, h)
		if _, ok := c.link.(*stream); ok == rawSend {
			t.Errorf("watched: got %T", c.link)
		}
		send(t, peer, text("a"))
		h.wantMessage(t, "a")
		if got, want := c.RemoteAddr().String(), peer.LocalAddr().String(); got != want {
			t.Errorf("got address %s, want %s", got, want)
		}
		c.Terminate()
		<-w.closed

		ours, peer = tcpPair(t)
		h = newSpy()
		c = serveOn(t, r, clever{ours.(*net.TCPConn)}, Options{}, h)
		if _, ok := c.link.(*stream); !ok {
			t.Errorf("clever: got %T, want a stream", c.link)
		}
		octets := wire(text("b"))
		for i := range octets {
			octets[i] ^= 1
		}
		_, _ = peer.Write(octets)
		h.wantMessage(t, "b")
	})
}

func TestIdleSocketHoldsNoBuffer(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		h := newSpy()
		h.on = echo
		c, peer := onTCP(t, r, Options{}, h)
		send(t, peer, text("a"))
		wantFrame(t, peer, 0x81, "a")
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		r.Close() // everything has come to rest
		if c.decoder != nil || c.held != nil || c.in.queue != nil || c.out.first != nil || c.out.rest != nil {
			t.Errorf("something is still held: %+v", c)
		}
		if k, ok := c.link.(*socket); ok && k.buf != nil {
			t.Error("a buffer is still held")
		}
	})
}

func TestUnixSocketsWorkToo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	peer, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h := newSpy()
	h.on = echo
	serveOn(t, newRuntime(t), ours, Options{}, h)
	send(t, peer, text("a"))
	wantFrame(t, peer, 0x81, "a")
}

func TestConcurrentSendersDoNotMixFrames(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		c, peer := onTCP(t, r, Options{Outbox: 64 << 20}, newSpy())
		const senders, each = 8, 300
		for i := range senders {
			go func() {
				for k := range each {
					payload := bytes.Repeat([]byte{byte(i)}, 1+k*7)
					_ = c.Send(NewFrame(true, fmt.Appendf(payload, "%x", sha256.Sum256(payload))))
				}
			}()
		}
		next := make([]int, senders)
		for range senders * each {
			g, err := readFrame(peer)
			if err != nil {
				t.Fatal(err)
			}
			i := int(g.payload[0])
			n := 1 + next[i]*7
			next[i]++
			if len(g.payload) != n+64 || fmt.Sprintf("%x", sha256.Sum256([]byte(g.payload[:n]))) != g.payload[n:] {
				t.Fatalf("frame %d of sender %d is damaged or out of order", next[i], i)
			}
		}
	})
}
