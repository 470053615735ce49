package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/skeintest"
)

// guarded starts n nodes that have the same key.
func guarded(t *testing.T, n int, o skein.Options, fn setup) *group {
	t.Helper()
	o.Tokens = newTokens(t, auth.Options{}, testKey)
	return clustered(t, n, o, fn)
}

// issue signs a token now.
func issue(claims map[string]any) string {
	if _, dated := claims["iat"]; !dated {
		claims["iat"] = time.Now().Unix()
	}
	return mint("HS256", testKey, claims)
}

// of is a token of a user that is issued now.
func of(user string) string { return issue(map[string]any{"username": user}) }

// enter opens a session with a token and returns what the handshake says.
func enter(t *testing.T, srv *skeintest.Server, token string) (*skeintest.Conn, string) {
	t.Helper()
	c := srv.Conn(t, "/socketcluster/", nil)
	return c, ask(t, c, fmt.Sprintf(`{"event":"#handshake","data":{"authToken":%q},"cid":1}`, token))
}

// judged is what a node says to a token, in the handshake, in #authenticate, and by Verify.
func judged(t *testing.T, srv *skeintest.Server, token string) string {
	t.Helper()
	c, hello := enter(t, srv, token)
	defer c.Terminate()
	said := map[string]bool{}
	note := func(text string) {
		switch {
		case strings.Contains(text, "AuthTokenRevokedError") && strings.Contains(text, `"isBadToken":true`):
			said["revoked"] = true
			if got := next(t, c); got != `{"event":"#removeAuthToken"}` {
				t.Errorf("got %s, want that the client forgets the token", got)
			}
		case strings.Contains(text, `"isAuthenticated":true`):
			said["good"] = true
		default:
			said[text] = true
		}
	}
	note(hello)
	note(ask(t, c, fmt.Sprintf(`{"event":"#authenticate","data":%q,"cid":2}`, token)))
	switch _, err := srv.Verify(t.Context(), token); {
	case errors.Is(err, &skein.Error{Name: skein.NameTokenRevoked}):
		said["revoked"] = true
	case err == nil:
		said["good"] = true
	default:
		said[err.Error()] = true
	}
	var all []string
	for text := range said {
		all = append(all, text)
	}
	return strings.Join(all, " and ")
}

// checkAll checks what every node says to a token.
func checkAll(t *testing.T, nodes []*skeintest.Server, name, token, want string) {
	t.Helper()
	for _, srv := range nodes {
		if got := judged(t, srv, token); got != want {
			t.Errorf("%s at node %s: got %s, want %s", name, srv.Node(), got, want)
		}
	}
}

func revoke(t *testing.T, srv *skeintest.Server, r skein.Revocation) int {
	t.Helper()
	n, err := srv.Revoke(t.Context(), r)
	if err != nil {
		t.Errorf("revoke %+v: %v", r, err)
	}
	return n
}

func TestRevokedTokensAreTakenAndRefusedOnAllNodes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		revoke  func(at time.Time) skein.Revocation
		revoked string // of the tokens below
		after   string // a token of ann that is issued a second later
	}{
		"user":       {func(time.Time) skein.Revocation { return skein.Revocation{User: "ann"} }, "ann ann2 undated", "good"},
		"number":     {func(time.Time) skein.Revocation { return skein.Revocation{User: "42"} }, "number", "good"},
		"token id":   {func(time.Time) skein.Revocation { return skein.Revocation{TokenID: "t2"} }, "ann2", "good"},
		"time":       {func(at time.Time) skein.Revocation { return skein.Revocation{Before: at} }, "ann ann2 bob number undated nobody", "good"},
		"older ones": {func(at time.Time) skein.Revocation { return skein.Revocation{Before: at.Add(-5 * time.Second)} }, "bob undated", "good"},
		"user, older": {func(at time.Time) skein.Revocation {
			return skein.Revocation{User: "ann", Before: at.Add(-5 * time.Second)}
		}, "undated", "good"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := guarded(t, 3, skein.Options{}, noSetup)
				pass(10 * time.Second)
				tokens := map[string]string{
					"ann": of("ann"), "ann2": issue(map[string]any{"username": "ann", "jti": "t2"}),
					"bob":    issue(map[string]any{"username": "bob", "iat": time.Now().Unix() - 10}),
					"number": issue(map[string]any{"username": 42}), "nobody": issue(map[string]any{}),
					"undated": mint("HS256", testKey, map[string]any{"username": "ann"}),
				}
				conns := map[string]*skeintest.Conn{}
				for who, token := range tokens {
					for _, srv := range g.nodes {
						c, hello := enter(t, srv, token)
						wantContains(t, hello, `"isAuthenticated":true`)
						conns[who+"/"+srv.Node()] = c
					}
				}
				pass(500 * time.Millisecond)
				revoked := map[string]bool{}
				for who := range strings.FieldsSeq(test.revoked) {
					revoked[who] = true
				}
				if got, want := revoke(t, g.nodes[1], test.revoke(time.Now())), 3*len(revoked); got != want {
					t.Errorf("got %d sessions, want %d", got, want)
				}
				for key, c := range conns {
					who, _, _ := strings.Cut(key, "/")
					want := ""
					if revoked[who] {
						want = `{"event":"#removeAuthToken"}`
					}
					if got := next(t, c); got != want {
						t.Errorf("%s: got %q, want %q", key, got, want)
					}
				}
				checkTokens(t, g.nodes, tokens, revoked)
				pass(time.Second)
				checkAll(t, g.nodes, "a new token", of("ann"), test.after)
			})
		})
	}
}

// checkTokens checks that the revoked ones are refused everywhere, and no others.
func checkTokens(t *testing.T, nodes []*skeintest.Server, tokens map[string]string, revoked map[string]bool) {
	t.Helper()
	for who, token := range tokens {
		want := "good"
		if revoked[who] {
			want = "revoked"
		}
		checkAll(t, nodes, who, token, want)
	}
}

func TestRevocationMayCloseSessionsAndClosesRawConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 2, skein.Options{}, func(h *skein.Host) {
			skein.HandleMessages(h, "/raw", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil },
				skein.RawOptions{Authorize: func(ctx context.Context, r *http.Request) (*skein.Token, error) {
					return h.Server().Verify(ctx, r.URL.Query().Get("token"))
				}})
		})
		ann, bob := of("ann"), of("bob")
		session, _ := enter(t, g.nodes[1], ann)
		raw := g.nodes[1].Conn(t, "/raw?token="+ann, nil)
		other := g.nodes[1].Conn(t, "/raw?token="+bob, nil)
		if n := revoke(t, g.nodes[0], skein.Revocation{User: "ann", Disconnect: true}); n != 2 {
			t.Errorf("got %d, want the session and the raw connection", n)
		}
		for _, c := range []*skeintest.Conn{session, raw} {
			if got, want := next(t, c), `closed with 4500 "the token is revoked"`; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := ask(t, other, `1`); got != "1" {
			t.Errorf("got %q, want that others go on", got)
		}
		if n := revoke(t, g.nodes[0], skein.Revocation{User: "bob"}); n != 1 {
			t.Errorf("got %d, want bob's raw connection, which cannot be told otherwise", n)
		}
	})
}

func TestNodesThatComeLaterKnowWhatIsRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Tokens: newTokens(t, auth.Options{}, testKey)}
		g := &group{}
		for _, e := range skeintest.Link(3) {
			g.lines = append(g.lines, e.(*skeintest.Line))
		}
		g.start(t, 0, o, noSetup)
		g.start(t, 1, o, noSetup)
		ann := of("ann")
		many := strings.Repeat("x", 900) // several pages of them
		for i := range 600 {
			revoke(t, g.nodes[0], skein.Revocation{TokenID: fmt.Sprint(many, i)})
		}
		revoke(t, g.nodes[0], skein.Revocation{User: "ann"})
		if err := g.nodes[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.start(t, 2, o, noSetup)
		if got := len(g.nodes[2].Revocations()); got != 601 {
			t.Errorf("got %d revocations, want all 601", got)
		}
		checkAll(t, g.nodes[2:], "ann's token", ann, "revoked")
	})
}

func TestWhatIsRevokedOnBothSidesOfACutHoldsEverywhereAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 3, skein.Options{}, noSetup)
		ann, bob, eve := of("ann"), of("bob"), of("eve")
		sessions := map[string]*skeintest.Conn{}
		for who, at := range map[string]int{ann: 2, bob: 0, eve: 1} {
			sessions[who], _ = enter(t, g.nodes[at], who)
		}
		g.lines[2].Cut()
		revoke(t, g.nodes[0], skein.Revocation{User: "ann"})
		revoke(t, g.nodes[2], skein.Revocation{User: "bob"})
		checkAll(t, g.nodes[:2], "ann", ann, "revoked")
		checkAll(t, g.nodes[2:], "ann on the other side", ann, "good")
		g.lines[2].Heal()
		synctest.Wait()
		checkAll(t, g.nodes, "ann", ann, "revoked")
		checkAll(t, g.nodes, "bob", bob, "revoked")
		checkAll(t, g.nodes, "eve", eve, "good")
		for who, want := range map[string]string{ann: `{"event":"#removeAuthToken"}`, bob: `{"event":"#removeAuthToken"}`, eve: ""} {
			if got := next(t, sessions[who]); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestNodeThatWasTooBusyToBeToldLearnsItSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 2, skein.Options{}, noSetup)
		ann := of("ann")
		g.lines[1].Stall()
		_, err := g.nodes[0].Revoke(t.Context(), skein.Revocation{User: "ann"})
		var of *skein.NodeError
		if !errors.As(err, &of) || of.Node != "b" {
			t.Errorf("got %v, want that b has not answered", err)
		}
		g.lines[1].Heal()
		pass(5 * time.Second)
		checkAll(t, g.nodes, "ann", ann, "revoked")
	})
}

// Whatever lies between a token's being verified and its being the session's, a revocation that comes in between counts.
func TestHandshakeInFlightDoesNotSlipThrough(t *testing.T) {
	t.Parallel()
	for name, packet := range map[string]string{
		"handshake":    `{"event":"#handshake","data":{"authToken":%q},"cid":1}`,
		"authenticate": `{"event":"#authenticate","data":%q,"cid":2}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asked, decide := make(chan struct{}), make(chan struct{})
				g := guarded(t, 2, skein.Options{}, func(h *skein.Host) {
					h.OnAuthenticate(func(context.Context, *skein.Event) error {
						close(asked)
						<-decide
						return nil
					})
				})
				c := g.nodes[1].Conn(t, "/socketcluster/", nil)
				if name != "handshake" {
					ask(t, c, `{"event":"#handshake","data":{},"cid":1}`)
				}
				if err := c.Send(fmt.Sprintf(packet, of("ann"))); err != nil {
					t.Fatal(err)
				}
				<-asked
				if n := revoke(t, g.nodes[0], skein.Revocation{User: "ann"}); n != 0 {
					t.Errorf("got %d sessions, want none that has the token yet", n)
				}
				close(decide)
				var heard []string
				for text := next(t, c); text != ""; text = next(t, c) {
					heard = append(heard, text)
				}
				if last := heard[len(heard)-1]; last != `{"event":"#removeAuthToken"}` {
					t.Errorf("got %q, want that the token is taken at last", heard)
				}
				for s := range g.nodes[1].Sessions() {
					if s.Token() != nil {
						t.Error("the session has kept the revoked token")
					}
				}
			})
		})
	}
}

// With the race detector and many tries: whichever of the two is first, no session keeps the token.
func TestRevokingRacesWithComing(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			g := guarded(t, 2, skein.Options{}, noSetup)
			token := of("ann")
			var conns []*skeintest.Conn
			for range 10 {
				conns = append(conns, g.nodes[1].Conn(t, "/socketcluster/", nil))
			}
			come := func() {
				for _, c := range conns {
					_ = c.Send(fmt.Sprintf(`{"event":"#handshake","data":{"authToken":%q},"cid":1}`, token))
				}
			}
			go come()
			revoke(t, g.nodes[round%2], skein.Revocation{User: "ann"})
			synctest.Wait()
			for s := range g.nodes[1].Sessions() {
				if s.Token() != nil {
					t.Fatal("a session has kept the revoked token")
				}
			}
		})
	}
}

func TestWhoLogsInAgainAtOnceHasAGoodToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 2, skein.Options{}, noSetup)
		pass(300 * time.Millisecond) // within a second, as times of issue cannot say
		c, s := open(t, g.nodes[0], "/socketcluster/")
		revoke(t, g.nodes[1], skein.Revocation{User: "ann"})
		if err := s.SetToken(t.Context(), raw(`{"username":"ann"}`), skein.TokenOptions{}); err != nil {
			t.Fatal(err)
		}
		wantContains(t, next(t, c), "#setAuthToken")
		if got := next(t, c); got != "" || s.Token() == nil {
			t.Fatalf("got %s, want that the token stays", got)
		}
		checkAll(t, g.nodes, "the new token", s.Token().Signed, "good")

		before := s.Token()
		revoke(t, g.nodes[1], skein.Revocation{TokenID: "t1"})
		for _, claims := range []string{`{"username":"bob","jti":"t1"}`, `{"username":"ann","iat":1}`} {
			err := s.SetToken(t.Context(), raw(claims), skein.TokenOptions{})
			if !errors.Is(err, &skein.Error{Name: skein.NameTokenRevoked}) {
				t.Errorf("%s: got %v, want that it is revoked", claims, err)
			}
		}
		if s.Token() != before || !s.Open() {
			t.Error("a token that is revoked already has changed something")
		}
	})
}

func TestRevocationIsLiftedOnAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 3, skein.Options{}, noSetup)
		ann := of("ann")
		revoke(t, g.nodes[0], skein.Revocation{User: "ann"})
		synctest.Wait() // else an answer that is on its way may pass the cut
		g.lines[2].Cut()
		if err := g.nodes[1].Unrevoke(t.Context(), skein.Revocation{User: "ann"}); err != nil {
			t.Fatal(err)
		}
		checkAll(t, g.nodes[:2], "ann", ann, "good")
		checkAll(t, g.nodes[2:], "ann behind the cut", ann, "revoked")
		g.lines[2].Heal()
		synctest.Wait()
		checkAll(t, g.nodes, "ann", ann, "good")
		if got := g.nodes[2].Revocations(); len(got) != 0 {
			t.Errorf("got %+v, want none", got)
		}
		err := g.nodes[0].Unrevoke(t.Context(), skein.Revocation{User: "ann"})
		if e := new(skein.Error); !errors.As(err, &e) || e.Status != 404 {
			t.Errorf("got %v, want that there is none", err)
		}
		pass(2 * time.Second) // revoked anew, it is revoked
		revoke(t, g.nodes[2], skein.Revocation{User: "ann"})
		checkAll(t, g.nodes, "ann", ann, "revoked")
	})
}

func TestRevocationEndsWhenItsTokensHave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens := newTokens(t, auth.Options{MaxLifetime: time.Hour, Leeway: time.Minute}, testKey)
		g := clustered(t, 2, skein.Options{Tokens: tokens}, noSetup)
		began := time.Now()
		revoke(t, g.nodes[0], skein.Revocation{User: "ann"})
		revoke(t, g.nodes[0], skein.Revocation{TokenID: "t1", Until: began.Add(time.Minute)})
		list := g.nodes[1].Revocations()
		if len(list) != 2 || !list[1].Until.Equal(began.Add(time.Hour+8*time.Minute)) || !list[1].At.Equal(began) || !list[1].Before.Equal(began.Add(time.Second)) {
			t.Errorf("got %+v, want ann's until all her tokens have expired", list)
		}
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{59 * time.Second, 2}, {time.Second, 1}, {time.Hour, 1}, {6 * time.Minute, 1}, {time.Minute, 0}} {
			pass(step.wait)
			for _, srv := range g.nodes {
				if got := len(srv.Revocations()); got != step.want {
					t.Errorf("after %v: got %d, want %d", time.Since(began), got, step.want)
				}
			}
		}
		pass(10 * time.Second)
		if got := g.nodes[0].Nodes()[1].Revocations; got != "" {
			t.Errorf("got the digest %q, want that nothing is left", got)
		}
	})
}

func TestTooManyRevocationsAreRefusedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guarded(t, 2, skein.Options{Revocations: skein.Revocations{Max: 2}}, noSetup)
		revoke(t, g.nodes[0], skein.Revocation{User: "ann"})
		revoke(t, g.nodes[1], skein.Revocation{User: "bob", Until: time.Now().Add(time.Minute)})
		revoke(t, g.nodes[1], skein.Revocation{User: "bob", Until: time.Now().Add(time.Minute)}) // in the place of the one before
		for _, srv := range g.nodes {
			n, err := srv.Revoke(t.Context(), skein.Revocation{User: "eve"})
			if e := new(skein.Error); n != 0 || !errors.As(err, &e) || e.Name != skein.NameRevocations || e.Status != 507 {
				t.Errorf("got %d, %v, want %s", n, err, skein.NameRevocations)
			}
			if got := figure(srv, "revocations_refused_total"); got != 1 {
				t.Errorf("got %v counted, want 1", got)
			}
		}
		checkAll(t, g.nodes, "eve", of("eve"), "good")
		pass(time.Minute)
		revoke(t, g.nodes[0], skein.Revocation{User: "eve"})
		if got := figure(g.nodes[1], "revocations"); got != 2 {
			t.Errorf("got %v revocations, want 2", got)
		}
	})
}

// figure is a metric's value.
func figure(srv *skeintest.Server, name string) float64 {
	for _, m := range srv.Metrics() {
		if m.Name == name {
			return m.Value
		}
	}
	return -1
}

func TestRevocationThatIsNotClearlyMeantIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, noSetup)
		now, long := time.Now(), strings.Repeat("x", 1025)
		for want, r := range map[string]skein.Revocation{
			"not about both":             {User: "a", TokenID: "b"},
			"may have 1024 bytes":        {User: long},
			"have 1024 bytes":            {TokenID: long},
			"a token id has no time":     {TokenID: "t", Before: now},
			"a user, a token id, or":     {},
			"is to come":                 {Before: now.Add(time.Second)},
			"would be over at once":      {User: "a", Until: now},
			"must be of the years 1 to":  {User: "a", Until: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -5*3600))},
			"of the years 1 to 9999":     {User: "a", Before: time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))},
			"not issued yet cannot be":   {User: "a", Before: now.Add(time.Hour)},
			"a revocation is about a us": {Disconnect: true},
		} {
			n, err := srv.Revoke(t.Context(), r)
			if e := new(skein.Error); n != 0 || !errors.As(err, &e) || e.Status != 400 || !strings.Contains(e.Message, want) {
				t.Errorf("%s: got %d, %v", want, n, err)
			}
		}
		if err := srv.Unrevoke(t.Context(), skein.Revocation{User: "a", TokenID: "b"}); err == nil {
			t.Error("lifted what was not clearly meant")
		}
		if got := srv.Revocations(); len(got) != 0 {
			t.Errorf("got %+v, want none", got)
		}
		if err := srv.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := srv.Revoke(t.Context(), skein.Revocation{User: "a"})
		if lifting := srv.Unrevoke(t.Context(), skein.Revocation{User: "a"}); !errors.Is(err, skein.ErrStopped) || !errors.Is(lifting, skein.ErrStopped) {
			t.Errorf("got %v and %v, want %v", err, lifting, skein.ErrStopped)
		}
	})
}

// A node that lies must not be believed, nor cost this one more than an answer.
func TestMalformedRevocationsChangeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		srv := start(t, skein.Options{Node: "a", Engine: engines[0]}, noSetup)
		line := engines[1].(*skeintest.Line)
		start(t, skein.Options{Node: "b", Engine: line}, noSetup)
		for _, question := range []string{`{`, `{"records":[]}`, `{}`, `{"records":[{"user":7}]}`} {
			_, _ = line.Call(t.Context(), "a", "revoke", []byte(question)) // it may be an error
		}
		if got := srv.Revocations(); len(got) != 0 {
			t.Errorf("got %+v, want none", got)
		}
		if got := srv.Stats().Panics; got != 0 {
			t.Errorf("got %d panics", got)
		}
	})
}
