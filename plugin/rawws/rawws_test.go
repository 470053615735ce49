package rawws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/plugin/rawws"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyring makes tokens, and a server that takes them.
func keyring(t *testing.T) *auth.Tokens {
	t.Helper()
	key, err := auth.NewHMAC([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func sign(t *testing.T, tokens *auth.Tokens, expiry time.Duration) string {
	t.Helper()
	signed, err := tokens.Sign(json.RawMessage(`{"user":"ada"}`), auth.SignOptions{Expiry: expiry})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func subscribe(t *testing.T, srv *skeintest.Server, channel string) *client.Subscription {
	t.Helper()
	sub, err := srv.Dial(t, client.Options{}).Subscribe(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func expect(t *testing.T, sub *client.Subscription, want string) {
	t.Helper()
	m, err := sub.Next(t.Context())
	if err != nil || string(m.Data) != want {
		t.Errorf("got %s, %v, want %s", m.Data, err, want)
	}
}

func TestMessagesReachEverySubscriberInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, rawws.New())
		one, two := subscribe(t, srv, "testChannel"), subscribe(t, srv, "testChannel")
		c := srv.Conn(t, "/ws", nil)
		const many = 1000
		for n := range many {
			if err := c.Send(fmt.Sprintf(`{"n":%d}`, n)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range many {
			expect(t, one, fmt.Sprintf(`{"n":%d}`, n))
			expect(t, two, fmt.Sprintf(`{"n":%d}`, n))
		}
	})
}

func TestEachKindOfMessageBecomesJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, rawws.New())
		sub := subscribe(t, srv, "testChannel")
		c := srv.Conn(t, "/ws", nil)
		for _, m := range []struct{ text, want string }{
			{`{"hello":1}`, `{"hello":1}`},
			{`[1, 2]`, `[1, 2]`},
			{`no JSON`, `"no JSON"`},
			{`{"half":`, `"{\"half\":"`},
			{`null`, `null`},
		} {
			if err := c.Send(m.text); err != nil {
				t.Fatal(err)
			}
			expect(t, sub, m.want)
		}
		if err := c.SendBinary([]byte{0, 1, 2, 0xfa}); err != nil {
			t.Fatal(err)
		}
		expect(t, sub, `{"base64":true,"data":"AAEC+g=="}`)
	})
}

func TestPathAndChannelAreOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skein.New(skein.Options{})
		for _, use := range []struct {
			p *rawws.Plugin
			u skein.Use
		}{
			{&rawws.Plugin{Path: "/in", Channel: "a"}, skein.Use{}},
			{&rawws.Plugin{Channel: "b"}, skein.Use{As: "second", Prefix: "/second"}},
		} {
			if err := srv.Register(use.p, use.u); err != nil {
				t.Fatal(err)
			}
		}
		running := skeintest.Serve(t, srv)
		for channel, path := range map[string]string{"a": "/in", "b": "/second/ws"} {
			sub := subscribe(t, running, channel)
			if err := running.Conn(t, path, nil).Send("1"); err != nil {
				t.Fatal(err)
			}
			expect(t, sub, "1")
		}
	})
}

// refuser refuses publications of the string "bad".
func refuser() skein.Plugin {
	return skein.Func("refuser", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
			if string(e.Data) == `"bad"` {
				return errors.New("not that")
			}
			return nil
		})
		return nil
	})
}

func TestRefusedMessageCostsNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, rawws.New(), refuser())
		sub := subscribe(t, srv, "testChannel")
		c := srv.Conn(t, "/ws", nil)
		for _, text := range []string{"bad", "bad", "good"} {
			if err := c.Send(text); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, sub, `"good"`)
		synctest.Wait()
		if m, ok, err := c.TryRead(); ok || err != nil {
			t.Errorf("got %q, %v, want nothing sent to the sender, and an open connection", m.Data, err)
		}
		for name, want := range map[string]float64{"rawws_published_total": 1, "rawws_refused_total": 2} {
			if got := figure(t, srv, name); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
	})
}

func figure(t *testing.T, srv *skeintest.Server, name string) float64 {
	t.Helper()
	all := srv.Metrics()
	i := slices.IndexFunc(all, func(m skein.Metric) bool { return m.Name == name })
	if i < 0 {
		t.Fatalf("there is no figure %q", name)
	}
	return all[i].Value
}

func TestMessageOverTheLimitCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, &rawws.Plugin{MaxMessage: 8}).Conn(t, "/ws", nil)
		if err := c.Send("123456789"); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read()
		if e := (*skeintest.CloseError)(nil); !errors.As(err, &e) || e.Code != 1009 {
			t.Errorf("got %v, want a close with 1009", err)
		}
	})
}

func TestOriginsAreOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, &rawws.Plugin{Origins: []string{"app.example:443"}})
		srv.Conn(t, "/ws", http.Header{"Origin": {"https://app.example"}})
		if got, body := refusal(t, srv, http.Header{"Origin": {"https://evil.example"}}); got != http.StatusForbidden {
			t.Errorf("got %d %q, want 403", got, body)
		}
	})
}

// refusal is the answer to an upgrade that must not succeed.
func refusal(t *testing.T, srv *skeintest.Server, header http.Header) (status int, body string) {
	t.Helper()
	c, err := srv.Upgrade(t.Context(), "/ws", header)
	if refused, ok := errors.AsType[*skeintest.RefusedError](err); ok {
		return refused.Status, refused.Body
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Terminate)
	return http.StatusSwitchingProtocols, ""
}

func TestPlainRequestIsToldWhatThePathSpeaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, rawws.New())
		r, err := srv.HTTP().Get("http://memory/ws")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(body), "WebSocket") {
			t.Errorf("got %d %q, %v, want 426 with the reason", r.StatusCode, body, err)
		}
	})
}

func TestOnlyWhoShowsAGoodTokenGetsIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := keyring(t)
		srv := skeintest.Start(t, skein.Options{Tokens: tokens}, &rawws.Plugin{Require: "token"})
		good, old := sign(t, tokens, time.Hour), sign(t, tokens, time.Second)
		<-time.After(2 * time.Second) // the old one expires
		for _, c := range []struct {
			name, header, value, want string
			status                    int
		}{
			{"nothing", "Accept", "*/*", "a token is required", http.StatusUnauthorized},
			{"a password", "Authorization", "Basic eDp5", "a token is required", http.StatusUnauthorized},
			{"no token", "Authorization", "Bearer nonsense", "jwt malformed", http.StatusUnauthorized},
			{"an old token", "Authorization", "Bearer " + old, "jwt expired", http.StatusUnauthorized},
			{"an old one as subprotocol", "Sec-Websocket-Protocol", "bearer." + old, "jwt expired", http.StatusUnauthorized},
			{"a good token", "Authorization", "Bearer " + good, "", http.StatusSwitchingProtocols},
			{"a good one as subprotocol", "Sec-Websocket-Protocol", "skein, bearer." + good, "", http.StatusSwitchingProtocols},
			{"a good one as the only subprotocol", "Sec-Websocket-Protocol", "bearer." + good, "", http.StatusSwitchingProtocols},
		} {
			status, body := refusal(t, srv, http.Header{c.header: {c.value}})
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%s: got %d %q, want %d %q", c.name, status, body, c.status, c.want)
			}
		}
	})
}

// Browsers end a connection whose subprotocols the server has not answered.
func TestSubprotocolIsAgreedOnWithoutTheTokenWhereItCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := keyring(t)
		srv := skeintest.Start(t, skein.Options{Tokens: tokens}, &rawws.Plugin{Require: "token"})
		sub := subscribe(t, srv, "testChannel")
		c := srv.Conn(t, "/ws", http.Header{"Sec-Websocket-Protocol": {"bearer." + sign(t, tokens, time.Hour) + ", skein"}})
		if got := c.Header.Get("Sec-Websocket-Protocol"); got != rawws.Protocol {
			t.Errorf("got the subprotocol %q, want %q", got, rawws.Protocol)
		}
		only := "bearer." + sign(t, tokens, time.Hour)
		c = srv.Conn(t, "/ws", http.Header{"Sec-Websocket-Protocol": {only}})
		if got := c.Header.Get("Sec-Websocket-Protocol"); got != only {
			t.Errorf("got the subprotocol %q, want the only one offered", got)
		}
		if err := c.Send("1"); err != nil {
			t.Fatal(err)
		}
		expect(t, sub, "1")
	})
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*rawws.Plugin{
		"path":       {Path: "ws"},
		"require":    {Require: "password"},
		"maxMessage": {MaxMessage: -1},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
	if err := (&rawws.Plugin{Require: "token"}).Validate(); err != nil {
		t.Errorf("require token: %v", err)
	}
}
