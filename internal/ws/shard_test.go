package ws

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recordingLink takes everything, and notes for whom; it lets the shard go on only when told.
type recordingLink struct {
	stream

	name  string
	turns chan<- string
}

func (l *recordingLink) wake() { l.conn.shard.push(l.conn) }

func (l *recordingLink) send(s *sender) (int, error) {
	l.turns <- l.name
	return len(s.batch), nil
}

func TestShardTakesTurnsBetweenBacklogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := NewRuntime(Config{Shards: 1})
		defer r.Close()
		turns := make(chan string)
		connect := func(name string) *Conn {
			ours, _ := net.Pipe()
			c, err := r.adopt(ours, terms{}, Options{Outbox: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			c.link = &recordingLink{stream: stream{conn: c, nc: ours}, name: name, turns: turns}
			return c
		}
		long, short := connect("long"), connect("short")
		big := NewFrame(true, make([]byte, scratchSize)) // does not fit into the scratch: one send each
		for range 20 {
			_ = long.Send(big)
		}
		synctest.Wait()
		_ = short.Send(big)
		var order []string
		for range 21 {
			order = append(order, <-turns)
		}
		at := 0
		for i, name := range order {
			if name == "short" {
				at = i
			}
		}
		if at == 0 || at > 2 {
			t.Errorf("got the turn of the short backlog at %d of %q, want it next but one", at, order)
		}
	})
}

func TestShardEndsWithWorkLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShard(nil)
		done := make(chan struct{})
		go func() {
			s.run()
			close(done)
		}()
		s.push(new(Conn)) // nothing is pending on it
		s.close()
		<-done
	})
}

func TestFramesThatMayWaitLeaveTogetherAndInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		c, peer := connect(t, newRuntime(t), Options{}, newSpy())
		began := time.Now()
		for _, payload := range []string{"a", "b"} {
			if err := c.SendWithin(NewFrame(false, []byte(payload)), 8*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.SendWithin(NewFrame(false, []byte("c")), 5*time.Millisecond) // the shorter wait counts
		synctest.Wait()
		if got := c.Pending(); got != 9 {
			t.Errorf("got %d octets pending, want all 9 to wait", got)
		}
		for _, payload := range []string{"a", "b", "c"} {
			wantFrame(t, peer, 0x81, payload)
		}
		if got := time.Since(began); got != 5*time.Millisecond {
			t.Errorf("they left after %v, want 5ms", got)
		}
	})
}

func TestWhatMayNotWaitTakesWithItWhatMay(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		c, peer := connect(t, newRuntime(t), Options{}, newSpy())
		began := time.Now()
		_ = c.SendWithin(NewFrame(false, []byte("a")), time.Second)
		_ = c.Send(NewFrame(false, []byte("b")))
		wantFrame(t, peer, 0x81, "a")
		wantFrame(t, peer, 0x81, "b")
		_ = c.SendWithin(NewFrame(false, []byte("c")), time.Second)
		c.Close(CodeNormal, "")
		wantFrame(t, peer, 0x81, "c")
		if got := time.Since(began); got != 0 {
			t.Errorf("they left after %v, want at once", got)
		}
	})
}

func TestAFullBatchDoesNotWait(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		c, peer := connect(t, newRuntime(t), Options{}, newSpy())
		began := time.Now()
		half := strings.Repeat("x", scratchSize/2)
		for range 2 {
			_ = c.SendWithin(NewFrame(false, []byte(half)), time.Second)
		}
		wantFrame(t, peer, 0x81, half)
		wantFrame(t, peer, 0x81, half)
		if got := time.Since(began); got != 0 {
			t.Errorf("they left after %v, want at once", got)
		}
	})
}

func TestWaitsEndWithTheirConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, connect connector) {
		t.Helper()
		r := NewRuntime(Config{Shards: 1})
		h := newSpy()
		c, _ := connect(t, r, Options{}, h)
		_ = c.SendWithin(NewFrame(false, []byte("a")), time.Second)
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		<-time.After(2 * time.Second)
		other, _ := connect(t, r, Options{}, newSpy())
		_ = other.SendWithin(NewFrame(false, []byte("a")), time.Hour)
		r.Close()
		if err := other.SendWithin(NewFrame(false, nil), time.Hour); err == nil {
			t.Error("a closed connection took a frame")
		}
	})
}
