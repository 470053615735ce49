package skein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/skeinrt/skein/engine"
)

// Host is a plugin's own view of the server, during Setup and after: its route prefix, its logger, and all that it
// registers, which ends with it. Wiring mistakes are collected and returned together by Server.Start, so the methods
// that register return no error.
type Host struct {
	server *Server
	reg    *registration
	name   string
	log    *slog.Logger // limited, for what the server says about the plugin
	own    *slog.Logger // the plugin's

	mu     sync.Mutex
	sealed bool
	errs   []error
	late   []error // what was registered after Setup

	// Collected during Setup, read only after.
	hooks      [points]chain
	routes     []*route
	procedures map[string]procedure
	receivers  map[string]receiveFunc
	wide       wide
	listeners  []*listener
	tasks      []*task
	figures    figures
	checks     []check
	stages     stages
	drivers    drivers
}

// figures are what the plugin adds to the metrics.
type figures struct {
	metrics []func(yield func(Metric))

	mu      sync.Mutex
	limited map[string]uint64 // by the name of a limit
}

// stages are what is called in the plugin's own life.
type stages struct {
	ready, drain, stop []func(ctx context.Context) error
}

// wide is what concerns the plugin on other nodes.
type wide struct {
	questions map[string]AskFunc
	onces     []string // work of Once, by its name in the whole cluster
}

// drivers are what a plugin offers by name.
type drivers struct {
	engines map[string]engine.Engine
	codecs  map[string]Codec
	schemes map[string]AuthScheme
	pages   []AdminPage
}

// check is a named part of readiness.
type check struct {
	name string
	fn   func(ctx context.Context) error
}

// AdminPage is a page that a plugin brings for operators.
type AdminPage struct {
	// Title of the link.
	Title string
	// Path below the admin plugin's own.
	Path string
	// Plugin is who brings it.
	Plugin string
	// Handler serves it; the admin plugin has checked who asks.
	Handler http.Handler
}

func newHost(s *Server, r *registration) *Host {
	return &Host{
		server: s, reg: r, name: r.name, log: s.log.With(slog.String("plugin", r.name)),
		own:        s.options.Logger.With(slog.String("node", s.options.Node), slog.String("plugin", r.name)),
		procedures: map[string]procedure{}, receivers: map[string]receiveFunc{},
		drivers: drivers{map[string]engine.Engine{}, map[string]Codec{}, map[string]AuthScheme{}, nil},
	}
}

// seal ends the registering and returns all that went wrong with it.
func (h *Host) seal(err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sealed = true
	var all []error
	if err != nil {
		all = append(all, h.reg.blame(err))
	}
	for _, e := range h.errs {
		all = append(all, h.reg.blame(e))
	}
	return errors.Join(all...)
}

// register runs fn under the host's lock while registering is open. A mistake is noted with the caller's file and line.
func (h *Host) register(what string, fn func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sealed {
		h.log.Error("registered after Setup: ignored", slog.String("what", what))
		h.late = append(h.late, fmt.Errorf("%s: %s: it must be registered in Setup", caller(), what))
		return
	}
	if err := fn(); err != nil {
		h.errs = append(h.errs, fmt.Errorf("%s: %s: %w", caller(), what, err))
	}
}

// tooLate tells what was registered after Setup; one who guards with such a hook guards nothing.
func (h *Host) tooLate() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.late...)
}

// caller is the file and line of the plugin's own call.
func caller() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "github.com/skeinrt/skein.") || strings.HasSuffix(f.File, "_test.go") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return "?"
		}
	}
}

// Name is the plugin's instance name.
func (h *Host) Name() string { return h.name }

// Prefix goes in front of the plugin's paths.
func (h *Host) Prefix() string { return h.reg.use.Prefix }

// Logger names the plugin in each record.
func (h *Host) Logger() *slog.Logger { return h.own }

// Server is the server that the plugin is part of.
func (h *Host) Server() *Server { return h.server }

func (h *Host) hook(p point, pattern string, fn HookFunc) *Hook {
	k := &Hook{host: h, point: p, written: pattern, fn: fn}
	h.register(p.String()+" "+pattern, func() (err error) {
		k.pattern, err = parsePattern(pattern)
		if err == nil && fn == nil {
			err = errors.New("the function is nil")
		}
		if err == nil && p == onDeliver && k.pattern.all() {
			err = errors.New("it must name a channel or a prefix: it runs for each receiver")
		}
		h.hooks[p] = append(h.hooks[p], k)
		return err
	})
	return k
}

// OnUpgrade asks before anything is allocated for a connection. A refusal is answered with Error.Status, or 401.
func (h *Host) OnUpgrade(fn HookFunc) *Hook { return h.hook(onUpgrade, "*", fn) }

// OnHandshake asks when #handshake has come and its token has been verified. A refusal closes with Error.Code, or
// CloseRefused.
func (h *Host) OnHandshake(fn HookFunc) *Hook { return h.hook(onHandshake, "*", fn) }

// OnConnect tells that a session is open.
func (h *Host) OnConnect(fn HookFunc) *Hook { return h.hook(onConnect, "*", fn) }

// OnAuthenticate asks about a valid token that a client shows, in the handshake or later.
func (h *Host) OnAuthenticate(fn HookFunc) *Hook { return h.hook(onAuthenticate, "*", fn) }

// OnAuthChange tells that a session's token was set, removed or refused: see Event.Change.
func (h *Host) OnAuthChange(fn HookFunc) *Hook { return h.hook(onAuthChange, "*", fn) }

// OnSubscribe asks whether a session may subscribe to a channel.
func (h *Host) OnSubscribe(pattern string, fn HookFunc) *Hook {
	return h.hook(onSubscribe, pattern, fn)
}

// OnSubscribed tells that a session has been subscribed.
func (h *Host) OnSubscribed(pattern string, fn HookFunc) *Hook {
	return h.hook(onSubscribed, pattern, fn)
}

// OnUnsubscribe tells that a session has left a channel, for whatever reason.
func (h *Host) OnUnsubscribe(pattern string, fn HookFunc) *Hook {
	return h.hook(onUnsubscribe, pattern, fn)
}

// OnPublish asks once a publication, on the node where it enters. It may change Data and Channel.
func (h *Host) OnPublish(pattern string, fn HookFunc) *Hook { return h.hook(onPublish, pattern, fn) }

// OnDeliver asks for each receiver of a message; it may change Data for that one. On the node of the
// publisher the publisher waits for it, and on the others all messages from other nodes do: it must be quick. The pattern must not be "*" alone.
func (h *Host) OnDeliver(pattern string, fn HookFunc) *Hook { return h.hook(onDeliver, pattern, fn) }

// OnCall asks before a procedure is called; it may change Data. Later packets of the session wait for it.
func (h *Host) OnCall(pattern string, fn HookFunc) *Hook { return h.hook(onCall, pattern, fn) }

// OnTransmit asks before an event without an answer is received; it may change Data.
func (h *Host) OnTransmit(pattern string, fn HookFunc) *Hook { return h.hook(onTransmit, pattern, fn) }

// OnDisconnect tells that a connection has ended, opened or not. Its channels are left after it.
func (h *Host) OnDisconnect(fn HookFunc) *Hook { return h.hook(onDisconnect, "*", fn) }

// OnGap tells that messages of a channel have not reached this node, or perhaps not: one was lost between two nodes, or the
// link between them was. The sessions in the channel are told with the event #gap, behind the hooks.
func (h *Host) OnGap(fn HookFunc) *Hook { return h.hook(onGap, "*", fn) }

// Publish sends a message to every subscriber of a channel on every node. The hooks are asked, with SourcePlugin.
// data is JSON text, or nil for undefined; it is copied.
func (h *Host) Publish(ctx context.Context, channel string, data json.RawMessage) error {
	return h.server.publish(ctx, &Event{Channel: channel, Data: data, Source: SourcePlugin, Plugin: h.name})
}

// Subscribe lets the plugin listen to one channel, from all nodes. fn is called for one message at a time, from a
// queue of 1,024; what does not fit is dropped and counted. data belongs to fn.
func (h *Host) Subscribe(channel string, fn func(ctx context.Context, data json.RawMessage) error) {
	h.register("Subscribe "+channel, func() error {
		l := &listener{host: h, channel: channel, fn: fn, queue: make(chan json.RawMessage, listenerQueue)}
		h.listeners = append(h.listeners, l)
		h.tasks = append(h.tasks, &task{host: h, name: "subscribe " + channel, fn: l.run})
		return nil
	})
}

// Engine offers an engine by name; Options.EngineName chooses it.
func (h *Host) Engine(name string, e engine.Engine) { offer(h, "Engine", h.drivers.engines, name, e) }

// Codec offers a codec by name; Endpoint.Codec chooses it.
func (h *Host) Codec(name string, c Codec) { offer(h, "Codec", h.drivers.codecs, name, c) }

// AuthScheme offers a scheme by name; Endpoint.AuthScheme chooses it.
func (h *Host) AuthScheme(name string, a AuthScheme) {
	offer(h, "AuthScheme", h.drivers.schemes, name, a)
}

func offer[T any](h *Host, kind string, to map[string]T, name string, v T) {
	h.register(kind+" "+name, func() error {
		if err := checkName(name); err != nil {
			return err
		}
		if _, taken := to[name]; taken {
			return errors.New("the plugin has offered that name already")
		}
		to[name] = v
		return nil
	})
}

// AdminPage brings a page for operators; it is served below the admin plugin's path, where that plugin is there.
func (h *Host) AdminPage(title, path string, handler http.Handler) {
	h.register("AdminPage "+title, func() error {
		if !strings.HasPrefix(path, "/") || handler == nil {
			return errors.New("a page has a path that starts with '/', and a handler")
		}
		h.drivers.pages = append(h.drivers.pages, AdminPage{title, path, h.name, h.contain(handler)})
		return nil
	})
}

// Metrics adds figures to Server.Metrics. fn is called at each reading, from any goroutine, and must be quick.
func (h *Host) Metrics(fn func(yield func(Metric))) {
	h.register("Metrics", func() error { h.figures.metrics = append(h.figures.metrics, fn); return nil })
}

// Limited counts that a limit of the plugin's own was met: skein_limited_total, with the plugin's name and the limit's. The
// names are to be few.
func (h *Host) Limited(limit string) {
	f := &h.figures
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limited == nil {
		f.limited = map[string]uint64{}
	}
	f.limited[limit]++
}

// Health adds a named check to Server.Ready.
func (h *Host) Health(name string, fn func(ctx context.Context) error) {
	h.register("Health "+name, func() error { h.checks = append(h.checks, check{name, fn}); return nil })
}

// OnReady is called when the engine stands and before clients are served. An error fails the start.
func (h *Host) OnReady(fn func(ctx context.Context) error) {
	h.register("OnReady", func() error { h.stages.ready = append(h.stages.ready, fn); return nil })
}

// OnDrain is called when the server begins to shut down, while clients are still connected.
func (h *Host) OnDrain(fn func(ctx context.Context) error) {
	h.register("OnDrain", func() error { h.stages.drain = append(h.stages.drain, fn); return nil })
}

// OnStop is called when no client is connected any more, and when a start has failed. What was registered last is
// called first.
func (h *Host) OnStop(fn func(ctx context.Context) error) {
	h.register("OnStop", func() error { h.stages.stop = append(h.stages.stop, fn); return nil })
}

// Go runs fn in the background from Start to Shutdown, when its context ends. One that returns an error or panics is
// started again after a pause that grows to 30 s; one that returns nil has ended.
func (h *Host) Go(name string, fn func(ctx context.Context) error) {
	h.register("Go "+name, func() error {
		h.tasks = append(h.tasks, &task{host: h, name: name, fn: fn})
		return nil
	})
}

// Every runs fn at each interval, one run at a time. An error or panic is logged and does not end it.
func (h *Host) Every(name string, interval time.Duration, fn func(ctx context.Context) error) {
	h.register("Every "+name, func() error {
		if interval <= 0 {
			return fmt.Errorf("the interval %v is not positive", interval)
		}
		t := &task{host: h, name: name, fn: fn, interval: interval}
		h.tasks = append(h.tasks, t)
		return nil
	})
}

// Provide offers a value to the plugins that are set up later, which find it by its type.
func Provide[T any](h *Host, v T) {
	t := reflect.TypeFor[T]()
	h.register("Provide "+t.String(), func() error { return h.server.provide(t, h, v) })
}

// Service returns what another plugin has provided under the type. The error names the type; a plugin that needs a
// service names its provider in Meta.Requires.
func Service[T any](h *Host) (T, error) {
	t := reflect.TypeFor[T]()
	v, ok := h.server.service(t)
	if !ok {
		var zero T
		return zero, fmt.Errorf("no plugin has provided a %s yet: name its provider in Meta.Requires", t)
	}
	return v.(T), nil //nolint:forcetypeassert // provide stores values of type T under T
}
