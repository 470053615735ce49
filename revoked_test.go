package skein_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/skeintest"
)

// Nodes tell each other in any order, any number of times, with cuts in between: in the end all know the same.
func TestNodesAgreeInTheEnd(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			g := guarded(t, 3, skein.Options{}, noSetup)
			r := rand.New(rand.NewPCG(seed, 1))
			for range 40 {
				srv, user := g.nodes[r.IntN(3)], string(rune('a'+r.IntN(3)))
				switch r.IntN(6) {
				case 0:
					g.lines[r.IntN(3)].Cut()
				case 1:
					g.lines[r.IntN(3)].Heal()
				case 2:
					_ = srv.Unrevoke(t.Context(), skein.Revocation{User: user}) // there may be none
				case 3:
					_, _ = srv.Revoke(t.Context(), skein.Revocation{User: user, Before: time.Now().Add(-time.Second)})
				default:
					_, _ = srv.Revoke(t.Context(), skein.Revocation{User: user, Disconnect: r.IntN(2) == 0})
				}
				pass(time.Duration(r.IntN(3)) * time.Second)
			}
			for _, l := range g.lines {
				l.Heal()
			}
			pass(30 * time.Second)
			want := fmt.Sprint(g.nodes[0].Revocations())
			for _, srv := range g.nodes[1:] {
				if got := fmt.Sprint(srv.Revocations()); got != want {
					t.Errorf("seed %d: got %s\nwant %s", seed, got, want)
				}
			}
			for _, n := range g.nodes[0].Nodes() {
				if n.Revocations != g.nodes[0].Nodes()[0].Revocations {
					t.Errorf("seed %d: node %s knows something else", seed, n.Name)
				}
			}
		})
	}
}

func TestRevocationTakesInTheOneBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 2, skein.Options{}, noSetup)
		now := time.Now()
		revoke(t, g.nodes[0], skein.Revocation{User: "ann", Disconnect: true})
		revoke(t, g.nodes[1], skein.Revocation{User: "ann", Before: now.Add(-time.Hour), Until: now.Add(time.Minute)})
		want := skein.Revocation{User: "ann", Before: now.Add(time.Second), Disconnect: true, At: now.Add(1)}
		for _, srv := range g.nodes {
			got := srv.Revocations()
			if len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(cleaned(want)) {
				t.Errorf("got %+v\nwant %+v", got, cleaned(want))
			}
		}
	})
}

// cleaned has times as they are kept.
func cleaned(r skein.Revocation) skein.Revocation {
	r.Before, r.At = r.Before.UTC().Round(0), r.At.UTC().Round(0)
	return r
}

func TestSubscriptionsEndWithTheTokenWhereTheRuleSaysSo(t *testing.T) {
	t.Parallel()
	kicked := `{"event":"#kickOut","data":{"channel":"vault/1","message":"the authentication has ended"}}`
	for name, end := range map[string]func(ctx context.Context, srv *skeintest.Server, s *skein.Session, c *skeintest.Conn) error{
		"revoked": func(ctx context.Context, srv *skeintest.Server, _ *skein.Session, _ *skeintest.Conn) error {
			_, err := srv.Revoke(ctx, skein.Revocation{User: "ann"})
			return err
		},
		"removed": func(ctx context.Context, _ *skeintest.Server, s *skein.Session, _ *skeintest.Conn) error {
			return s.RemoveToken(ctx, skein.TokenOptions{})
		},
		"expired": func(_ context.Context, _ *skeintest.Server, _ *skein.Session, _ *skeintest.Conn) error {
			pass(68 * time.Second) // without a word of the client's
			return nil
		},
		"given up by the client": func(_ context.Context, _ *skeintest.Server, _ *skein.Session, c *skeintest.Conn) error {
			return c.Send(`{"event":"#removeAuthToken"}`)
		},
		"refused": func(_ context.Context, _ *skeintest.Server, _ *skein.Session, c *skeintest.Conn) error {
			return c.Send(`{"event":"#authenticate","data":"nonsense","cid":9}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := skein.Options{
					Tokens:    newTokens(t, auth.Options{}, testKey),
					Channels:  []skein.ChannelOptions{{Pattern: "vault/open"}, {Pattern: "vault/*", EndWithToken: true}},
					Endpoints: []skein.Endpoint{{Ping: skein.Ping{Interval: 8 * time.Second, Timeout: 5 * time.Minute}}},
				}
				srv := start(t, o, noSetup)
				c, s := open(t, srv, "/socketcluster/")
				if got := ask(t, c, `{"event":"#subscribe","data":{"channel":"vault/1"},"cid":2}`); !strings.Contains(got, `"name":"AuthError"`) {
					t.Errorf("got %s, want that it needs a token", got)
				}
				ask(t, c, fmt.Sprintf(`{"event":"#authenticate","data":%q,"cid":3}`, issue(map[string]any{"username": "ann", "exp": time.Now().Unix() + 60})))
				for _, channel := range []string{"vault/1", "vault/open", "hall"} {
					ask(t, c, `{"event":"#subscribe","data":{"channel":"`+channel+`"},"cid":4}`)
				}
				if err := s.SetToken(t.Context(), raw(fmt.Sprintf(`{"username":"ann","exp":%d}`, time.Now().Unix()+60)), skein.TokenOptions{}); err != nil {
					t.Fatal(err)
				}
				if got, want := fmt.Sprint(s.Channels()), "[hall vault/1 vault/open]"; got != want {
					t.Errorf("with another token: got %s, want %s", got, want)
				}
				if err := end(t.Context(), srv, s, c); err != nil {
					t.Fatal(err)
				}
				var heard []string
				for text := next(t, c); text != ""; text = next(t, c) {
					heard = append(heard, text)
				}
				if got, want := fmt.Sprint(s.Channels()), "[hall vault/open]"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				wantContains(t, strings.Join(heard, "\n"), kicked)
			})
		})
	}
}
