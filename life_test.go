package skein_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// living notes the stages of a plugin's life; fail says at which one it fails.
func living(j *journal, name, fail string) skein.Plugin {
	stage := func(what string) func(context.Context) error {
		return func(context.Context) error {
			j.note(name + " " + what)
			if what == fail {
				return errors.New("no " + what)
			}
			return nil
		}
	}
	return skein.Func(name, func(ctx context.Context, h *skein.Host) error {
		h.OnReady(stage("ready"))
		h.OnDrain(stage("drain"))
		h.OnStop(stage("stop"))
		h.OnStop(stage("stop again"))
		return stage("set up")(ctx)
	})
}

func TestPluginsLiveInOrderAndEndInReverse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		srv := skein.New(skein.Options{})
		srv.MustRegister(living(&seen, "a", ""), living(&seen, "b", ""))
		if err := srv.Ready(t.Context()); !errors.Is(err, skein.ErrStopped) {
			t.Errorf("before the start: got %v, want %v", err, skein.ErrStopped)
		}
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := seen.lines(), []string{"a set up", "b set up", "a ready", "b ready"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := srv.Ready(t.Context()); err != nil {
			t.Errorf("got %v, want ready", err)
		}
		if err := srv.Start(t.Context()); !errors.Is(err, skein.ErrStarted) {
			t.Errorf("again: got %v, want %v", err, skein.ErrStarted)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []string{"b drain", "a drain", "b stop again", "b stop", "a stop again", "a stop"}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Errorf("again: got %v", err)
		}
		if err := srv.Start(t.Context()); !errors.Is(err, skein.ErrStarted) {
			t.Errorf("after the end: got %v, want %v", err, skein.ErrStarted)
		}
	})
}

func TestFailedStartUnwindsWhatStood(t *testing.T) {
	t.Parallel()
	for stage, want := range map[string]string{
		"set up": "a set up, b set up, c set up, c stop again, c stop, b stop again, b stop, a stop again, a stop",
		"ready":  "a set up, b set up, c set up, a ready, b ready, c stop again, c stop, b stop again, b stop, a stop again, a stop",
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			var seen journal
			e := newCounting()
			got := startError(t, skein.Options{Engine: e}, living(&seen, "a", ""), living(&seen, "b", stage), living(&seen, "c", ""))
			wantContains(t, got, `plugin "b": `, "no "+stage)
			if got := strings.Join(seen.lines(), ", "); got != want {
				t.Errorf("got %s\nwant %s", got, want)
			}
			if e.closes.Load() != 1 && stage == "ready" {
				t.Errorf("the engine was closed %d times, want once", e.closes.Load())
			}
		})
	}
}

func TestFailedStartEndsBackgroundWorkAndServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ran := false
		got := startError(t, skein.Options{}, plugin("p", func(h *skein.Host) {
			h.Go("work", func(context.Context) error {
				ran = true
				return nil
			})
			h.OnReady(func(context.Context) error { panic("not today") })
		}))
		wantContains(t, got, `plugin "p": OnReady: panic: not today`)
		if ran {
			t.Error("background work ran for a server that has not started")
		}
	})
}

func TestStagesHaveDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error {
			<-ctx.Done()
			pass(time.Minute)
			return nil
		}
		times := skein.Timeouts{Start: 2 * time.Second, Stop: time.Second}
		got := startError(t, skein.Options{Timeouts: times}, plugin("p", func(h *skein.Host) { h.OnReady(hang) }))
		wantContains(t, got, `plugin "p": OnReady: it took longer than 2s`)

		srv := skein.New(skein.Options{Timeouts: times})
		srv.MustRegister(plugin("q", func(h *skein.Host) {
			h.OnDrain(hang)
			h.OnStop(hang)
			h.OnStop(func(context.Context) error { return errors.New("cannot stop") })
			h.Health("disk", hang)
		}))
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := srv.Shutdown(t.Context())
		if err == nil || time.Since(began) > 3*time.Second {
			t.Fatalf("got %v after %v, want errors within 3s", err, time.Since(began))
		}
		wantContains(t, err.Error(), `plugin "q": OnDrain: it took longer than 1s`, `plugin "q": OnStop: it took longer than 500ms`, `plugin "q": OnStop: cannot stop`)
		pass(2 * time.Minute)
	})
}

func TestReadinessNamesTheChecksThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("full")
		srv := start(t, skein.Options{Timeouts: skein.Timeouts{Hook: time.Second}}, func(h *skein.Host) {
			h.Health("disk", func(context.Context) error { return full })
			h.Health("fine", func(context.Context) error { return nil })
			h.Health("slow", func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
			h.Health("wild", func(context.Context) error { panic("ouch") })
		})
		err := srv.Ready(t.Context())
		if !errors.Is(err, full) {
			t.Fatalf("got %v, want that the disk is full", err)
		}
		wantContains(t, err.Error(), "disk: full", "slow: it took longer than 1s", "wild: panic: ouch")
		if strings.Contains(err.Error(), "fine") {
			t.Errorf("got %v, want nothing about what is fine", err)
		}
	})
}

func TestShutdownSendsClientsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			observing(&seen)(h)
			h.OnDrain(func(ctx context.Context) error {
				seen.note("drain")
				return h.Publish(ctx, "news", []byte(`"closing"`)) // clients are still there
			})
			h.OnStop(func(ctx context.Context) error {
				seen.note(fmt.Sprintf("stop %v", h.Publish(ctx, "news", nil)))
				return nil
			})
			h.HandleWS("/ws", func(c *skein.RawConn) error {
				for range c.Messages() {
					continue
				}
				seen.note(fmt.Sprintf("raw %v", c.Err()))
				return nil
			})
		})
		c, s := open(t, srv, "/socketcluster/")
		raw := srv.Conn(t, "/ws", nil)
		pending := srv.Conn(t, "/socketcluster/", nil)
		ask(t, c, `{"event":"#subscribe","data":{"channel":"news"},"cid":2}`)
		seen.lines()
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		if got, want := next(t, c), `{"event":"#publish","data":{"channel":"news","data":"closing"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		for name, conn := range map[string]*skeintest.Conn{"session": c, "raw": raw} {
			if got := next(t, conn); got != `closed with 1001 ""` {
				t.Errorf("%s: got %s, want a close with 1001", name, got)
			}
		}
		pending.Terminate()
		if err := <-down; err != nil {
			t.Fatal(err)
		}
		if s.Open() || s.Context().Err() == nil {
			t.Error("the session is still open")
		}
		got := seen.lines()
		slices.Sort(got[1 : len(got)-1])
		want := []string{"drain", "disconnect code=1001 opened=true", "disconnect code=1001 opened=false", "raw <nil>", "stop <nil>", "unsubscribe channel=news"}
		slices.Sort(want[1:])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestShutdownCutsWhatDoesNotGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.Receive("stuck", func(ctx context.Context, _ *skein.Session, _ raw) error {
				<-ctx.Done() // the server's end frees it
				return nil
			})
			skein.Procedure(h, "wait", func(ctx context.Context, _ *skein.Session, _ raw) (raw, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		ask(t, c, `{"event":"wait","cid":2}`)
		ask(t, c, `{"event":"stuck"}`)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := srv.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("took %v, want about 3s", d)
		}
	})
}

func TestNothingIsServedOutsideOfTheServersLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skein.New(skein.Options{})
		check := func(when string) {
			t.Helper()
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/socketcluster/", nil))
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: got %d, want 503 with Retry-After", when, w.Code)
			}
			if err := srv.Publish(t.Context(), "x", nil); !errors.Is(err, skein.ErrStopped) {
				t.Errorf("%s: got %v, want %v", when, err, skein.ErrStopped)
			}
			l := skeintest.NewListener()
			if err := srv.Serve(l); !errors.Is(err, skein.ErrStopped) {
				t.Errorf("%s: got %v, want %v", when, err, skein.ErrStopped)
			}
			if _, err := l.DialContext(t.Context(), "", ""); err == nil {
				t.Errorf("%s: the listener was left open", when)
			}
		}
		check("before the start")
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("after the end")
	})
}

func TestSeveralListenersAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		second := skeintest.NewListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(second) }()
		synctest.Wait()
		if srv.Addr() == nil || srv.Addr().String() != "memory" {
			t.Errorf("got address %v, want memory", srv.Addr())
		}
		c, err := client.Dial(t.Context(), client.Options{URL: "ws://x/socketcluster/", NetDial: second.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := srv.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}

func TestServeTellsOfABrokenListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		l := skeintest.NewListener()
		_ = l.Close()
		if err := srv.Serve(l); err == nil || !strings.HasPrefix(err.Error(), "serve memory: ") {
			t.Errorf("got %v, want what is wrong with the listener", err)
		}
	})
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	srv := skein.New(skein.Options{Addr: "127.0.0.1:0", Door: skein.Door{Operators: "127.0.0.1:0"}})
	srv.MustRegister(plugin("p", func(h *skein.Host) {
		h.Go("end", func(context.Context) error {
			cancel()
			return nil
		})
	}))
	if err := srv.Run(ctx); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if err := srv.Ready(t.Context()); !errors.Is(err, skein.ErrStopped) {
		t.Errorf("got %v, want %v", err, skein.ErrStopped)
	}
}

func TestRunTellsWhyItCannot(t *testing.T) {
	t.Parallel()
	err := skein.New(skein.Options{Addr: "127.0.0.1:none"}).Run(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "listen on 127.0.0.1:none: ") {
		t.Errorf("got %v, want that it cannot listen", err)
	}
	o := skein.Options{Addr: "127.0.0.1:0", Door: skein.Door{Operators: "127.0.0.1:none"}}
	if err := skein.New(o).Run(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "listen on 127.0.0.1:none: ") {
		t.Errorf("got %v, want that it cannot listen for operators", err)
	}
	if err := skein.New(skein.Options{EngineName: "x"}).Run(t.Context()); err == nil {
		t.Error("a server without an engine has run")
	}
}
