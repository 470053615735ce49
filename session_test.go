package skein_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

type key struct{}

func TestSessionsAreFoundAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Endpoints: []skein.Endpoint{{}, {Path: "/other"}}}, func(*skein.Host) {})
		a, first := open(t, srv, "/socketcluster/")
		b, second := open(t, srv, "/other")
		for i, c := range []*skeintest.Conn{a, b} {
			ask(t, c, `{"event":"#subscribe","data":{"channel":"both"},"cid":2}`)
			ask(t, c, fmt.Sprintf(`{"event":"#subscribe","data":{"channel":"own/%d"},"cid":3}`, i))
		}
		if got := srv.Count("both"); got != 2 {
			t.Errorf("got %d subscribers, want 2", got)
		}
		for prefix, want := range map[string][]string{"": {"both", "own/0", "own/1"}, "own/": {"own/0", "own/1"}, "x": nil} {
			if got := srv.Channels(prefix, 0); !slices.Equal(got, want) {
				t.Errorf("%q: got %v, want %v", prefix, got, want)
			}
		}
		if got := srv.Channels("", 2); len(got) != 2 {
			t.Errorf("got %v, want two of them", got)
		}
		if got := first.Channels(); !slices.Equal(got, []string{"both", "own/0"}) {
			t.Errorf("got %v, want [both own/0]", got)
		}
		n := 0
		for s := range srv.Sessions() {
			if s != first && s != second || srv.Session(s.ID()) != s {
				t.Errorf("got %s, want one of the two", s.ID())
			}
			n++
		}
		if n != 2 || srv.Session("nobody") != nil {
			t.Errorf("got %d sessions, want 2", n)
		}
		if first.Endpoint() != "/socketcluster/" || second.Endpoint() != "/other" || first.RemoteAddr() != "memory" {
			t.Errorf("got %s and %s from %s", first.Endpoint(), second.Endpoint(), first.RemoteAddr())
		}
		infos := srv.Endpoints()
		if infos[0].Sessions != 1 || infos[1].Sessions != 1 || infos[0].Pending != 0 {
			t.Errorf("got %+v, want one session each", infos)
		}
	})
}

func TestSessionsKeepValues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.OnHandshake(func(_ context.Context, e *skein.Event) error {
				e.Session.Set(key{}, "hello")
				return nil
			})
			skein.Procedure(h, "value", func(ctx context.Context, s *skein.Session, _ raw) (any, error) {
				if skein.FromContext(ctx) != s {
					t.Error("the context is not the session's")
				}
				return s.Value(key{}), nil
			})
		})
		c, s := open(t, srv, "/socketcluster/")
		if got := ask(t, c, `{"event":"value","cid":2}`); got != `{"rid":2,"data":"hello"}` {
			t.Errorf("got %s, want hello", got)
		}
		s.Set(key{}, nil)
		if s.Value(key{}) != nil || s.Value("nothing") != nil {
			t.Error("a value is left")
		}
		if skein.FromContext(t.Context()) != nil {
			t.Error("a test has a session")
		}
	})
}

func TestClosedSessionsRefuseWhatIsAskedOfThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		c, s := open(t, srv, "/socketcluster/")
		ctx := s.Context()
		if !s.Open() || ctx.Err() != nil {
			t.Error("the session is not open")
		}
		s.Disconnect(4500, "bye")
		if got := next(t, c); got != `closed with 4500 "bye"` {
			t.Errorf("got %s", got)
		}
		synctest.Wait()
		_, callErr := s.Call(t.Context(), "p", nil)
		for what, err := range map[string]error{
			"transmit": s.Transmit("ev", nil), "call": callErr, "kick": s.Kick("x", ""),
			"token": s.SetToken(t.Context(), map[string]string{}, skein.TokenOptions{}), "remove": s.RemoveToken(t.Context(), skein.TokenOptions{}),
			"confirm": s.RemoveToken(t.Context(), skein.TokenOptions{Confirm: true}),
		} {
			if err == nil {
				t.Errorf("%s: got nil, want that the session is closed", what)
			}
		}
		s.StartBatching()
		s.StopBatching()
		s.KickAll("")
		s.Terminate()
		if s.Open() || ctx.Err() == nil || s.Context().Err() == nil || srv.Session(s.ID()) != nil {
			t.Error("the session is still open")
		}
	})
}

func TestCallsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		c, s := open(t, srv, "/socketcluster/")
		gone := errors.New("nobody wants it any more")
		ctx, cancel := context.WithCancelCause(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := s.Call(ctx, "p", json.RawMessage(`1`))
			result <- err
		}()
		if got := next(t, c); got != `{"event":"p","data":1,"cid":1}` && got != `{"event":"p","cid":1,"data":1}` {
			t.Errorf("got %s, want the call", got)
		}
		cancel(gone)
		if err := <-result; !errors.Is(err, gone) {
			t.Errorf("got %v, want %v", err, gone)
		}
		limited, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		began := time.Now()
		_, err := s.Call(limited, "p", nil)
		if !errors.Is(err, &skein.Error{Name: skein.NameTimeout}) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v, want TimeoutError after 1s", err, time.Since(began))
		}
	})
}

func TestRepliesCanComeBeforeTheReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			skein.Procedure(h, "early", func(ctx context.Context, s *skein.Session, _ raw) (string, error) {
				for _, data := range []string{"{", `"soon"`, `"again"`} {
					if err := skein.Reply(ctx, raw(data)); (err == nil) != (data == `"soon"`) {
						t.Errorf("%s: got %v", data, err)
					}
				}
				s.Disconnect(4001, "as planned")
				return "ignored", nil
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		if got := ask(t, c, `{"event":"early","cid":2}`); got != `{"rid":2,"data":"soon"}` {
			t.Errorf("got %s, want soon", got)
		}
		if got := next(t, c); got != `closed with 4001 "as planned"` {
			t.Errorf("got %s, want the close", got)
		}
		if err := skein.Reply(t.Context(), nil); err == nil {
			t.Error("a test has replied")
		}
	})
}

func TestClaimsThatCannotBeEncodedAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		c, s := open(t, srv, "/socketcluster/")
		if err := s.SetToken(t.Context(), func() {}, skein.TokenOptions{}); err == nil || !strings.HasPrefix(err.Error(), "set the token: ") {
			t.Errorf("got %v, want that it cannot be set", err)
		}
		if got := next(t, c); got != "" {
			t.Errorf("got %s, want the session untouched", got)
		}
	})
}

func TestTLSIsServed(t *testing.T) {
	t.Parallel()
	certificate := httptest.NewTLSServer(nil)
	certificate.Close()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{TLS: &tls.Config{Certificates: certificate.TLS.Certificates, MinVersion: tls.VersionTLS12}}, func(*skein.Host) {})
		c, err := client.Dial(t.Context(), client.Options{
			URL: "wss://example.com/socketcluster/", NetDial: srv.Listener.DialContext,
			TLS: &tls.Config{InsecureSkipVerify: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		sub, err := c.Subscribe(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Publish(t.Context(), "x", raw(`"safe"`)); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != `"safe"` {
			t.Errorf("got %s, %v, want safe", m.Data, err)
		}
	})
}

// What a session does is its own: many at once, with the race detector looking.
func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const sessions, rounds = 12, 20
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.OnDeliver("asked/*", func(context.Context, *skein.Event) error { return nil })
			skein.Procedure(h, "echo", func(_ context.Context, _ *skein.Session, in raw) (raw, error) { return in, nil })
		})
		done := make(chan error, sessions)
		for n := range sessions {
			c := srv.Dial(t, client.Options{Codec: []string{"json", "minbin"}[n%2]})
			go func() { done <- busy(t.Context(), c, n, rounds) }()
		}
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					for s := range srv.Sessions() {
						s.KickAll("now and then")
						s.StartBatching()
						_ = s.Channels()
						s.StopBatching()
					}
					srv.Stats()
				}
			}
		}()
		for range sessions {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		close(stop)
		pass(10 * time.Second)
		if got := srv.Stats().Sessions; got != sessions {
			t.Errorf("got %d sessions, want %d", got, sessions)
		}
	})
}

// busy joins, publishes, calls and leaves.
func busy(ctx context.Context, c *client.Client, n, rounds int) error {
	for i := range rounds {
		channel := []string{"common", "asked/common", fmt.Sprint("own", n)}[i%3]
		sub, err := c.Subscribe(ctx, channel)
		if err != nil && !strings.Contains(err.Error(), "kicked out") {
			return fmt.Errorf("subscribe: %w", err)
		}
		if err := c.Publish(ctx, channel, i); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		got, err := client.Call[int](ctx, c, "echo", i)
		if err != nil || got != i {
			return fmt.Errorf("call: got %d, %w, want %d", got, err, i)
		}
		if sub != nil {
			sub.Close()
		}
		pass(time.Millisecond)
	}
	return nil
}
