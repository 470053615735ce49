package skein_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/bundled"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/examples/plugin/censor"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/plugin/metrics"
	"github.com/skeinrt/skein/plugin/rawws"
	"github.com/skeinrt/skein/skeincmd"
	"github.com/skeinrt/skein/skeintest"
)

// The acceptance scenario's part of one server: no port is opened, and time is virtual. The Go client stands for the
// clients from npm, and the command line is its own function. e2e/acceptance plays the same with the built binary.

// audience is a server with two subscribers of testChannel and a plain WebSocket.
type audience struct {
	*skeintest.Server
	t         *testing.T
	clients   []*client.Client
	listeners []*client.Subscription
	raw       *skeintest.Conn
}

// gather starts a server with the plugins of `skein serve`, and more, and brings the audience.
func gather(t *testing.T, o skein.Options, more ...skein.Plugin) *audience {
	t.Helper()
	plugins := append([]skein.Plugin{rawws.New(), api.New(), metrics.New()}, more...)
	a := &audience{Server: skeintest.Start(t, o, plugins...), t: t}
	for range 2 {
		c := a.Dial(t, client.Options{})
		s, err := c.Subscribe(t.Context(), "testChannel")
		if err != nil {
			t.Fatal(err)
		}
		a.clients, a.listeners = append(a.clients, c), append(a.listeners, s)
	}
	a.raw = a.Conn(t, "/ws", nil)
	return a
}

// everybody expects each listener to have these messages within 100 ms, and no others.
func (a *audience) everybody(want ...string) {
	a.t.Helper()
	for i, s := range a.listeners {
		if got := heardBy(a.t, s); !slices.Equal(got, want) {
			a.t.Errorf("listener %d: got %q, want %q", i+1, got, want)
		}
	}
}

// heardBy is what comes to a subscription until nothing has come for 100 ms.
func heardBy(t *testing.T, s *client.Subscription) []string {
	t.Helper()
	var got []string
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		m, err := s.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnsubscribed) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Data))
	}
}

func (a *audience) sends(messages ...string) {
	a.t.Helper()
	for _, m := range messages {
		if err := a.raw.Send(m); err != nil {
			a.t.Fatal(err)
		}
	}
}

// silent expects that the raw sender has got nothing back, and is connected.
func (a *audience) silent() {
	a.t.Helper()
	synctest.Wait()
	if m, ok, err := a.raw.TryRead(); ok || err != nil {
		a.t.Errorf("the sender got %q and %v, want nothing", m.Data, err)
	}
}

// refused expects an upgrade to be refused with a status.
func (a *audience) refused(status int, path string, header http.Header) {
	a.t.Helper()
	_, err := a.Upgrade(a.t.Context(), path, header)
	var refusal *skeintest.RefusedError
	if !errors.As(err, &refusal) || refusal.Status != status {
		a.t.Errorf("%s with %v: got %v, want %d", path, header, err, status)
	}
}

func (a *audience) body(res *http.Response) string {
	a.t.Helper()
	defer res.Body.Close() //nolint:errcheck // read below
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// asks sends an HTTP request in memory and returns the answer's body.
func (a *audience) asks(status int, method, path, body string) string {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, "http://memory"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	res, err := a.HTTP().Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	text := a.body(res)
	if res.StatusCode != status {
		a.t.Errorf("%s %s: got %d %s, want %d", method, path, res.StatusCode, text, status)
	}
	return text
}

// skeinCommand runs the command line against a server in memory, or none, and returns what it prints.
func skeinCommand(t *testing.T, srv *skeintest.Server, args ...string) (code int, out string) {
	t.Helper()
	var text bytes.Buffer
	s := skeincmd.Streams{In: strings.NewReader(""), Out: &text, Err: &text}
	if srv != nil {
		s.Dial = srv.Listener.DialContext
	}
	catalog := bundled.Catalog().With("censor", func() skein.Plugin { return censor.New() })
	for name, p := range troublemakers() {
		catalog = catalog.With(name, func() skein.Plugin { return p })
	}
	code = skeincmd.Run(t.Context(), args, s, catalog)
	return code, text.String()
}

// troublemakers are plugins that do not fit together.
func troublemakers() map[string]skein.Plugin {
	nothing := func(*skein.Host) {}
	return map[string]skein.Plugin{
		"needy":    tangled{skein.Meta{Name: "needy", Requires: []string{"absent"}}, nothing},
		"chicken":  tangled{skein.Meta{Name: "chicken", After: []string{"egg"}}, nothing},
		"egg":      tangled{skein.Meta{Name: "egg", After: []string{"chicken"}}, nothing},
		"squatter": tangled{skein.Meta{Name: "squatter"}, func(h *skein.Host) { h.HandleWS("/ws", (*skein.RawConn).Err) }},
	}
}

type tangled struct {
	meta  skein.Meta
	setUp func(*skein.Host)
}

func (p tangled) Meta() skein.Meta { return p.meta }

func (p tangled) Setup(_ context.Context, h *skein.Host) error {
	p.setUp(h)
	return nil
}

func TestAcceptance4RawMessagesReachEverySubscriberOnceAndInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{})
		a.sends(`{"hello":1}`)
		a.everybody(`{"hello":1}`)
		a.sends("no JSON: ä")
		a.everybody(`"no JSON: ä"`)
		octets := []byte{0, 1, 2, 250}
		if err := a.raw.SendBinary(octets); err != nil {
			t.Fatal(err)
		}
		a.everybody(fmt.Sprintf(`{"base64":true,"data":%q}`, base64.StdEncoding.EncodeToString(octets)))
		numbered := make([]string, 1000)
		for i := range numbered {
			numbered[i] = fmt.Sprintf(`{"n":%d}`, i+1)
		}
		a.sends(numbered...)
		a.everybody(numbered...)
	})
}

func TestAcceptance5RawEndpointRefusesWhatItMust(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{})
		a.sends(`{"hello":1}`, "text")
		a.silent()
		a.refused(http.StatusNotFound, "/nowhere", nil)
		if why := a.asks(http.StatusUpgradeRequired, http.MethodGet, "/ws", ""); !strings.Contains(why, "WebSocket") {
			t.Errorf("a plain GET is answered with %q, which does not say why", why)
		}
		foreign := http.Header{"Origin": {"https://app.example"}}
		a.refused(http.StatusForbidden, "/ws", foreign)
		a.refused(http.StatusForbidden, "/socketcluster/", foreign)
		a.sends(strings.Repeat("x", 1<<20+1))
		var end *skeintest.CloseError
		if _, err := a.raw.Read(); !errors.As(err, &end) || end.Code != 1009 {
			t.Errorf("a message over the limit: got %v, want 1009", err)
		}
	})
}

func TestAcceptance5ForeignOriginsMayBeAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Origins: []string{"app.example:443"}}, rawws.New())
		allowed := http.Header{"Origin": {"https://app.example"}}
		srv.Conn(t, "/ws", allowed)
		srv.Conn(t, "/socketcluster/", allowed)
	})
}

func TestAcceptance6ClientsOwnPublicationReachesEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{})
		if err := a.clients[0].Publish(t.Context(), "testChannel", map[string]int{"from": 1}); err != nil {
			t.Fatal(err)
		}
		a.everybody(`{"from":1}`)
	})
}

func TestAcceptance7WhoHasGoneIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{})
		left := a.listeners[1]
		left.Close()
		synctest.Wait()
		a.listeners = a.listeners[:1]
		a.sends(`"only one"`)
		a.everybody(`"only one"`)
		if got := heardBy(t, left); len(got) > 0 {
			t.Errorf("who has unsubscribed got %q", got)
		}

		killed := a.joins()
		a.joins() // and freezes
		a.counts(3)
		killed.Terminate()
		synctest.Wait()
		a.counts(2)
		<-time.After(29 * time.Second) // of silence, while the Go client answers
		a.counts(2)
		<-time.After(time.Second + 50*time.Millisecond) // the ping time-out, and the resolution of the timer
		synctest.Wait()
		a.counts(1)
	})
}

// joins subscribes by hand: this one answers no ping.
func (a *audience) joins() *skeintest.Conn {
	a.t.Helper()
	c := a.Conn(a.t, "/socketcluster/", nil)
	for _, packet := range []string{`{"event":"#handshake","data":{},"cid":1}`, `{"event":"#subscribe","data":{"channel":"testChannel"},"cid":2}`} {
		if err := c.Send(packet); err != nil {
			a.t.Fatal(err)
		}
	}
	synctest.Wait()
	return c
}

func (a *audience) counts(want int) {
	a.t.Helper()
	if got := a.Count("testChannel"); got != want {
		a.t.Errorf("got %d subscribers, want %d", got, want)
	}
}

func TestAcceptance8OtherDoorsPublishToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{})
		for _, body := range []string{`{"channel":"testChannel","data":{"a":1}}`, `{"channels":["testChannel","b"],"data":{"a":1}}`} {
			if got := a.asks(http.StatusOK, http.MethodPost, "/api/publish", body); strings.TrimSpace(got) != "{}" {
				t.Errorf("got %s, want {}", got)
			}
			a.everybody(`{"a":1}`)
		}
		if code, out := skeinCommand(t, a.Server, "pub", "testChannel", `{"a":1}`); code != 0 || out != "" {
			t.Errorf("skein pub: got %d and %q, want 0 and nothing", code, out)
		}
		a.everybody(`{"a":1}`)
		if err := a.Dial(t, client.Options{}).Publish(t.Context(), "testChannel", map[string]int{"a": 1}); err != nil {
			t.Fatal(err)
		}
		a.everybody(`{"a":1}`)
	})
}

func TestAcceptance13SecondPluginFilters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{}, censor.New())
		a.sends(`{"hello":1}`, `{"hello":"Darn it","list":["heck",1.50]}`, "what the heck")
		a.everybody(`{"hello":1}`, `{"hello":"*** it","list":["***",1.50]}`, `"what the ***"`)
		a.silent()
	})
}

func TestAcceptance13CommandsShowWhoOwnsWhat(t *testing.T) {
	t.Parallel()
	for command, rows := range map[string][]string{
		"plugins": {"rawws", "censor 1.0.0 /moderation", "1 OnPublish * censor"},
		"routes":  {"GET /moderation/words http censor", "GET /ws websocket rawws", "/socketcluster/ socketcluster -"},
	} {
		code, out := skeinCommand(t, nil, command, "--config", "examples/plugin/skein.yaml")
		if code != 0 {
			t.Fatalf("skein %s: got %d\n%s", command, code, out)
		}
		for _, row := range rows {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), row) {
				t.Errorf("skein %s: %q is not in\n%s", command, row, out)
			}
		}
	}
}

func TestAcceptance14FaultySetUpSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	for config, says := range map[string][]string{
		"plugins:\n- use: censor\n  options:\n    wrods: [darn]\n": {"skein.yaml:4:5", "wrods", "words"},
		"plugins:\n- use: cemsor\n":                                {"skein.yaml:2:8", "cemsor", "censor"},
		"maxMesage: 1MiB\n":                                        {"skein.yaml:1:1", "maxMesage", "maxMessage"},
		"plugins:\n- use: needy\n":                                 {`"needy"`, `"absent"`},
		"plugins:\n- use: chicken\n- use: egg\n":                   {`"chicken"`, `"egg"`},
		"plugins:\n- use: squatter\n":                              {`"squatter"`, `"rawws"`, "/ws"},
	} {
		file := filepath.Join(t.TempDir(), "skein.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out := skeinCommand(t, nil, "plugins", "--config", file)
		if code != 1 {
			t.Errorf("with\n%s\ngot the exit code %d, want 1", config, code)
		}
		for _, part := range says {
			if !strings.Contains(out, part) {
				t.Errorf("with\n%s\ngot\n%s\nwithout %s", config, out, part)
			}
		}
	}
}

func TestAcceptance15PanicOfAPluginCostsOneMessage(t *testing.T) {
	panicky := skein.Func("panicky", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
			if string(e.Data) == `"boom"` {
				panic("boom")
			}
			return nil
		})
		return nil
	})
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := gather(t, skein.Options{}, panicky)
		var refused *client.Error
		err := a.clients[0].Publish(t.Context(), "testChannel", "boom")
		if !errors.As(err, &refused) || refused.Name != skein.NamePlugin || !strings.Contains(refused.Message, "panicky") {
			t.Errorf("got %v, want a %s that names panicky", err, skein.NamePlugin)
		}
		a.sends("boom", "fine")
		a.everybody(`"fine"`)
		if err := a.clients[0].Publish(t.Context(), "testChannel", "fine too"); err != nil {
			t.Error(err)
		}
		a.everybody(`"fine too"`)
		a.silent()
		if line := `skein_plugin_panics_total{plugin="panicky"} 2`; !strings.Contains(a.asks(http.StatusOK, http.MethodGet, "/metrics", ""), line) {
			t.Errorf("%s is not in the metrics", line)
		}
	})
}

func TestAcceptance16TokensOpenTheRawEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens(t, auth.Options{}, testKey)
		a := &audience{Server: skeintest.Start(t, skein.Options{Tokens: tokens}, &rawws.Plugin{Require: "token"}), t: t}
		signed, err := tokens.Sign(json.RawMessage(`{"user":"ada"}`), auth.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a.refused(http.StatusUnauthorized, "/ws", nil)
		a.refused(http.StatusUnauthorized, "/ws", http.Header{"Authorization": {"Bearer " + signed + "x"}})
		a.refused(http.StatusUnauthorized, "/ws", http.Header{"Sec-Websocket-Protocol": {"skein, bearer." + signed + "x"}})
		a.Conn(t, "/ws", http.Header{"Authorization": {"Bearer " + signed}})
		c := a.Conn(t, "/ws", http.Header{"Sec-Websocket-Protocol": {"skein, bearer." + signed}})
		if got := c.Header.Get("Sec-WebSocket-Protocol"); got != "skein" {
			t.Errorf("got the subprotocol %q, want skein", got)
		}
	})
}

// The rest of step 16, login and private channels, is tested with examples/auth itself.
func TestAcceptance16HookRefusesASubscriptionWithItsOwnError(t *testing.T) {
	private := skein.Func("private", func(_ context.Context, h *skein.Host) error {
		h.OnSubscribe("private/*", func(_ context.Context, e *skein.Event) error {
			if e.Session.Token() == nil {
				return &skein.Error{Name: "NotAuthorizedError", Message: "log in first", Props: map[string]any{"channel": e.Channel}}
			}
			return nil
		})
		return nil
	})
	tokens := newTokens(t, auth.Options{}, testKey)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		signed, err := tokens.Sign(json.RawMessage(`{"user":"ada"}`), auth.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a := gather(t, skein.Options{Tokens: tokens}, private)
		c := a.clients[0]
		var refused *client.Error
		_, err = c.Subscribe(t.Context(), "private/ada")
		if !errors.As(err, &refused) || refused.Name != "NotAuthorizedError" || refused.Message != "log in first" {
			t.Errorf("got %v, want NotAuthorizedError", err)
		}
		if err := c.Authenticate(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Subscribe(t.Context(), "private/ada"); err != nil {
			t.Error(err)
		}
	})
}
