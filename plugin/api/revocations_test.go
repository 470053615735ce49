package api_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
)

func TestRevocationsAreMadeListedAndLiftedForAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		for i, step := range []struct {
			call
			answer string
			tokens int // that are left
		}{
			{get("/api/revocations"), `{"revocations":[]}`, 2},
			{post("/api/revocations", `{"tokenId":"b"}`), `{"sessions":1}`, 1},
			{post("/api/revocations", `{"user":"ann","until":"2001-01-01T00:00:00Z"}`), `{"sessions":1}`, 0},
			{post("/api/revocations", `{"before":"now"}`), `{"sessions":0}`, 0},
			{post("/api/revocations", `{"user":"bob","before":"1999-01-01T00:00:00Z","disconnect":true}`), `{"sessions":0}`, 0},
			{get("/api/revocations"), `{"revocations":[{"before":"2000-01-01T00:00:00Z","at":"2000-01-01T00:00:00Z"},` +
				`{"tokenId":"b","at":"2000-01-01T00:00:00Z"},` +
				`{"user":"ann","before":"2000-01-01T00:00:01Z","until":"2001-01-01T00:00:00Z","at":"2000-01-01T00:00:00Z"},` +
				`{"user":"bob","before":"1999-01-01T00:00:00Z","disconnect":true,"at":"2000-01-01T00:00:00Z"}]}`, 0},
			{call{method: http.MethodDelete, path: "/api/revocations?all=true"}, `{}`, 0},
			{call{method: http.MethodDelete, path: "/api/revocations?user=ann"}, `{}`, 0},
			{call{method: http.MethodDelete, path: "/api/revocations?tokenId=b"}, `{}`, 0},
			{get("/api/revocations"), `{"revocations":[{"user":"bob","before":"1999-01-01T00:00:00Z","disconnect":true,"at":"2000-01-01T00:00:00Z"}]}`, 0},
		} {
			a := step.do(t, p.a)
			if a.status != 200 || a.text != step.answer {
				t.Errorf("step %d: got %d %s, want %s", i, a.status, a.text, step.answer)
			}
			left := 0
			for _, who := range p.tokens() {
				if who != "none" {
					left++
				}
			}
			if left != step.tokens {
				t.Errorf("step %d: got %d tokens, want %d", i, left, step.tokens)
			}
		}
		if got := p.b.Revocations(); len(got) != 1 || got[0].User != "bob" {
			t.Errorf("got %+v on the other node, want bob's", got)
		}
		p.line.Stall()
		a := post("/api/revocations", `{"user":"eve"}`).do(t, p.a)
		if a.status != 503 || a.Error.Name != "NodeError" {
			t.Errorf("got %d %s, want that b has not answered", a.status, a.text)
		}
		p.line.Heal()
		<-time.After(5 * time.Second)
		if got := p.b.Revocations(); len(got) != 2 || got[1] != (skein.Revocation{User: "eve", Before: got[1].Before, At: got[1].At}) {
			t.Errorf("got %+v, want that b has learnt eve's", got)
		}
	})
}

// What is refused must not spoil what is there.
func TestRevocationOfAYearThatDoesNotEncodeIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		for _, body := range []string{
			`{"user":"ann","until":"9999-12-31T23:59:59-05:00"}`, `{"before":"0001-01-01T00:00:00+01:00"}`, `{"user":"ann","until":"0000-01-01T00:00:00Z"}`,
		} {
			if a := post("/api/revocations", body).do(t, p.a); a.status != 400 || a.Error.Name != "InvalidArgumentsError" {
				t.Errorf("%s: got %d %s, want that it is refused", body, a.status, a.text)
			}
		}
		if a := get("/api/revocations").do(t, p.a); a.status != 200 || a.text != `{"revocations":[]}` {
			t.Errorf("got %d %s, want none", a.status, a.text)
		}
	})
}
