package skein

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/hub"
	"github.com/skeinrt/skein/internal/ws"
)

// Server is one node. Make it with New, add plugins with Register, then Run it, or Start it and Serve listeners.
type Server struct {
	options  Options
	log      *slog.Logger
	counters counters

	// Set by Start, read only after.
	wiring
	engine  engine.Engine
	runtime *ws.Runtime
	hub     *hub.Hub[*Session]
	gates   gates
	cluster cluster
	life    life

	doorman doorman                                     // own lock
	muxes   atomic.Pointer[map[Audience]*http.ServeMux] // nil: not serving

	mu       sync.Mutex
	phase    phase
	plugins  []*registration // in the order of Register; of set-up from Start on
	routes   []*route
	services map[reflect.Type]service
	sessions map[string]*Session
	conns    map[*ws.Conn]guest // of every kind, from the upgrade on
	servers  map[*http.Server]serving
}

// wiring is what the plugins and the options have been put together to.
type wiring struct {
	endpoints []*endpoint
	hooks     [points]chain
	calls     procedures
	listeners map[string][]*listener
	scheme    AuthScheme
	origins   origins
	rules     channelRules
	pings     pingFrames
	onces     []string
	upgrades  map[string]struct{} // paths of endpoints, as far as they have no wildcards

	revocations *revocations // its own lock
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
	o.Version = or(o.Version, builtVersion())
	o.Timeouts = o.Timeouts.withDefaults()
	s := &Server{
		options: o, log: slog.New(quiet(o.Logger.Handler())).With(slog.String("node", o.Node)),
		hub: hub.New[*Session](0), sessions: map[string]*Session{}, services: map[reflect.Type]service{},
		servers: map[*http.Server]serving{}, conns: map[*ws.Conn]guest{},
		wiring: wiring{listeners: map[string][]*listener{}, calls: newProcedures(), pings: newPingFrames(), revocations: newRevocations(&o)},
		engine: o.Engine, life: life{over: make(chan struct{})},
	}
	if o.Tokens == nil {
		o.Tokens = randomTokens()
	}
	s.scheme = jsonWebTokens{o.Tokens}
	t := &s.counters.limited
	s.doorman.tally, s.doorman.turns, s.doorman.slow = t, newTurnstile(), o.Timeouts.Header
	s.doorman.users, s.doorman.addresses = newParties(ofUser, o.Rates.User, o.Conns.PerUser, t), newParties(ofAddress, o.Rates.Address, 0, t)
	s.doorman.limits, s.doorman.proxies = o.Conns.InForce(), o.Door.Proxies
	return s
}

// Node is the name of this node.
func (s *Server) Node() string { return s.options.Node }

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

// Ready reports why the server should get no traffic: it is not running, waits for its cluster or has lost it, or a plugin's
// health check says so. nil is ready. The error of a check names it.
func (s *Server) Ready(ctx context.Context) error {
	s.mu.Lock()
	phase := s.phase
	s.mu.Unlock()
	if phase != running {
		return ErrStopped
	}
	errs := []error{s.apart()}
	for _, r := range s.plugins {
		for _, c := range r.host.checks {
			if err := guarded(ctx, s.options.Timeouts.Hook, c.fn); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			}
		}
	}
	return errors.Join(errs...)
}
