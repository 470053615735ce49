package skein_test

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
)

func allow(context.Context, *skein.Event) error { return nil }

func nothing(context.Context, *skein.Session, json.RawMessage) (skein.Nothing, error) {
	return skein.Nothing{}, nil
}

func TestWiringMistakesNameThePluginAndTheLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		set  setup
		want string
	}{
		"pattern":          {func(h *skein.Host) { h.OnPublish("a*b", allow) }, `OnPublish a*b: a pattern is a name, or a prefix ended by one "*"`},
		"nil hook":         {func(h *skein.Host) { h.OnSubscribe("a", nil) }, "OnSubscribe a: the function is nil"},
		"deliver all":      {func(h *skein.Host) { h.OnDeliver("*", allow) }, "OnDeliver *: it must name a channel or a prefix: it runs for each receiver"},
		"route":            {func(h *skein.Host) { h.HandleFunc("GET x", nil) }, `route GET x: a route is "/path" or "METHOD /path", with a handler`},
		"nil handler":      {func(h *skein.Host) { h.Handle("/x", nil) }, `route /x: a route is`},
		"two raw options":  {func(h *skein.Host) { h.HandleWS("/x", nil, skein.RawOptions{}, skein.RawOptions{}) }, "endpoint /x: at most one RawOptions, not 2"},
		"raw origins":      {func(h *skein.Host) { h.HandleWS("/x", nil, skein.RawOptions{Origins: []string{"x"}}) }, `endpoint /x: the origin "x"`},
		"raw protocols":    {func(h *skein.Host) { h.HandleWS("/x", nil, skein.RawOptions{Protocols: []string{"a*b"}}) }, `endpoint /x: the subprotocol "a*b"`},
		"procedure twice":  {func(h *skein.Host) { skein.Procedure(h, "p", nothing); skein.Procedure(h, "p", nothing) }, "Procedure p: the plugin has registered it already"},
		"receiver twice":   {func(h *skein.Host) { h.Receive("e", nil); h.Receive("e", nil) }, "Receive e: the plugin has registered it already"},
		"interval":         {func(h *skein.Host) { h.Every("tick", 0, nil) }, "Every tick: the interval 0s is not positive"},
		"driver's name":    {func(h *skein.Host) { h.Codec("Bad", nil) }, `Codec Bad: the name "Bad"`},
		"driver twice":     {func(h *skein.Host) { h.Engine("e", nil); h.Engine("e", nil) }, "Engine e: the plugin has offered that name already"},
		"scheme twice":     {func(h *skein.Host) { h.AuthScheme("s", nil); h.AuthScheme("s", nil) }, "AuthScheme s: the plugin has offered that name already"},
		"admin page":       {func(h *skein.Host) { h.AdminPage("Page", "page", http.NotFoundHandler()) }, "AdminPage Page: a page has a path that starts with '/', and a handler"},
		"admin no handler": {func(h *skein.Host) { h.AdminPage("Page", "/page", nil) }, "AdminPage Page: a page has a path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantContains(t, startError(t, skein.Options{}, plugin("culprit", test.set)), `plugin "culprit": wiring_test.go:`, test.want)
		})
	}
}

func TestClashesNameBothPlugins(t *testing.T) {
	t.Parallel()
	route := func(pattern string) setup {
		return func(h *skein.Host) { h.Handle(pattern, http.NotFoundHandler()) }
	}
	raw := func(path string) setup {
		return func(h *skein.Host) { h.HandleWS(path, func(*skein.RawConn) error { return nil }) }
	}
	for name, test := range map[string]struct {
		one, two setup
		want     string
	}{
		"procedures": {
			func(h *skein.Host) { skein.Procedure(h, "p", nothing) }, func(h *skein.Host) { skein.Procedure(h, "p", nothing) },
			`plugin "two": it registers the procedure "p", which plugin "one" registers too`,
		},
		"engines": {
			func(h *skein.Host) { h.Engine("e", engine.NewMemory()) }, func(h *skein.Host) { h.Engine("e", engine.NewMemory()) },
			`plugin "two": it offers the engine "e", which plugin "one" offers too`,
		},
		"codecs": {
			func(h *skein.Host) { h.Codec("c", upside{}) }, func(h *skein.Host) { h.Codec("c", upside{}) },
			`plugin "two": it offers the codec "c", which plugin "one" offers too`,
		},
		"schemes": {
			func(h *skein.Host) { h.AuthScheme("s", plainNames{}) }, func(h *skein.Host) { h.AuthScheme("s", plainNames{}) },
			`plugin "two": it offers the auth scheme "s", which plugin "one" offers too`,
		},
		"routes":       {route("GET /x"), route("GET /x"), `the route "GET /x" of plugin "two" at wiring_test.go:`},
		"patterns":     {route("/a/{x}/c"), route("/a/b/{y}"), `clashes with "/a/{x}/c" of plugin "one" at wiring_test.go:`},
		"endpoints":    {raw("/ws"), raw("/ws"), `the route "GET /ws" of plugin "two" at wiring_test.go:`},
		"the server's": {route("/socketcluster/{$}"), nil, `clashes with "/socketcluster/{$}" of the server's own endpoint: change a path, or give one plugin a prefix`},
		"bad route":    {route("/{"), nil, `the route "/{" of plugin "one" at wiring_test.go:`},
		"hooks in a circle": {
			func(h *skein.Host) { h.OnPublish("*", allow).Before("two") },
			func(h *skein.Host) { h.OnPublish("*", allow).Before("one") },
			`the order of OnPublish hooks goes round in a circle: "one" → "two" → "one"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plugins := []skein.Plugin{plugin("one", test.one)}
			if test.two != nil {
				plugins = append(plugins, plugin("two", test.two))
			}
			wantContains(t, startError(t, skein.Options{}, plugins...), test.want)
		})
	}
}

func TestOptionsThatCannotBeAreToldTogether(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options skein.Options
		want    []string
	}{
		"engine":            {skein.Options{EngineName: "nats"}, []string{`no plugin offers the engine "nats", nor any other`}},
		"origins":           {skein.Options{Origins: []string{"https://x"}}, []string{`the origin "https://x": write host:port, host:*, *:port or *:*`}},
		"path":              {skein.Options{Endpoints: []skein.Endpoint{{Path: "x"}}}, []string{"endpoint x: ", "the path must start with '/'"}},
		"protocol":          {skein.Options{Endpoints: []skein.Endpoint{{Protocol: 9}}}, []string{"protocol 9: there are Detect, V1 and V2"}},
		"codec":             {skein.Options{Endpoints: []skein.Endpoint{{Codec: "xml"}}}, []string{`endpoint /socketcluster/: no plugin offers the codec "xml"`, `"json"`, `"minbin"`}},
		"scheme":            {skein.Options{Endpoints: []skein.Endpoint{{AuthScheme: "ldap"}}}, []string{`no plugin offers the auth scheme "ldap"`}},
		"ping":              {skein.Options{Endpoints: []skein.Endpoint{{Ping: skein.Ping{Interval: time.Minute}}}}, []string{"the ping interval 1m0s must be shorter than the ping timeout 30s, or clients leave between two pings"}},
		"an unknown driver": {skein.Options{Driver: "kqueue"}, []string{`the option Driver is "kqueue": on this system there are [`}},
		"two paths":         {skein.Options{Endpoints: []skein.Endpoint{{Path: "/a", Source: "x.yaml:1:1"}, {Path: "/a", Source: "x.yaml:2:1"}}}, []string{`x.yaml:2:1: endpoint /a: the path is taken by another endpoint (x.yaml:1:1)`}},
		"negative times": {skein.Options{Endpoints: []skein.Endpoint{{HandshakeTimeout: -1, CallTimeout: -2, Batch: skein.Batch{Interval: -3}, Ping: skein.Ping{Interval: -4, Timeout: -5}}}}, []string{
			"the handshake timeout is negative: -1ns", "the call timeout is negative: -2ns", "the batch interval is negative: -3ns", "the ping interval is negative: -4ns", "the ping timeout is negative: -5ns",
		}},
		"both tokens": {skein.Options{Endpoints: []skein.Endpoint{{AuthScheme: "names", Tokens: nil}, {Path: "/b", AuthScheme: "x"}}}, []string{`no plugin offers the auth scheme "x"; there are ["names"]`}},
		"many": {skein.Options{EngineName: "x", Origins: []string{"y"}, Endpoints: []skein.Endpoint{{Path: "/a", Codec: "z"}, {Path: "b"}}}, []string{
			`the engine "x"`, `the origin "y"`, `the codec "z"`, "endpoint b: ",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var plugins []skein.Plugin
			if strings.Contains(name, "tokens") {
				plugins = append(plugins, plugin("names", func(h *skein.Host) { h.AuthScheme("names", plainNames{}) }))
			}
			wantContains(t, startError(t, test.options, plugins...), test.want...)
		})
	}
}

func TestTokensAndSchemeExcludeEachOther(t *testing.T) {
	t.Parallel()
	o := skein.Options{Endpoints: []skein.Endpoint{{AuthScheme: "names", Tokens: newTokens(t, authOptions(), testKey)}}}
	got := startError(t, o, plugin("names", func(h *skein.Host) { h.AuthScheme("names", plainNames{}) }))
	wantContains(t, got, "endpoint /socketcluster/: both Tokens and AuthScheme are given: choose one")
}

func TestRoutesAreListedWithTheirOwners(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{Endpoints: []skein.Endpoint{{}, {Path: "/bare"}}})
	set := func(h *skein.Host) {
		h.HandleFunc("GET /b", func(http.ResponseWriter, *http.Request) {})
		h.Handle("/a/", http.NotFoundHandler())
		h.HandleWS("/ws", func(*skein.RawConn) error { return nil })
		h.HandleWS("/", func(*skein.RawConn) error { return nil })
		skein.HandleMessages(h, "/ask", func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, nil })
	}
	if err := srv.Register(plugin("p", set), skein.Use{Prefix: "/p"}); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
	want := []skein.Route{
		{Path: "/bare", Kind: "socketcluster"},
		{Method: "GET", Path: "/p/", Kind: "websocket", Plugin: "p"},
		{Path: "/p/a/", Kind: "http", Plugin: "p"},
		{Method: "GET", Path: "/p/ask", Kind: "websocket", Plugin: "p"},
		{Method: "POST", Path: "/p/ask", Kind: "messages", Plugin: "p"},
		{Method: "GET", Path: "/p/b", Kind: "http", Plugin: "p"},
		{Method: "GET", Path: "/p/ws", Kind: "websocket", Plugin: "p"},
		{Path: "/socketcluster/", Kind: "socketcluster"},
	}
	if got := srv.Routes(); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func TestHooksAndPagesAreListed(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{})
	srv.MustRegister(
		plugin("one", func(h *skein.Host) {
			h.OnPublish("*", allow)
			h.OnUpgrade(allow)
			h.AdminPage("One", "/one", http.NotFoundHandler())
		}),
		plugin("two", func(h *skein.Host) { h.OnPublish("news/*", allow).Before("one") }))
	if got := srv.Hooks(); len(got) != 0 {
		t.Errorf("before the start: got %v, want none", got)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
	want := []skein.HookInfo{{"OnUpgrade", "*", "one"}, {"OnPublish", "news/*", "two"}, {"OnPublish", "*", "one"}}
	if got := srv.Hooks(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	pages := srv.AdminPages()
	if len(pages) != 1 || pages[0].Title != "One" || pages[0].Path != "/one" || pages[0].Plugin != "one" || pages[0].Handler == nil {
		t.Errorf("got %+v, want the page of plugin one", pages)
	}
}

func TestEndpointsAreListedWithWhatTheyEffectivelyAre(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{Endpoints: []skein.Endpoint{{}, {Path: "/b", Ping: skein.Ping{Interval: time.Second, Off: true}}}})
	if got := srv.Endpoints(); len(got) != 0 {
		t.Errorf("before the start: got %v, want none", got)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
	want := []skein.EndpointInfo{
		{Path: "/socketcluster/", Ping: skein.Ping{Interval: 8 * time.Second, Timeout: 30 * time.Second}},
		{Path: "/b", Ping: skein.Ping{Interval: time.Second, Timeout: 30 * time.Second, Off: true}},
	}
	if got := srv.Endpoints(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
