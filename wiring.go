package skein

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/skeinrt/skein/engine"
)

// freeze puts together what the plugins have registered. From here on it is only read.
func (s *Server) freeze() error {
	offered, err := s.collectDrivers()
	errs := []error{err, s.options.check(), s.chooseEngine(offered), s.collectCalls(), s.collectHooks()}
	errs = append(errs, s.collectEndpoints(offered))
	for _, r := range s.plugins {
		for _, l := range r.host.listeners {
			s.listeners[l.channel] = append(s.listeners[l.channel], l)
		}
		s.onces = append(s.onces, r.host.wide.onces...)
	}
	rules, wrong := parseChannels(s.options.Channels)
	s.rules = rules
	errs = append(errs, wrong...)
	s.origins, err = parseOrigins(s.options.Origins)
	errs = append(errs, err, s.collectRoutes())
	return errors.Join(errs...)
}

// collectEndpoints makes the endpoints ready; a path that is taken is told with both of its places.
func (s *Server) collectEndpoints(offered drivers) error {
	configured := s.options.Endpoints
	if len(configured) == 0 {
		configured = []Endpoint{{}}
	}
	var errs []error
	taken := map[string]Endpoint{}
	for _, o := range configured {
		o.Path = or(o.Path, defaultPath)
		if other, there := taken[o.Path]; there {
			errs = append(errs, o.blame(fmt.Errorf("the path is taken by another endpoint%s", other.at())))
			continue
		}
		taken[o.Path] = o
		e, err := s.newEndpoint(o, offered)
		errs = append(errs, err)
		if err == nil {
			s.endpoints = append(s.endpoints, e)
		}
	}
	return errors.Join(errs...)
}

// collectDrivers merges what the plugins offer; two of one name are an error that names both plugins.
func (s *Server) collectDrivers() (drivers, error) {
	all := drivers{map[string]engine.Engine{}, map[string]Codec{}, map[string]AuthScheme{}, nil}
	owners := map[string]*registration{}
	var errs []error
	for _, r := range s.plugins {
		d := r.host.drivers
		errs = append(errs,
			merge(all.engines, d.engines, owners, r, "engine"),
			merge(all.codecs, d.codecs, owners, r, "codec"),
			merge(all.schemes, d.schemes, owners, r, "auth scheme"))
		all.pages = append(all.pages, d.pages...)
	}
	return all, errors.Join(errs...)
}

func merge[T any](all, some map[string]T, owners map[string]*registration, r *registration, kind string) error {
	var errs []error
	for _, name := range sortedKeys(some) {
		key := kind + " " + name
		if other := owners[key]; other != nil {
			errs = append(errs, r.blame(fmt.Errorf("it offers the %s %q, which plugin %s offers too", kind, name, other.where())))
			continue
		}
		owners[key], all[name] = r, some[name]
	}
	return errors.Join(errs...)
}

func (s *Server) chooseEngine(offered drivers) error {
	if name := s.options.EngineName; name != "" {
		e, ok := offered.engines[name]
		if !ok {
			return unknownDriver("engine", name, sortedKeys(offered.engines))
		}
		s.engine = e
	}
	return nil
}

func (s *Server) collectCalls() error {
	var errs []error
	for _, r := range s.plugins {
		for _, name := range sortedKeys(r.host.procedures) {
			if other, taken := s.calls.calls[name]; taken {
				errs = append(errs, r.blame(fmt.Errorf("it registers the procedure %q, which plugin %s registers too", name, other.host.reg.where())))
				continue
			}
			s.calls.calls[name] = r.host.procedures[name]
		}
		for _, event := range sortedKeys(r.host.receivers) {
			s.calls.events[event] = append(s.calls.events[event], eventReceiver{r.host, r.host.receivers[event]})
		}
	}
	return errors.Join(errs...)
}

// collectHooks puts the hooks of each point in order: that of set-up, moved by Before and After.
func (s *Server) collectHooks() error {
	var errs []error
	for p := range points {
		var all chain
		for _, r := range s.plugins {
			all = append(all, r.host.hooks[p]...)
		}
		needs := map[*Hook][]*Hook{}
		for _, k := range all {
			for _, other := range all {
				if k.goesAfter(other) || other.goesBefore(k) {
					needs[k] = append(needs[k], other)
				}
			}
		}
		sorted, err := topological(all, needs, func(k *Hook) string { return k.host.reg.where() })
		if err != nil {
			err = fmt.Errorf("the order of %v hooks goes round in a circle: %w", p, err)
		}
		errs = append(errs, err)
		s.hooks[p] = sorted
	}
	return errors.Join(errs...)
}

func (k *Hook) goesAfter(other *Hook) bool {
	return k.host != other.host && slices.ContainsFunc(k.after, other.host.reg.answersTo)
}

func (k *Hook) goesBefore(other *Hook) bool {
	return k.host != other.host && slices.ContainsFunc(k.before, other.host.reg.answersTo)
}

// collectRoutes lists the endpoints and what the plugins serve. A path that ends with "/" is registered with {$}, and
// without the slash as not found, so that ServeMux neither redirects to it nor serves what is below it.
func (s *Server) collectRoutes() error {
	var routes []*route
	s.upgrades = map[string]struct{}{}
	for _, e := range s.endpoints {
		s.upgrades[e.Path] = struct{}{}
		routes = append(routes, exactly(&route{Route: Route{Path: e.Path, Kind: kindSocketCluster}, handler: e})...)
	}
	for _, r := range s.plugins {
		for _, own := range r.host.routes {
			if own.Kind == kindWebSocket {
				s.upgrades[own.Path] = struct{}{}
			}
			if own.Kind == kindWebSocket || own.Kind == kindMessages {
				routes = append(routes, exactly(own)...)
				continue
			}
			routes = append(routes, own)
		}
	}
	s.mu.Lock()
	s.routes = routes
	s.mu.Unlock()
	_, err := mount(routes) // all together: a route must not change its meaning when operators get a listener
	return err
}

func exactly(r *route) []*route {
	bare, slash := strings.CutSuffix(r.Path, "/")
	if !slash {
		return []*route{r}
	}
	exact := *r
	exact.Path += "{$}"
	if bare == "" {
		return []*route{&exact}
	}
	missing := &route{Route: Route{Path: bare, Kind: kindMissing, Plugin: r.Plugin}, reg: r.reg, line: r.line, handler: http.NotFoundHandler()}
	return []*route{&exact, missing}
}

// PluginInfo is a plugin as it is used, for listings.
type PluginInfo struct {
	// Name of the instance.
	Name string `json:"name"`
	// Version as the plugin tells it.
	Version string `json:"version,omitempty"`
	// Requires and After are its dependencies.
	Requires []string `json:"requires,omitempty"`
	// After names plugins that it follows where they are there.
	After []string `json:"after,omitempty"`
	// Prefix of its routes.
	Prefix string `json:"prefix,omitempty"`
	// Source is where its use was written.
	Source string `json:"source,omitempty"`
	// Procedures that it serves.
	Procedures []string `json:"procedures,omitempty"`
}

// Plugins lists the plugins, in the order of set-up from Start on.
func (s *Server) Plugins() []PluginInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]PluginInfo, len(s.plugins))
	for i, r := range s.plugins {
		list[i] = PluginInfo{
			Name: r.name, Version: r.meta.Version, Requires: r.meta.Requires, After: r.meta.After,
			Prefix: r.use.Prefix, Source: r.use.Source,
		}
		if r.host != nil {
			list[i].Procedures = sortedKeys(r.host.procedures)
		}
	}
	return list
}

// HookInfo is a hook in its place, for listings.
type HookInfo struct {
	// Point is the name of the method that registered it, such as OnPublish.
	Point string `json:"point"`
	// Pattern of names that it is asked about.
	Pattern string `json:"pattern"`
	// Plugin is whose it is.
	Plugin string `json:"plugin"`
}

// Hooks lists the hooks, point by point, each in the order in which they run. It is empty before Start.
func (s *Server) Hooks() []HookInfo {
	var list []HookInfo
	for p, c := range s.hooks {
		for _, k := range c {
			list = append(list, HookInfo{point(p).String(), k.written, k.host.name})
		}
	}
	return list
}

// AdminPages lists the pages that plugins bring for operators.
func (s *Server) AdminPages() []AdminPage {
	var list []AdminPage
	for _, r := range s.standing() {
		list = append(list, r.host.drivers.pages...)
	}
	return list
}

// Codec is a form of packets of a plugin's own. It translates between messages and the JSON text of packets as
// SocketCluster's default codec has them. Its methods may be called from many goroutines.
type Codec interface {
	// Decode returns the JSON text of a message: a packet or an array of them. An error makes the message be ignored,
	// as malformed JSON is.
	Decode(binary bool, data []byte) ([]byte, error)
	// Encode returns the message for the JSON text of a packet or of an array.
	Encode(text []byte) (binary bool, data []byte, err error)
}
