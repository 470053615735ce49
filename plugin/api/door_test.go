package api_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/skeintest"
)

const (
	loopback = "127.0.0.1:8000"
	outside  = "192.0.2.7:8000"
	key      = "first-key-first-key"
	otherKey = "second-key-second-key"
)

func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	ask := publish(`{"channel":"a","data":1}`)
	keyed := api.Plugin{Keys: []string{key, otherKey}}
	for _, c := range []struct {
		name   string
		call   call
		plugin api.Plugin
		want   int
	}{
		{"this machine", ask.from(loopback, "127.0.0.1:8000"), api.Plugin{}, 200},
		{"this machine by name", ask.from(loopback, "localhost"), api.Plugin{}, 200},
		{"this machine by IPv6", ask.from("[::1]:8000", "[::1]:8000"), api.Plugin{}, 200},
		{"this machine through a proxy", ask.from(loopback, "127.0.0.1").with("X-Forwarded-For", "192.0.2.1"), api.Plugin{}, 401},
		{"this machine through another proxy", ask.from(loopback, "127.0.0.1").with("Forwarded", "for=192.0.2.1"), api.Plugin{}, 401},
		{"a rebound name", ask.from(loopback, "evil.example"), api.Plugin{}, 401},
		{"another machine", ask.from(outside, "192.0.2.7"), api.Plugin{}, 401},
		{"another machine, open", ask.from(outside, "skein.example"), api.Plugin{Open: true}, 200},
		{"no key", ask.from(loopback, "127.0.0.1"), keyed, 401},
		{"the first key", ask.from(outside, "x").with("Authorization", "Bearer "+key), keyed, 200},
		{"the second key", ask.from(outside, "x").with("Authorization", "Bearer "+otherKey), keyed, 200},
		{"another key", ask.from(outside, "x").with("Authorization", "Bearer third"), keyed, 401},
		{"another scheme", ask.from(outside, "x").with("Authorization", "Basic "+key), keyed, 401},
		{"a bad key where none is needed", ask.from(loopback, "127.0.0.1").with("Authorization", "Bearer x"), api.Plugin{}, 401},
		{"its own page", ask.from(loopback, "127.0.0.1:8000").with("Origin", "http://127.0.0.1:8000"), api.Plugin{}, 200},
		{"a foreign page", ask.from(loopback, "127.0.0.1:8000").with("Origin", "http://evil.example"), api.Plugin{}, 403},
		{"a page on another port", ask.from(loopback, "127.0.0.1:8000").with("Origin", "http://127.0.0.1:3000"), api.Plugin{}, 403},
		{"a page without an origin", ask.from(loopback, "127.0.0.1:8000").with("Origin", "null"), api.Plugin{}, 403},
		{"a foreign page with a key", ask.from(outside, "x").with("Origin", "http://evil.example").with("Authorization", "Bearer "+key), keyed, 403},
		{"an origin that is none", ask.from(loopback, "127.0.0.1").with("Origin", "http://%"), api.Plugin{}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := c.call.do(t, skeintest.Start(t, skein.Options{}, &c.plugin))
			if a.status != c.want {
				t.Errorf("got %d %s, want %d", a.status, a.text, c.want)
			}
			if got := a.header.Get("WWW-Authenticate"); (got != "") != (c.want == 401) {
				t.Errorf("got %d with WWW-Authenticate %q", a.status, got)
			}
		})
	}
}

// Unix sockets mostly have a proxy before them.
func TestUnixSocketIsNotLocal(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "/run/skein", Net: "unix"}))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/api/channels", nil)
	if err != nil {
		t.Fatal(err)
	}
	res := srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d, want 401", res.StatusCode)
	}
}

func TestTokenMayDoWhatItsClaimSays(t *testing.T) {
	t.Parallel()
	secret, err := auth.NewHMAC([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{secret}})
	if err != nil {
		t.Fatal(err)
	}
	list := call{method: http.MethodGet, path: "/api/channels"}
	one := call{method: http.MethodGet, path: "/api/channels/a"}
	a, room, both := publish(`{"channel":"a","data":1}`), publish(`{"channel":"room.1","data":1}`), publish(`{"channels":["a","room.1"],"data":1}`)
	srv := skeintest.Start(t, skein.Options{Tokens: tokens}, &api.Plugin{Keys: []string{key}})
	other := skeintest.Start(t, skein.Options{Tokens: tokens}, &api.Plugin{Keys: []string{key}, Claim: "may"})
	for _, c := range []struct {
		claims string
		call   call
		srv    *skeintest.Server
		want   int
	}{
		{`{"publish":true}`, a, srv, 200},
		{`{"publish":true}`, list, srv, 200},
		{`{"publish":true}`, one, srv, 200},
		{`{"publish":"a"}`, a, srv, 200},
		{`{"publish":"a"}`, room, srv, 403},
		{`{"publish":"a"}`, both, srv, 403},
		{`{"publish":"a"}`, list, srv, 403},
		{`{"publish":"a"}`, one, srv, 403},
		{`{"publish":["room.*"]}`, room, srv, 200},
		{`{"publish":["room.*"]}`, a, srv, 403},
		{`{"publish":["room.*","a"]}`, both, srv, 200},
		{`{"publish":"*"}`, both, srv, 200},
		{`{"publish":[]}`, a, srv, 403},
		{`{"publish":false}`, a, srv, 403},
		{`{"publish":null}`, a, srv, 403},
		{`{"publish":""}`, a, srv, 403},
		{`{"publish":{"a":true}}`, a, srv, 403},
		{`{"publish":[1]}`, a, srv, 403},
		{`{"user":"ada"}`, a, srv, 403},
		{`{"publish":true}`, a, other, 403},
		{`{"may":true}`, a, other, 200},
	} {
		signed, err := tokens.Sign(json.RawMessage(c.claims), auth.SignOptions{Expiry: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		got := c.call.from(outside, "skein.example").with("Authorization", "Bearer "+signed).do(t, c.srv)
		if got.status != c.want {
			t.Errorf("%s, %s %s %s: got %d %s, want %d", c.claims, c.call.method, c.call.path, c.call.body, got.status, got.text, c.want)
		}
	}
}

func TestLongWordsOfClientsAreCut(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	a := publish(`{}`).with("Origin", "http://"+strings.Repeat("x", 5000)).do(t, srv)
	if a.status != http.StatusForbidden || len(a.Error.Message) > 400 {
		t.Errorf("got %d with a message of %d bytes, want 403 with a short one", a.status, len(a.Error.Message))
	}
}
