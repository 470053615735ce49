package skeintest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
)

// stopWithin bounds the shutdown of a server at the end of its test.
const stopWithin = 30 * time.Second

// Server is a running server that is reached in memory.
type Server struct {
	*skein.Server
	// Listener is where it is reached.
	Listener *Listener

	served    chan error
	transport *http.Transport
}

// Start starts a server with the plugins. It ends with the test, or by Close or Shutdown before. Where Timeouts.Drain is not
// given its clients are sent away at once, so that the test need not wait.
func Start(tb testing.TB, o skein.Options, plugins ...skein.Plugin) *Server {
	tb.Helper()
	if o.Timeouts.Drain == 0 {
		o.Timeouts.Drain = -1
	}
	srv := skein.New(o)
	for _, p := range plugins {
		if err := srv.Register(p); err != nil {
			tb.Fatalf("register: %v", err)
		}
	}
	return Serve(tb, srv)
}

// Serve starts a server that the test has made itself, and serves it in memory, as Start does.
func Serve(tb testing.TB, srv *skein.Server) *Server {
	tb.Helper()
	if err := srv.Start(tb.Context()); err != nil {
		tb.Fatalf("start: %v", err)
	}
	s := &Server{Server: srv, Listener: NewListener(), served: make(chan error, 1)}
	s.transport = &http.Transport{DialContext: s.Listener.DialContext}
	go func() { s.served <- srv.Serve(s.Listener) }()
	tb.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Errorf("shut down: %v", err)
		}
	})
	return s
}

// Close shuts the server down, where that has not been done, and waits until it serves no more.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	s.transport.CloseIdleConnections()
	err := unlessStopped(s.Shutdown(ctx))
	_ = s.Listener.Close() // it never fails
	if s.served != nil {
		err = errors.Join(err, unlessStopped(<-s.served))
		s.served = nil
	}
	return err
}

func unlessStopped(err error) error {
	if errors.Is(err, skein.ErrStopped) {
		return nil
	}
	return err
}

// Dial connects a client, which is closed with the test. NetDial is the server's, and where there is no URL it is that
// of the usual endpoint.
func (s *Server) Dial(tb testing.TB, o client.Options) *client.Client {
	tb.Helper()
	if o.URL == "" {
		o.URL = "ws://memory/socketcluster/"
	}
	o.NetDial = s.Listener.DialContext
	c, err := client.Dial(tb.Context(), o)
	if err != nil {
		tb.Fatalf("dial %s: %v", o.URL, err)
	}
	tb.Cleanup(func() { _ = c.Close() }) // it says why a client has ended before, which is for the test to judge
	return c
}

// HTTP returns a client for the server's HTTP routes. The host of its URLs says nothing: http://memory/path.
func (s *Server) HTTP() *http.Client { return &http.Client{Transport: s.transport} }

// Conn opens a WebSocket connection at a path, such as /socketcluster/ or /ws?room=1, and fails the test where the
// server refuses. It is cut off at the end of the test.
func (s *Server) Conn(tb testing.TB, path string, header http.Header) *Conn {
	tb.Helper()
	c, err := s.Upgrade(tb.Context(), path, header)
	if err != nil {
		tb.Fatalf("open %s: %v", path, err)
	}
	tb.Cleanup(c.Terminate)
	return c
}
