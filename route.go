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
}

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
// "GET /rooms/{id}" or "/rooms/".
func (h *Host) Handle(pattern string, handler http.Handler) {
	h.addRoute(pattern, kindHTTP, handler)
}

// HandleFunc is Handle for a function.
func (h *Host) HandleFunc(pattern string, fn func(w http.ResponseWriter, r *http.Request)) {
	h.addRoute(pattern, kindHTTP, http.HandlerFunc(fn))
}

func (h *Host) addRoute(pattern, kind string, handler http.Handler) {
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
		h.routes = append(h.routes, &route{
			Route: Route{method, h.Prefix() + path, kind, h.name}, reg: h.reg, line: line, handler: h.contain(handler),
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
			list = append(list, Route{r.Method, strings.TrimSuffix(r.Path, "{$}"), r.Kind, r.Plugin})
		}
	}
	slices.SortFunc(list, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return list
}
