package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

func TestDialReturnsAfterTheHandshake(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		if got := c.ID(); got != "s1" {
			t.Errorf("id: got %q, want s1", got)
		}
		if got := c.State(); got != client.Connected {
			t.Errorf("state: got %v, want connected", got)
		}
		if c.Authenticated() || c.Token() != "" || c.AuthError() != nil || c.Err() != nil {
			t.Errorf("authenticated %v, token %q, errors %v, %v; want nothing", c.Authenticated(), c.Token(), c.AuthError(), c.Err())
		}
		s.last().want(0, `{"event":"#handshake","data":{"authToken":null},"cid":1}`)
	})
}

func TestURLDecidesHostPathAndQuery(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"ws://skein.test", "skein.test/socketcluster/"},
		{"http://skein.test:8000/", "skein.test:8000/"},
		{"ws://skein.test/x/?a=1", "skein.test/x/?a=1"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				var got, agent string
				s.refuse = func(w http.ResponseWriter, r *http.Request) {
					got, agent = r.Host+r.URL.String(), r.Header.Get("User-Agent")
					w.WriteHeader(http.StatusTeapot)
				}
				_, err := client.Dial(t.Context(), s.options(client.Options{URL: tt.url, Header: http.Header{"User-Agent": {"test"}}}))
				if err == nil {
					t.Error("no error")
				}
				if got != tt.want || agent != "test" {
					t.Errorf("got %q with %q, want %q with test", got, agent, tt.want)
				}
			})
		})
	}
}

func TestBadOptionsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	const url = "ws://127.0.0.1:1"
	for name, o := range map[string]client.Options{
		"want ws://": {URL: "ftp://x/"},
		"no host":    {URL: "ws:///x"},
		"url":        {URL: "ws://%zz"},
		"codec":      {URL: url, Codec: "xml"},
		"protocol 3": {URL: url, Protocol: 3},
		"reconnect":  {URL: url, Reconnect: client.Backoff{Initial: time.Hour}},
		"Factor":     {URL: url, Reconnect: client.Backoff{Factor: 0.5}},
		"negative":   {URL: url, Queue: -1},
		"time-outs":  {URL: url, CallTimeout: -1},
	} {
		_, err := client.Dial(t.Context(), o)
		if err == nil || !strings.HasPrefix(err.Error(), "options: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error about options and %q", err, name)
		}
	}
	_, err := client.Dial(t.Context(), client.Options{Codec: "xml", Protocol: 7})
	for _, part := range []string{"url", "codec", "protocol"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want it to tell %q too", err, part)
		}
	}
}

func TestDialFailsWhenTheServerRefusesTheUpgrade(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.refuse = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not you", http.StatusUnauthorized) }
		_, err := client.Dial(t.Context(), s.options(client.Options{}))
		if u, ok := errors.AsType[*ws.UpgradeError](err); !ok || u.Status != http.StatusUnauthorized {
			t.Errorf("got %v, want status 401", err)
		}
		if got := len(s.attempts()); got != 1 {
			t.Errorf("dialled %d times, want once", got)
		}
	})
}

func TestRefusedUpgradeIsToldInOneLine(t *testing.T) {
	const page = "<!doctype html>\n<html>"
	for _, tt := range []struct {
		name, url string
		status    int
		kind      string
		body      string
		want      string
	}{
		{"page", "ws://h:1/?a=1", 200, "text/html", page, `dial "ws://h:1/?…": answered with 200 OK, not with a WebSocket; did you mean ws://h:1/socketcluster/?`},
		{"missing", "ws://h/x", 404, "text/plain; charset=utf-8", "nothing here\n", `dial "ws://h/x": refused with 404 Not Found: nothing here; did you mean ws://h/socketcluster/?`},
		{"no slash", "ws://h/socketcluster", 404, "text/html", page, `dial "ws://h/socketcluster": refused with 404 Not Found; did you mean ws://h/socketcluster/?`},
		{"usual path", "ws://h", 404, "", "", `dial "ws://h/socketcluster/": refused with 404 Not Found`},
		{"known path", "ws://h/x", 403, "text/plain", "not you", `dial "ws://h/x": refused with 403 Forbidden: not you`},
		{"lines", "ws://h/x", 503, "text/plain", "a\nb", `dial "ws://h/x": refused with 503 Service Unavailable`},
		{"control", "ws://h/x", 401, "text/plain", "\x1b[2J", `dial "ws://h/x": refused with 401 Unauthorized`},
		{"long", "ws://h/x", 401, "text/plain", strings.Repeat("x", 201), `dial "ws://h/x": refused with 401 Unauthorized`},
		{"json", "ws://h/x", 500, "application/json", "{}", `dial "ws://h/x": refused with 500 Internal Server Error`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				s.refuse = func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", tt.kind)
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, tt.body)
				}
				_, err := client.Dial(t.Context(), s.options(client.Options{URL: tt.url}))
				if err == nil || err.Error() != tt.want {
					t.Errorf("got %v\nwant %s", err, tt.want)
				}
			})
		})
	}
}

func TestDialFailsWithTheServersErrorWhenTheHandshakeIsRefused(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			c.failure(p, `{"message":"full","name":"HouseError","statusCode":4600,"seats":3}`)
			c.conn.Close(4600, "")
			return true
		}
		_, err := client.Dial(t.Context(), s.options(client.Options{}))
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Name != "HouseError" || e.Message != "full" || e.Props["seats"] != 3.0 {
			t.Errorf("got %v, want the HouseError", err)
		}
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != 4600 {
			t.Errorf("got %v, want code 4600 in it", err)
		}
	})
}

func TestServerThatRefusesTheHandshakeMustClose(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			c.failure(p, `"no"`)
			return true
		}
		begun := time.Now()
		_, err := client.Dial(t.Context(), s.options(client.Options{}))
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Message != "no" {
			t.Errorf("got %v, want the message no", err)
		}
		if got := time.Since(begun).Round(time.Second); got != 2*time.Second {
			t.Errorf("took %v, want 2s", got)
		}
		if e, ended := s.last().closed(); !ended || e.Code != 4003 {
			t.Errorf("closed %v with %d, want 4003", ended, e.Code)
		}
	})
}

func TestUnansweredHandshakeIsClosedWith4003(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(*session, wire.Packet) bool { return true }
		begun := time.Now()
		_, err := client.Dial(t.Context(), s.options(client.Options{CallTimeout: 3 * time.Second}))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a time-out", err)
		}
		if got := time.Since(begun).Round(100 * time.Millisecond); got != 3*time.Second {
			t.Errorf("took %v, want 3s", got)
		}
		if e, ended := s.last().closed(); !ended || e.Code != 4003 {
			t.Errorf("closed %v with %d, want 4003", ended, e.Code)
		}
	})
}

func TestNonsensicalHandshakeAnswerIsClosedWith4003(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			c.result(p, `"welcome"`)
			return true
		}
		if _, err := client.Dial(t.Context(), s.options(client.Options{})); err == nil {
			t.Error("no error")
		}
		if e, ended := s.last().closed(); !ended || e.Code != 4003 {
			t.Errorf("closed %v with %d, want 4003", ended, e.Code)
		}
	})
}

func TestConnectionLostDuringTheHandshakeIsTold(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, _ wire.Packet) bool {
			c.conn.Close(4005, "")
			return true
		}
		_, err := client.Dial(t.Context(), s.options(client.Options{}))
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != 4005 {
			t.Errorf("got %v, want code 4005", err)
		}
	})
}

func TestServerThatNeverAcceptsIsGivenUp(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		o := s.options(client.Options{NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		begun := time.Now()
		if _, err := client.Dial(t.Context(), o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a time-out", err)
		}
		if got := time.Since(begun); got != 20*time.Second {
			t.Errorf("took %v, want 20s", got)
		}
	})
}

func TestSetupAndStatesSeeTheWholeLife(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		var states []string
		var events *client.Stream
		s.on = func(c *session, p wire.Packet) bool {
			c.obey(p)
			if p.Kind == wire.Handshake {
				c.text(`{"event":"welcome","data":1}`)
				c.text(`{"event":"who","cid":1}`)
			}
			return true
		}
		c := s.dial(client.Options{
			Setup: func(c *client.Client) {
				events = c.Receive("welcome")
				c.Handle("who", constant("me"))
			},
			OnState: func(s client.State, reason error) {
				states = append(states, s.String())
				if (reason != nil) != (s == client.Waiting || s == client.Closed) {
					t.Errorf("%v: reason %v", s, reason)
				}
			},
		})
		wantItems(t, events, "1")
		s.last().want(1, `{"rid":1,"data":"me"}`)
		s.last().conn.Terminate()
		after(20 * time.Second)
		closeClient(c)
		want := []string{"connecting", "connected", "waiting", "connecting", "connected", "closed"}
		if !slices.Equal(states, want) {
			t.Errorf("states: got %q, want %q", states, want)
		}
		if client.State(9).String() != "unknown" {
			t.Error("a state that does not exist has a name")
		}
	})
}

func TestCloseSaysGoodbyeAndEndsEverything(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		news := subscribe(t, c, "news")
		events := c.Receive("event")
		pending := background(func() error { _, err := c.Call(t.Context(), "blackhole", nil); return err })
		s.publish("news", "1")
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		<-c.Done()
		if e, ended := s.last().closed(); !ended || e.Code != 1000 {
			t.Errorf("server saw %v, %d; want 1000", ended, e.Code)
		}
		if err := take(t, pending); !errors.Is(err, client.ErrDisconnected) {
			t.Errorf("pending call: got %v, want ErrDisconnected", err)
		}
		wantItems(t, news.Stream, "1")
		for name, err := range map[string]error{
			"subscription": news.Err(), "receiver": events.Err(), "client": c.Err(),
			"later receiver": c.Receive("x").Err(), "transmit": c.Transmit("x", nil),
			"publish": c.Publish(t.Context(), "x", nil), "subscribe": second(c.Subscribe(t.Context(), "x")),
		} {
			if !errors.Is(err, client.ErrClosed) {
				t.Errorf("%s: got %v, want ErrClosed", name, err)
			}
		}
		if c.State() != client.Closed || c.Close() != nil {
			t.Errorf("state %v, second close %v", c.State(), c.Close())
		}
		news.Close()
		events.Close()
	})
}

func second[T any](_ T, err error) error { return err }
