package skein

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

// Route is an HTTP route or WebSocket endpoint of the server, for listings.
type Route struct {
	// Method is "" for all.
	Method string `json:"method,omitempty"`
	// Path is the pattern of net/http's ServeMux, without the method.
	Path string `json:"path"`
	// Kind is http, websocket, messages (the same by POST) or socketcluster.
	Kind string `json:"kind"`
	// Plugin is who owns it; "" is the server itself.
	Plugin string `json:"plugin,omitempty"`
	// Audience is whom it is for: it matters where operators have a listener of their own.
	Audience Audience `json:"audience,omitempty"`
}

// Audience is whom a route is for, where operators have a listener of their own (Door.Operators). Without one everything
// is served on every listener.
type Audience string

// Audiences of a Route.
const (
	Clients   Audience = ""          // not on the listener for operators
	Operators Audience = "operators" // there alone
	Everybody Audience = "everybody" // on both
)

// Kinds of a Route.
const (
	kindHTTP          = "http"
	kindWebSocket     = "websocket"
	kindSocketCluster = "socketcluster"
	kindMessages      = "messages" // the POST beside a WebSocket of HandleMessages
	kindMissing       = ""         // a path that must not be found; not listed
)

type route struct {
	Route
	reg     *registration // nil: the server's own
	line    string        // where it was registered
	handler http.Handler
}

func (r *route) pattern() string {
	if r.Method == "" {
		return r.Path
	}
	return r.Method + " " + r.Path
}

func (r *route) owner() string {
	if r.reg == nil {
		return "the server's own endpoint"
	}
	if r.line == "" {
		return "plugin " + r.reg.where()
	}
	return fmt.Sprintf("plugin %s at %s", r.reg.where(), r.line)
}

// Handle serves an HTTP route below the plugin's prefix. The pattern is that of net/http's ServeMux, without a host:
// "GET /rooms/{id}" or "/rooms/". At most one audience says whom it is for; none is Clients.
func (h *Host) Handle(pattern string, handler http.Handler, audience ...Audience) {
	h.addRoute(pattern, kindHTTP, handler, audience...)
}

// HandleFunc is Handle for a function.
func (h *Host) HandleFunc(pattern string, fn func(w http.ResponseWriter, r *http.Request), audience ...Audience) {
	h.addRoute(pattern, kindHTTP, http.HandlerFunc(fn), audience...)
}

func (h *Host) addRoute(pattern, kind string, handler http.Handler, audience ...Audience) {
	line := caller()
	h.register("route "+pattern, func() error {
		method, path, found := strings.Cut(pattern, " ")
		if !found {
			method, path = "", pattern
		}
		path = strings.TrimSpace(path)
		if !strings.HasPrefix(path, "/") || handler == nil {
			return errors.New(`a route is "/path" or "METHOD /path", with a handler`)
		}
		if len(audience) > 1 || len(audience) == 1 && !slices.Contains([]Audience{Clients, Operators, Everybody}, audience[0]) {
			return fmt.Errorf("the audience %q: there are Clients, Operators and Everybody, and a route has one", audience)
		}
		h.routes = append(h.routes, &route{
			Route: Route{method, h.Prefix() + path, kind, h.name, append(audience, Clients)[0]}, reg: h.reg, line: line, handler: h.contain(handler),
		})
		return nil
	})
}

// contain answers a panic of the plugin's handler with 500, and logs it.
func (h *Host) contain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer h.answerPanic(w, r)
		next.ServeHTTP(w, r)
	})
}

// answerPanic is deferred.
func (h *Host) answerPanic(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it in the same way
		panic(v)
	}
	h.log.LogAttrs(r.Context(), slog.LevelError, "plugin panicked",
		slog.String("path", r.URL.Path), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	h.server.counters.panics.Add(1)
	http.Error(w, fmt.Sprintf("plugin %q failed", h.name), http.StatusInternalServerError)
}

// mount builds the mux. ServeMux reports a clash with our own line; here it is told with both owners.
func mount(routes []*route) (*http.ServeMux, error) {
	mux := http.NewServeMux()
	var errs []error
	var mounted []*route
	for _, r := range routes {
		if err := tryHandle(mux, r); err != nil {
			errs = append(errs, clash(mounted, r, err))
			continue
		}
		mounted = append(mounted, r)
	}
	return mux, errors.Join(errs...)
}

// mountAll builds the mux of each listener. Operators have what is theirs on a listener of their own, if there is one.
func (s *Server) mountAll() (map[Audience]*http.ServeMux, error) {
	var clients, operators []*route
	for _, r := range s.routes {
		if r.Audience != Operators || s.options.Door.Operators == "" {
			clients = append(clients, r)
		}
		if r.Audience != Clients {
			operators = append(operators, r)
		}
	}
	outside, err := mount(clients)
	inside, wrong := mount(operators)
	return map[Audience]*http.ServeMux{Clients: outside, Operators: inside}, errors.Join(err, wrong)
}

func tryHandle(mux *http.ServeMux, r *route) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	mux.Handle(r.pattern(), r.handler)
	return nil
}

// clash names the owners of both routes: the earlier one is found by trying each in a mux of its own.
func clash(mounted []*route, r *route, cause error) error {
	for _, other := range mounted {
		mux := http.NewServeMux()
		if tryHandle(mux, other) == nil && tryHandle(mux, r) != nil {
			return fmt.Errorf("the route %q of %s clashes with %q of %s: change a path, or give one plugin a prefix",
				r.pattern(), r.owner(), other.pattern(), other.owner())
		}
	}
	return fmt.Errorf("the route %q of %s: %w", r.pattern(), r.owner(), cause)
}

// Routes lists what the server serves, by path. It is complete from Start on.
func (s *Server) Routes() []Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Route, 0, len(s.routes))
	for _, r := range s.routes {
		if r.Kind != kindMissing {
			list = append(list, Route{r.Method, strings.TrimSuffix(r.Path, "{$}"), r.Kind, r.Plugin, r.Audience})
		}
	}
	slices.SortFunc(list, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return list
}
