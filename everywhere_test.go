package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// crowd is one session on each node for each of the users, with the token id user-node.
type crowd struct {
	*group
	conns    map[string]*skeintest.Conn // by token id
	sessions map[string]*skein.Session
}

func newCrowd(t *testing.T, nodes int, users ...string) *crowd {
	t.Helper()
	c := &crowd{clustered(t, nodes, skein.Options{}, noSetup), map[string]*skeintest.Conn{}, map[string]*skein.Session{}}
	for i, srv := range c.nodes {
		for _, user := range users {
			conn, s := open(t, srv, "/socketcluster/")
			id := fmt.Sprintf("%s-%c", user, 'a'+i)
			if err := s.SetToken(t.Context(), map[string]string{"username": user, "jti": id}, skein.TokenOptions{}); err != nil {
				t.Fatal(err)
			}
			ask(t, conn, `{"event":"#subscribe","data":{"channel":"room"},"cid":2}`)
			next(t, conn)
			c.conns[id], c.sessions[id] = conn, s
		}
	}
	return c
}

// heard returns what each session has got, by token id; of tokens only that there was one.
func (c *crowd) heard(t *testing.T) map[string]string {
	t.Helper()
	said := map[string]string{}
	for id, conn := range c.conns {
		if text := next(t, conn); text != "" {
			if strings.HasPrefix(text, `{"event":"#setAuthToken"`) {
				text = "token " + string(c.sessions[id].Token().Claims)
			}
			said[id] = text
		}
	}
	return said
}

func TestSessionsAreActedOnWhereverTheyAre(t *testing.T) {
	t.Parallel()
	type result = map[string]string
	kicked := `{"event":"#kickOut","data":{"channel":"room","message":"enough"}}`
	removed := `{"event":"#removeAuthToken"}`
	for name, test := range map[string]struct {
		act  func(ctx context.Context, c *crowd) (int, error)
		want result
	}{
		"disconnect a user": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[0].Disconnect(ctx, skein.Target{User: "ann"}, 4500, "banned")
		}, result{"ann-a": `closed with 4500 "banned"`, "ann-b": `closed with 4500 "banned"`, "ann-c": `closed with 4500 "banned"`}},
		"disconnect a token": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[0].Disconnect(ctx, skein.Target{TokenID: "ann-b"}, 0, "")
		}, result{"ann-b": `closed with 1000 ""`}},
		"disconnect a session": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[0].Disconnect(ctx, skein.Target{Session: c.sessions["bob-c"].ID()}, 4501, "")
		}, result{"bob-c": `closed with 4501 ""`}},
		"disconnect nobody": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[0].Disconnect(ctx, skein.Target{User: "eve"}, 0, "")
		}, result{}},
		"kick a user": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[1].Kick(ctx, skein.Target{User: "bob"}, "room", "enough")
		}, result{"bob-a": kicked, "bob-b": kicked, "bob-c": kicked}},
		"kick out of another channel": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[1].Kick(ctx, skein.Target{User: "bob"}, "hall", "")
		}, result{}},
		"remove a user's token": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[2].RemoveToken(ctx, skein.Target{User: "ann"})
		}, result{"ann-a": removed, "ann-b": removed, "ann-c": removed}},
		"set a token": {func(ctx context.Context, c *crowd) (int, error) {
			return c.nodes[2].SetToken(ctx, skein.Target{TokenID: "ann-a"}, map[string]int{"level": 2, "iat": 1, "exp": 4e9})
		}, result{"ann-a": `token {"exp":4000000000,"iat":1,"level":2}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd(t, 3, "ann", "bob")
				n, err := test.act(t.Context(), c)
				if err != nil || n != len(test.want) {
					t.Errorf("got %d, %v, want %d", n, err, len(test.want))
				}
				if got := c.heard(t); fmt.Sprint(got) != fmt.Sprint(test.want) {
					t.Errorf("got %v\nwant %v", got, test.want)
				}
			})
		})
	}
}

func TestUserIsWhoTheClaimNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Rates: skein.SharedRates{UserClaim: "sub"}}, noSetup)
		for _, claims := range []string{
			`{"sub":"zoë \"z\""}`, `{"username":"zoë \"z\""}`, `{"sub":["zoë \"z\""]}`, `{"sub":"zoë","x":"zoë \"z\""}`, `{"sub":"\u007ao\u00eb \u0022z\u0022"}`,
		} {
			_, s := open(t, srv, "/socketcluster/")
			if err := s.SetToken(t.Context(), raw(claims), skein.TokenOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		open(t, srv, "/socketcluster/") // without a token
		if n, err := srv.Disconnect(t.Context(), skein.Target{User: `zoë "z"`}, 0, ""); n != 2 || err != nil {
			t.Errorf("got %d, %v, want the 2 whose sub it is", n, err)
		}
	})
}

func TestCountsAreThoseOfAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 3, "ann", "bob")
		ask(t, c.conns["ann-a"], `{"event":"#subscribe","data":{"channel":"room/2"},"cid":3}`)
		ask(t, c.conns["ann-b"], `{"event":"#subscribe","data":{"channel":"hall"},"cid":3}`)
		if n, err := c.nodes[0].CountSessions(t.Context()); n != 6 || err != nil {
			t.Errorf("sessions: got %d, %v, want 6", n, err)
		}
		for channel, want := range map[string]int{"room": 6, "hall": 1, "nowhere": 0} {
			if n, err := c.nodes[0].CountSubscribers(t.Context(), channel); n != want || err != nil {
				t.Errorf("%s: got %d, %v, want %d", channel, n, err, want)
			}
		}
		for _, test := range []struct {
			prefix string
			limit  int
			want   string
		}{
			{"", 0, "[{hall 1} {room 6} {room/2 1}]"},
			{"", 1, "[{hall 1}]"},
			{"", 20_000, "[{hall 1} {room 6} {room/2 1}]"},
			{"room", 0, "[{room 6} {room/2 1}]"},
			{"x", 5, "[]"},
		} {
			list, err := c.nodes[2].ListChannels(t.Context(), test.prefix, test.limit)
			if got := fmt.Sprint(list); got != test.want || err != nil {
				t.Errorf("%q, %d: got %v, %v, want %v", test.prefix, test.limit, got, err, test.want)
			}
		}
	})
}

// An answer between nodes has 512 KiB at most, and a channel's name may have 8 KiB.
func TestLongNamesAreListedPageByPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 2, skein.Options{}, noSetup)
		c, _ := open(t, g.nodes[1], "/socketcluster/")
		const channels = 200
		for i := range channels {
			name := fmt.Sprintf("%04d", i) + strings.Repeat("\u0001", 8000) // each costs six bytes in JSON
			ask(t, c, fmt.Sprintf(`{"event":"#subscribe","data":{"channel":"%s"},"cid":2}`, strings.ReplaceAll(name, "\u0001", `\u0001`)))
		}
		for _, limit := range []int{0, 100, channels + 1} {
			list, err := g.nodes[0].ListChannels(t.Context(), "", limit)
			if want := min(channels, limit+channels*max(0, 1-limit)); err != nil || len(list) != want {
				t.Errorf("limit %d: got %d channels, %v, want %d", limit, len(list), err, want)
			}
			if !slices.IsSortedFunc(list, func(a, b skein.ChannelInfo) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("limit %d: the list is not sorted", limit)
			}
		}
	})
}

func TestNodesThatDoNotAnswerAreNamedAndTheOthersCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 3, "ann")
		c.lines[1].Stall()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		list, err := c.nodes[0].ListChannels(ctx, "", 0)
		if !errors.Is(err, context.DeadlineExceeded) || fmt.Sprint(list) != "[{room 2}]" {
			t.Errorf("got %v, %v, want what the others have, and the deadline", list, err)
		}
		began := time.Now()
		n, err := c.nodes[0].Disconnect(t.Context(), skein.Target{User: "ann"}, 0, "")
		if n != 2 || err == nil || err.Error() != "node b: there was no answer for 5s" || time.Since(began) != 5*time.Second {
			t.Errorf("got %d, %v after %v, want 2 and that b has not answered for 5 s", n, err, time.Since(began))
		}
		var of *skein.NodeError
		if !errors.As(err, &of) || of.Node != "b" {
			t.Errorf("got %v, want an error of node b", err)
		}
		c.lines[1].Heal()
		if n, err := c.nodes[0].CountSessions(t.Context()); n != 1 || err != nil {
			t.Errorf("got %d, %v, want the one that is left", n, err)
		}
	})
}

func TestNodeThatDiesWhileItIsAskedIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 2, skein.Options{}, noSetup)
		g.lines[1].Stall()
		asked := make(chan error, 1)
		go func() {
			_, err := g.nodes[0].CountSessions(t.Context())
			asked <- err
		}()
		synctest.Wait()
		if err := g.nodes[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-asked; !errors.Is(err, engine.ErrNoMember) || !strings.HasPrefix(err.Error(), "node b: ") {
			t.Errorf("got %v, want that b is no member", err)
		}
	})
}

func TestWhatIsNotClearlyMeantIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, noSetup)
		ctx, ann := t.Context(), skein.Target{User: "ann"}
		for name, act := range map[string]func() (int, error){
			"a target is one session": func() (int, error) { return srv.Disconnect(ctx, skein.Target{}, 0, "") },
			"not 2 of them":           func() (int, error) { return srv.RemoveToken(ctx, skein.Target{User: "a", TokenID: "b"}) },
			"close code is 999":       func() (int, error) { return srv.Disconnect(ctx, ann, 999, "") },
			"close code is 5000":      func() (int, error) { return srv.Disconnect(ctx, ann, 5000, "") },
			"not a JSON object":       func() (int, error) { return srv.SetToken(ctx, ann, "ann") },
			"claims are not a JSON":   func() (int, error) { return srv.SetToken(ctx, ann, nil) },
		} {
			n, err := act()
			if e := new(skein.Error); n != 0 || !errors.As(err, &e) || e.Name != skein.NameInvalidArgument || e.Status != 400 || !strings.Contains(e.Message, name) {
				t.Errorf("%s: got %d, %v, want a refusal", name, n, err)
			}
		}
		if _, err := srv.SetToken(ctx, ann, func() {}); err == nil {
			t.Error("claims that cannot be encoded were set")
		}
		if err := srv.Close(ctx); err != nil {
			t.Fatal(err)
		}
		_, counted := srv.CountSessions(ctx)
		_, listed := srv.ListChannels(ctx, "", 0)
		if !errors.Is(counted, skein.ErrStopped) || !errors.Is(listed, skein.ErrStopped) {
			t.Errorf("got %v and %v, want %v", counted, listed, skein.ErrStopped)
		}
	})
}

// The operator's mistake must not cost the user the connection.
func TestTokenThatCannotBeSignedChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Endpoints: []skein.Endpoint{{}, {Path: "/names", AuthScheme: "names"}}}
		srv := start(t, o, func(h *skein.Host) { h.AuthScheme("names", plainNames{}) })
		for path, claims := range map[string]string{"/socketcluster/": `{"username":"ann"}`, "/names": `{"username":"ann","name":"ann"}`} {
			_, s := open(t, srv, path)
			if err := s.SetToken(t.Context(), raw(claims), skein.TokenOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for s := range srv.Sessions() {
			if s.Endpoint() == "/names" {
				n, err := srv.SetToken(t.Context(), skein.Target{Session: s.ID()}, map[string]string{"username": "bob"})
				if n != 0 || err == nil || !strings.Contains(err.Error(), "session "+s.ID()+": no name") {
					t.Errorf("got %d, %v, want that it has no name", n, err)
				}
				if !s.Open() || s.Token() == nil {
					t.Error("the session has lost its token")
				}
			}
		}
	})
}

// older is a node that knows nothing of what is asked.
type older struct{ *skeintest.Line }

func (o older) Attach(n engine.Node) {
	serve := n.Serve
	n.Serve = func(ctx context.Context, from, topic string, data []byte) ([]byte, error) {
		if topic == "garbage" {
			return []byte("garbage"), nil
		}
		return serve(ctx, from, "older-"+topic, data)
	}
	o.Line.Attach(n)
}

func TestNodeOfAnotherVersionSaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		srv := start(t, skein.Options{Node: "a", Engine: engines[0]}, noSetup)
		start(t, skein.Options{Node: "b", Version: "0.9", Engine: older{engines[1].(*skeintest.Line)}}, noSetup)
		open(t, srv, "/socketcluster/")
		n, err := srv.CountSessions(t.Context())
		if want := `node b: it is version "0.9" and does not know the question "older-sessions"`; n != 1 || err == nil || err.Error() != want {
			t.Errorf("got %d, %v, want 1 and %s", n, err, want)
		}
		if out, err := engines[0].(*skeintest.Line).Call(t.Context(), "b", "channels", []byte("{")); err == nil || !strings.Contains(err.Error(), "malformed") {
			t.Errorf("got %s, %v, want that the question is malformed", out, err)
		}
	})
}

// fragile verifies everything, and panics when it shall sign.
type fragile struct{}

func (fragile) Verify(context.Context, string) (*skein.Token, error) {
	return &skein.Token{Claims: json.RawMessage(`{}`)}, nil
}

func (fragile) Sign(context.Context, json.RawMessage, time.Duration) (*skein.Token, error) {
	panic("a bug")
}

func TestPanicOfASchemeCostsAnAnswerAndNoNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var nodes []*skeintest.Server
		for i, e := range skeintest.Link(2) {
			o := skein.Options{Node: string(rune('a' + i)), Engine: e, Endpoints: []skein.Endpoint{{AuthScheme: "fragile"}}}
			nodes = append(nodes, start(t, o, func(h *skein.Host) { h.AuthScheme("fragile", fragile{}) }))
		}
		for _, at := range nodes {
			_, s := open(t, at, "/socketcluster/")
			n, err := nodes[0].SetToken(t.Context(), skein.Target{Session: s.ID()}, map[string]string{"username": "x"})
			if n != 0 || err == nil || !strings.Contains(err.Error(), "a plugin failed") {
				t.Errorf("got %d, %v, want that a plugin has failed", n, err)
			}
			if got := at.Stats().Panics; got != 1 {
				t.Errorf("got %d panics counted, want 1", got)
			}
		}
	})
}
