package ws_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/skeinrt/skein/internal/ws"
)

// echo sends back what it gets.
type echo struct{}

func (echo) Message(c *ws.Conn, m ws.Message) { _ = c.Send(ws.NewFrame(m.Binary, m.Data)) }
func (echo) Tick(*ws.Conn)                    {}
func (echo) Closed(*ws.Conn, ws.CloseError)   {}

// printer is a client that prints.
type printer struct{ done chan ws.CloseError }

func (p printer) Message(c *ws.Conn, m ws.Message) {
	fmt.Println(string(m.Data)) //nolint:forbidigo // an example's output
	c.Close(ws.CodeNormal, "thanks")
}
func (p printer) Tick(*ws.Conn)                      {}
func (p printer) Closed(_ *ws.Conn, e ws.CloseError) { p.done <- e }

func echoServer(r *ws.Runtime) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		o := ws.Options{MaxMessage: 16 << 20, Outbox: 64 << 20, Compression: true, Protocols: []string{"echo"}}
		c, err := r.Accept(w, req, o)
		if refusal := new(ws.UpgradeError); errors.As(err, &refusal) {
			refusal.Write(w)
			return
		}
		if err != nil {
			return
		}
		c.Start(echo{})
	})
}

func Example() {
	r := ws.NewRuntime(ws.Config{})
	defer r.Close()
	server := httptest.NewServer(echoServer(r))
	defer server.Close()

	client := printer{done: make(chan ws.CloseError, 1)}
	url := "ws" + strings.TrimPrefix(server.URL, "http")
	c, err := r.Dial(context.Background(), url, ws.DialOptions{Options: ws.Options{Protocols: []string{"echo"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Start(client)
	_ = c.Send(ws.NewFrame(false, []byte("hello over "+c.Subprotocol())))
	fmt.Println(<-client.done)
	// Output:
	// hello over echo
	// ws: closed by this side: 1000 "thanks"
}

// With SKEIN_WS_ECHO=127.0.0.1:9001 and -timeout 0 this serves until it is interrupted, for use by hand and for outside
// conformance suites; SKEIN_WS_DRIVER chooses the driver.
func TestEchoServerAnswersOnItsPort(t *testing.T) {
	drivers := ws.Drivers()
	if d := os.Getenv("SKEIN_WS_DRIVER"); d != "" {
		drivers = []ws.Driver{ws.Driver(d)}
	}
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) { serveEcho(t, os.Getenv("SKEIN_WS_ECHO"), d) })
	}
}

func serveEcho(t *testing.T, addr string, d ws.Driver) {
	t.Helper()
	listen := addr
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	r := ws.NewRuntime(ws.Config{Driver: d})
	defer r.Close()
	server := httptest.NewUnstartedServer(echoServer(r))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()
	client := printer{done: make(chan ws.CloseError, 1)}
	c, err := r.Dial(t.Context(), "ws://"+l.Addr().String()+"/echo", ws.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Start(client)
	c.Close(ws.CodeNormal, "")
	if e := <-client.done; e.Code != ws.CodeNormal {
		t.Errorf("got %v, want 1000", e)
	}
	if addr != "" {
		t.Logf("serving on ws://%s/echo", addr)
		<-t.Context().Done()
	}
}
