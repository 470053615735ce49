package skein_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// met is how often a limit was met.
func met(srv *skeintest.Server, limit string) float64 {
	for _, m := range srv.Metrics() {
		if m.Name == "limited_total" && m.Labels["limit"] == limit && m.Labels["plugin"] == "" {
			return m.Value
		}
	}
	return -1
}

// others are the limits that were met, but for the one.
func others(srv *skeintest.Server, limit string) (list []string) {
	for _, m := range srv.Metrics() {
		if m.Name == "limited_total" && m.Labels["limit"] != limit && m.Value > 0 {
			list = append(list, m.Labels["limit"])
		}
	}
	return list
}

// limited starts a server with the fixture and one endpoint.
func limited(t *testing.T, o skein.Options) *skeintest.Server {
	t.Helper()
	for i := range o.Endpoints {
		o.Endpoints[i].Protocol, o.Endpoints[i].Ping.Off = skein.V2, true
	}
	if o.Endpoints == nil {
		o.Endpoints = []skein.Endpoint{{Protocol: skein.V2, Ping: skein.Ping{Off: true}}}
	}
	o.Rates.UserClaim = "user"
	o.Tokens = newTokens(t, authOptions(), testKey)
	return skeintest.Start(t, o, fixture())
}

func send(t *testing.T, c *skeintest.Conn, packet string) {
	t.Helper()
	if err := c.Send(packet); err != nil {
		t.Fatal(err)
	}
}

func wantAnswer(t *testing.T, c *skeintest.Conn, packet, want string) {
	t.Helper()
	if got := ask(t, c, packet); !strings.HasPrefix(got, want) {
		t.Errorf("%.80s: got %q, want %q", packet, got, want)
	}
}

// compressed is a message as permessage-deflate has it.
func compressed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// breach is a way to meet a limit with an open session.
type breach struct {
	limit    string
	endpoint skein.Endpoint
	do       func(t *testing.T, c *skeintest.Conn, s *skein.Session)
	lives    bool // the session does
}

const closedTooBig = `closed with 1009 ""`

// breachesOfMessages end the session.
func breachesOfMessages() []breach {
	type limits = skein.Limits
	return []breach{
		{"message", skein.Endpoint{Limits: limits{MaxMessage: 500}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			wantAnswer(t, c, `{"event":"echo","data":"fits","cid":2}`, `{"rid":2,"data":"fits"}`)
			wantAnswer(t, c, `{"event":"echo","data":"`+strings.Repeat("x", 500)+`","cid":3}`, closedTooBig)
		}, false},
		{"inflated", skein.Endpoint{Compression: true, Limits: limits{MaxMessage: 500}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			if err := c.SendFrame(0xc1, compressed(t, `{"event":"echo","data":"`+strings.Repeat("x", 5000)+`","cid":3}`)); err != nil {
				t.Fatal(err)
			}
			if got := next(t, c); got != closedTooBig {
				t.Errorf("got %q, want %q", got, closedTooBig)
			}
		}, false},
		{"fragments", skein.Endpoint{}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			err := c.SendFrame(0x01, nil)
			for range 1024 {
				if err == nil {
					err = c.SendFrame(0x00, nil)
				}
			}
			if got := next(t, c); got != closedTooBig {
				t.Errorf("got %q, want %q", got, closedTooBig)
			}
		}, false},
		{"depth", skein.Endpoint{Limits: limits{Depth: 5}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			wantAnswer(t, c, `[{"event":"echo","data":[[[]]],"cid":2}]`, `{"rid":2,"data":[[[]]]}`)
			wantAnswer(t, c, `[{"event":"echo","data":[[[[]]]],"cid":3}]`, closedTooBig)
		}, false},
		{"batch", skein.Endpoint{Limits: limits{Batch: 2}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			const packet = `{"event":"#publish","data":{"channel":"x"},"cid":2}`
			wantAnswer(t, c, "["+packet+","+packet+"]", `{"rid":2}`)
			wantAnswer(t, c, "[null,[],"+packet+"]", `{"rid":2}`)
			if got := next(t, c); got != closedTooBig {
				t.Errorf("got %q, want %q", got, closedTooBig)
			}
		}, false},
	}
}

// breachesOfRooms leave the session alive.
func breachesOfRooms() []breach {
	type limits = skein.Limits
	return []breach{
		{"channel_name", skein.Endpoint{Limits: limits{ChannelName: 4}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			const want = `{"rid":2,"error":{"message":"Subscribe channel name is longer than 4 bytes","name":"InvalidActionError"}}`
			wantAnswer(t, c, `{"event":"#subscribe","data":{"channel":"12345"},"cid":2}`, want)
			wantAnswer(t, c, `{"event":"#subscribe","data":{"channel":"1234"},"cid":3}`, `{"rid":3}`)
		}, true},
		{"channels", skein.Endpoint{Limits: limits{Channels: 1}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			wantAnswer(t, c, `{"event":"#subscribe","data":{"channel":"a"},"cid":2}`, `{"rid":2}`)
			wantAnswer(t, c, `{"event":"#subscribe","data":{"channel":"b"},"cid":3}`, `{"rid":3,"error":{"message":"Failed to subscribe socket to the b channel`)
		}, true},
		{"calls", skein.Endpoint{Limits: limits{Calls: 1}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			send(t, c, `{"event":"slow","data":1,"cid":2}`)
			pass(10 * time.Millisecond)
			wantAnswer(t, c, `{"event":"slow","data":2,"cid":3}`, "")
			pass(time.Second)
			if got, want := next(t, c), `{"rid":2,"data":1}`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			pass(time.Second)
			if got, want := next(t, c), `{"rid":3,"data":2}`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}, true},
		{"open_calls", skein.Endpoint{Limits: limits{OpenCalls: 1}}, callTwice, true},
		{"inbox", skein.Endpoint{Limits: limits{Inbox: 1000}}, func(t *testing.T, c *skeintest.Conn, _ *skein.Session) {
			t.Helper()
			send(t, c, `{"event":"#subscribe","data":{"channel":"slow"},"cid":2}`) // later packets wait for its hook
			send(t, c, `{"event":"note","data":"`+strings.Repeat("x", 1000)+`"}`)
			wantAnswer(t, c, `{"event":"echo","cid":3}`, "")
			pass(time.Second)
			for i := 2; i <= 3; i++ {
				if got, want := next(t, c), fmt.Sprintf(`{"rid":%d}`, i); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		}, true},
	}
}

// callTwice calls the client while it has another call to answer.
func callTwice(t *testing.T, c *skeintest.Conn, s *skein.Session) {
	t.Helper()
	first := make(chan error, 1)
	go func() {
		_, err := s.Call(t.Context(), "first", nil)
		first <- err
	}()
	synctest.Wait()
	_, err := s.Call(t.Context(), "second", nil)
	if got, want := described(err), `{"message":"The client has 1 calls to answer: no more are allowed","name":"ResourceLimitError"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := next(t, c), `{"event":"first","cid":1}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	send(t, c, `{"rid":1}`)
	if err := <-first; err != nil {
		t.Errorf("the first call: %v", err)
	}
	if got := next(t, c); got != "" {
		t.Errorf("got %q, want no more", got)
	}
}

func TestALimitIsCountedByNameAndCostsOthersNothing(t *testing.T) {
	t.Parallel()
	for _, b := range append(breachesOfMessages(), breachesOfRooms()...) {
		t.Run(b.limit, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b.endpoint.Path = "/bounded/"
				srv := limited(t, skein.Options{Endpoints: []skein.Endpoint{b.endpoint, {}}})
				bystander, _ := open(t, srv, "/socketcluster/")
				header := http.Header{}
				if b.endpoint.Compression {
					header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
				}
				c, s := shake(t, srv, srv.Conn(t, "/bounded/", header))
				if got := others(srv, ""); len(got) != 0 {
					t.Fatalf("got %q before anything has happened", got)
				}
				b.do(t, c, s)
				if got := met(srv, b.limit); got != 1 {
					t.Errorf("the limit was met %v times, want once", got)
				}
				if got := others(srv, b.limit); len(got) != 0 {
					t.Errorf("got %q as well", got)
				}
				if s.Open() != b.lives {
					t.Errorf("the session is open: %v, want %v", s.Open(), b.lives)
				}
				wantAnswer(t, bystander, `{"event":"echo","data":"fine","cid":9}`, `{"rid":9,"data":"fine"}`)
			})
		})
	}
}

// shake does the handshake of a connection.
func shake(t *testing.T, srv *skeintest.Server, c *skeintest.Conn) (*skeintest.Conn, *skein.Session) {
	t.Helper()
	hello := ask(t, c, `{"event":"#handshake","data":{},"cid":1}`)
	var answer struct{ Data struct{ ID string } }
	if err := json.Unmarshal([]byte(hello), &answer); err != nil {
		t.Fatalf("got %s, want an answer to the handshake", hello)
	}
	s := srv.Session(answer.Data.ID)
	if s == nil {
		t.Fatalf("got %s, want a session", hello)
	}
	return c, s
}

func TestADeepMessageOfAnyCodecIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{})
		for i, depth := range []int{600, 5000} {
			c := srv.Conn(t, "/socketcluster/", nil)
			if err := c.SendBinary([]byte("\x81\xa1e\x93\xaa#handshake\xc0\x01")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if _, ok, err := c.TryRead(); !ok {
				t.Fatalf("got no answer to the handshake: %v", err)
			}
			if err := c.SendBinary([]byte("\x81\xa1e\x93\xa4echo" + strings.Repeat("\x91", depth) + "\xc0\x02")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			var err error
			for ok := true; ok; {
				_, ok, err = c.TryRead() // pings, too
			}
			if err == nil || err.Error() != closedTooBig {
				t.Errorf("%d levels: got %v, want %s", depth, err, closedTooBig)
			}
			if got := met(srv, "depth"); got != float64(i+1) {
				t.Errorf("%d levels: the limit was met %v times, want %d", depth, got, i+1)
			}
		}
	})
}

func TestAHandshakeThatDoesNotComeIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{})
		c := srv.Conn(t, "/socketcluster/", nil)
		pass(11 * time.Second)
		if got := next(t, c); got != `closed with 4005 ""` || met(srv, "handshake_time") != 1 {
			t.Errorf("got %q and %v, want 4005, counted once", got, met(srv, "handshake_time"))
		}
	})
}

// httpRaw sends octets over a connection of its own and returns the status line, or "" where there is none within a minute.
func httpRaw(t *testing.T, srv *skeintest.Server, octets ...string) string {
	t.Helper()
	nc, err := srv.Listener.DialFrom(t.Context(), "203.0.113.7:1234")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	for _, part := range octets {
		if _, err := nc.Write([]byte(part)); err != nil {
			break // it has been closed
		}
		synctest.Wait()
	}
	if err := nc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, _ := nc.Read(answer) // an end is no answer
	line, _, _ := strings.Cut(string(answer[:n]), "\r\n")
	return line
}

func TestARequestBeyondALimitIsCounted(t *testing.T) {
	t.Parallel()
	const post = "POST /test/in HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		limit, want string
		octets      []string
	}{
		{"", "HTTP/1.1 200 OK", []string{post + "Content-Length: 2\r\n\r\n{}"}},
		{"", "", nil},
		{"header", "HTTP/1.1 431 Request Header Fields Too Large", []string{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n"}},
		{"header", "HTTP/1.1 400 Bad Request", []string{"nonsense\r\n\r\n"}},
		{"header_time", "", []string{"GET / HTTP/1.1\r\nHost: a\r\n"}},
		{"header_fields", "HTTP/1.1 431 Request Header Fields Too Large", []string{"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 101) + "\r\n"}},
		{"uri", "HTTP/1.1 414 Request URI Too Long", []string{"GET /" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n"}},
		{"body", "HTTP/1.1 413 Request Entity Too Large", []string{post + "Content-Length: 102\r\n\r\n{" + strings.Repeat(" ", 100) + "}"}},
		{"body_time", "HTTP/1.1 400 Bad Request", []string{post + "Content-Length: 2\r\n\r\n{"}},
	} {
		t.Run(c.limit, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := skeintest.Start(t, skein.Options{Limits: skein.Limits{MaxMessage: 100}}, plugin("test", func(h *skein.Host) {
					skein.Operation(h, "POST /test/in", func(context.Context, struct{}) (skein.Nothing, error) { return skein.Nothing{}, nil })
				}))
				got := httpRaw(t, srv, c.octets...)
				if c.octets == nil {
					c.limit = "header_time" // silence is slow, too
				}
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				pass(time.Second) // net/http lets the client read what it has answered
				if c.limit != "" && met(srv, c.limit) != 1 {
					t.Errorf("the limit was met %v times, want once", met(srv, c.limit))
				}
				if got := others(srv, c.limit); len(got) != 0 {
					t.Errorf("got %q as well", got)
				}
				if got := httpRaw(t, srv, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); got != "HTTP/1.1 404 Not Found" {
					t.Errorf("the next one got %q, want an answer", got)
				}
			})
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit, want string
		conns       skein.ConnLimits
		rates       skein.SharedRates
		others      bool // feel it: the limit is everybody's
	}{
		{limit: "connections", want: `refused with 503 "too many connections"`, conns: skein.ConnLimits{Total: 2}, others: true},
		{limit: "address_connections", want: `refused with 503 "too many connections from your address"`, conns: skein.ConnLimits{PerAddress: 2}},
		{limit: "accepts", want: `refused with 503 "too many connections a second"`, conns: skein.ConnLimits{PerSecond: 2}, others: true},
		{limit: "pending_handshakes", want: `refused with 503 "too many connections before their handshake"`, conns: skein.ConnLimits{Pending: 2}, others: true},
		{
			limit: "address_pending_handshakes", want: `refused with 503 "too many connections from your address before their handshake"`,
			conns: skein.ConnLimits{PendingPerAddress: 2},
		},
		{
			limit: "address_connects", want: `refused with 429 "Too many connects of this address: 0.5 a second and 2 at once are allowed"`,
			rates: skein.SharedRates{Address: skein.Rates{Connects: skein.Rate{PerSecond: 0.5, Burst: 2}}},
		},
	} {
		t.Run(c.limit, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := limited(t, skein.Options{Conns: c.conns, Rates: c.rates})
				for _, from := range []string{"[2001:db8::1]:1", "[2001:db8::2]:1"} { // one customer
					if _, err := upgradeFrom(t, srv, from, "/socketcluster/"); err != nil {
						t.Fatal(err)
					}
				}
				_, err := upgradeFrom(t, srv, "[2001:db8::3]:1", "/socketcluster/")
				refused, ok := err.(*skeintest.RefusedError) //nolint:errorlint // that is what it is
				if !ok || err.Error() != c.want || refused.Header.Get("Retry-After") != "5" {
					t.Errorf("got %v, want %s, and when to come again", err, c.want)
				}
				if got := met(srv, c.limit); got != 1 {
					t.Errorf("the limit was met %v times, want once", got)
				}
				if _, err = upgradeFrom(t, srv, "[2001:db8:0:1::1]:1", "/socketcluster/"); (err != nil) != c.others {
					t.Errorf("another address got %v", err)
				}
			})
		})
	}
}

func TestPendingHandshakesAreNoMoreOnceTheyHaveCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := limited(t, skein.Options{Conns: skein.ConnLimits{Pending: 1}})
		for range 3 {
			open(t, srv, "/socketcluster/")
		}
		gone := srv.Conn(t, "/socketcluster/", nil)
		if _, err := srv.Upgrade(t.Context(), "/socketcluster/", nil); err == nil {
			t.Error("a second pending handshake is let in")
		}
		gone.Terminate()
		synctest.Wait()
		late := srv.Conn(t, "/socketcluster/", nil)
		pass(10*time.Second + 20*time.Millisecond)
		if got := next(t, late); got != `closed with 4005 ""` {
			t.Errorf("got %q, want a close", got)
		}
		synctest.Wait() // the server hears the answer
		open(t, srv, "/socketcluster/")
		if got := srv.Stats(); got.Sessions != 4 || got.Conns != 4 {
			t.Errorf("got %d sessions and %d connections, want 4", got.Sessions, got.Conns)
		}
	})
}

func TestPlainConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	for limit, o := range map[string]skein.ConnLimits{"plain_connections": {Total: 4}, "address_plain_connections": {PerAddress: 20}} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := limited(t, skein.Options{Conns: o})
				for i := range 21 {
					nc, err := srv.Listener.DialFrom(t.Context(), fmt.Sprintf("203.0.113.7:%d", i))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = nc.Close() })
				}
				synctest.Wait()
				if got := met(srv, limit); got != 1 {
					t.Errorf("the limit was met %v times, want once", got)
				}
				if got := others(srv, limit); len(got) != 0 {
					t.Errorf("got %q as well", got)
				}
				pass(6 * time.Second) // they have said nothing
				open(t, srv, "/socketcluster/")
			})
		})
	}
}
