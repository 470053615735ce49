package skein_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/plugin/rawws"
	"github.com/skeinrt/skein/skeintest"
)

// tokenOf is a token of a user.
func tokenOf(user string) string {
	return mint("HS256", testKey, map[string]any{"user": user, "exp": time.Now().Add(time.Hour).Unix(), "publish": true})
}

// hello is a handshake with a token, "" for none.
func hello(token string) string {
	if token == "" {
		return `{"event":"#handshake","data":{},"cid":1}`
	}
	return fmt.Sprintf(`{"event":"#handshake","data":{"authToken":%q},"cid":1}`, token)
}

// enterAs opens a session with the token of a user.
func enterAs(t *testing.T, srv *skeintest.Server, user string) *skeintest.Conn {
	t.Helper()
	c := srv.Conn(t, "/socketcluster/", nil)
	if got := ask(t, c, hello(tokenOf(user))); !strings.Contains(got, `"isAuthenticated":true`) {
		t.Fatalf("got %s, want a session of %s", got, user)
	}
	return c
}

const (
	tooManyOfAda  = `"message":"This user has too many sessions: 2 are allowed","name":"ResourceLimitError","statusCode":4102`
	tooOftenOfAda = `"message":"Too many connects of this user: 0.1 a second and 2 at once are allowed","name":"RateLimitError","statusCode":4101`
)

func TestAUserHasSoManySessions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limit, message, end string
		o                   skein.Options
	}{
		"at once": {"user_sessions", tooManyOfAda, `closed with 4102 ""`, skein.Options{Conns: skein.ConnLimits{PerUser: 2}}},
		"a second": {
			"user_connects", tooOftenOfAda, `closed with 4101 ""`,
			skein.Options{Rates: skein.SharedRates{User: skein.Rates{Connects: skein.Rate{PerSecond: 0.1, Burst: 2}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := limited(t, test.o)
				enterAs(t, srv, "ada")
				enterAs(t, srv, "ada")
				third := srv.Conn(t, "/socketcluster/", nil)
				want := `{"rid":1,"error":{` + test.message + `}}`
				wantAnswer(t, third, hello(tokenOf("ada")), want)
				if got := next(t, third); got != test.end {
					t.Errorf("got %q, want %q", got, test.end)
				}
				late := srv.Conn(t, "/socketcluster/", nil)
				wantAnswer(t, late, hello(""), `{"rid":1,"data":{"id":`)
				want = `{"rid":2,"data":{"isAuthenticated":false,"authError":{` + test.message + `}}}`
				wantAnswer(t, late, fmt.Sprintf(`{"event":"#authenticate","data":%q,"cid":2}`, tokenOf("ada")), want)
				want = `{"rid":1,"data":{"id":`
				wantAnswer(t, late, hello(tokenOf("ada")), want) // a second handshake ends nothing
				wantAnswer(t, late, `{"event":"who","cid":4}`, `{"rid":4,"data":"nobody at /socketcluster/"}`)
				enterAs(t, srv, "grace")
				if got := met(srv, test.limit); got != 3 {
					t.Errorf("the limit was met %v times, want 3", got)
				}
				if got := others(srv, test.limit); len(got) != 0 {
					t.Errorf("got %q as well", got)
				}
			})
		})
	}
}

func TestASessionIsItsUsersForAsLongAsItIs(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(c *skeintest.Conn, s *skein.Session){
		"its end":      func(c *skeintest.Conn, _ *skein.Session) { c.Terminate() },
		"its log-out":  func(c *skeintest.Conn, _ *skein.Session) { _ = c.Send(`{"event":"#removeAuthToken"}`) },
		"another user": func(c *skeintest.Conn, _ *skein.Session) { _ = c.Send(hello(tokenOf("grace"))) },
		"a bad token": func(c *skeintest.Conn, _ *skein.Session) {
			_ = c.Send(`{"event":"#authenticate","data":"bad","cid":5}`)
		},
		"RemoveToken": func(_ *skeintest.Conn, s *skein.Session) { _ = s.RemoveToken(s.Context(), skein.TokenOptions{}) },
		"SetToken": func(_ *skeintest.Conn, s *skein.Session) {
			_ = s.SetToken(s.Context(), map[string]string{"user": "x"}, skein.TokenOptions{})
		},
		"no name at all": func(_ *skeintest.Conn, s *skein.Session) {
			_ = s.SetToken(s.Context(), map[string]int{"user": 1}, skein.TokenOptions{})
		},
		"its expiry": func(c *skeintest.Conn, _ *skein.Session) {
			pass(2 * time.Hour)
			_ = c.Send(`{"event":"#publish","data":{"channel":"x"},"cid":6}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := limited(t, skein.Options{Conns: skein.ConnLimits{PerUser: 1}})
				first := enterAs(t, srv, "ada")
				wantAnswer(t, first, hello(tokenOf("ada")), `{"rid":1,"data":{"id":`) // it is counted once
				var s *skein.Session
				for one := range srv.Sessions() {
					s = one
				}
				leave(first, s)
				synctest.Wait()
				enterAs(t, srv, "ada")
				second := srv.Conn(t, "/socketcluster/", nil)
				wantAnswer(t, second, hello(tokenOf("ada")), `{"rid":1,"error":{"message":"This user has too many sessions`)
			})
		})
	}
}

func TestSetTokenRefusesWhoHasTooManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{Conns: skein.ConnLimits{PerUser: 1}})
		enterAs(t, srv, "ada")
		c, s := open(t, srv, "/socketcluster/")
		for _, o := range []skein.TokenOptions{{}, {Confirm: true}} {
			err := s.SetToken(t.Context(), map[string]string{"user": "ada"}, o)
			if got, want := described(err), `{"message":"This user has too many sessions: 1 are allowed","name":"ResourceLimitError","statusCode":4102}`; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := next(t, c); got != "" || s.Token() != nil {
			t.Errorf("the client got %q, want nothing, and no token", got)
		}
		if n, err := srv.SetToken(t.Context(), skein.Target{Session: s.ID()}, json.RawMessage(`{"user":"ada"}`)); n != 0 || err == nil {
			t.Errorf("on all nodes: got %d and %v, want an error", n, err)
		}
	})
}

func TestRawConnectionsAreTheirUsers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Conns: skein.ConnLimits{PerUser: 1}, Tokens: newTokens(t, authOptions(), testKey), Rates: skein.SharedRates{UserClaim: "user"}}
		srv := skeintest.Start(t, o, &rawws.Plugin{Require: "token"})
		bearer := http.Header{"Authorization": {"Bearer " + tokenOf("ada")}}
		first := srv.Conn(t, "/ws", bearer)
		_, err := srv.Upgrade(t.Context(), "/ws", bearer)
		if want := `refused with 429 "This user has too many sessions: 1 are allowed"`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		srv.Conn(t, "/ws", http.Header{"Authorization": {"Bearer " + tokenOf("grace")}})
		first.Terminate()
		synctest.Wait()
		srv.Conn(t, "/ws", bearer)
		if got := srv.Stats().Conns; got != 2 {
			t.Errorf("got %d connections, want 2", got)
		}
	})
}

func TestRawMessagesCountForRates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		o     skein.Options
		limit string
		lives bool
	}{
		"packets":   {skein.Options{Limits: skein.Limits{Rates: packetRate(1, 3)}}, "session_packets", false},
		"bytes":     {skein.Options{Rates: skein.SharedRates{User: skein.Rates{Bytes: skein.Rate{PerSecond: 1, Burst: 3}}}}, "user_bytes", false},
		"publishes": {skein.Options{Rates: skein.SharedRates{User: skein.Rates{Publishes: skein.Rate{PerSecond: 1, Burst: 3}}}}, "user_publishes", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				test.o.Tokens, test.o.Rates.UserClaim = newTokens(t, authOptions(), testKey), "user"
				srv := skeintest.Start(t, test.o, &rawws.Plugin{Require: "token"}, plugin("echo", func(h *skein.Host) {
					skein.HandleMessages(h, "/echo", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
				}))
				c := srv.Conn(t, "/ws", http.Header{"Authorization": {"Bearer " + tokenOf("ada")}})
				for range 4 {
					send(t, c, "1")
				}
				got := next(t, c)
				if want := `closed with 4101 ""`; !test.lives && got != want || test.lives && got != "" {
					t.Errorf("got %q, want a close: %v", got, !test.lives)
				}
				if n := srv.Stats().Published; n != 3 || met(srv, test.limit) != 1 {
					t.Errorf("got %d publications and the limit met %v times, want 3 and once", n, met(srv, test.limit))
				}
				other := srv.Conn(t, "/echo", nil)
				for i := range 3 {
					wantAnswer(t, other, fmt.Sprint(i), fmt.Sprint(i))
				}
				if test.limit == "session_packets" {
					wantAnswer(t, other, "3", `closed with 4101 ""`)
				}
			})
		})
	}
}

func TestPublicationsOverHTTPCountForUserAndAddress(t *testing.T) {
	t.Parallel()
	const key = "an-operators-key-of-the-tests"
	publishing := func(perSecond float64, burst int) skein.Rates {
		return skein.Rates{Publishes: skein.Rate{PerSecond: perSecond, Burst: burst}}
	}
	for name, test := range map[string]struct {
		rates  skein.SharedRates
		shown  string
		want   []int
		plugin api.Plugin
		limit  string
	}{
		"a user":          {skein.SharedRates{User: publishing(1, 2)}, tokenOf("ada"), []int{200, 200, 429}, api.Plugin{}, "user_publishes"},
		"an address":      {skein.SharedRates{Address: publishing(1, 1)}, tokenOf("ada"), []int{200, 429}, api.Plugin{}, "address_publishes"},
		"an operator":     {skein.SharedRates{User: publishing(1, 1), Address: publishing(1, 1)}, key, []int{200, 200, 200}, api.Plugin{Keys: []string{key}}, ""},
		"an open API":     {skein.SharedRates{Address: publishing(1, 1)}, "", []int{200, 429}, api.Plugin{Open: true}, "address_publishes"},
		"nobody's limits": {skein.SharedRates{}, tokenOf("ada"), []int{200, 200, 200}, api.Plugin{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.rates.UserClaim = "user"
			srv := skeintest.Start(t, skein.Options{Rates: test.rates, Tokens: newTokens(t, authOptions(), testKey)}, &test.plugin)
			ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 80}))
			for i, want := range test.want {
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://memory/api/publish", strings.NewReader(`{"channel":"x","data":1}`))
				if err != nil {
					t.Fatal(err)
				}
				r.RemoteAddr = "203.0.113.7:1234"
				if test.shown != "" {
					r.Header.Set("Authorization", "Bearer "+test.shown)
				}
				got := srv.Inject(r)
				_ = got.Body.Close()
				if got.StatusCode != want || want == 429 && got.Header.Get("Retry-After") != "5" {
					t.Errorf("publication %d: got %d, want %d", i+1, got.StatusCode, want)
				}
			}
			if test.limit != "" && met(srv, test.limit) != 1 {
				t.Errorf("the limit was met %v times, want once", met(srv, test.limit))
			}
		})
	}
}
