package skein

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/engine"
)

// strict is an engine that checks that calls for one channel do not overlap, and takes its time.
type strict struct {
	engine.Engine // nil: only Join and Leave are called
	t             *testing.T
	fail          func(n int32) error
	joins         atomic.Int32

	mu     sync.Mutex
	busy   map[string]bool
	joined map[string]bool
}

func newStrict(t *testing.T) *strict {
	t.Helper()
	return &strict{t: t, busy: map[string]bool{}, joined: map[string]bool{}}
}

func (s *strict) within(channel string, joined bool) {
	s.mu.Lock()
	if s.busy[channel] {
		s.t.Errorf("calls for %q overlap", channel)
	}
	s.busy[channel] = true
	s.mu.Unlock()
	<-time.After(rand.N(10 * time.Millisecond))
	s.mu.Lock()
	s.busy[channel] = false
	s.joined[channel] = joined
	s.mu.Unlock()
}

func (s *strict) Join(ctx context.Context, channel string) error {
	n := s.joins.Add(1)
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	if s.fail != nil {
		err = s.fail(n)
	}
	s.within(channel, err == nil)
	return err
}

func (s *strict) Leave(channel string) { s.within(channel, false) }

func (s *strict) has(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined[channel]
}

func TestHoldersOfAChannelShareOneJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newStrict(t)
		g := gates{engine: e}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := g.hold(t.Context(), "x"); err != nil {
					t.Error(err)
				}
				if !e.has("x") {
					t.Error("hold has returned before the engine has joined")
				}
			})
		}
		all.Wait()
		if got := e.joins.Load(); got != 1 {
			t.Errorf("got %d joins, want 1", got)
		}
		for i := range 10 {
			if !e.has("x") {
				t.Errorf("left while %d hold it", 10-i)
			}
			g.release("x")
		}
		if e.has("x") || len(g.open) != 0 {
			t.Errorf("joined: %v, %d gates are left, want none", e.has("x"), len(g.open))
		}
	})
}

func TestFailedJoinIsTriedAgainByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newStrict(t)
		e.fail = func(n int32) error {
			if n <= 2 {
				return errors.New("no network")
			}
			return nil
		}
		g := gates{engine: e}
		var failed, held atomic.Int32
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if g.hold(t.Context(), "x") != nil {
					failed.Add(1)
				} else {
					held.Add(1)
				}
			})
		}
		all.Wait()
		if failed.Load() != 2 || held.Load() != 3 {
			t.Errorf("got %d failed and %d held, want 2 and 3", failed.Load(), held.Load())
		}
		for range 3 {
			g.release("x")
		}
		if e.has("x") || len(g.open) != 0 {
			t.Error("something is left")
		}
	})
}

func TestWaitingForAJoinEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("gone")
		slow := &hanging{entered: make(chan struct{}, 1), free: make(chan struct{})}
		g := gates{engine: slow}
		first := make(chan error, 1)
		go func() { first <- g.hold(t.Context(), "x") }()
		<-slow.entered
		ctx, cancel := context.WithCancelCause(t.Context())
		second := make(chan error, 1)
		go func() { second <- g.hold(ctx, "x") }()
		synctest.Wait()
		cancel(gone)
		if err := <-second; !errors.Is(err, gone) {
			t.Errorf("got %v, want %v", err, gone)
		}
		close(slow.free)
		if err := <-first; err != nil {
			t.Errorf("the first was disturbed: %v", err)
		}
		g.release("x")
		if slow.left != 1 || len(g.open) != 0 {
			t.Errorf("got %d leaves and %d gates, want 1 and none", slow.left, len(g.open))
		}
	})
}

// hanging is an engine whose Join waits.
type hanging struct {
	engine.Engine
	entered, free chan struct{}
	left          int
}

func (h *hanging) Join(context.Context, string) error {
	h.entered <- struct{}{}
	<-h.free
	return nil
}

func (h *hanging) Leave(string) { h.left++ }

func TestLeaveDoesNotOvertakeJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newStrict(t)
		e.fail = func(n int32) error {
			if n%5 == 0 {
				return errors.New("now and then")
			}
			return nil
		}
		g := gates{engine: e}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for i := range 50 {
					channel := fmt.Sprint(rand.IntN(3))
					ctx, cancel := context.WithTimeout(t.Context(), rand.N(30*time.Millisecond))
					if g.hold(ctx, channel) == nil {
						if !e.has(channel) {
							t.Errorf("round %d: held, but not joined", i)
						}
						<-time.After(rand.N(5 * time.Millisecond))
						g.release(channel)
					}
					cancel()
				}
			})
		}
		all.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.open) != 0 {
			t.Errorf("%d gates are left, want none", len(g.open))
		}
		for channel, joined := range e.joined {
			if joined {
				t.Errorf("%q is still joined", channel)
			}
		}
	})
}

// The same in real time, where the race detector sees more.
func TestGatesUnderContention(t *testing.T) {
	t.Parallel()
	e := engine.NewMemory()
	if err := e.Start(t.Context(), func(engine.Message) {}); err != nil {
		t.Fatal(err)
	}
	g := gates{engine: e}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				channel := fmt.Sprint((i + j) % 3)
				if err := g.hold(t.Context(), channel); err != nil {
					t.Error(err)
				}
				g.release(channel)
			}
		})
	}
	all.Wait()
	if len(g.open) != 0 {
		t.Errorf("%d gates are left, want none", len(g.open))
	}
}
