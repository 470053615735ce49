package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/google/go-cmp/cmp"
	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is a request to the API. Zero fields are those of a program on this machine.
type call struct {
	method, path, body string
	header             map[string]string
	local              string // the address that it came in on; "" is inside the process
	host               string
}

func publish(body string) call {
	return call{method: http.MethodPost, path: "/api/publish", body: body}
}

func (c call) with(name, value string) call {
	header := map[string]string{name: value}
	maps.Copy(header, c.header)
	c.header = header
	return c
}

func (c call) from(local, host string) call {
	c.local, c.host = local, host
	return c
}

// answer is a response, with its body decoded.
type answer struct {
	status int
	header http.Header
	text   string
	Error  struct{ Name, Message string }
	Failed map[string]struct{ Name, Message string }

	Published []string
}

func (c call) do(t *testing.T, srv *skeintest.Server) answer {
	t.Helper()
	host := c.host
	if host == "" {
		host = "memory"
	}
	ctx := t.Context()
	if c.local != "" {
		addr, err := net.ResolveTCPAddr("tcp", c.local)
		if err != nil {
			t.Fatal(err)
		}
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(addr))
	}
	r, err := http.NewRequestWithContext(ctx, c.method, "http://"+host+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	res := srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, text: strings.TrimSpace(string(text))}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Errorf("%s %s: got %d %q, which is not JSON: %v", c.method, c.path, a.status, text, err)
	}
	return a
}

// diary keeps what is published.
type diary struct {
	mu      sync.Mutex
	entries []string
}

// plugin listens at the end of the hooks, as an engine would.
func (d *diary) plugin() skein.Plugin {
	return skein.Func("diary", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			data := "undefined"
			if e.Data != nil {
				data = string(e.Data)
			}
			d.entries = append(d.entries, fmt.Sprintf("%s %s %v", e.Channel, data, e.Source))
			return nil
		}).After("refuser")
		return nil
	})
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.entries
}

func TestPublicationIsHandedOver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		want []string
	}{
		{`{"channel": "a", "data": {"n": 1}}`, []string{`a {"n": 1} api`}},
		{`{"data": null, "channel": "a"}`, []string{"a null api"}},
		{`{"channel": "", "data": 1}`, []string{" 1 api"}},
		{`{"channels": ["a", "b"], "data": "x"}`, []string{`a "x" api`, `b "x" api`}},
		{` {"channel":"ünï*> .\u0000","data":[]} `, []string{"ünï*> .\x00 [] api"}},
	} {
		var d diary
		a := publish(c.body).do(t, skeintest.Start(t, skein.Options{}, api.New(), d.plugin()))
		if a.status != http.StatusOK || a.text != "{}" {
			t.Errorf("%s: got %d %s, want 200 {}", c.body, a.status, a.text)
		}
		if diff := cmp.Diff(c.want, d.read()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.body, diff)
		}
	}
}

func TestSubscribersGetWhatIsPublished(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	sub, err := srv.Dial(t, client.Options{}).Subscribe(t.Context(), "news")
	if err != nil {
		t.Fatal(err)
	}
	r, err := srv.HTTP().Post("http://memory/api/publish", "application/json", strings.NewReader(`{"channel":"news","data":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != `{"a":1}` {
		t.Errorf("got %s, %v, want {\"a\":1}", m.Data, err)
	}
}

func TestMalformedRequestIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, &api.Plugin{MaxBody: 20000})
	many := `{"channels":[` + strings.Repeat(`"x",`, 1000) + `"x"]}`
	for _, c := range []struct {
		call
		status int
		want   string
	}{
		{publish(``), 400, "the body is empty"},
		{publish(`  `), 400, "the body is empty"},
		{publish(`{`), 400, "the body is cut off"},
		{publish(`{"channel":"a","data":"x`), 400, "the body is cut off"},
		{publish(`nonsense`), 400, "the body is not JSON: invalid character"},
		{publish(`[]`), 400, "the body is an array"},
		{publish(`{}`), 400, `either "channel", a string, or "channels"`},
		{publish(`{"channel":"a","channels":["b"]}`), 400, `either "channel"`},
		{publish(`{"channel":5}`), 400, "channel is a number"},
		{publish(`{"channel":{}}`), 400, "channel is an object"},
		{publish(`{"channel":"a"}`), 400, `"data" is missing`},
		{publish(`{"channels":["a"]}`), 400, `"data" is missing`},
		{publish(`{"channels":"a"}`), 400, "channels is a string"},
		{publish(`{"channels":[]}`), 400, "has 0 entries"},
		{publish(many), 400, "has 1001 entries"},
		{publish(`{"chanel":"a"}`), 400, `the body has the unknown field "chanel"`},
		{publish(`{"channel":"a"} {"channel":"b"}`), 400, "goes on"},
		{publish(`{"channel":"a"} nonsense`), 400, "goes on"},
		{publish(`{"channel":"` + strings.Repeat("x", 20000) + `"}`), 413, "larger than 20000 bytes"},
		{publish(`channel=a`).with("Content-Type", "application/x-www-form-urlencoded"), 400, "the body is not JSON"},
		{publish(`{}`).with("Content-Type", "multipart/form-data; boundary=x"), 415, "send application/json"},
		{publish(`{}`).with("Content-Type", "text/html"), 415, "send application/json"},
		{publish(`{}`).with("Content-Type", "+json;;"), 415, "send application/json"},
		{publish(`{}`).with("Content-Type", ";;"), 415, "send application/json"},
		{call{method: "GET", path: "/api/publish"}, 405, "takes POST"},
		{call{method: "DELETE", path: "/api/channels"}, 405, "takes GET"},
		{call{method: "GET", path: "/api/nothing"}, 404, "/api/nothing"},
		{call{method: "GET", path: "/api/channels?limit=no"}, 400, "limit is"},
		{call{method: "GET", path: "/api/channels?limit=0"}, 400, "1 to 1000"},
	} {
		a := c.do(t, srv)
		if a.status != c.status || a.Error.Name == "" || !strings.Contains(a.Error.Message, c.want) {
			t.Errorf("%s %s %.60s: got %d %s, want %d with %q", c.method, c.path, c.body, a.status, a.text, c.status, c.want)
		}
		if got := a.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s %s: got the content type %q", c.method, c.path, got)
		}
	}
}

func TestContentTypeMayBeAbsentJSONOrWhatProgramsSendByDefault(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	for _, kind := range []string{"", "application/json; charset=utf-8", "application/cloudevents+json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded"} {
		if a := publish(`{"channel":"a","data":1}`).with("Content-Type", kind).do(t, srv); a.status != http.StatusOK {
			t.Errorf("%q: got %d %s, want 200", kind, a.status, a.text)
		}
	}
}

func TestMethodRefusalNamesTheMethod(t *testing.T) {
	t.Parallel()
	a := call{method: "GET", path: "/api/publish"}.do(t, skeintest.Start(t, skein.Options{}, api.New()))
	if got := a.header.Get("Allow"); got != "POST" {
		t.Errorf("got Allow %q, want POST", got)
	}
}

// refuser refuses by channel.
func refuser() skein.Plugin {
	refusals := map[string]error{
		"plain":   errors.New("not here"),
		"named":   &skein.Error{Name: "QuotaError", Message: "too many"},
		"status":  &skein.Error{Name: "QuotaError", Message: "too many", Status: http.StatusTooManyRequests},
		"props":   &skein.Error{Name: "QuotaError", Message: "per day", Props: map[string]any{"left": 0}},
		"silent":  skein.Silent(),
		"given":   context.DeadlineExceeded,
		"stopped": skein.ErrStopped,
	}
	return skein.Func("refuser", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
			if e.Channel == "panic" {
				panic("ouch")
			}
			return refusals[e.Channel]
		})
		return nil
	})
}

// broken is an engine that takes nothing over.
type broken struct{ engine.Engine }

func (broken) Publish(context.Context, engine.Message) error {
	return errors.New("no route to anybody")
}

func TestRefusalHasItsStatus(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New(), refuser())
	down := skeintest.Start(t, skein.Options{Engine: broken{engine.NewMemory()}}, api.New())
	for _, c := range []struct {
		srv           *skeintest.Server
		channel       string
		status        int
		name, message string
	}{
		{srv, "plain", 403, "RefusedError", "not here"},
		{srv, "named", 403, "QuotaError", "too many"},
		{srv, "status", 429, "QuotaError", "too many"},
		{srv, "silent", 403, skein.NameSilentlyBlocked, "refused"},
		{srv, "props", 403, "QuotaError", "per day"},
		{srv, "panic", 500, skein.NamePlugin, "refuser"},
		{srv, "given", 503, skein.NameTimeout, "given up"},
		{srv, "stopped", 503, skein.NameBroker, "not running"},
		{down, "any", 503, skein.NameBroker, "no route to anybody"},
	} {
		a := publish(fmt.Sprintf(`{"channel":%q,"data":1}`, c.channel)).do(t, c.srv)
		if a.status != c.status || a.Error.Name != c.name || !strings.Contains(a.Error.Message, c.message) {
			t.Errorf("%s: got %d %s, want %d %s %q", c.channel, a.status, a.text, c.status, c.name, c.message)
		}
	}
}

func TestFurtherPropertiesOfAnErrorAreTold(t *testing.T) {
	t.Parallel()
	a := publish(`{"channel":"props","data":1}`).do(t, skeintest.Start(t, skein.Options{}, api.New(), refuser()))
	if want := `{"error":{"message":"per day","name":"QuotaError","left":0}}`; a.text != want {
		t.Errorf("got %s, want %s", a.text, want)
	}
}

func TestInvalidDataIsTheCallersMistake(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	a := publish("{\"channel\":\"a\",\"data\":\"\xff\"}").do(t, srv)
	if a.status != http.StatusBadRequest || a.Error.Name != skein.NameInvalidArgument {
		t.Errorf("got %d %s, want 400", a.status, a.text)
	}
}

func TestPartialFailureIsToldPerChannel(t *testing.T) {
	t.Parallel()
	var d diary
	srv := skeintest.Start(t, skein.Options{}, api.New(), refuser(), d.plugin())
	a := publish(`{"channels":["a","named","b","plain"],"data":1}`).do(t, srv)
	if a.status != http.StatusForbidden || a.Error.Name != "QuotaError" {
		t.Errorf("got %d %s, want the status and error of the first failure", a.status, a.text)
	}
	if diff := cmp.Diff([]string{"a", "b"}, a.Published); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if len(a.Failed) != 2 || a.Failed["named"].Message != "too many" || a.Failed["plain"].Message != "not here" {
		t.Errorf("got the failures %+v, want those of named and plain", a.Failed)
	}
	if diff := cmp.Diff([]string{"a 1 api", "b 1 api"}, d.read()); diff != "" {
		t.Errorf("taken over (-want +got):\n%s", diff)
	}
}

func TestChannelsAreListedWithTheirSubscribers(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	one, two := srv.Dial(t, client.Options{}), srv.Dial(t, client.Options{})
	for channel, clients := range map[string][]*client.Client{"chat.1": {one, two}, "chat.2/x": {one}, "news": {two}} {
		for _, c := range clients {
			if _, err := c.Subscribe(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
		}
	}
	for path, want := range map[string]string{
		"/api/channels":                      `{"channels":[{"name":"chat.1","subscribers":2},{"name":"chat.2/x","subscribers":1},{"name":"news","subscribers":1}]}`,
		"/api/channels?prefix=chat.":         `{"channels":[{"name":"chat.1","subscribers":2},{"name":"chat.2/x","subscribers":1}]}`,
		"/api/channels?prefix=chat.&limit=1": `{"channels":[{"name":"chat.1","subscribers":2}]}`,
		"/api/channels?prefix=none":          `{"channels":[]}`,
		"/api/channels/chat.1":               `{"name":"chat.1","subscribers":2}`,
		"/api/channels/chat.2%2Fx":           `{"name":"chat.2/x","subscribers":1}`,
		"/api/channels/nobody":               `{"name":"nobody","subscribers":0}`,
	} {
		if a := (call{method: http.MethodGet, path: path}).do(t, srv); a.status != http.StatusOK || a.text != want {
			t.Errorf("GET %s: got %d %s, want 200 %s", path, a.status, a.text, want)
		}
	}
}

func TestPathIsAnOption(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, &api.Plugin{Path: "/v1"})
	c := publish(`{"channel":"a","data":1}`)
	c.path = "/v1/publish"
	if a := c.do(t, srv); a.status != http.StatusOK {
		t.Errorf("got %d %s, want 200", a.status, a.text)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*api.Plugin{
		"path is":       {Path: "/api/"},
		"key 2 has":     {Keys: []string{strings.Repeat("k", 16), "short"}},
		"keys and open": {Keys: []string{strings.Repeat("k", 16)}, Open: true},
		"maxBody is":    {MaxBody: -1},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that begins with %q", err, want)
		}
	}
	if err := api.New().Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}
