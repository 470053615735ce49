package skein

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/hub"
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

// Server is one node. Make it with New, add plugins with Register, then Run it, or Start it and Serve listeners.
type Server struct {
	options  Options
	timeouts Timeouts
	log      *slog.Logger
	counters counters

	// Set by Start, read only after.
	wiring
	engine  engine.Engine
	runtime *ws.Runtime
	hub     *hub.Hub[*Session]
	gates   gates
	life    life

	doorman doorman                       // own lock
	mux     atomic.Pointer[http.ServeMux] // nil: not serving

	mu       sync.Mutex
	phase    phase
	plugins  []*registration // in the order of Register; of set-up from Start on
	routes   []*route
	services map[reflect.Type]service
	sessions map[string]*Session
	raws     map[*ws.Conn]struct{}
	servers  map[*http.Server]net.Addr
}

// wiring is what the plugins and the options have been put together to.
type wiring struct {
	endpoints []*endpoint
	hooks     [points]chain
	calls     procedures
	listeners map[string][]*listener
	scheme    AuthScheme
	origins   origins
	pings     pingFrames
}

// life is the context of everything that runs until Shutdown, and who is waited for.
type life struct {
	ctx    context.Context //nolint:containedctx // the server's own lifetime
	cancel context.CancelCauseFunc
	tasks  *sync.WaitGroup
	began  time.Time
}

// begin takes the values of ctx, but not its end: that is Shutdown.
func (l *life) begin(ctx context.Context) {
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	l.tasks, l.began = &sync.WaitGroup{}, time.Now()
}

type service struct {
	host  *Host
	value any
}

// New returns a server that has not been started. It never fails: what is wrong with the options is told by Start.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Addr = or(o.Addr, defaultAddr)
	o.Node = or(o.Node, "node-"+rand.Text()[:8])
	if o.Engine == nil {
		o.Engine = engine.NewMemory()
	}
	s := &Server{
		options: o, timeouts: o.Timeouts.withDefaults(), log: o.Logger.With(slog.String("node", o.Node)),
		hub: hub.New[*Session](0), sessions: map[string]*Session{}, services: map[reflect.Type]service{},
		servers: map[*http.Server]net.Addr{}, raws: map[*ws.Conn]struct{}{},
		wiring: wiring{listeners: map[string][]*listener{}, calls: newProcedures(), pings: newPingFrames()},
	}
	s.doorman.limits = o.Conns.withDefaults()
	return s
}

// Node is the name of this node.
func (s *Server) Node() string { return s.options.Node }

// Start sets up the plugins, starts the engine and makes the server ready to serve. It returns every option and wiring
// error at once, each with the plugin and, where known, the place in the configuration. A failed start has unwound
// what stood; the server cannot be started again.
func (s *Server) Start(ctx context.Context) error {
	if !s.enter(created, starting) {
		return ErrStarted
	}
	s.life.begin(ctx)
	s.runtime = ws.NewRuntime(ws.Config{Logger: s.log, Panicked: func(any, []byte) { s.counters.panics.Add(1) }})
	if err := s.rise(ctx); err != nil {
		err = errors.Join(err, s.fall(context.WithoutCancel(ctx), err))
		return err
	}
	s.enter(starting, running)
	return nil
}

// rise is the way up. Each step needs the ones before it.
func (s *Server) rise(ctx context.Context) error {
	if err := s.setUpPlugins(ctx); err != nil {
		return err
	}
	if err := s.freeze(); err != nil {
		return err
	}
	if err := s.startEngine(ctx); err != nil {
		return err
	}
	for _, r := range s.plugins {
		for _, fn := range r.host.ready {
			if err := guarded(ctx, s.timeouts.Start, fn); err != nil {
				return r.blame(fmt.Errorf("OnReady: %w", err))
			}
		}
	}
	mux, err := mount(s.routes)
	if err != nil {
		return err
	}
	s.startTasks()
	s.mux.Store(mux)
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
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.Start)
	defer cancel()
	if err := s.engine.Start(ctx, s.deliver); err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	s.gates.engine = s.engine
	for channel := range s.listeners {
		if err := s.gates.hold(ctx, channel); err != nil {
			return fmt.Errorf("join %q for a plugin: %w", channel, err)
		}
	}
	return nil
}

func (s *Server) startTasks() {
	for _, r := range s.plugins {
		for _, t := range r.host.tasks {
			s.life.tasks.Go(func() { t.run(s.life.ctx) })
		}
	}
}

// Shutdown takes the server down: no new connections, the plugins' OnDrain, connections told to go away, background
// work ended, OnStop in reverse, the engine closed. ctx bounds how long connections may take.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.enter(running, draining) {
		return ErrStopped
	}
	var errs []error
	for _, r := range slices.Backward(s.plugins) {
		for _, fn := range slices.Backward(r.host.drain) {
			if err := guarded(ctx, s.timeouts.Stop, fn); err != nil {
				errs = append(errs, r.blame(fmt.Errorf("OnDrain: %w", err)))
			}
		}
	}
	s.sendAway(ctx)
	errs = append(errs, s.fall(context.WithoutCancel(ctx), ErrStopped))
	return errors.Join(errs...)
}

// sendAway closes every session with the code that brings its client back, and waits until they are gone or ctx ends.
func (s *Server) sendAway(ctx context.Context) {
	for x := range s.Sessions() {
		x.shut(CloseGoingAway, "")
	}
	s.mu.Lock()
	raws := slices.Collect(maps.Keys(s.raws))
	s.mu.Unlock()
	for _, c := range raws {
		c.Close(CloseGoingAway, "")
	}
	for s.runtime.Conns() > 0 && wait(ctx, 10*time.Millisecond) {
		continue
	}
	s.mu.Lock()
	servers := slices.Collect(maps.Keys(s.servers))
	s.mu.Unlock()
	for _, h := range servers {
		if err := h.Shutdown(ctx); err != nil {
			_ = h.Close() // ctx has ended: what is left is cut
		}
	}
}

// fall is the way down, from wherever the way up has come.
func (s *Server) fall(ctx context.Context, cause error) error {
	s.mux.Store(nil)
	s.life.cancel(cause)
	errs := []error{guarded(ctx, s.timeouts.Stop, func(context.Context) error {
		s.runtime.Close()
		s.life.tasks.Wait()
		return nil
	})}
	for _, r := range slices.Backward(s.plugins) {
		if r.host == nil {
			continue
		}
		for _, fn := range slices.Backward(r.host.stop) {
			if err := guarded(ctx, s.timeouts.Stop, fn); err != nil {
				errs = append(errs, r.blame(fmt.Errorf("OnStop: %w", err)))
			}
		}
	}
	if s.engine != nil {
		ctx, cancel := context.WithTimeout(ctx, s.timeouts.Stop)
		defer cancel()
		if err := s.engine.Close(ctx); err != nil && !errors.Is(err, engine.ErrClosed) {
			errs = append(errs, fmt.Errorf("close the engine: %w", err))
		}
	}
	s.mu.Lock()
	s.phase = stopped
	s.mu.Unlock()
	return errors.Join(errs...)
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

func (s *Server) provide(t reflect.Type, h *Host, v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other, taken := s.services[t]; taken {
		return fmt.Errorf("plugin %s provides one already", other.host.reg.where())
	}
	s.services[t] = service{h, v}
	return nil
}

func (s *Server) service(t reflect.Type) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.services[t]
	return v.value, ok
}

// Sessions yields the open sessions of this node, in no order.
func (s *Server) Sessions() iter.Seq[*Session] {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	return slices.Values(all)
}

// Session returns the open session of that id on this node, or nil.
func (s *Server) Session(id string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Count is the number of this node's sessions that are subscribed to the channel.
func (s *Server) Count(channel string) int { return s.hub.Count(channel) }

// Channels lists channels of this node that have subscribers: those that begin with prefix, sorted, at most limit
// (0: all).
func (s *Server) Channels(prefix string, limit int) []string { return s.hub.Channels(prefix, limit) }

// Ready reports why the server should get no traffic: it is not running, or a plugin's health check says so. nil is
// ready. The error of a check names it.
func (s *Server) Ready(ctx context.Context) error {
	s.mu.Lock()
	phase := s.phase
	s.mu.Unlock()
	if phase != running {
		return ErrStopped
	}
	var errs []error
	for _, r := range s.plugins {
		for _, c := range r.host.checks {
			if err := guarded(ctx, s.timeouts.Hook, c.fn); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			}
		}
	}
	return errors.Join(errs...)
}
