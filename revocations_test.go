package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// A token that lives too long must not become good in the end, when its revocation is forgotten.
func TestTokenThatLivesTooLongIsRefusedForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Tokens: newTokens(t, auth.Options{MaxLifetime: 2 * time.Second}, testKey)}, noSetup)
		now := time.Now()
		token := issue(map[string]any{"jti": "t1", "exp": now.Unix() + 1000})
		ahead := issue(map[string]any{"jti": "t2", "iat": now.Unix() + 299, "exp": now.Unix() + 301})
		checkAll(t, []*skeintest.Server{srv}, "one within the bound", ahead, "good")
		for _, id := range []string{"t1", "t2"} {
			revoke(t, srv, skein.Revocation{TokenID: id})
		}
		for range 1010 {
			for _, one := range []string{token, ahead} {
				if _, err := srv.Verify(t.Context(), one); err == nil {
					t.Fatalf("after %v a revoked token is good", time.Since(now))
				}
			}
			pass(time.Second)
		}
		if got := srv.Revocations(); len(got) != 0 {
			t.Errorf("got %+v, want that they are forgotten by now", got)
		}
	})
}

// Whoever dates his tokens ahead, as an issuer whose clock is, must not keep them.
func TestTokenThatIsDatedAheadIsTakenFromWhoHoldsIt(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]func() skein.Revocation{
		"user":   func() skein.Revocation { return skein.Revocation{User: "ann"} },
		"before": func() skein.Revocation { return skein.Revocation{Before: time.Now()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := guarded(t, 2, skein.Options{}, func(h *skein.Host) {
					h.HandleWS("/raw", echo, skein.RawOptions{Authorize: func(_ context.Context, r *http.Request) (*skein.Token, error) {
						return &skein.Token{Claims: json.RawMessage(r.URL.Query().Get("claims"))}, nil // not of Verify
					}})
				})
				pass(500 * time.Millisecond)
				iat := time.Now().Unix() + 240
				token := issue(map[string]any{"username": "ann", "iat": iat})
				held, hello := enter(t, g.nodes[1], token)
				wantContains(t, hello, `"isAuthenticated":true`)
				conn := g.nodes[1].Conn(t, fmt.Sprintf(`/raw?claims={"username":"ann","iat":%d}`, iat), nil)
				c, s := open(t, g.nodes[1], "/socketcluster/")
				if err := s.SetToken(t.Context(), raw(fmt.Sprintf(`{"username":"ann","iat":%d}`, iat)), skein.TokenOptions{}); err != nil {
					t.Fatal(err)
				}
				wantContains(t, next(t, c), "#setAuthToken")
				pass(100 * time.Millisecond)
				if n := revoke(t, g.nodes[0], r()); n != 3 {
					t.Errorf("got %d, want the two sessions and the raw connection", n)
				}
				if got := next(t, held); got != `{"event":"#removeAuthToken"}` {
					t.Errorf("got %s, want that the token is taken", got)
				}
				wantContains(t, next(t, conn), "closed with 4500")
				checkAll(t, g.nodes, "one that is shown afterwards counts as issued afterwards, and", token, "good")
				revoke(t, g.nodes[0], r()) // at the same instant as the token was shown last
				pass(10 * time.Minute)
				checkAll(t, g.nodes, "one of long ago", token, "good")
			})
		})
	}
}

// What a node with a clock ahead has revoked must not meet those who have logged in behind it.
func TestClockOfAnotherNodeMayBeAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		srv := start(t, skein.Options{Node: "a", Engine: engines[0], Tokens: newTokens(t, auth.Options{}, testKey)}, noSetup)
		line := engines[1].(*skeintest.Line)
		start(t, skein.Options{Node: "b", Engine: line}, noSetup)
		pass(500 * time.Millisecond)
		order := `{"records":[{"user":"ann","before":"2000-01-01T00:00:03Z","at":"2000-01-01T00:00:02.5Z"}]}`
		if _, err := line.Call(t.Context(), "a", "revoke", []byte(order)); err != nil {
			t.Fatal(err)
		}
		c, hello := enter(t, srv, issue(map[string]any{"username": "ann", "iat": time.Now().Unix() + 3}))
		wantContains(t, hello, `"isAuthenticated":true`)
		if got := next(t, c); got != "" {
			t.Errorf("got %s, want that the token stays", got)
		}
	})
}

func full(t *testing.T, srv *skeintest.Server, r skein.Revocation) {
	t.Helper()
	if _, err := srv.Revoke(t.Context(), r); !errors.Is(err, &skein.Error{Name: skein.NameRevocations}) {
		t.Errorf("revoke %+v: got %v, want that the set is full", r, err)
	}
}

func lift(t *testing.T, srv *skeintest.Server, r skein.Revocation) {
	t.Helper()
	if err := srv.Unrevoke(t.Context(), r); err != nil {
		t.Errorf("lift %+v: %v", r, err)
	}
}

func TestFullSetCanBeEmptied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "revocations")
		g := guarded(t, 2, skein.Options{Revocations: skein.Revocations{Max: 2}}, noSetup)
		kept := start(t, skein.Options{Revocations: skein.Revocations{Max: 2, File: file}}, noSetup)
		for _, nodes := range [][]*skeintest.Server{g.nodes, {kept, kept}} {
			for _, user := range []string{"ann", "bob"} {
				revoke(t, nodes[0], skein.Revocation{User: user})
			}
			_, err := nodes[1].Revoke(t.Context(), skein.Revocation{User: "eve"})
			wantContains(t, fmt.Sprint(err), "revoke all tokens issued before a time, which is always taken, and lift those that it takes in")
			revoke(t, nodes[1], skein.Revocation{Before: time.Now()})
			full(t, nodes[0], skein.Revocation{User: "eve"})
			lift(t, nodes[0], skein.Revocation{User: "ann"})
			lift(t, nodes[1], skein.Revocation{User: "bob"})
			revoke(t, nodes[1], skein.Revocation{User: "eve"})
			full(t, nodes[0], skein.Revocation{User: "ann"}) // a lifted one counts again when it is revoked again
			lift(t, nodes[0], skein.Revocation{User: "eve"})
			for i := range 20 {
				pass(time.Second)
				revoke(t, nodes[i%2], skein.Revocation{TokenID: fmt.Sprint(i)})
				lift(t, nodes[i%2], skein.Revocation{TokenID: fmt.Sprint(i)})
			}
			revoke(t, nodes[1], skein.Revocation{User: "eve"})
			if got := nodes[0].Revocations(); len(got) != 2 || got[0].User != "" || got[1].User != "eve" {
				t.Errorf("got %+v, want that of all tokens, and eve's", got)
			}
		}
		pass(10 * time.Second)
		if nodes := g.nodes[0].Nodes(); nodes[0].Revocations != nodes[1].Revocations {
			t.Error("the nodes have kept other records that were lifted")
		}
		text, err := os.ReadFile(file)
		if got := strings.Count(string(text), "\n"); err != nil || got != 1+2+2 || !strings.Contains(string(text), `"19"`) {
			t.Errorf("got %d lines (%v), want the head, two in force, and the two that were lifted last:\n%s", got, err, text)
		}
	})
}

// A revocation that does not encode would keep all of them from being saved, listed and learnt.
func TestYearsThatDoNotEncodeAreNotTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		o := keeping(t, filepath.Join(t.TempDir(), "revocations"))
		o.Node, o.Engine = "a", engines[0]
		srv := start(t, o, noSetup)
		line := engines[1].(*skeintest.Line)
		start(t, skein.Options{Node: "b", Engine: line}, noSetup)
		order := `{"records":[{"user":"ann","until":"9999-12-31T23:59:59-05:00","at":"2000-01-01T00:00:00Z"},{"user":"bob","at":"2000-01-01T00:00:00Z"}]}`
		if _, err := line.Call(t.Context(), "a", "revoke", []byte(order)); err != nil {
			t.Errorf("got %v, want that the others are kept", err)
		}
		text, err := json.Marshal(srv.Revocations())
		if err != nil || strings.Contains(string(text), "ann") || !strings.Contains(string(text), "bob") {
			t.Errorf("got %s, %v, want bob's alone", text, err)
		}
	})
}

// between is a line whose node has been seen by the others, and has not started yet, when then is called.
type between struct {
	*skeintest.Line

	then func()
}

func (b *between) Start(ctx context.Context, sink engine.Sink) error {
	err := b.Line.Start(ctx, sink)
	b.then()
	return err
}

func TestNodesThatStartTogetherDoNotWarn(t *testing.T) {
	t.Parallel()
	const words = `msg="the revocations of another node are not known yet"`
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(3)
		var first, last journal
		starting := &between{engines[0].(*skeintest.Line), func() {
			start(t, skein.Options{Node: "b", Engine: engines[1], Logger: first.logger()}, noSetup)
		}}
		start(t, skein.Options{Node: "a", Engine: starting, Logger: last.logger()}, noSetup)
		pass(10 * time.Second)
		for _, log := range []*journal{&first, &last} {
			if text := log.String(); strings.Contains(text, "level=WARN") {
				t.Errorf("got %s, want no warning", text)
			}
		}
		wantContains(t, first.String(), "level=DEBUG "+words) // else it has asked nobody
		starting.Stall()
		start(t, skein.Options{Node: "c", Engine: engines[2], Logger: last.logger()}, noSetup)
		wantContains(t, last.String(), "level=WARN "+words)
	})
}
