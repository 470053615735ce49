package skein_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

func TestSecondShutdownWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skein.New(skein.Options{Timeouts: skein.Timeouts{Stop: 3 * time.Second}})
		srv.MustRegister(plugin("p", func(h *skein.Host) {
			h.OnStop(func(context.Context) error {
				pass(2 * time.Second)
				return errors.New("told to the first")
			})
		}))
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := make(chan error, 1)
		go func() { first <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an impatient one: got %v, want %v", err, context.DeadlineExceeded)
		}
		began := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("got %v after %v, want nil after the second that is left", err, time.Since(began))
		}
		if err := <-first; err == nil || !strings.Contains(err.Error(), "told to the first") {
			t.Errorf("the first: got %v, want the error", err)
		}
	})
}

func TestNobodyComesInWhileTheServerDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drained := make(chan struct{})
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleFunc("GET /page", func(http.ResponseWriter, *http.Request) {})
			h.OnDrain(func(context.Context) error {
				<-drained
				return nil
			})
		})
		there, _ := open(t, srv, "/socketcluster/")
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		if err := srv.Ready(t.Context()); err == nil {
			t.Error("a server that drains is ready")
		}
		if _, err := srv.Upgrade(t.Context(), "/socketcluster/", nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want a closed listener", err)
		}
		if got := inject(t, srv, http.MethodGet, "/socketcluster/", ""); got != "503 The server is not running" {
			t.Errorf("over a listener of the program's own: got %s, want 503", got)
		}
		if got := inject(t, srv, http.MethodGet, "/page", ""); got != "200" && got != "200 " {
			t.Errorf("a page: got %s, want 200: requests are still served", got)
		}
		if got := ask(t, there, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`); got != `{"rid":2}` {
			t.Errorf("who is there: got %s, want {\"rid\":2}", got)
		}
		close(drained)
		if got := next(t, there); got != `closed with 1001 ""` {
			t.Errorf("got %s, want a close with 1001", got)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

func TestInspectShowsWhatWouldBeServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newCounting()
		var seen journal
		srv := skein.New(skein.Options{Engine: e})
		srv.MustRegister(living(&seen, "b", ""), plugin("a", func(h *skein.Host) {
			h.HandleFunc("GET /x", func(http.ResponseWriter, *http.Request) {})
			h.OnPublish("*", allow)
			h.Go("work", func(context.Context) error {
				seen.note("works")
				return nil
			})
		}))
		if err := srv.Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := names(srv.Plugins()); !slices.Equal(got, []string{"b", "a"}) {
			t.Errorf("got %v, want [b a]", got)
		}
		if len(srv.Routes()) != 2 || len(srv.Hooks()) != 1 || len(srv.Endpoints()) != 1 {
			t.Errorf("got %v, %v and %v, want two routes, a hook and an endpoint", srv.Routes(), srv.Hooks(), srv.Endpoints())
		}
		if got := strings.Join(seen.lines(), ", "); got != "b set up, b stop again, b stop" {
			t.Errorf("got %s, want no work but the set-up and its end", got)
		}
		if err := srv.Start(t.Context()); !errors.Is(err, skein.ErrStarted) {
			t.Errorf("got %v, want %v", err, skein.ErrStarted)
		}
		if err := srv.Inspect(t.Context()); !errors.Is(err, skein.ErrStarted) {
			t.Errorf("got %v, want %v", err, skein.ErrStarted)
		}
		wrong := skein.New(skein.Options{EngineName: "nats"})
		if err := wrong.Inspect(t.Context()); err == nil {
			t.Error("a wrong option was not told")
		}
	})
}

// A hook that is registered too late would guard nothing, and nobody would know.
func TestHooksRegisteredTooLateFailTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := startError(t, skein.Options{}, plugin("p", func(h *skein.Host) {
			h.OnReady(func(context.Context) error {
				h.OnSubscribe("secret", allow)
				return nil
			})
		}))
		wantContains(t, got, `plugin "p": `, "OnSubscribe secret", "shutdown_test.go:")
	})
}

// Whatever is sent just before the end has been sent.
func TestWhatIsSentBeforeTheEndArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 100
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleWS("/count", func(c *skein.RawConn) error {
				for i := range messages {
					if err := c.SendJSON(i); err != nil {
						return err
					}
				}
				return nil
			})
		})
		raw := srv.Conn(t, "/count", nil)
		for i := range messages {
			if got := next(t, raw); got != fmt.Sprint(i) {
				t.Fatalf("got %s, want %d", got, i)
			}
		}
		if got := next(t, raw); got != `closed with 1000 ""` {
			t.Errorf("got %s, want the end", got)
		}
		c, s := open(t, srv, "/socketcluster/")
		for i := range messages {
			if err := s.Transmit("n", fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		s.Disconnect(4001, "that was all")
		for i := range messages {
			if got, want := next(t, c), fmt.Sprintf(`{"event":"n","data":%d}`, i); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		if got := next(t, c); got != `closed with 4001 "that was all"` {
			t.Errorf("got %s, want the end", got)
		}
	})
}

// A session without its client costs nothing: not a goroutine, not an entry.
func TestSessionsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.OnDeliver("news", allow)
			skein.Procedure(h, "wait", func(ctx context.Context, _ *skein.Session, _ raw) (raw, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			})
		})
		ends := []func(c *skeintest.Conn, s *skein.Session){
			func(c *skeintest.Conn, _ *skein.Session) { c.Terminate() },
			func(c *skeintest.Conn, _ *skein.Session) { _ = c.Close(1000, "") },
			func(_ *skeintest.Conn, s *skein.Session) { s.Terminate() },
			func(_ *skeintest.Conn, s *skein.Session) { s.Disconnect(4500, "") },
			func(c *skeintest.Conn, _ *skein.Session) { _ = c.SendFrame(0xff, nil) },
		}
		for _, end := range ends {
			c, s := open(t, srv, "/socketcluster/")
			ask(t, c, `[{"event":"#subscribe","data":{"channel":"news"},"cid":2},{"event":"wait","cid":3}]`)
			ctx := s.Context()
			end(c, s)
			next(t, c)
			pass(10 * time.Second)
			synctest.Wait()
			if ctx.Err() == nil {
				t.Error("the session's context has not ended")
			}
		}
		if st := srv.Stats(); st.Conns != 0 || st.Sessions != 0 || st.Channels != 0 || srv.Endpoints()[0].Sessions != 0 {
			t.Errorf("got %+v, want nothing left", st)
		}
	})
}
