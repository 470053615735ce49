package skein_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// upgrade makes an upgrade request that is not sent over a connection.
func upgrade(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://memory"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// Whoever cannot hand over the connection is told so, and no place is taken.
func TestUpgradesNeedAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) { h.HandleWS("/ws", echo) })
		for _, path := range []string{"/socketcluster/", "/ws"} {
			answer := srv.Inject(upgrade(t, path))
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusInternalServerError || len(body) == 0 {
				t.Errorf("%s: got %d %q, %v, want 500 and why", path, answer.StatusCode, body, err)
			}
		}
		if got := srv.Stats().Conns; got != 0 {
			t.Errorf("got %d connections, want 0", got)
		}
	})
}

func TestUpgradesAreCheckedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.OnUpgrade(func(context.Context, *skein.Event) error {
				asked++
				return nil
			})
		})
		for name, test := range map[string]struct {
			change func(r *http.Request)
			want   int
		}{
			"no upgrade":   {func(r *http.Request) { r.Header.Del("Upgrade") }, 426},
			"to elsewhere": {func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 426},
			"no hop":       {func(r *http.Request) { r.Header.Set("Connection", "close") }, 426},
			"old version":  {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 426},
			"no version":   {func(r *http.Request) { r.Header.Del("Sec-WebSocket-Version") }, 426},
			"no key":       {func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400},
			"short key":    {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "c2hvcnQ=") }, 400},
			"two keys":     {func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") }, 400},
			"body":         {func(r *http.Request) { r.ContentLength = 4 }, 400},
			"chunks":       {func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 400},
			"post":         {func(r *http.Request) { r.Method = http.MethodPost }, 405},
			"HTTP/2":       {func(r *http.Request) { r.ProtoMajor = 2 }, 505},
			"elsewhere":    {func(r *http.Request) { r.URL.Path = "/socketcluster/x" }, 404},
		} {
			r := upgrade(t, "/socketcluster/")
			test.change(r)
			answer := srv.Inject(r)
			_ = answer.Body.Close()
			if answer.StatusCode != test.want {
				t.Errorf("%s: got %d, want %d", name, answer.StatusCode, test.want)
			}
		}
		if asked != 0 {
			t.Errorf("the hook was asked %d times, want never", asked)
		}
	})
}

func TestOriginsAreRefusedBehindTheHookAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		asked := 0
		srv := start(t, skein.Options{Logger: log.logger(), Origins: []string{"example.com:*"}}, func(h *skein.Host) {
			h.OnUpgrade(func(context.Context, *skein.Event) error {
				asked++
				return nil
			})
		})
		evil := "https://evil.example/" + strings.Repeat("x", 300) + "\n"
		for origin, want := range map[string]string{
			"https://evil.example": "https://evil.example", "null": "*", evil: strings.TrimSpace(evil)[:256],
		} {
			r := upgrade(t, "/socketcluster/")
			r.Header.Set("Origin", origin)
			answer := srv.Inject(r)
			body, _ := io.ReadAll(answer.Body) // compared below
			_ = answer.Body.Close()
			if want := "Failed to authorize socket handshake - Invalid origin: " + want; answer.StatusCode != http.StatusForbidden || string(body) != want {
				t.Errorf("%.30q: got %d %q, want 403 %q", origin, answer.StatusCode, body, want)
			}
		}
		if asked != 3 {
			t.Errorf("the hook was asked %d times, want 3", asked)
		}
		wantContains(t, log.String(), "a foreign origin was refused: allow it with --origins", "origin=https://evil.example\n")
		for _, m := range srv.Metrics() {
			if m.Name == "origins_refused_total" && m.Value != 3 {
				t.Errorf("got %v refused, want 3", m.Value)
			}
		}
	})
}

func TestEndpointsHaveTheirOwnRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine := newTokens(t, authOptions(), "a key of one endpoint, of 32 octe")
		o := skein.Options{
			Tokens: newTokens(t, authOptions(), testKey), Limits: skein.Limits{Channels: 1},
			Endpoints: []skein.Endpoint{
				{Protocol: skein.V2},
				{Path: "/inside", Protocol: skein.V1, Origins: []string{"inside.example:*"}, Tokens: mine, Limits: skein.Limits{Channels: 2}},
			},
		}
		srv := start(t, o, func(*skein.Host) {})
		const bob = "bob"
		theirs, ours := mint("HS256", testKey, map[string]any{"user": bob}), mint("HS256", "a key of one endpoint, of 32 octe", map[string]any{"user": bob})
		for _, test := range []struct {
			path, origin, token string
			authenticated       bool
			channels            int
		}{
			{"/socketcluster/", "", theirs, true, 1},
			{"/socketcluster/", "", ours, false, 1},
			{"/inside", "https://inside.example", theirs, false, 2},
			{"/inside", "https://inside.example", ours, true, 2},
		} {
			c := srv.Conn(t, test.path, http.Header{"Origin": slices.DeleteFunc([]string{test.origin}, func(s string) bool { return s == "" })})
			got := ask(t, c, `{"event":"#handshake","data":{"authToken":"`+test.token+`"},"cid":1}`)
			wantContains(t, got, fmt.Sprintf(`"isAuthenticated":%v}`, test.authenticated))
			next(t, c) // the token's removal
			joined := 0
			for i := range 3 {
				if ask(t, c, fmt.Sprintf(`{"event":"#subscribe","data":{"channel":"%d"},"cid":2}`, i)) == `{"rid":2}` {
					joined++
				}
			}
			if joined != test.channels {
				t.Errorf("%s: got %d channels, want %d", test.path, joined, test.channels)
			}
		}
		if _, err := srv.Upgrade(t.Context(), "/inside", nil); err == nil {
			t.Error("a client without an origin came in")
		}
	})
}

func TestClientsOfAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Conns: skein.ConnLimits{PerAddress: 2, PerSecond: 100}}, func(h *skein.Host) { h.HandleWS("/ws", echo) })
		open := func(from, path string) (*skeintest.Conn, error) {
			t.Helper()
			nc, err := srv.Listener.DialFrom(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			return skeintest.Upgrade(t.Context(), nc, path, nil)
		}
		first, err := open("203.0.113.7:1", "/ws")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open("203.0.113.7:2", "/socketcluster/"); err != nil {
			t.Fatal(err)
		}
		_, err = open("203.0.113.7:3", "/ws")
		if want := `refused with 503 "too many connections from your address"`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		first.Terminate()
		synctest.Wait()
		again, err := open("203.0.113.7:4", "/ws")
		if err != nil {
			t.Fatalf("the place was not given back: %v", err)
		}
		if err := again.SendBinary([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if m, err := again.Read(); err != nil || !m.Binary || string(m.Data) != "x" {
			t.Errorf("got %q, %v, want x", m.Data, err)
		}
		pass(time.Second)
	})
}
