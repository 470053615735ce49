package skeintest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

// fixture serves an echo of raw messages, an HTTP route, and a hook that refuses upgrades.
func fixture() skein.Plugin {
	return skein.Func("fixture", func(_ context.Context, h *skein.Host) error {
		h.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		h.HandleWS("/echo", func(c *skein.RawConn) error {
			for m := range c.Messages() {
				send := c.Send
				if m.Binary {
					send = c.SendBinary
				}
				if err := send(m.Raw); err != nil {
					return err
				}
			}
			return c.Err()
		})
		h.OnUpgrade(func(_ context.Context, e *skein.Event) error {
			if e.Request.URL.Query().Has("refuse") {
				return errors.New("not today")
			}
			return nil
		})
		return nil
	})
}

func TestClientsMeetOverTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{})
		alice, bob := srv.Dial(t, client.Options{}), srv.Dial(t, client.Options{Codec: "minbin"})
		sub, err := bob.Subscribe(t.Context(), "news")
		if err != nil {
			t.Fatal(err)
		}
		if err := alice.Publish(t.Context(), "news", map[string]int{"n": 1}); err != nil {
			t.Fatal(err)
		}
		m, err := sub.Next(t.Context())
		if err != nil || string(m.Data) != `{"n":1}` {
			t.Errorf("got %s, %v, want {\"n\":1}", m.Data, err)
		}
	})
}

// Outside of a bubble everything works as well, in real time.
func TestServerWorksInRealTime(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, fixture())
	c := srv.Conn(t, "/echo", nil)
	if err := c.Send("x"); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Read(); err != nil || string(m.Data) != "x" {
		t.Errorf("got %q, %v, want x", m.Data, err)
	}
}

func TestHTTPClientReachesRoutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, fixture())
		r, err := srv.HTTP().Get("http://memory/hello")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "hello" {
			t.Errorf("got %q, %v, want hello", body, err)
		}
	})
}

func TestRawConnSeesEachMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, fixture()).Conn(t, "/echo", nil)
		long := make([]byte, 200<<10) // more than the pipe's buffer holds
		for _, want := range [][]byte{{}, []byte("short"), make([]byte, 126), make([]byte, 70_000), long} {
			sent := make(chan error, 1)
			go func() { sent <- c.SendBinary(want) }()
			m, err := c.Read()
			if err != nil || !m.Binary || len(m.Data) != len(want) {
				t.Errorf("got %d bytes, binary %v, %v, want %d bytes, binary", len(m.Data), m.Binary, err, len(want))
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRawConnSendsFragments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, fixture()).Conn(t, "/echo", nil)
		for _, f := range []struct {
			first byte
			data  string
		}{{0x01, "all "}, {0x89, "ping"}, {0x00, "in "}, {0x80, "one"}} {
			if err := c.SendFrame(f.first, []byte(f.data)); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := c.Read(); err != nil || string(m.Data) != "all in one" || m.Binary {
			t.Errorf("got %q, %v, want all in one", m.Data, err)
		}
	})
}

func TestTryReadDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := skeintest.Start(t, skein.Options{}, fixture()).Conn(t, "/echo", nil)
		if m, ok, err := c.TryRead(); ok || err != nil {
			t.Errorf("got %q, %v, want nothing", m.Data, err)
		}
		if err := c.Send("x"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if m, ok, err := c.TryRead(); !ok || err != nil || string(m.Data) != "x" {
			t.Errorf("got %q, %v, %v, want x", m.Data, ok, err)
		}
	})
}

func TestClosesAreSeenOnBothSides(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		act  func(ctx context.Context, srv *skeintest.Server, c *skeintest.Conn) error
		want skeintest.CloseError
	}{
		"by the client": {func(_ context.Context, _ *skeintest.Server, c *skeintest.Conn) error { return c.Close(4321, "bye") }, skeintest.CloseError{Code: 4321, Reason: "bye"}},
		"without code":  {func(_ context.Context, _ *skeintest.Server, c *skeintest.Conn) error { return c.Close(0, "") }, skeintest.CloseError{Code: 1005}},
		"by the server": {func(ctx context.Context, srv *skeintest.Server, _ *skeintest.Conn) error { return srv.Shutdown(ctx) }, skeintest.CloseError{Code: 1001}},
		"unmasked":      {func(_ context.Context, _ *skeintest.Server, c *skeintest.Conn) error { return c.SendFrame(0xf1, nil) }, skeintest.CloseError{Code: 1002}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := skeintest.Start(t, skein.Options{}, fixture())
				c := srv.Conn(t, "/echo", nil)
				acted := make(chan error, 1)
				go func() { acted <- test.act(t.Context(), srv, c) }()
				_, err := c.Read()
				var end *skeintest.CloseError
				if !errors.As(err, &end) || end.Code != test.want.Code {
					t.Errorf("got %v, want %v", err, &test.want)
				}
				if err := <-acted; err != nil {
					t.Error(err)
				}
				if err := c.Send("late"); err == nil {
					t.Error("a message was sent behind the end")
				}
				if _, _, again := c.TryRead(); !errors.Is(again, err) {
					t.Errorf("got %v, want %v again", again, err)
				}
			})
		})
	}
}

func TestCutConnectionsEndWith1006(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, skein.Func("cutter", func(_ context.Context, h *skein.Host) error {
			h.OnConnect(func(_ context.Context, e *skein.Event) error {
				e.Session.Terminate()
				return nil
			})
			return nil
		}))
		c := srv.Conn(t, "/socketcluster/", nil)
		if err := c.Send(`{"event":"#handshake","cid":1}`); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var err error
		for err == nil {
			_, _, err = c.TryRead()
		}
		if want := `closed with 1006 ""`; err.Error() != want {
			t.Errorf("got %v, want %v", err, want)
		}
	})
}

func TestRefusedUpgradeIsTheServersAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, fixture())
		_, err := srv.Upgrade(t.Context(), "/socketcluster/?refuse", nil)
		if want := `refused with 401 "not today"`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// status of the answer to an upgrade.
func status(err error) int {
	var refused *skeintest.RefusedError
	switch {
	case err == nil:
		return http.StatusSwitchingProtocols
	case errors.As(err, &refused):
		return refused.Status
	default:
		return 0
	}
}

func TestHeadersAndHostReachTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{})
		for origin, want := range map[string]int{"http://example.com": 101, "http://evil.example": 403} {
			c, err := srv.Upgrade(t.Context(), "/socketcluster/", http.Header{"Host": {"example.com"}, "Origin": {origin}})
			got := status(err)
			if err == nil {
				c.Terminate()
			}
			if got != want {
				t.Errorf("origin %s: got %d, want %d", origin, got, want)
			}
		}
	})
}

func TestAddressesAreTheTests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Conns: skein.ConnLimits{PerAddress: 1}})
		open := func(from string) int {
			nc, err := srv.Listener.DialFrom(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			c, err := skeintest.Upgrade(t.Context(), nc, "/socketcluster/", nil)
			if err == nil {
				t.Cleanup(c.Terminate)
			}
			return status(err)
		}
		for _, step := range []struct {
			from string
			want int
		}{{"203.0.113.7:1", 101}, {"203.0.113.7:2", 503}, {"203.0.113.8:1", 101}} {
			if got := open(step.from); got != step.want {
				t.Errorf("from %s: got %d, want %d", step.from, got, step.want)
			}
		}
	})
}

func TestServerThatIsDownIsNotReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{})
		if err := srv.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := srv.Upgrade(t.Context(), "/socketcluster/", nil); err == nil {
			t.Error("connected to a server that is down")
		}
		if err := srv.Publish(t.Context(), "x", json.RawMessage(`1`)); !errors.Is(err, skein.ErrStopped) {
			t.Errorf("got %v, want %v", err, skein.ErrStopped)
		}
	})
}

func TestNobodyAcceptsUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := skeintest.NewListener()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.DialContext(ctx, "", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if l.Addr().String() != "memory" || l.Addr().Network() != "memory" {
			t.Errorf("got address %v of %v, want memory", l.Addr(), l.Addr().Network())
		}
	})
}

func TestLinkedNodesShareChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var nodes []*skeintest.Server
		for _, e := range skeintest.Link(3) {
			nodes = append(nodes, skeintest.Start(t, skein.Options{Engine: e}))
		}
		there, err := nodes[1].Dial(t, client.Options{}).Subscribe(t.Context(), "news")
		if err != nil {
			t.Fatal(err)
		}
		if err := nodes[2].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := nodes[0].Publish(t.Context(), "news", json.RawMessage(`1`)); err != nil {
			t.Fatalf("a node that is down is in the way: %v", err)
		}
		if m, err := there.Next(t.Context()); err != nil || string(m.Data) != "1" {
			t.Errorf("got %s, %v, want 1", m.Data, err)
		}
		if err := nodes[2].Publish(t.Context(), "news", nil); !errors.Is(err, skein.ErrStopped) {
			t.Errorf("got %v, want %v", err, skein.ErrStopped)
		}
	})
}
