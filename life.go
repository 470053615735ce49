package skein

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/ws"
)

// phase is where a server stands in its life.
type phase uint8

const (
	created phase = iota
	starting
	running
	draining
	stopped
)

// life is the context of everything that runs until Shutdown, and who is waited for.
type life struct {
	ctx    context.Context //nolint:containedctx // the server's own lifetime
	cancel context.CancelCauseFunc
	tasks  crew
	began  time.Time
	stood  atomic.Bool   // the engine stands: publications are taken
	spare  time.Duration // left of what lastChance is taken from, of Shutdown
	over   chan struct{} // closed at the very end
}

// begin takes the values of ctx, but not its end: that is Shutdown.
func (l *life) begin(ctx context.Context) {
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	l.began = time.Now()
}

// crew are goroutines that Shutdown waits for. Connections may still start some when it begins to wait.
type crew struct {
	mu   sync.Mutex
	gone bool
	wg   sync.WaitGroup
}

// Go runs fn in a goroutine, and reports whether it does: not after Wait has begun.
func (c *crew) Go(fn func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.wg.Go(fn)
	}
	return !c.gone
}

// Wait waits for all of them, and lets no other one start.
func (c *crew) Wait() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.wg.Wait()
}

// Start sets up the plugins, starts the engine and makes the server ready to serve. It returns every option and wiring
// error at once, each with the plugin and, where known, the place in the configuration. A failed start has unwound
// what stood; the server cannot be started again.
func (s *Server) Start(ctx context.Context) error {
	if !s.enter(created, starting) {
		return ErrStarted
	}
	s.life.begin(ctx)
	s.runtime = ws.NewRuntime(ws.Config{
		Driver: ws.Driver(s.options.Driver), Logger: s.log, Panicked: func(any, []byte) { s.counters.panics.Add(1) },
		Paused:  func() { s.counters.limited.add(limitInbox) },
		Dropped: func(p ws.Policy, n int) { s.counters.dropped[p].Add(uint64(n)) }, //nolint:gosec // a count
	})
	if err := s.rise(ctx); err != nil {
		return errors.Join(err, s.fall(ctx, err))
	}
	s.enter(starting, running)
	return nil
}

// Inspect sets up the plugins and puts everything together, as Start does, and takes it down again without having started
// the engine or any work: for Plugins, Hooks, Routes and Endpoints. The server cannot be started any more.
func (s *Server) Inspect(ctx context.Context) error {
	if !s.enter(created, starting) {
		return ErrStarted
	}
	s.life.begin(ctx)
	s.runtime = ws.NewRuntime(ws.Config{})
	err := s.assemble(ctx)
	return errors.Join(err, s.fall(ctx, ErrStopped))
}

func (s *Server) assemble(ctx context.Context) error {
	if err := s.setUpPlugins(ctx); err != nil {
		return err
	}
	return s.freeze()
}

// rise is the way up. Each step needs the ones before it.
func (s *Server) rise(ctx context.Context) error {
	if err := s.assemble(ctx); err != nil {
		return err
	}
	if err := s.loadRevocations(); err != nil {
		return err
	}
	if err := s.startEngine(ctx); err != nil {
		return err
	}
	s.learnRevocations(ctx, true)
	if err := s.becomeReady(ctx); err != nil {
		return err
	}
	muxes, err := s.mountAll()
	if err != nil {
		return err
	}
	s.startTasks()
	s.muxes.Store(&muxes)
	return nil
}

func (s *Server) setUpPlugins(ctx context.Context) error {
	s.mu.Lock()
	plugins, err := inOrder(s.plugins)
	s.plugins = plugins
	s.mu.Unlock()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range plugins {
		errs = append(errs, r.setUp(ctx, s))
	}
	return errors.Join(errs...)
}

func (s *Server) startEngine(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeouts.Start)
	defer cancel()
	if err := s.attach(); err != nil {
		return err
	}
	if err := s.engine.Start(ctx, s.deliver); err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	if err := s.recognise(); err != nil {
		return err
	}
	s.gates.engine = s.engine
	s.life.stood.Store(true)
	for channel := range s.listeners {
		if err := s.gates.hold(ctx, channel); err != nil {
			return fmt.Errorf("join %q for a plugin: %w", channel, err)
		}
	}
	return nil
}

// becomeReady calls what the plugins have registered with OnReady, and finds what they register too late.
func (s *Server) becomeReady(ctx context.Context) error {
	for _, r := range s.plugins {
		for _, fn := range r.host.stages.ready {
			if err := guarded(ctx, s.options.Timeouts.Start, fn); err != nil {
				return r.blame(fmt.Errorf("OnReady: %w", err))
			}
		}
		if err := r.host.tooLate(); err != nil {
			return r.blame(err)
		}
	}
	return nil
}

func (s *Server) startTasks() {
	s.life.tasks.Go(func() { s.tellGaps(s.life.ctx) })
	s.life.tasks.Go(func() { s.shareRevocations(s.life.ctx) })
	for _, r := range s.plugins {
		for _, t := range r.host.tasks {
			s.life.tasks.Go(func() { t.run(s.life.ctx) })
		}
	}
}

const (
	// lastChance is how long something that has to end may take when the time for all is over.
	lastChance = 500 * time.Millisecond
	// lastChances is how long all that has to end may take then, but for a moment each.
	lastChances = time.Second
	moment      = 10 * time.Millisecond
)

// fall is the way down, from wherever the way up has come.
func (s *Server) fall(ctx context.Context, cause error) error {
	s.muxes.Store(nil)
	s.life.spare = lastChances
	s.life.cancel(cause)
	errs := []error{s.end(ctx, func(context.Context) error {
		s.runtime.Close()
		s.life.tasks.Wait()
		return nil
	})}
	for _, r := range slices.Backward(s.plugins) {
		if r.host == nil {
			continue
		}
		for _, fn := range slices.Backward(r.host.stages.stop) {
			if err := s.end(ctx, fn); err != nil {
				errs = append(errs, r.blame(fmt.Errorf("OnStop: %w", err)))
			}
		}
	}
	s.life.stood.Store(false)
	if err := s.end(ctx, s.engine.Close); err != nil && !errors.Is(err, engine.ErrClosed) {
		errs = append(errs, fmt.Errorf("close the engine: %w", err))
	}
	s.mu.Lock()
	s.phase = stopped
	s.mu.Unlock()
	close(s.life.over)
	return errors.Join(errs...)
}

// end gives something the time that is left to end, or its last chance.
func (s *Server) end(ctx context.Context, fn func(ctx context.Context) error) error {
	left := s.options.Timeouts.Stop
	if deadline, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	if ctx.Err() != nil || left <= moment {
		left = max(moment, min(lastChance, s.life.spare))
		began := time.Now()
		defer func() { s.life.spare -= time.Since(began) }()
	}
	return guarded(context.WithoutCancel(ctx), left, fn)
}

// guarded calls one function of a plugin's life under a deadline and a recover.
func guarded(ctx context.Context, d time.Duration, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("it took longer than %v", d))
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("panic: %v", v)
			}
		}()
		done <- fn(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter moves to the next phase and reports whether the server was in the expected one.
func (s *Server) enter(from, to phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != from {
		return false
	}
	s.phase = to
	return true
}
