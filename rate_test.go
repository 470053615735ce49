package skein_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// chatter sends n packets; a connection that ends meanwhile is the test's own matter.
func chatter(c *skeintest.Conn, n int) {
	for range n {
		if c.Send(`{"event":"x"}`) != nil {
			return
		}
	}
}

func TestUsersShareTheirRateOverAllOfTheirSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Rates: skein.Rates{User: 4, UserClaim: "user"}}, skein.Func("names",
			func(_ context.Context, h *skein.Host) error {
				h.OnConnect(func(ctx context.Context, e *skein.Event) error {
					if name := e.Session.Query().Get("user"); name != "" {
						return e.Session.SetToken(ctx, map[string]string{"user": name}, skein.TokenOptions{})
					}
					return nil
				})
				return nil
			}))
		first, _ := open(t, srv, "/socketcluster/?user=ada")
		second, _ := open(t, srv, "/socketcluster/?user=ada")
		other, _ := open(t, srv, "/socketcluster/?user=grace")
		nobody, _ := open(t, srv, "/socketcluster/")
		chatter(first, 3)
		chatter(other, 4)
		chatter(nobody, 50)
		synctest.Wait()
		chatter(second, 2)
		synctest.Wait()
		if got := sessions(srv); got != 3 {
			t.Errorf("got %d sessions, want the one gone that sent its user's fifth packet", got)
		}
		<-time.After(20 * time.Second) // the buckets fill up, and are forgotten
		chatter(first, 4)
		synctest.Wait()
		if got := sessions(srv); got != 3 {
			t.Errorf("got %d sessions later, want 3", got)
		}
	})
}

func TestAddressesShareTheirRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Rates: skein.Rates{Address: 2, Burst: 5}})
		a, _ := open(t, srv, "/socketcluster/") // a handshake is a packet, too
		b, _ := open(t, srv, "/socketcluster/")
		chatter(a, 2)
		synctest.Wait()
		if got := sessions(srv); got != 2 {
			t.Fatalf("got %d sessions, want 2", got)
		}
		chatter(b, 2)
		synctest.Wait()
		if got := sessions(srv); got != 1 {
			t.Errorf("got %d sessions, want the one gone that sent the address's sixth packet", got)
		}
	})
}

func sessions(srv *skeintest.Server) (n int) {
	for s := range srv.Sessions() {
		if s.Open() {
			n++
		}
	}
	return n
}

func TestEndpointsAgreeOnTheirSubprotocols(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Endpoints: []skein.Endpoint{
			{Path: "/any/"}, {Path: "/own/", Subprotocols: []string{"chat.v2", "chat.*"}}, {Path: "/none/", Subprotocols: []string{}},
		}})
		for path, want := range map[string]string{"/any/": "x", "/own/": "chat.v2", "/none/": ""} {
			c := srv.Conn(t, path, http.Header{"Sec-Websocket-Protocol": {"x, chat.v1, chat.v2"}})
			if got := c.Header.Get("Sec-Websocket-Protocol"); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	})
}

func TestOptionsThatNoServerCanWorkWithAreRefusedByName(t *testing.T) {
	t.Parallel()
	got := startError(t, skein.Options{
		Timeouts: skein.Timeouts{Hook: -time.Second}, Conns: skein.ConnLimits{Total: -1}, Rates: skein.Rates{User: -1}, Limits: skein.Limits{Calls: -1},
		Endpoints: []skein.Endpoint{{Path: "/x/", Source: "skein.yaml:3:5", Limits: skein.Limits{Rate: -2}, Subprotocols: []string{"a*b"}}},
	})
	wantContains(t, got,
		"the option Timeouts.Hook is -1:", "the option Conns.Total is -1:", "the option Rates.User is -1:", "the option Limits.Calls is -1",
		"skein.yaml:3:5: endpoint /x/:", "the option Limits.Rate is -2", `the subprotocol "a*b"`)
}
