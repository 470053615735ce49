package skein_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// packetRate is a rate of packets alone.
func packetRate(perSecond float64, burst int) skein.Rates {
	return skein.Rates{Packets: skein.Rate{PerSecond: perSecond, Burst: burst}}
}

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
		srv := skeintest.Start(t, skein.Options{Rates: skein.SharedRates{User: packetRate(4, 0), UserClaim: "user"}}, skein.Func("names",
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
		srv := skeintest.Start(t, skein.Options{Rates: skein.SharedRates{Address: packetRate(2, 5)}})
		a, _ := openFrom(t, srv, "203.0.113.7:1", "/socketcluster/") // a handshake is a packet, too
		b, _ := openFrom(t, srv, "203.0.113.7:2", "/socketcluster/")
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
		Timeouts: skein.Timeouts{Hook: -time.Second}, Conns: skein.ConnLimits{Total: -1}, Rates: skein.SharedRates{User: packetRate(-1, 0)}, Limits: skein.Limits{Calls: -1},
		Endpoints: []skein.Endpoint{{Path: "/x/", Source: "skein.yaml:3:5", Limits: skein.Limits{Rates: packetRate(-2, 0)}, Subprotocols: []string{"a*b"}}},
	})
	wantContains(t, got,
		"the option Timeouts.Hook is -1:", "the option Conns.Total is -1:", "the option Rates.User.Packets.PerSecond is -1:", "the option Limits.Calls is -1",
		"skein.yaml:3:5: endpoint /x/:", "the option Limits.Rates.Packets.PerSecond is -2", `the subprotocol "a*b"`)
}

// deeds are what a rate counts, with what a client gets for one too many.
func deeds() map[string]struct{ packet, refusal string } {
	refused := func(kind string) string {
		return `{"rid":2,"error":{"message":"Too many ` + kind + ` of this %s: 0.5 a second and 3 at once are allowed","name":"RateLimitError"}}`
	}
	const closed = `closed with 4101 ""`
	return map[string]struct{ packet, refusal string }{
		"packets":    {`{"event":"#unsubscribe","data":"x","cid":2}`, closed},
		"bytes":      {octetsSent, closed},
		"subscribes": {`{"event":"#subscribe","data":{"channel":"x"},"cid":2}`, refused("subscribes")},
		"publishes":  {`{"event":"#publish","data":{"channel":"x"},"cid":2}`, refused("publishes")},
		"calls":      {`{"event":"echo","cid":2}`, refused("calls")},
	}
}

// slowly are rates of a kind of deed: three at once, and then one in two seconds. The handshake counts for all but the user,
// whom it only makes known.
func slowly(owner, kind string) (r skein.Rates) {
	rate, octets := skein.Rate{PerSecond: 0.5, Burst: 3}, skein.Rate{PerSecond: 0.5, Burst: 3 * len(octetsSent)}
	if owner != "user" {
		octets.Burst += len(hello(tokenOf("ada")))
	}
	switch kind {
	case "packets":
		if owner != "user" {
			rate.Burst++
		}
		r.Packets = rate
	case "bytes":
		r.Bytes = octets
	case "subscribes":
		r.Subscribes = rate
	case "publishes":
		r.Publishes = rate
	case "calls":
		r.Calls = rate
	}
	return r
}

// octetsSent is no packet, and ignored.
const octetsSent = "sixteen octets.."

// rated are options with rates of one owner.
func rated(owner string, r skein.Rates) (o skein.Options) {
	switch owner {
	case "session":
		o.Limits.Rates = r
	case "user":
		o.Rates.User = r
	case "address":
		o.Rates.Address = r
	}
	return o
}

func TestEachRateHoldsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	for kind, deed := range deeds() {
		for _, owner := range []string{"session", "user", "address"} {
			t.Run(owner+" "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := limited(t, rated(owner, slowly(owner, kind)))
					connect := func(from, user string) *skeintest.Conn {
						c, err := upgradeFrom(t, srv, from, "/socketcluster/")
						if err != nil {
							t.Fatal(err)
						}
						wantAnswer(t, c, hello(tokenOf(user)), `{"rid":1,"data"`)
						return c
					}
					c, other := connect("203.0.113.7:1", "ada"), connect("203.0.113.8:1", "bob")
					within := func(c *skeintest.Conn) {
						t.Helper()
						if got := ask(t, c, deed.packet); strings.Contains(got, "closed") || strings.Contains(got, "Too many") {
							t.Errorf("got %q within the rate", got)
						}
					}
					for range 3 {
						within(c)
					}
					want := strings.ReplaceAll(deed.refusal, "%s", owner)
					wantAnswer(t, c, deed.packet, want)
					if got := met(srv, owner+"_"+kind); got != 1 {
						t.Errorf("the limit was met %v times, want once", got)
					}
					if got := others(srv, owner+"_"+kind); len(got) != 0 {
						t.Errorf("got %q as well", got)
					}
					within(other)
					if !strings.HasPrefix(want, "closed") {
						pass(2 * time.Second)
						within(c)
					}
				})
			})
		}
	}
}

func TestWhatIsNotAnsweredIsDroppedInSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := skein.Rate{PerSecond: 1, Burst: 1}
		srv := limited(t, skein.Options{Limits: skein.Limits{Rates: skein.Rates{Publishes: one, Calls: one}}})
		c, _ := open(t, srv, "/socketcluster/")
		for range 3 {
			wantAnswer(t, c, `[{"event":"#publish","data":{"channel":"x"}},{"event":"note"}]`, "")
		}
		if got := srv.Stats().Published; got != 2 { // a note is published by the plugin, which pays for nothing
			t.Errorf("got %d publications, want 2", got)
		}
		if p, c := met(srv, "session_publishes"), met(srv, "session_calls"); p != 2 || c != 2 {
			t.Errorf("the limits were met %v and %v times, want twice each", p, c)
		}
	})
}

func TestAMessageLargerThanTheBurstIsPaidForLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{Limits: skein.Limits{Rates: skein.Rates{Bytes: skein.Rate{PerSecond: 100, Burst: 200}}}})
		c, _ := open(t, srv, "/socketcluster/")
		pass(10 * time.Second)
		wantAnswer(t, c, strings.Repeat("x", 1000), "") // 200 were there, and 800 are owed
		wantAnswer(t, c, "", "")                        // a pong has no bytes
		pass(8100 * time.Millisecond)
		wantAnswer(t, c, "ten octets", "")
		wantAnswer(t, c, "eleven more", `closed with 4101 ""`)
	})
}

// A pong is a message as any other; an honest client sends one in eight seconds.
func TestPongsCountAsPackets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{Limits: skein.Limits{Rates: packetRate(0.5, 3)}})
		c, _ := open(t, srv, "/socketcluster/")
		for range 2 {
			wantAnswer(t, c, "", "")
		}
		wantAnswer(t, c, "", `closed with 4101 ""`)
	})
}

func TestConnectsOfALoneProxyAreNotPaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{
			Door:  skein.Door{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
			Rates: skein.SharedRates{Address: skein.Rates{Connects: skein.Rate{PerSecond: 1}, Packets: skein.Rate{PerSecond: 1}}},
		})
		for range 3 {
			c, _ := openFrom(t, srv, "10.0.0.1:1", "/socketcluster/")
			wantAnswer(t, c, `[{"event":"#publish","data":{"channel":"x"}},{"event":"echo","cid":2}]`, `{"rid":2}`)
		}
	})
}
