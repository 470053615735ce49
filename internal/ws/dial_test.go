package ws

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a NetDial to a server that reads one request and answers by a template with its accept key.
func scripted(t *testing.T, answer string, seen chan<- *http.Request) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			req, err := http.ReadRequest(bufio.NewReader(server))
			if err != nil {
				return
			}
			if seen != nil {
				seen <- req
			}
			answer = strings.ReplaceAll(answer, "$ACCEPT", acceptKey(req.Header.Get(headerKey)))
			_, _ = server.Write([]byte(answer))
			_ = server.Close()
		}()
		return client, nil
	}
}

const goodAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: $ACCEPT\r\n"

func TestClientJudgesTheAnswer(t *testing.T) {
	t.Parallel()
	options := Options{Protocols: []string{"a", "b"}, Compression: true}
	for _, tc := range []struct{ name, answer, want string }{
		{"good", goodAnswer + "\r\n", ""},
		{"subprotocol", goodAnswer + "Sec-WebSocket-Protocol: b\r\n\r\n", ""},
		{"compression", goodAnswer + "Sec-WebSocket-Extensions: " + deflateOffer + "\r\n\r\n", ""},
		{"no Upgrade", strings.Replace(goodAnswer, "Upgrade: websocket\r\n", "", 1) + "\r\n", "upgrade"},
		{"wrong accept", strings.Replace(goodAnswer, "$ACCEPT", "AAAA", 1) + "\r\n", "Accept"},
		{"strange subprotocol", goodAnswer + "Sec-WebSocket-Protocol: c\r\n\r\n", "subprotocol"},
		{"two subprotocols", goodAnswer + "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n", "subprotocol"},
		{"context kept", goodAnswer + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "extensions"},
		{"strange extension", goodAnswer + "Sec-WebSocket-Extensions: x\r\n\r\n", "extensions"},
		{"no HTTP", "hello\r\n\r\n", "answer"},
		{"silence", "", "answer"},
		{"a header without end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxAnswer), "answer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRuntime(t)
				c, err := r.Dial(t.Context(), "ws://host/", DialOptions{Options: options, NetDial: scripted(t, tc.answer, nil)})
				switch {
				case tc.want == "" && err != nil:
					t.Errorf("got %v, want a connection", err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
					t.Errorf("got %v, want an error with %q", err, tc.want)
				case c != nil:
					c.Terminate()
				}
			})
		})
	}
}

func TestRefusalReachesTheClientWithItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t)
		body := strings.Repeat("no ", 5000)
		answer := fmt.Sprintf("HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		_, err := r.Dial(t.Context(), "ws://host/", DialOptions{NetDial: scripted(t, answer, nil)})
		var e *UpgradeError
		if !errors.As(err, &e) || e.Status != 503 || e.Header.Get("Retry-After") != "7" || len(e.Message) > maxRefusal || !strings.HasPrefix(e.Message, "no no") {
			t.Errorf("got %.100v", err)
		}
	})
}

func TestClientSendsWhatItWasTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t)
		seen := make(chan *http.Request, 1)
		o := DialOptions{
			Options: Options{Protocols: []string{"a", "b"}, Compression: true},
			Header:  http.Header{"Host": {"other"}, "Cookie": {"k=v"}},
			NetDial: scripted(t, goodAnswer+"\r\n", seen),
		}
		c, err := r.Dial(t.Context(), "ws://host:99/path?q=1", o)
		if err != nil {
			t.Fatal(err)
		}
		c.Terminate()
		req := <-seen
		if CheckUpgrade(req) != nil || req.Host != "other" || req.RequestURI != "/path?q=1" || req.Header.Get("Cookie") != "k=v" ||
			req.Header.Get(headerProtocol) != "a, b" || req.Header.Get(headerExtensions) != deflateOffer {
			t.Errorf("got %s %s %v", req.Host, req.RequestURI, req.Header)
		}
		if o.Header.Get(headerKey) != "" {
			t.Error("the caller's header was changed")
		}
	})
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t)
		client, server := net.Pipe()
		go func() { _, _ = http.ReadRequest(bufio.NewReader(server)) }() // and never answers
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := r.Dial(ctx, "ws://host/", DialOptions{NetDial: func(context.Context, string, string) (net.Conn, error) { return client, nil }})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("got %v after %v, want the deadline after 3s", err, time.Since(begin))
		}
	})
}

func TestDialRefusesOtherURLs(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	for _, url := range []string{"http://host/", "ws://", "ws:///x", "host", "ws://a b/", ":"} {
		if _, err := r.Dial(t.Context(), url, DialOptions{}); err == nil {
			t.Errorf("%q: got a connection", url)
		}
	}
}

func TestClientAndServerTalkOverTLS(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		server := newSpy()
		server.on = echo
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			c, err := r.Accept(w, req, Options{Compression: true})
			if err != nil {
				t.Errorf("accepting: %v", err)
				return
			}
			c.Start(server)
		}))
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // the refused certificate is expected
		s.StartTLS()
		defer s.Close()
		url := "wss" + strings.TrimPrefix(s.URL, "https")
		if _, err := r.Dial(t.Context(), url, DialOptions{}); err == nil {
			t.Error("got a connection to a server with an unknown certificate")
		}
		config := s.Client().Transport.(*http.Transport).TLSClientConfig
		c, err := r.Dial(t.Context(), url, DialOptions{Options: Options{Compression: true}, TLS: &tls.Config{RootCAs: config.RootCAs}})
		if err != nil {
			t.Fatal(err)
		}
		client := newSpy()
		c.Start(client)
		for _, n := range []int{0, 10, 5000, 300000} {
			if err := c.Send(NewFrame(false, prose(n))); err != nil {
				t.Fatal(err)
			}
			client.wantMessage(t, string(prose(n)))
		}
		c.Close(4001, "done")
		_ = server.wantClosed(t, 4001, false)
		_ = client.wantClosed(t, 4001, true)
	})
}
