package natsengine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/skeinrt/skein/engine"
)

type phase uint8

const (
	created phase = iota
	starting
	running
	closed
)

// life says what may be done, and counts those who are doing it.
type life struct {
	mu    sync.Mutex
	phase phase

	open atomic.Bool
	// users counts those inside, and the engine itself while it runs. It rises
	// from a positive number only, so zero is final.
	users atomic.Int64
	idle  chan struct{} // closed when users is zero after having run

	work     sync.WaitGroup  // the engine's goroutines, which end with rooted
	rooted   context.Context //nolint:containedctx // the engine's own lifetime
	cancel   context.CancelCauseFunc
	giveUp   context.CancelCauseFunc // ends what Start waits for; set with cancel
	released chan struct{}           // closed when nothing is left
}

func newLife() *life { return &life{idle: make(chan struct{}), released: make(chan struct{})} }

// begin is the first step of Start.
func (l *life) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phase {
	case created:
		l.phase = starting
		return nil
	case closed:
		return engine.ErrClosed
	}
	return errors.New("natsengine: started twice")
}

// run lets users in, unless the engine was closed meanwhile.
func (l *life) run() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != starting {
		return engine.ErrClosed
	}
	l.phase = running
	l.users.Store(1)
	l.open.Store(true)
	return nil
}

// end lets nobody in any more, and makes a Start that is under way give up. It
// returns the phase that has ended.
func (l *life) end() phase {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.phase
	l.phase = closed
	l.open.Store(false)
	switch was {
	case created:
		close(l.released)
	case starting:
		if l.giveUp != nil {
			l.giveUp(engine.ErrClosed)
		}
	case running:
		l.exit()
	case closed:
	}
	return was
}

// enter reports whether the engine runs; whoever got true calls exit.
func (l *life) enter() bool {
	for l.open.Load() {
		if n := l.users.Load(); n > 0 && l.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

func (l *life) exit() {
	if l.users.Add(-1) == 0 {
		close(l.idle)
	}
}

// begun returns the context of the engine's goroutines, and the one of Start,
// which ends earlier when the engine is closed meanwhile.
func (l *life) begun(ctx context.Context) (root, start context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rooted, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	start, l.giveUp = context.WithCancelCause(ctx)
	if l.phase == closed {
		l.giveUp(engine.ErrClosed)
	}
	return l.rooted, start
}

func (l *life) root() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rooted
}

// stop ends the goroutines, without waiting.
func (l *life) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel(engine.ErrClosed)
		l.giveUp(engine.ErrClosed)
	}
}

// wait returns when everything has been released.
func (l *life) wait(ctx context.Context) error {
	select {
	case <-l.released:
		return nil
	default:
	}
	select {
	case <-l.released:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
