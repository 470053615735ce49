package ws

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestPeerCloses(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		for _, tc := range []struct {
			frame raw
			code  int
		}{
			{closing(1000, "bye"), 1000},
			{closing(4321, ""), 4321},
			{raw{first: 0x88}, CodeNoStatus},
		} {
			h := newSpy()
			h.on = echo
			r := newRuntime(t)
			c, peer := connect(t, r, Options{}, h)
			// The answers to what came before go out before the close frame; what comes behind is not read.
			go func() { _, _ = peer.Write(wire(text("one"), tc.frame, text("two"), ping(""))) }()
			wantFrame(t, peer, 0x81, "one")
			wantClose(t, peer, tc.code)
			e := h.wantClosed(t, tc.code, false)
			if tc.code == 1000 && e.Reason != "bye" {
				t.Errorf("got reason %q", e.Reason)
			}
			wantEOF(t, peer)
			_ = peer.Close()
			synctest.Wait()
			if err := c.Send(NewFrame(false, nil)); !errors.Is(err, ErrClosed) {
				t.Errorf("Send at the end: got %v, want ErrClosed", err)
			}
			if n := r.Conns(); n != 0 || len(h.messages) != 1 {
				t.Errorf("got %d connections and %d messages, want 0 and 1", n, len(h.messages))
			}
		}
	})
}

func TestThisSideCloses(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		c, peer := connect(t, newRuntime(t), Options{}, h)
		_ = c.Send(NewFrame(false, []byte("pending")))
		c.Close(4000, "enough")
		c.Close(4001, "too late")
		wantFrame(t, peer, 0x81, "pending")
		wantFrame(t, peer, 0x88, "\x0f\xa0enough")
		send(t, peer, text("unread"), closing(4000, ""))
		if e := h.wantClosed(t, 4000, true); e.Reason != "enough" {
			t.Errorf("got reason %q", e.Reason)
		}
		wantEOF(t, peer)
		if len(h.messages) > 0 {
			t.Error("a message came through after the close")
		}
	})
}

func TestPeerThatDoesNotAnswerTheCloseIsCut(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		r := newRuntime(t)
		c, peer := connect(t, r, Options{CloseWait: 3 * time.Second}, h)
		begin := time.Now()
		c.Close(CodeNoStatus, "")
		wantFrame(t, peer, 0x88, "")
		_ = h.wantClosed(t, CodeNoStatus, true)
		if took := time.Since(begin); took < 3*time.Second || took > 3*time.Second+20*time.Millisecond {
			t.Errorf("got Closed after %v, want 3s", took)
		}
		synctest.Wait()
		if n := r.Conns(); n != 0 {
			t.Errorf("got %d connections, want none", n)
		}
	})
}

func TestInvalidFrameFailsTheConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		for _, tc := range []struct {
			octets []byte
			code   int
		}{
			{wire(raw{first: 0x83}), CodeProtocol},
			{wire(text("\xff")), CodeInvalidData},
			{wire(raw{first: 0x82, payload: "x", declare: 1 << 30}), CodeTooBig},
			{wire(raw{first: 0x88, payload: "\x03"}), CodeProtocol},
			{wire(closing(1005, "")), CodeProtocol},
		} {
			h := newSpy()
			_, peer := connect(t, newRuntime(t), Options{}, h)
			go func() { _, _ = peer.Write(append(wire(text("valid")), tc.octets...)) }()
			wantClose(t, peer, tc.code)
			if e := h.wantClosed(t, tc.code, true); e.Err == nil {
				t.Errorf("%d: got no cause", tc.code)
			}
			h.wantMessage(t, "valid")
			wantEOF(t, peer)
		}
	})
}

// Whoever speaks well and then badly gets the answers to what was well, and the close behind them.
func TestWhatCameBeforeAnInvalidFrameIsAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		gate := make(chan struct{})
		h.on = func(c *Conn, m Message) {
			<-gate
			echo(c, m)
		}
		_, peer := connect(t, newRuntime(t), Options{}, h)
		go func() { _, _ = peer.Write(wire(text("one"), text("two"), raw{first: 0x83}, text("three"))) }()
		synctest.Wait()
		if n := h.endings.Load(); n != 1 {
			t.Errorf("got %d calls of Ending while the handler is busy, want one", n)
		}
		close(gate)
		wantFrame(t, peer, 0x81, "one")
		wantFrame(t, peer, 0x81, "two")
		wantClose(t, peer, CodeProtocol)
		wantEOF(t, peer)
		_ = h.wantClosed(t, CodeProtocol, true)
		if n := len(h.messages); n != 2 {
			t.Errorf("got %d messages, want two", n)
		}
	})
}

func TestInvalidFrameAfterOurCloseEndsTheWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		c, peer := connect(t, newRuntime(t), Options{}, h)
		begin := time.Now()
		c.Close(1001, "")
		wantClose(t, peer, 1001)
		send(t, peer, raw{first: 0x83})
		_ = h.wantClosed(t, 1001, true)
		if time.Since(begin) > 0 {
			t.Errorf("got Closed after %v, want it at once", time.Since(begin))
		}
	})
}

func TestPeerThatVanishesIsToldAs1006(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		r := newRuntime(t)
		_, peer := connect(t, r, Options{}, h)
		send(t, peer, text("last words"), frag(opText, "unfinished"))
		_ = peer.Close()
		if e := h.wantClosed(t, CodeAbnormal, false); e.Err == nil {
			t.Error("got no cause")
		}
		h.wantMessage(t, "last words")
		synctest.Wait()
		if r.Conns() != 0 {
			t.Error("the connection is still there")
		}
	})
}

func TestTerminateCutsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		c, peer := connect(t, newRuntime(t), Options{}, h)
		c.Terminate()
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		if _, err := readFrame(peer); err == nil {
			t.Error("got a frame")
		}
		synctest.Wait()
		if len(h.closed) > 0 {
			t.Error("Closed was called twice")
		}
	})
}

func TestEndBeforeStartIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		r := newRuntime(t)
		ours, peer := memoryPipe()
		c, err := r.adopt(ours, terms{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Do(func() { t.Error("ran without a handler") })
		c.Close(4003, "not you")
		wantFrame(t, peer, 0x88, "\x0f\xa3not you")
		<-time.After(defaultCloseWait + wheelTick)
		synctest.Wait()
		if r.Conns() != 0 {
			t.Error("a connection that was never started stays")
		}
		h := newSpy()
		c.Start(h)
		_ = h.wantClosed(t, 4003, true)
	})
}

func TestCloseIsAnsweredThoughTheInboxIsFull(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		h := newSpy()
		gate := make(chan struct{})
		h.on = func(*Conn, Message) { <-gate }
		c, peer := connect(t, newRuntime(t), Options{Inbox: 10}, h)
		go func() {
			_, _ = peer.Write(append(bytes.Repeat(wire(text("0123456789")), 20), wire(closing(4000, ""))...))
		}()
		synctest.Wait()
		c.Close(4000, "")
		wantClose(t, peer, 4000)
		close(gate)
		_ = h.wantClosed(t, 4000, true)
		if n := len(h.messages); n != 1 {
			t.Errorf("got %d messages, want only the one that was being handled", n)
		}
	})
}

func TestRuntimeCloseEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		r := NewRuntime(Config{})
		var spies []*spy
		for range 20 {
			h := newSpy()
			c, _ := connect(t, r, Options{}, h)
			c.Schedule(time.Hour)
			_ = c.Send(NewFrame(false, prose(100)))
			spies = append(spies, h)
		}
		ours, _ := net.Pipe()
		if _, err := r.adopt(ours, terms{}, Options{}); err != nil { // never started
			t.Fatal(err)
		}
		if r.Conns() != 21 {
			t.Errorf("got %d connections, want 21", r.Conns())
		}
		r.Close()
		r.Close()
		for _, h := range spies {
			if len(h.closed) != 1 {
				t.Fatalf("got %d calls of Closed, want 1", len(h.closed))
			}
		}
		if _, err := r.adopt(ours, terms{}, Options{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: got %v, want ErrClosed", err)
		}
		if r.Conns() != 0 {
			t.Errorf("got %d connections, want none", r.Conns())
		}
	})
}

func TestWriteErrorBeforeAnyCloseIsAbnormal(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		h := newSpy()
		r := newRuntime(t)
		ours, _ := memoryPipe()
		c := serveOn(t, r, deafConn{ours}, Options{}, h)
		begin := time.Now()
		_ = c.Send(NewFrame(false, nil))
		if e := h.wantClosed(t, CodeAbnormal, false); !errors.Is(e, errUnwilling) || time.Since(begin) < defaultCloseWait {
			t.Errorf("got %v after %v, want the reader to have its time", e, time.Since(begin))
		}
		if err := c.Send(NewFrame(false, nil)); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		// A close that cannot be sent ends at once.
		h = newSpy()
		ours, _ = memoryPipe()
		c = serveOn(t, r, deafConn{ours}, Options{}, h)
		_ = c.Send(NewFrame(false, nil))
		synctest.Wait()
		c.Close(4000, "")
		_ = h.wantClosed(t, 4000, true)
	})
}

// deafConn cannot be written to.
type deafConn struct{ net.Conn }

func (deafConn) Write([]byte) (int, error) { return 0, errors.New("deaf") }

func TestEndIsSeenByAHandlerThatWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		for name, end := range map[string]func(*Conn, net.Conn){
			"the peer closes":      func(_ *Conn, peer net.Conn) { _, _ = peer.Write(wire(closing(1000, ""))) },
			"the peer vanishes":    func(_ *Conn, peer net.Conn) { _ = peer.Close() },
			"the peer is wrong":    func(_ *Conn, peer net.Conn) { _, _ = peer.Write(wire(raw{first: 0x83})) },
			"this side closes":     func(c *Conn, _ net.Conn) { c.Close(4000, "") },
			"this side terminates": func(c *Conn, _ net.Conn) { c.Terminate() },
		} {
			h := newSpy()
			gate := make(chan struct{})
			h.on = func(*Conn, Message) { <-gate }
			c, peer := connect(t, newRuntime(t), Options{}, h)
			send(t, peer, text("wait"))
			synctest.Wait()
			if n := h.endings.Load(); n != 0 {
				t.Errorf("%s: got the end before it", name)
			}
			end(c, peer)
			synctest.Wait()
			if n := h.endings.Load(); n != 1 || len(h.closed) > 0 {
				t.Errorf("%s: got %d calls of Ending and %d of Closed, want one and none yet", name, n, len(h.closed))
			}
			close(gate)
			_ = peer.Close()
			if e := <-h.closed; e.Code == 0 {
				t.Errorf("%s: got %v", name, e)
			}
		}
	})
}
