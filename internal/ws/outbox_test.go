package ws

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

func TestStalledPeerIsSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		h := newSpy()
		r := newRuntime(t)
		c, _ := onPipe(t, r, Options{Stall: 5 * time.Second, CloseWait: time.Second, SlowCode: 4100}, h)
		begin := time.Now()
		_ = c.Send(NewFrame(false, []byte("nobody reads this")))
		e := h.wantClosed(t, 4100, true)
		if took := time.Since(begin); took < 6*time.Second || took > 6*time.Second+2*20*time.Millisecond {
			t.Errorf("got Closed after %v, want 5s of stall and 1s of waiting", took)
		}
		if e.Reason == "" {
			t.Error("got no reason")
		}
	})
}

func TestProgressKeepsAPeerFromBeingSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		h := newSpy()
		c, peer := onPipe(t, newRuntime(t), Options{Stall: 5 * time.Second}, h)
		for range 20 {
			_ = c.Send(NewFrame(false, prose(scratchSize)))
		}
		for range 20 {
			<-time.After(4 * time.Second)
			wantFrame(t, peer, 0x81, string(prose(scratchSize)))
		}
		synctest.Wait()
		if len(h.closed) > 0 || c.Pending() != 0 {
			t.Errorf("got %d closes and %d octets pending, want none", len(h.closed), c.Pending())
		}
		// Nor does a pause with nothing pending count.
		<-time.After(time.Minute)
		_ = c.Send(NewFrame(false, nil))
		wantFrame(t, peer, 0x81, "")
	})
}

func TestFullOutboxMakesAPeerSlow(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		h := newSpy()
		c, peer := onPipe(t, newRuntime(t), Options{Outbox: 1000}, h)
		if err := c.Send(NewFrame(false, prose(5000))); err != nil {
			t.Fatalf("a frame longer than the outbox: got %v, want it taken while nothing is pending", err)
		}
		synctest.Wait()
		if err := c.Send(NewFrame(false, []byte("lost"))); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		wantFrame(t, peer, 0x81, string(prose(5000))) // whole: it had begun to leave
		wantFrame(t, peer, 0x88, "\x03\xf0too slow")
		send(t, peer, closing(1000, ""))
		_ = h.wantClosed(t, CodePolicy, true)
	})
}

func TestSlowPeerLosesWhatHasNotBegunToLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		h := newSpy()
		c, peer := onPipe(t, newRuntime(t), Options{Outbox: 1 << 20}, h)
		for range 3 {
			_ = c.Send(NewFrame(false, prose(scratchSize)))
		}
		<-time.After(patience)
		for c.Send(NewFrame(false, nil)) == nil { // the number of frames is bounded, not only their octets
			c.out.mu.Lock()
			frames := c.out.rest.len()
			c.out.mu.Unlock()
			if frames > 1<<20/frameCost {
				t.Fatal("the outbox has no bound")
			}
		}
		wantFrame(t, peer, 0x81, string(prose(scratchSize)))
		wantFrame(t, peer, 0x88, "\x03\xf0too slow")
	})
}

func TestPendingCountsOctets(t *testing.T) {
	inBubble(t, func(t *testing.T, _ connector) {
		t.Helper()
		c, peer := onPipe(t, newRuntime(t), Options{}, newSpy())
		want := 0
		for _, n := range []int{0, 100, 200} {
			f := NewFrame(true, make([]byte, n))
			want += f.Len()
			_ = c.Send(f)
		}
		synctest.Wait()
		if got := c.Pending(); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
		for range 3 {
			if _, err := readFrame(peer); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := c.Pending(); got != 0 {
			t.Errorf("when all is read: got %d, want 0", got)
		}
	})
}

// The outbox against a plain buffer: whatever is sent in however small parts, the octets come out in order.
func TestOutboxGivesBackWhatItWasGiven(t *testing.T) {
	t.Parallel()
	rng, random := rand.New(rand.NewPCG(8, 9)), noise(20000)
	for range 200 {
		var o outbox
		var pool backlogs
		var want, got bytes.Buffer
		s := newSender()
		for range 200 {
			if rng.IntN(3) > 0 {
				f := NewFrame(true, random[:rng.IntN([]int{10, 300, 20000}[rng.IntN(3)])])
				o.append(f, &pool)
				want.Write(f.data)
			}
			if o.first == nil {
				continue
			}
			o.gather(s)
			if len(s.batch) == 0 || len(s.batch) > scratchSize && &s.batch[0] == &s.scratch[0] {
				t.Fatalf("got a batch of %d octets", len(s.batch))
			}
			n := rng.IntN(len(s.batch) + 1)
			got.Write(s.batch[:n])
			o.advance(n, &pool)
			if o.bytes != want.Len()-got.Len() {
				t.Fatalf("got %d octets pending, want %d", o.bytes, want.Len()-got.Len())
			}
		}
		for o.first != nil {
			o.gather(s)
			got.Write(s.batch)
			o.advance(len(s.batch), &pool)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatal("the octets differ")
		}
		if o.rest != nil || o.bytes != 0 || o.partial != 0 {
			t.Fatalf("empty, it still holds %+v", o.rest)
		}
	}
}

// A publisher that was faster than the shards used to get its healthy receivers closed.
func TestBurstIsNotThePeersFault(t *testing.T) {
	t.Parallel()
	l := Options{Outbox: 1000}.limits()
	for _, c := range []struct {
		state   state
		pending int
		want    bool
	}{
		{stateQueued, 900, false},
		{stateQueued, 3900, false},
		{stateQueued, 3901, true},
		{stateBlocked, 900, false},
		{stateBlocked, 901, true},
		{stateQueued | stateWriting, 3900, false}, // the send has only begun
	} {
		conn := &Conn{rt: &Runtime{epoch: time.Now()}, limits: &l, out: outbox{state: c.state, since: 30 * time.Second}}
		conn.out.append(&Frame{data: make([]byte, c.pending)}, nil)
		if got := conn.out.overfull(100, &l, conn.blocked()); got != c.want {
			t.Errorf("state %b with %d octets pending: got %v, want %v", c.state, c.pending, got, c.want)
		}
	}
	long := &Conn{rt: &Runtime{epoch: time.Now()}, out: outbox{state: stateQueued | stateWriting, since: -patience}}
	if !long.blocked() {
		t.Error("got a send that takes long not to be blocked")
	}
	if o := (outbox{}); o.overfull(2000, &l, true) {
		t.Error("got a single frame refused")
	}
}

func TestTrimKeepsTheFrameThatHasBegunAndTheLast(t *testing.T) {
	t.Parallel()
	a, b, end := NewFrame(false, []byte("aaaa")), NewFrame(false, []byte("b")), newCloseFrame(4100, "")
	for _, tc := range []struct {
		name  string
		sent  int
		state state
		want  string
	}{
		{"nothing has left", 0, 0, string(end.data)},
		{"a part has left", 3, 0, string(a.data[3:]) + string(end.data)},
		{"a part may be leaving", 0, stateBlocked, string(a.data) + string(end.data)},
		{"a whole frame has left", len(a.data), 0, string(end.data)},
	} {
		var o outbox
		var pool backlogs
		for _, f := range []*Frame{a, b, b, end} {
			o.append(f, &pool)
		}
		o.advance(tc.sent, &pool)
		o.state = tc.state
		o.trim()
		left := o.bytes
		var got []byte
		for s := newSender(); o.first != nil; o.advance(len(s.batch), &pool) {
			o.gather(s)
			got = append(got, s.batch...)
		}
		if string(got) != tc.want || left != len(tc.want) {
			t.Errorf("%s: got %q and %d octets, want %q", tc.name, got, left, tc.want)
		}
	}
}

func TestOneFrameIsSentWithoutBeingCopied(t *testing.T) {
	t.Parallel()
	f := NewFrame(false, []byte("one"))
	var o outbox
	var pool backlogs
	o.append(f, &pool)
	s := newSender()
	if o.gather(s); &s.batch[0] != &f.data[0] {
		t.Error("a single frame was copied")
	}
	o.append(f, &pool)
	if o.gather(s); len(s.batch) != 2*len(f.data) || &s.batch[0] != &s.scratch[0] {
		t.Errorf("two frames: got a batch of %d octets", len(s.batch))
	}
}

// Serial, because it counts allocations.
func TestQueueingAFrameAllocatesNothing(t *testing.T) {
	f := NewFrame(false, []byte("one"))
	var o outbox
	var pool backlogs
	for _, n := range []int{1, 2, 8, 40} {
		got := testing.AllocsPerRun(200, func() {
			for range n {
				o.append(f, &pool)
			}
			o.advance(n*f.Len(), &pool)
		})
		if got*4 > float64(n) { // the race detector makes pools forget now and then
			t.Errorf("%d frames: got %v allocations, want none", n, got)
		}
	}
}

func TestFifoKeepsTheOrderAndItsRoom(t *testing.T) {
	t.Parallel()
	var pool lender[int]
	q := pool.lend()
	next, want := 0, 0
	for range 1000 { // never empty
		for range 3 {
			q.add(next)
			next++
		}
		for q.len() > 5 {
			if got := q.take(); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
	}
	if got := cap(q.items); got > fifoKept {
		t.Errorf("a queue of 8 has grown to %d", got)
	}
	if got := q.all(); len(got) != q.len() || got[0] != want {
		t.Errorf("got %v, want %d items from %d on", got, q.len(), want)
	}
	pool.giveBack(q)
	if q = pool.lend(); q.len() != 0 || len(q.all()) != 0 {
		t.Errorf("got a queue with %d items lent", q.len())
	}
}
