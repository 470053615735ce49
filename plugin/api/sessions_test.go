package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/skeintest"
)

// pair is two nodes, a with the API and b, with a session of ann on each. Both are in "room", the one on b in "hall" too.
type pair struct {
	a, b *skeintest.Server
	line *skeintest.Line // of b
	anns []*client.Client
	ends []chan string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	engines := skeintest.Link(2)
	p := &pair{
		a:    skeintest.Start(t, skein.Options{Node: "a", Version: "1.2.3", Engine: engines[0]}, api.New()),
		b:    skeintest.Start(t, skein.Options{Node: "b", Version: "1.2.3", Engine: engines[1]}),
		line: engines[1].(*skeintest.Line),
	}
	for i, srv := range []*skeintest.Server{p.a, p.b} {
		end := make(chan string, 1)
		c := srv.Dial(t, client.Options{Reconnect: client.Backoff{Off: true}})
		synctest.Wait() // until the session can be found
		go func() {
			<-c.Done()
			end <- c.Err().Error()
		}()
		p.anns, p.ends = append(p.anns, c), append(p.ends, end)
		for s := range srv.Sessions() {
			claims := map[string]string{"username": "ann", "jti": string(rune('a' + i))}
			if err := s.SetToken(t.Context(), claims, skein.TokenOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, channel := range []string{"room", "hall"}[:i+1] {
			if _, err := c.Subscribe(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

// tokens lists the claims that the sessions have.
func (p *pair) tokens() (list []string) {
	for _, srv := range []*skeintest.Server{p.a, p.b} {
		for s := range srv.Sessions() {
			text := "none"
			var claims struct{ Username, Role string }
			if token := s.Token(); token != nil && token.Decode(&claims) == nil {
				text = claims.Username + claims.Role
			}
			list = append(list, text)
		}
	}
	return list
}

func post(path, body string) call { return call{method: http.MethodPost, path: path, body: body} }
func get(path string) call        { return call{method: http.MethodGet, path: path} }

func TestRequestsConcernAllNodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		call
		want string
	}{
		{get("/api/sessions"), `{"sessions":2}`},
		{get("/api/channels"), `{"channels":[{"name":"hall","subscribers":1},{"name":"room","subscribers":2}]}`},
		{get("/api/channels?prefix=h&limit=1"), `{"channels":[{"name":"hall","subscribers":1}]}`},
		{get("/api/channels?prefix=x"), `{"channels":[]}`},
		{get("/api/channels/room"), `{"name":"room","subscribers":2}`},
		{post("/api/kick", `{"user":"ann","channel":"room"}`), `{"sessions":2}`},
		{post("/api/kick", `{"user":"ann","channel":"hall","message":"closed"}`), `{"sessions":1}`},
		{post("/api/kick", `{"tokenId":"b","channel":"room"}`), `{"sessions":1}`},
		{post("/api/kick", `{"user":"ann","channel":""}`), `{"sessions":0}`},
		{post("/api/disconnect", `{"user":"ann","code":4500,"reason":"banned"}`), `{"sessions":2}`},
		{post("/api/disconnect", `{"session":"nobody"}`), `{"sessions":0}`},
		{post("/api/remove-token", `{"user":"ann"}`), `{"sessions":2}`},
		{post("/api/set-token", `{"tokenId":"b","claims":{"username":"ann"}}`), `{"sessions":1}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			if a := c.do(t, newPair(t).a); a.status != http.StatusOK || a.text != c.want {
				t.Errorf("%s %s: got %d %s, want 200 %s", c.path, c.body, a.status, a.text, c.want)
			}
		})
	}
}

func TestDisconnectedClientsAreToldWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		post("/api/disconnect", `{"user":"ann","code":4500,"reason":"banned"}`).do(t, p.a)
		for i, end := range p.ends {
			if got := <-end; !strings.Contains(got, "4500") || !strings.Contains(got, "banned") {
				t.Errorf("client %d: got %q, want the code and the reason", i, got)
			}
		}
	})
}

func TestTokensAreSetAndRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		for _, step := range []struct {
			call call
			want []string
		}{
			{post("/api/set-token", `{"user":"ann","claims":{"username":"ann","role":" host"}}`), []string{"ann host", "ann host"}},
			{post("/api/remove-token", `{"user":"ann"}`), []string{"none", "none"}},
			{post("/api/set-token", `{"user":"ann","claims":{"username":"bob"}}`), []string{"none", "none"}},
		} {
			step.call.do(t, p.a)
			if diff := cmp.Diff(step.want, p.tokens()); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", step.call.path, step.call.body, diff)
			}
		}
	})
}

func TestNodesAreListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		began := time.Now()
		<-time.After(10 * time.Second)
		var got struct{ Nodes []map[string]any }
		if err := json.Unmarshal([]byte(get("/api/nodes").do(t, p.a).text), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Nodes) != 2 {
			t.Fatalf("got %v, want two nodes", got.Nodes)
		}
		want := map[string]any{
			"name": "b", "version": "1.2.3", "state": "serving", "local": false,
			"started": began.Format(time.RFC3339), "uptime": 10.0, "seen": time.Now().Format(time.RFC3339), "lag": 1.0,
			"connections": 1.0, "sessions": 1.0, "channels": 2.0, "published": 0.0, "delivered": 0.0, "publishRate": 0.0, "deliverRate": 0.0, "gaps": 0.0,
		}
		if diff := cmp.Diff(want, got.Nodes[1]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got.Nodes[0]["name"] != "a" || got.Nodes[0]["local"] != true {
			t.Errorf("got %v, want the node itself", got.Nodes[0])
		}
	})
}

func TestNodesThatDoNotAnswerAreToldWithWhatTheOthersDid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		call
		done string
	}{
		{get("/api/sessions"), `"sessions":1`},
		{get("/api/channels"), `"channels":[{"name":"room","subscribers":1}]`},
		{get("/api/channels/room"), `"subscribers":1`},
		{post("/api/disconnect", `{"user":"ann"}`), `"sessions":1`},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t)
			p.line.Stall()
			a := c.do(t, p.a)
			const why = "node b: there was no answer for 5s"
			if a.status != http.StatusServiceUnavailable || a.Error.Name != "NodeError" || a.Error.Message != why || a.Failed["b"].Message != why || !strings.Contains(a.text, c.done) {
				t.Errorf("%s: got %d %s, want 503 that names b, and %s", c.path, a.status, a.text, c.done)
			}
		})
	}
}

func TestMalformedOrderIsToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	for _, c := range []struct {
		call
		status int
		want   string
	}{
		{post("/api/disconnect", ``), 400, `send {"user": …, "code": …, "reason": …}`},
		{post("/api/disconnect", `{}`), 400, "one session, one user or one token id"},
		{post("/api/disconnect", `{"user":"a","session":"b"}`), 400, "not 2 of them"},
		{post("/api/disconnect", `{"user":"a","code":1}`), 400, "the close code is 1"},
		{post("/api/disconnect", `{"user":5}`), 400, "user is a number"},
		{post("/api/disconnect", `{"name":"a"}`), 400, `unknown field "name"`},
		{post("/api/kick", `{"user":"a"}`), 400, `"channel" is missing`},
		{post("/api/kick", `{"channel":"a"}`), 400, "a target is"},
		{post("/api/set-token", `{"user":"a"}`), 400, "the claims are not a JSON object"},
		{post("/api/set-token", `{"user":"a","claims":[]}`), 400, "the claims are not a JSON object"},
		{post("/api/set-token", `{"claims":{}}`), 400, "a target is"},
		{post("/api/remove-token", `[]`), 400, "the body is an array"},
		{post("/api/revocations", `{}`), 400, "a user, a token id, or a time"},
		{post("/api/revocations", ``), 400, `send {"user": …}, {"tokenId": …} or {"before": …}`},
		{post("/api/revocations", `{"user":"a","tokenId":"b"}`), 400, "not about both"},
		{post("/api/revocations", `{"user":"a","at":"now"}`), 400, `unknown field "at"`},
		{post("/api/revocations", `{"before":"yesterday"}`), 400, `"before" is "yesterday": send a time as 2026-01-02T03:04:05Z`},
		{post("/api/revocations", `{"before":"2999-01-01T00:00:00Z"}`), 400, "is to come"},
		{post("/api/revocations", `{"user":"a","until":"1999-01-01T00:00:00Z"}`), 400, "over at once"},
		{call{method: http.MethodDelete, path: "/api/revocations"}, 400, "give one of user, tokenId and all=true"},
		{call{method: http.MethodDelete, path: "/api/revocations?user=a&all=true"}, 400, "give one of"},
		{call{method: http.MethodDelete, path: "/api/revocations?user=a"}, 404, "there is no such revocation"},
		{call{method: http.MethodPut, path: "/api/revocations"}, 405, "takes DELETE, GET, POST"},
		{get("/api/kick"), 405, "takes POST"},
		{post("/api/nodes", `{}`), 405, "takes GET"},
	} {
		a := c.do(t, srv)
		if a.status != c.status || a.Error.Name == "" || !strings.Contains(a.Error.Message, c.want) {
			t.Errorf("%s %s: got %d %s, want %d with %q", c.path, c.body, a.status, a.text, c.status, c.want)
		}
	}
}

// A token that may publish everywhere must not be enough to give oneself another token.
func TestOrdersTakeAKey(t *testing.T) {
	t.Parallel()
	secret, err := auth.NewHMAC([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{secret}})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(claims string) string {
		signed, err := tokens.Sign(json.RawMessage(claims), auth.SignOptions{Expiry: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	srv := skeintest.Start(t, skein.Options{Tokens: tokens}, &api.Plugin{Keys: []string{key}})
	orders := []call{
		post("/api/disconnect", `{"user":"a"}`), post("/api/kick", `{"user":"a","channel":"x"}`),
		post("/api/set-token", `{"user":"a","claims":{}}`), post("/api/remove-token", `{"user":"a"}`),
		post("/api/revocations", `{"user":"a"}`), get("/api/revocations"),
		{method: http.MethodDelete, path: "/api/revocations?user=a"},
	}
	looks := []call{get("/api/nodes"), get("/api/sessions"), get("/api/channels"), get("/api/channels/x")}
	for _, c := range []struct {
		shown         string
		orders, looks int
	}{
		{key, 200, 200},
		{sign(`{"publish":true}`), 403, 200},
		{sign(`{"publish":["*"]}`), 403, 403},
		{"nonsense", 401, 401},
	} {
		for _, kind := range []struct {
			calls []call
			want  int
		}{{orders, c.orders}, {looks, c.looks}} {
			for _, one := range kind.calls {
				a := one.from(outside, "skein.example").with("Authorization", "Bearer "+c.shown).do(t, srv)
				if a.status != kind.want || (a.status != 200) != (a.Error.Name == skein.NameAuth) {
					t.Errorf("%.20s, %s: got %d %s, want %d", c.shown, one.path, a.status, a.text, kind.want)
				}
			}
		}
	}
}
