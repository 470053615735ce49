package skein_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

// draining is a server with n sessions that shuts down over ten seconds.
func draining(t *testing.T, n int, fn setup) (srv *skeintest.Server, conns []*skeintest.Conn) {
	t.Helper()
	srv = start(t, skein.Options{Timeouts: skein.Timeouts{Drain: 10 * time.Second}}, fn)
	for range n {
		c, _ := open(t, srv, "/socketcluster/")
		conns = append(conns, c)
	}
	return srv, conns
}

// notice is how long a server is not ready before it closes its listeners.
const notice = 500 * time.Millisecond

// shutdown begins to take the server down, is over when nobody is let in any more, and tells when all of it is.
func shutdown(t *testing.T, srv *skeintest.Server) <-chan time.Duration {
	t.Helper()
	began, done := time.Now(), make(chan time.Duration, 1)
	go func() {
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		done <- time.Since(began)
	}()
	pass(notice + 10*time.Millisecond)
	return done
}

// Whoever asks whether the server is ready must be able to hear that it is not.
func TestServerSaysThatItIsNotReadyBeforeItLetsNobodyIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, conns := draining(t, 3, func(h *skein.Host) {
			h.Handle("GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if h.Server().Ready(r.Context()) != nil {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
		})
		done := make(chan error, 1)
		go func() { done <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		answer, err := srv.HTTP().Get("http://skein/readyz")
		if err != nil {
			t.Fatal(err)
		}
		if _ = answer.Body.Close(); answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", answer.StatusCode)
		}
		if _, err := srv.Upgrade(t.Context(), "/socketcluster/", nil); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("got %v, want new clients to be refused with 503", err)
		}
		if got := ends(t, conns); got[""] != len(conns) {
			t.Errorf("got %v, want nobody to be sent away yet", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClientsAreSentAwayOverTheDrainTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, conns := draining(t, 20, noSetup)
		done := shutdown(t, srv)
		for second := range 10 {
			if got, want := ends(t, conns)[`closed with 1005 ""`], 2*second+1; got != want && got != want+1 {
				t.Errorf("after %d s: got %d ends, want about %d of 20", second, got, want)
			}
			if len(done) > 0 {
				t.Errorf("the shutdown was over after %d s", second)
			}
			pass(time.Second)
		}
		if got := ends(t, conns); got[`closed with 1005 ""`] != 20 {
			t.Errorf("got %v, want all 20", got)
		}
		if took := <-done; took < 9*time.Second || took > 11*time.Second {
			t.Errorf("it took %v, want the ten seconds", took)
		}
	})
}

func TestDrainingIsOverWhenNobodyIsLeft(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sessions int
		leave    func(t *testing.T, c *skeintest.Conn)
	}{
		"without sessions": {0, nil},
		"one session":      {1, func(t *testing.T, c *skeintest.Conn) { t.Helper(); last(t, c) }},
		"they leave":       {5, func(_ *testing.T, c *skeintest.Conn) { c.Terminate() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv, conns := draining(t, test.sessions, noSetup)
				done := shutdown(t, srv)
				for _, c := range conns {
					test.leave(t, c)
				}
				if took := <-done; took > notice+100*time.Millisecond {
					t.Errorf("it took %v although nobody was left", took)
				}
			})
		})
	}
}

func TestRawConnectionsAndThoseWithoutHandshakeAreSentAwayToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, _ := draining(t, 0, func(h *skein.Host) {
			h.HandleWS("/raw", func(c *skein.RawConn) error {
				for range c.Messages() {
					continue
				}
				return nil
			})
		})
		raw, early := srv.Conn(t, "/raw", nil), srv.Conn(t, "/socketcluster/", nil)
		done := shutdown(t, srv)
		pass(5 * time.Second)
		for want, c := range map[string]*skeintest.Conn{`closed with 1001 ""`: raw, `closed with 1005 ""`: early} {
			if got := last(t, c); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		<-done
	})
}

func TestServerThatDrainsStillCarriesMessagesButLetsNobodyIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drained := false
		srv, conns := draining(t, 2, func(h *skein.Host) {
			h.OnDrain(func(context.Context) error {
				drained = true
				return nil
			})
		})
		for _, c := range conns {
			ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		}
		done := shutdown(t, srv)
		if err := srv.Ready(t.Context()); !errors.Is(err, skein.ErrStopped) || !drained {
			t.Errorf("got %v, drained %v, want %v and the plugins told", err, drained, skein.ErrStopped)
		}
		if got := srv.Nodes()[0].State; got != skein.StateDraining {
			t.Errorf("got %q, want %q", got, skein.StateDraining)
		}
		if _, err := srv.Upgrade(t.Context(), "/socketcluster/", nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want a closed listener", err)
		}
		if err := srv.Publish(t.Context(), "x", []byte("1")); err != nil {
			t.Errorf("got %v, want it to be taken", err)
		}
		got := map[string]int{}
		for _, c := range conns {
			got[next(t, c)]++
		}
		if got[`{"event":"#publish","data":{"channel":"x","data":1}}`] != 1 || got[`closed with 1005 ""`] != 1 {
			t.Errorf("got %v, want one who is away and one who hears", got)
		}
		<-done
	})
}

// What waits to be sent is sent, and so is what a session collects.
func TestNothingThatIsQueuedIsLostInADrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, conns := draining(t, 1, noSetup)
		for s := range srv.Sessions() {
			s.StartBatching()
			for i := range 50 {
				if err := s.Transmit("n", fmt.Appendf(nil, "%d", i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		done := shutdown(t, srv)
		if got := next(t, conns[0]); strings.Count(got, `"event":"n"`) != 50 {
			t.Errorf("got %s, want all 50 events", got)
		}
		if got := next(t, conns[0]); got != `closed with 1005 ""` {
			t.Errorf("got %s, want a close with 1005", got)
		}
		<-done
	})
}

func TestClientsOfANodeThatDrainsAreBackAtOnceOnAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 2, skein.Options{Timeouts: skein.Timeouts{Drain: 5 * time.Second}}, noSetup)
		balance := func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := g.nodes[0].Listener.DialContext(ctx, network, addr)
			if err != nil {
				return g.nodes[1].Listener.DialContext(ctx, network, addr)
			}
			return nc, nil
		}
		var subs []*client.Subscription
		for range 10 {
			c, err := client.Dial(t.Context(), client.Options{URL: "ws://x/socketcluster/", NetDial: balance})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			sub, err := c.Subscribe(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			subs = append(subs, sub)
		}
		done := shutdown(t, g.nodes[0])
		<-done
		pass(time.Second) // the last one is on its way
		if got := g.nodes[1].Count("x"); got != len(subs) {
			t.Errorf("got %d back when the node has gone, want %d", got, len(subs))
		}
	})
}

func TestShutdownIsBoundedWhateverHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(context.Context) error {
			pass(time.Hour)
			return nil
		}
		srv := skein.New(skein.Options{})
		srv.MustRegister(plugin("p", func(h *skein.Host) {
			h.OnDrain(hang)
			h.Receive("stuck", func(context.Context, *skein.Session, raw) error { return hang(nil) })
			for range 20 {
				h.OnStop(hang)
			}
		}))
		s := skeintest.Serve(t, srv)
		for range 10 {
			c, _ := open(t, s, "/socketcluster/")
			ask(t, c, `{"event":"stuck"}`)
		}
		began := time.Now()
		if err := srv.Shutdown(t.Context()); err == nil {
			t.Error("nothing was told of what hangs")
		}
		const drain = 5 * time.Second
		if took := time.Since(began); took > drain+3200*time.Millisecond {
			t.Errorf("it took %v, want the drain time and three seconds", took)
		}
		pass(21 * time.Hour)
	})
}

func TestShutdownIsShortenedByItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, conns := draining(t, 10, noSetup)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began, down := time.Now(), make(chan error, 1)
		go func() { down <- srv.Shutdown(ctx) }()
		for len(down) == 0 {
			ends(t, conns)
			pass(50 * time.Millisecond)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v, want at most the two seconds", took)
		}
		if got := ends(t, conns); got[`closed with 1005 ""`] != 10 {
			t.Errorf("got %v, want all 10 told to return", got)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

func TestServeReturnsWhenTheShutdownIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopped := false
		srv := skein.New(skein.Options{})
		srv.MustRegister(plugin("p", func(h *skein.Host) {
			h.OnStop(func(context.Context) error {
				pass(time.Second)
				stopped = true
				return nil
			})
		}))
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(skeintest.NewListener()) }()
		synctest.Wait()
		go func() { _ = srv.Shutdown(t.Context()) }()
		if err := <-served; err != nil || !stopped {
			t.Errorf("got %v, stopped %v, want nil behind the end", err, stopped)
		}
	})
}

func TestRequestsThatAreServedAreFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, _ := draining(t, 0, func(h *skein.Host) {
			h.HandleFunc("GET /slow", func(w http.ResponseWriter, _ *http.Request) {
				pass(time.Second)
				_, _ = w.Write([]byte("done"))
			})
		})
		status := make(chan int, 1)
		go func() {
			r, err := srv.HTTP().Get("http://memory/slow")
			if err != nil {
				t.Error(err)
				status <- 0
				return
			}
			_ = r.Body.Close()
			status <- r.StatusCode
		}()
		synctest.Wait()
		done := shutdown(t, srv)
		if got := <-status; got != http.StatusOK {
			t.Errorf("got %d, want 200", got)
		}
		<-done
	})
}

// Of what is not a session only the rest of the time is waited for.
func TestRequestThatHangsDoesNotHoldTheShutdownUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, _ := draining(t, 0, func(h *skein.Host) {
			h.HandleFunc("GET /hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		})
		failed := make(chan error, 1)
		go func() {
			r, err := srv.HTTP().Get("http://memory/hangs")
			if err == nil {
				_ = r.Body.Close()
			}
			failed <- err
		}()
		synctest.Wait()
		if took := <-shutdown(t, srv); took > 3*time.Second {
			t.Errorf("it took %v, want the two seconds of Timeouts.Stop", took)
		}
		if err := <-failed; err == nil {
			t.Error("the request was answered")
		}
	})
}
