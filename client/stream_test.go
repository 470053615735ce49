package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func number(i int) Message { return Message{Data: fmt.Append(nil, i)} }

func TestStreamKeepsOrderWhileItIsFilledAndDrained(t *testing.T) {
	t.Parallel()
	s := newStream(math.MaxInt)
	in, out := 0, 0
	for round := range 200 {
		for range round % 17 {
			s.push(number(in))
			in++
		}
		for range min(round%13, in-out) {
			m, err := s.Next(t.Context())
			if want := fmt.Sprint(out); err != nil || string(m.Data) != want {
				t.Fatalf("got %s, %v; want %s", m.Data, err, want)
			}
			out++
		}
	}
	if got, most := cap(s.queue), 4*(in-out)+64; got > most {
		t.Errorf("capacity %d for %d items, want at most %d", got, in-out, most)
	}
}

func TestStreamIsBoundedInOctets(t *testing.T) {
	t.Parallel()
	s := newStream(10_000)
	data := []byte(strings.Repeat("x", 1000-messageCost))
	for range 100 {
		s.push(Message{Data: data})
		if s.size > 10_000 {
			t.Fatalf("holds %d", s.size)
		}
	}
	if got := len(s.queue) - s.head; got != 10 || s.Dropped() != 90 {
		t.Errorf("holds %d and dropped %d, want 10 and 90", got, s.Dropped())
	}
	huge := Message{Data: make([]byte, 20_000)}
	s.push(huge)
	if m, _ := s.Next(t.Context()); m.Gap != GapOverflow {
		t.Errorf("got %v, want an overflow", m.Gap)
	}
	if m, _ := s.Next(t.Context()); len(m.Data) != 20_000 {
		t.Errorf("got %d octets, want the newest however large", len(m.Data))
	}
	if s.size != 0 {
		t.Errorf("an empty queue counts %d", s.size)
	}
}

func TestGapThatIsDroppedIsNotCountedAsAMessage(t *testing.T) {
	t.Parallel()
	s := newStream(2 * messageCost)
	for range 5 {
		s.push(Message{Gap: GapServer})
	}
	if s.Dropped() != 0 || !s.lost {
		t.Errorf("dropped %d, gap due %v; want 0 and a gap", s.Dropped(), s.lost)
	}
}

func TestConsumersShareAStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		s := newStream(math.MaxInt)
		var mu sync.Mutex
		seen := map[string]int{}
		var consumers sync.WaitGroup
		for range 4 {
			consumers.Go(func() {
				for m := range s.Messages() {
					mu.Lock()
					seen[string(m)]++
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		for i := range 1000 {
			s.push(number(i))
		}
		synctest.Wait()
		if len(seen) != 1000 {
			t.Errorf("seen %d, want 1000 before the end", len(seen))
		}
		s.end(ErrClosed)
		s.end(ErrUnsubscribed)
		consumers.Wait()
		if !errors.Is(s.Err(), ErrClosed) {
			t.Errorf("got %v, want the first reason", s.Err())
		}
	})
}

func TestConsumersAreAllWokenByABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		s := newStream(math.MaxInt)
		hold := make(chan struct{})
		busy := 0
		var mu sync.Mutex
		var consumers sync.WaitGroup
		for range 3 {
			consumers.Go(func() {
				_, _ = s.Next(t.Context())
				mu.Lock()
				busy++
				mu.Unlock()
				<-hold
			})
		}
		synctest.Wait()
		for i := range 3 {
			s.push(number(i))
		}
		synctest.Wait()
		if busy != 3 {
			t.Errorf("%d consumers work, want 3", busy)
		}
		close(hold)
		consumers.Wait()
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := newStream(math.MaxInt)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := s.Next(ctx); !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
	s.push(number(1))
	if m, err := s.Next(ctx); err != nil || string(m.Data) != "1" {
		t.Errorf("got %s, %v; want what is there already", m.Data, err)
	}
}

func TestGapsHaveNames(t *testing.T) {
	t.Parallel()
	for g, want := range map[Gap]string{NoGap: "none", GapOverflow: "overflow", GapReconnect: "reconnect", GapServer: "server", 99: "unknown"} {
		if got := g.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSmallMessageDoesNotKeepItsBatchAlive(t *testing.T) {
	t.Parallel()
	frame := make([]byte, 10_000)
	small, large := frame[10:20], frame[100:9_900]
	if got := detach(small, len(frame)); &got[0] == &small[0] {
		t.Error("the small one shares the frame")
	}
	if got := detach(large, len(frame)); &got[0] != &large[0] {
		t.Error("the large one was copied")
	}
	if got := detach(nil, len(frame)); got != nil {
		t.Error("undefined has become something")
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	b := Backoff{Initial: time.Second, Max: time.Minute, Factor: 3}
	for attempt, seconds := range []int{1, 3, 9, 27, 30, 30, 30} {
		low := time.Duration(seconds) * time.Second
		high := 2 * low
		spread := map[time.Duration]bool{}
		for range 100 {
			got := b.wait(attempt)
			spread[got] = true
			if got < low || got > high {
				t.Fatalf("attempt %d: %v, want %v to %v", attempt, got, low, high)
			}
		}
		if len(spread) < 90 {
			t.Errorf("attempt %d: only %d different waits of 100", attempt, len(spread))
		}
	}
	if got := b.wait(math.MaxInt); got > time.Minute {
		t.Errorf("got %v, want at most a minute", got)
	}
}

func TestErrorsReadWell(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"N: m":                          &Error{Name: "N", Message: "m"},
		"m":                             &Error{Message: "m"},
		"connection closed with code 7": &CloseError{Code: 7},
		`connection closed with code 7 ("r"): client closed`: &CloseError{Code: 7, Reason: "r", Err: ErrClosed},
		"kicked out":    &KickError{},
		"kicked out: m": &KickError{Message: "m"},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !errors.Is(&CloseError{Err: ErrBusy}, ErrBusy) {
		t.Error("the cause of a CloseError is not found")
	}
}

func FuzzErrorsOfTheServerSurviveTheWayBack(f *testing.F) {
	for _, seed := range []string{`{"message":"m","name":"N","a":[1]}`, `"x"`, `5`, `null`, `{"name":null}`, `[`, `{"message":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		e := parseError(raw)
		text, err := errorJSON(e)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		again := parseError(text)
		if again.Name != e.Name || again.Error() != e.Error() && strings.ToValidUTF8(e.Error(), "") == e.Error() {
			t.Errorf("%q: got %v, want %v", raw, again, e)
		}
	})
}
