package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/plugin/admin"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "the-key-of-the-operator"

// browser asks as a person's browser does, and keeps the cookie.
type browser struct {
	srv    *skeintest.Server
	from   string // its address
	cookie *http.Cookie
	header map[string]string
}

type page struct {
	*http.Response
	text string
}

func (b *browser) do(t *testing.T, method, path, form string) page {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://skein.example"+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr = b.from
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, value := range b.header {
		r.Header.Set(name, value)
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	res := b.srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Cookies() {
		b.cookie = c
	}
	return page{res, string(text)}
}

func (b *browser) get(t *testing.T, path string) page {
	t.Helper()
	return b.do(t, http.MethodGet, path, "")
}

func (b *browser) signIn(t *testing.T, shown string) page {
	t.Helper()
	return b.do(t, http.MethodPost, "/admin/login", url.Values{"key": {shown}}.Encode())
}

func start(t *testing.T, p *admin.Plugin, others ...skein.Plugin) *browser {
	t.Helper()
	srv := skeintest.Start(t, skein.Options{Node: "n1"}, append([]skein.Plugin{p}, others...)...)
	return &browser{srv: srv, from: "192.0.2.1:4711"}
}

func TestStrangerIsAskedForTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key}, library())
		for _, path := range []string{"/admin", "/admin/", "/admin/state", "/admin/pages/library/shelf", "/admin/pages/nobody/x"} {
			p := b.get(t, path)
			if p.StatusCode != http.StatusUnauthorized || !strings.Contains(p.text, `data-test="login"`) {
				t.Errorf("GET %s: got %d %.80q, want 401 with the login page", path, p.StatusCode, p.text)
			}
			if p.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("GET %s: 401 without WWW-Authenticate", path)
			}
		}
	})
}

func TestKeyOpensThePageUntilTheLoginEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key, Login: time.Hour})
		p := b.signIn(t, key)
		if p.StatusCode != http.StatusSeeOther || p.Header.Get("Location") != "/admin" {
			t.Fatalf("got %d to %q, want 303 to the page", p.StatusCode, p.Header.Get("Location"))
		}
		if c := b.cookie; c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/admin" || c.Secure || strings.Contains(c.Value, key) {
			t.Errorf("got the cookie %v, want HttpOnly, SameSite=Strict, for /admin", b.cookie)
		}
		if p := b.get(t, "/admin"); p.StatusCode != http.StatusOK || !strings.Contains(p.text, `data-test="plugins"`) {
			t.Errorf("got %d %.80q, want 200 with the page", p.StatusCode, p.text)
		}
		<-time.After(59 * time.Minute)
		if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusOK {
			t.Errorf("within the hour: got %d, want 200", p.StatusCode)
		}
		<-time.After(time.Minute)
		if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("after the hour: got %d, want 401", p.StatusCode)
		}
	})
}

func TestSigningOutTakesTheCookieAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		b.signIn(t, key)
		if p := b.do(t, http.MethodPost, "/admin/logout", ""); p.StatusCode != http.StatusSeeOther {
			t.Errorf("got %d, want 303", p.StatusCode)
		}
		if b.cookie.Value != "" || b.cookie.MaxAge >= 0 {
			t.Errorf("got the cookie %v, want it to be deleted", b.cookie)
		}
		if p := b.get(t, "/admin"); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %d, want 401", p.StatusCode)
		}
	})
}

func TestForgedCookieOpensNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		b.signIn(t, key)
		good := b.cookie.Value
		stranger := start(t, &admin.Plugin{Key: strings.ToUpper(key)})
		stranger.signIn(t, strings.ToUpper(key))
		longer := "___" + good[3:] // an end in a far future, with the old signature
		for name, value := range map[string]string{
			"later": longer, "cut": good[:len(good)-2], "of another key": stranger.cookie.Value, "not base64": "%", "nothing": "",
		} {
			b.cookie = &http.Cookie{Name: b.cookie.Name, Value: value}
			if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: got %d, want 401", name, p.StatusCode)
			}
		}
		b.cookie = &http.Cookie{Name: b.cookie.Name, Value: good}
		if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusOK {
			t.Errorf("the good one: got %d, want 200", p.StatusCode)
		}
	})
}

// A login on one node is good on all that have the key.
func TestLoginIsGoodOnEveryNodeWithTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, two := start(t, &admin.Plugin{Key: key}), start(t, &admin.Plugin{Key: key})
		one.signIn(t, key)
		two.cookie = one.cookie
		if p := two.get(t, "/admin/state"); p.StatusCode != http.StatusOK {
			t.Errorf("got %d, want 200", p.StatusCode)
		}
	})
}

func TestProgramShowsTheKeyAsBearer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		b.header = map[string]string{"Authorization": "Bearer " + key}
		if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusOK {
			t.Errorf("got %d, want 200", p.StatusCode)
		}
		b.header["Authorization"] = "Bearer wrong"
		if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("got %d, want 401", p.StatusCode)
		}
	})
}

func TestWrongKeysMakeTheirAddressWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		for n := range 5 {
			if p := b.signIn(t, "wrong"); p.StatusCode != http.StatusUnauthorized || !strings.Contains(p.text, "not the key") {
				t.Errorf("wrong key %d: got %d, want 401 that says so", n, p.StatusCode)
			}
		}
		for _, shown := range []string{"wrong", key} {
			p := b.signIn(t, shown)
			if p.StatusCode != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" {
				t.Errorf("after five wrong ones: got %d, want 429 with Retry-After, whatever is shown", p.StatusCode)
			}
		}
		b.header = map[string]string{"Authorization": "Bearer " + key}
		if p := b.get(t, "/admin/state"); p.StatusCode != http.StatusUnauthorized {
			t.Errorf("as bearer: got %d, want 401", p.StatusCode)
		}
		b.header = nil
		neighbour := &browser{srv: b.srv, from: "192.0.2.2:4711"}
		if p := neighbour.signIn(t, key); p.StatusCode != http.StatusSeeOther {
			t.Errorf("another address: got %d, want 303", p.StatusCode)
		}
		<-time.After(time.Minute)
		if p := b.signIn(t, key); p.StatusCode != http.StatusSeeOther {
			t.Errorf("a minute later: got %d, want 303", p.StatusCode)
		}
	})
}

func TestIPv6NetworkCountsAsOneAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		for n := range 5 {
			b.from = fmt.Sprintf("[2001:db8::%d]:1", n)
			b.signIn(t, "wrong")
		}
		b.from = "[2001:db8::ffff:1]:1"
		if p := b.signIn(t, key); p.StatusCode != http.StatusTooManyRequests {
			t.Errorf("the same /64: got %d, want 429", p.StatusCode)
		}
		b.from = "[2001:db8:0:1::1]:1"
		if p := b.signIn(t, key); p.StatusCode != http.StatusSeeOther {
			t.Errorf("another /64: got %d, want 303", p.StatusCode)
		}
	})
}

// A flood from many addresses must not fill the memory.
func TestManyAddressesShareACount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		for n := range 1024 + 5 {
			b.from = fmt.Sprintf("10.%d.%d.1:1", n/256, n%256)
			b.signIn(t, "wrong")
		}
		b.from = "not an address"
		if p := b.signIn(t, key); p.StatusCode != http.StatusTooManyRequests {
			t.Errorf("beyond the bound: got %d, want 429", p.StatusCode)
		}
		<-time.After(time.Minute)
		b.from = "10.200.0.1:1"
		if p := b.signIn(t, key); p.StatusCode != http.StatusSeeOther {
			t.Errorf("a minute later: got %d, want 303", p.StatusCode)
		}
	})
}

func TestForeignSiteSignsNobodyIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
			b.header = map[string]string{name: value}
			if p := b.signIn(t, key); p.StatusCode != http.StatusForbidden || b.cookie != nil {
				t.Errorf("%s: got %d, cookie %v, want 403", name, p.StatusCode, b.cookie)
			}
			if p := b.do(t, http.MethodPost, "/admin/logout", ""); p.StatusCode != http.StatusForbidden {
				t.Errorf("%s: logout: got %d, want 403", name, p.StatusCode)
			}
		}
	})
}

func TestCookieIsSecureBehindTLS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		b.header = map[string]string{"X-Forwarded-Proto": "https"}
		b.signIn(t, key)
		if !b.cookie.Secure {
			t.Errorf("got the cookie %v, want Secure", b.cookie)
		}
	})
}

func TestWithoutAKeyNobodyGetsIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		srv := skeintest.Start(t, skein.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}, admin.New())
		b := &browser{srv: srv, from: "127.0.0.1:1"}
		for _, shown := range []string{"", " ", "admin"} {
			if p := b.signIn(t, shown); p.StatusCode != http.StatusUnauthorized {
				t.Errorf("%q: got %d, want 401", shown, p.StatusCode)
			}
		}
		if text := log.String(); !strings.Contains(text, "nobody can open it") || strings.Contains(text, `"key"`) {
			t.Errorf("got the log %s, want that there is no key, and none", text)
		}
	})
}

func TestGivenKeyIsNotLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		srv := skeintest.Start(t, skein.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}, &admin.Plugin{Key: key})
		b := &browser{srv: srv, from: "127.0.0.1:1"}
		b.signIn(t, "wrong-"+key)
		if strings.Contains(log.String(), key) || !strings.Contains(log.String(), "a wrong admin key") {
			t.Errorf("got the log %q, want the attempt without what was shown", log.String())
		}
	})
}

// library brings a hook, a procedure and a page.
func library() skein.Plugin {
	return skein.Func("library", func(_ context.Context, h *skein.Host) error {
		h.OnSubscribe("books.*", func(context.Context, *skein.Event) error { return nil })
		h.OnPublish("*", func(context.Context, *skein.Event) error { return nil }).After("reader")
		skein.Procedure(h, "lend", func(context.Context, *skein.Session, skein.Nothing) (skein.Nothing, error) {
			return skein.Nothing{}, nil
		})
		h.AdminPage("Shelf", "/shelf", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("books at " + r.URL.Path)) // the test reads it
		}))
		return nil
	})
}

func reader() skein.Plugin {
	return skein.Func("reader", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("*", func(context.Context, *skein.Event) error { return nil })
		return nil
	})
}

func TestStateTellsWhatTheNodeCarries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key, Version: "v1"}, library(), reader())
		if _, err := b.srv.Dial(t, client.Options{}).Subscribe(t.Context(), "news"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		b.signIn(t, key)
		var got struct {
			Node, Version string
			Uptime        float64
			Stats         struct{ Sessions, Channels int }
			Figures       []struct{ Name string }
			Nodes         []struct {
				Name, State string
				Local       bool
				Uptime, Lag float64
				Sessions    int
			}
			Channels []struct {
				Name        string
				Subscribers int
			}
			Endpoints []struct {
				Path     string
				Sessions int
			}
			Plugins []struct {
				Name              string
				Hooks, Procedures []string
			}
			Hooks []struct {
				Point   string
				Plugins []string
			}
			Routes []struct{ Path, Plugin string }
			Pages  []struct{ Title, Href, Plugin string }
		}
		if err := json.Unmarshal([]byte(b.get(t, "/admin/state").text), &got); err != nil {
			t.Fatal(err)
		}
		checks := map[string]bool{
			"node":       got.Node == "n1" && got.Version == "v1" && got.Uptime == 60,
			"stats":      got.Stats.Sessions == 1 && got.Stats.Channels == 1 && len(got.Figures) > 10,
			"nodes":      fmt.Sprint(got.Nodes) == "[{n1 serving true 60 0 1}]",
			"channels":   fmt.Sprint(got.Channels) == "[{news 1}]",
			"endpoints":  fmt.Sprint(got.Endpoints) == "[{/socketcluster/ 1}]",
			"plugins":    fmt.Sprint(got.Plugins) == "[{admin [] []} {library [OnSubscribe books.* OnPublish] [lend]} {reader [OnPublish] []}]",
			"hook order": fmt.Sprint(got.Hooks) == "[{OnSubscribe [library books.*]} {OnPublish [reader library]}]",
			"routes":     len(got.Routes) > 5,
			"pages":      fmt.Sprint(got.Pages) == "[{Shelf /admin/pages/library/shelf library}]",
		}
		for part, ok := range checks {
			if !ok {
				t.Errorf("%s: got %+v", part, got)
			}
		}
	})
}

func TestOtherNodesAreShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		b := &browser{srv: skeintest.Start(t, skein.Options{Node: "n1", Engine: engines[0]}, &admin.Plugin{Key: key}), from: "192.0.2.1:1"}
		skeintest.Start(t, skein.Options{Node: "n2", Version: "v2", Engine: engines[1]})
		<-time.After(time.Minute)
		b.signIn(t, key)
		var got struct {
			Nodes []struct {
				Name, Version string
				Local         bool
				Uptime, Lag   float64
			}
		}
		if err := json.Unmarshal([]byte(b.get(t, "/admin/state").text), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Nodes) != 2 || fmt.Sprint(got.Nodes[1]) != "{n2 v2 false 60 0.001}" {
			t.Errorf("got %+v, want n2 behind n1, its times in seconds", got.Nodes)
		}
	})
}

func TestPagesOfPluginsAreServedBelow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key}, library())
		b.signIn(t, key)
		if p := b.get(t, "/admin/pages/library/shelf"); p.StatusCode != http.StatusOK || p.text != "books at /shelf" {
			t.Errorf("got %d %q, want the plugin's page", p.StatusCode, p.text)
		}
		for _, path := range []string{"/admin/pages/library/", "/admin/pages/library/shelf/2", "/admin/pages/nobody/shelf"} {
			if p := b.get(t, path); p.StatusCode != http.StatusNotFound {
				t.Errorf("GET %s: got %d, want 404", path, p.StatusCode)
			}
		}
	})
}

func TestAdminIsServedBelowItsPathAndPrefix(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skein.New(skein.Options{})
		if err := srv.Register(&admin.Plugin{Key: key, Path: "/ops"}, skein.Use{Prefix: "/x"}); err != nil {
			t.Fatal(err)
		}
		b := &browser{srv: skeintest.Serve(t, srv), from: "127.0.0.1:1"}
		p := b.do(t, http.MethodPost, "/x/ops/login", url.Values{"key": {key}}.Encode())
		if p.Header.Get("Location") != "/x/ops" || b.cookie.Path != "/x/ops" {
			t.Errorf("got %q and the cookie %v, want both at /x/ops", p.Header.Get("Location"), b.cookie)
		}
		p = b.get(t, "/x/ops")
		if p.StatusCode != http.StatusOK || !strings.Contains(p.text, `data-base="/x/ops"`) || !strings.Contains(p.text, `"/x/ops/assets/admin.js"`) {
			t.Errorf("got %d %.300q, want the page with its paths below /x/ops", p.StatusCode, p.text)
		}
	})
}

func TestPagesAreLockedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &admin.Plugin{Key: key})
		kinds := map[string]string{
			"/admin": "text/html", "/admin/assets/admin.js": "text/javascript", "/admin/assets/admin.css": "text/css",
			"/admin/assets/icon.svg": "image/svg+xml",
		}
		for path, kind := range kinds {
			p := b.get(t, path)
			if got := p.Header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
				t.Errorf("GET %s: got the type %q, want %s", path, got, kind)
			}
			policy := p.Header.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
				if !strings.Contains(policy, part) || strings.Contains(policy, "unsafe") {
					t.Errorf("GET %s: got the policy %q, want %s in it", path, policy, part)
				}
			}
			if p.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("GET %s: no nosniff", path)
			}
		}
		for _, path := range []string{"/admin/assets/admin.html", "/admin/assets/..%2Fadmin.html", "/admin/assets/", "/admin/admin.html"} {
			if p := b.get(t, path); p.StatusCode == http.StatusOK {
				t.Errorf("GET %s: got 200, want it not to be served", path)
			}
		}
	})
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*admin.Plugin{
		"path is":  {Path: "/admin/"},
		"key has":  {Key: "short"},
		"login is": {Login: -time.Second},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that begins with %q", err, want)
		}
	}
	if err := admin.New().Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}
