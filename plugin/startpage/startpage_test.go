package startpage_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/startpage"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type page struct {
	*http.Response
	text string
}

// get asks with a header, of which Host is the host.
func get(t *testing.T, srv *skeintest.Server, path string, header map[string]string) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8000"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = "10.0.0.1:80"
	for name, value := range header {
		r.Header.Set(name, value)
	}
	if host, ok := header["Host"]; ok {
		r.Host = host
	}
	res := srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{res, string(text)}
}

// unescape reads the code as a browser shows it.
func unescape(html string) string {
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(html)
}

func contains(t *testing.T, p page, parts ...string) {
	t.Helper()
	if p.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", p.StatusCode)
	}
	for _, part := range parts {
		if !strings.Contains(unescape(p.text), part) {
			t.Errorf("the page does not contain %q", part)
		}
	}
}

func TestPageShowsThisNode(t *testing.T) {
	t.Parallel()
	ingest := skein.Func("ingest", func(_ context.Context, h *skein.Host) error {
		h.HandleWS("/ws", func(c *skein.RawConn) error { return c.Err() })
		h.HandleFunc("GET /rooms", func(http.ResponseWriter, *http.Request) {})
		h.HandleFunc("GET /rooms/{id}", func(http.ResponseWriter, *http.Request) {})
		return nil
	})
	srv := skeintest.Start(t, skein.Options{Node: "n<1>"}, &startpage.Plugin{Version: "v9"}, ingest)
	p := get(t, srv, "/", nil)
	contains(t, p, `data-test="node">n<1>`, `data-test="version">v9`, `data-endpoint="/socketcluster/"`, `data-raw="/ws"`,
		`data-channel="testChannel"`, `data-test="subscriber-1-messages"`, `data-test="subscriber-2-messages"`, `data-test="raw-send"`,
		"<code>/ws</code></td><td>WebSocket, plain</td><td>ingest", "<code>/rooms</code></td><td>HTTP GET</td><td>ingest",
		"<code>/socketcluster/</code></td><td>WebSocket, for SocketCluster clients</td><td>server")
	if strings.Contains(p.text, "n<1>") {
		t.Error("the node's name stands in the page unescaped")
	}
	for _, part := range []string{"/rooms/{id}", "/assets/{file}"} {
		if strings.Contains(p.text, part) {
			t.Errorf("the page lists %q, which is a part of another path", part)
		}
	}
}

func TestOptionsReachTheScript(t *testing.T) {
	t.Parallel()
	o := skein.Options{Endpoints: []skein.Endpoint{{Path: "/rt/"}}}
	srv := skeintest.Start(t, o, &startpage.Plugin{Raw: "/in", Channel: `a "b"`})
	contains(t, get(t, srv, "/", nil), `data-endpoint="/rt/"`, `data-raw="/in"`, `data-channel="a "b""`,
		`create({ hostname: "127.0.0.1", port: 8000, path: "/rt/" })`, `socket.subscribe("a \"b\"")`)
}

// publisher stands for the HTTP API.
func publisher() skein.Plugin {
	return skein.Func("publisher", func(_ context.Context, h *skein.Host) error {
		h.HandleFunc("POST /api/publish", func(http.ResponseWriter, *http.Request) {})
		return nil
	})
}

func TestCodeForTheAPINeedsTheAPI(t *testing.T) {
	t.Parallel()
	p := get(t, skeintest.Start(t, skein.Options{}, startpage.New()), "/", nil)
	contains(t, p, `data-test="panel-node"`)
	if strings.Contains(p.text, `data-test="panel-curl"`) {
		t.Error("the page has code for an API that is not there")
	}
	srv := skein.New(skein.Options{})
	srv.MustRegister(startpage.New())
	if err := srv.Register(publisher(), skein.Use{Prefix: "/v2"}); err != nil {
		t.Fatal(err)
	}
	contains(t, get(t, skeintest.Serve(t, srv), "/", nil), "curl http://127.0.0.1:8000/v2/api/publish")
}

func TestCodeConnectsToWhereThePageCameFrom(t *testing.T) {
	t.Parallel()
	o := skein.Options{Door: skein.Door{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	srv := skeintest.Start(t, o, startpage.New(), publisher())
	for _, c := range []struct {
		header map[string]string
		want   []string
	}{
		{
			map[string]string{"Host": "localhost:8000"},
			[]string{`hostname: "localhost", port: 8000 }`, "curl http://localhost:8000/api/publish", `"ws://localhost:8000/socketcluster/"`},
		},
		{
			map[string]string{"Host": "rt.example", "X-Forwarded-Proto": "https"},
			[]string{`hostname: "rt.example", port: 443, secure: true }`, "curl https://rt.example/api/publish", `"wss://rt.example/socketcluster/"`},
		},
		{
			map[string]string{"Host": "inner:8000", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "rt.example:8443"},
			[]string{`hostname: "rt.example", port: 8443, secure: true }`, "curl https://rt.example:8443/api/publish"},
		},
		{
			map[string]string{"Host": "rt.example"},
			[]string{`hostname: "rt.example", port: 80 }`, "curl http://rt.example/api/publish"},
		},
		{
			map[string]string{"Host": "[::1]:9000"},
			[]string{`hostname: "::1", port: 9000 }`, "curl http://[::1]:9000/api/publish"},
		},
		{
			map[string]string{"Host": "x;rm -rf $HOME"},
			[]string{"curl http://127.0.0.1:8000/api/publish"},
		},
	} {
		p := get(t, srv, "/", c.header)
		contains(t, p, c.want...)
		if strings.Contains(p.text, "rm -rf") {
			t.Error("what is no host stands in the code to copy")
		}
	}
}

func TestChannelCannotBreakOutOfTheShell(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, &startpage.Plugin{Channel: "it's"}, publisher())
	contains(t, get(t, srv, "/", nil), `-d '{"channel": "it'\''s", "data": {"hello": "curl"}}'`)
}

func TestPageIsLockedDown(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, startpage.New())
	kinds := map[string]string{
		"/": "text/html", "/assets/page.js": "text/javascript", "/assets/client.js": "text/javascript",
		"/assets/page.css": "text/css", "/assets/icon.svg": "image/svg+xml",
	}
	for path, kind := range kinds {
		p := get(t, srv, path, nil)
		if got := p.Header.Get("Content-Type"); p.StatusCode != http.StatusOK || !strings.HasPrefix(got, kind) {
			t.Errorf("GET %s: got %d of type %q, want 200 of %s", path, p.StatusCode, got, kind)
		}
		policy := p.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, part) || strings.Contains(policy, "unsafe") {
				t.Errorf("GET %s: got the policy %q, want %s in it", path, policy, part)
			}
		}
		if p.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: no nosniff", path)
		}
	}
}

// The policy forbids it, so that it would not work.
func TestPageHasNoInlineCode(t *testing.T) {
	t.Parallel()
	p := get(t, skeintest.Start(t, skein.Options{}, startpage.New()), "/", nil)
	for _, sign := range []string{" style=", " onclick=", " onload=", "<style", "javascript:", "http://www"} {
		if strings.Contains(p.text, sign) {
			t.Errorf("the page contains %q", sign)
		}
	}
	if n := strings.Count(p.text, "<script"); n != 1 {
		t.Errorf("got %d scripts, want the one of assets", n)
	}
}

func TestPathsBesideThePageAreNotFound(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, startpage.New())
	for _, path := range []string{"/nothing", "/index.html", "/page.html", "/assets/", "/assets/page.html", "/assets/..%2Fpage.html", "/assets/none.js"} {
		if p := get(t, srv, path, nil); p.StatusCode == http.StatusOK {
			t.Errorf("GET %s: got %d, want it not to be found", path, p.StatusCode)
		}
	}
}

func TestPageWorksBelowAPrefix(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{})
	if err := srv.Register(startpage.New(), skein.Use{Prefix: "/demo"}); err != nil {
		t.Fatal(err)
	}
	running := skeintest.Serve(t, srv)
	contains(t, get(t, running, "/demo/", nil), `src="assets/page.js"`)
	contains(t, get(t, running, "/demo/assets/page.js", nil), "import { Client } from './client.js'")
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	if err := (&startpage.Plugin{Raw: "ws"}).Validate(); err == nil || !strings.Contains(err.Error(), "raw") {
		t.Errorf("got %v, want an error that names raw", err)
	}
	if err := startpage.New().Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}
