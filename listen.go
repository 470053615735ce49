package skein

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// Run starts the server, listens on Options.Addr until ctx is done, and shuts down.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", s.options.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", s.options.Addr, err), s.Shutdown(context.WithoutCancel(ctx)))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("addr", l.Addr().String()))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err = <-served: // the listener has failed, or the program has called Shutdown
	case <-ctx.Done():
	}
	return errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
}

// Serve accepts connections from l until Shutdown, and returns nil when that is over. Several listeners may be served at once. With
// Options.TLS it speaks TLS.
func (s *Server) Serve(l net.Listener) error {
	if s.options.TLS != nil {
		config := s.options.TLS.Clone()
		config.NextProtos = []string{"http/1.1"} // WebSocket needs the connection to itself
		l = tls.NewListener(l, config)
	}
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.options.Timeouts.Header,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(complaints{s.log}, "", 0),
		ConnState:         s.doorman.watch,
		ConnContext:       s.doorman.introduce,
	}
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return errors.Join(ErrStopped, l.Close())
	}
	s.servers[h] = l.Addr()
	s.mu.Unlock()
	if s.options.TLS == nil { // net/http wants to know of TLS itself
		l = newFront(s, l)
	}
	err := h.Serve(l)
	s.mu.Lock()
	delete(s.servers, h)
	s.mu.Unlock()
	if errors.Is(err, http.ErrServerClosed) {
		<-s.life.over // whoever waits for Serve may end the program behind it
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

// complaints are what net/http has to say. Its text has the client's address in it, so it is no message of its own.
type complaints struct{ log *slog.Logger }

// Write logs one complaint. That no more connections can be accepted is for operators, all else is about one client.
func (c complaints) Write(p []byte) (int, error) {
	text := attrQuoted("text", strings.TrimSpace(string(p)))
	if strings.Contains(text.Value.String(), "Accept error") {
		c.log.Warn("connections cannot be accepted", text)
	} else {
		c.log.Debug("a connection was given up", text)
	}
	return len(p), nil
}

// Addr is the address of a listener that is served, or nil.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, addr := range s.servers {
		return addr
	}
	return nil
}

const (
	maxHeader = 16*kib - 4*kib // net/http adds 4 KiB of its own
	maxFields = 100
	maxURI    = 8 * kib
)

// ServeHTTP serves one request, in a program that has its own listener. Before Start and after Shutdown it answers
// 503; while the server shuts down or waits for its cluster, upgrades are. Upgrades need a connection that can be hijacked: HTTP/1.1.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := s.mux.Load()
	if mux == nil {
		unavailable(w, notRunning)
		return
	}
	s.doorman.heard(r)
	if len(r.RequestURI) > maxURI {
		s.counters.limited.add(limitURI)
		plainError(w, http.StatusRequestURITooLong, "The URI is too long")
		return
	}
	n := 0
	for _, values := range r.Header {
		n += len(values)
	}
	if n > maxFields {
		s.counters.limited.add(limitHeaderFields)
		plainError(w, http.StatusRequestHeaderFieldsTooLarge, "The request has too many headers")
		return
	}
	s.bound(w, r)
	mux.ServeHTTP(w, r)
}

// bound sets how long a client may take for its body, and for the answer. In memory there are no deadlines.
func (s *Server) bound(w http.ResponseWriter, r *http.Request) {
	deadlines, now := http.NewResponseController(w), time.Now()
	_ = deadlines.SetWriteDeadline(now.Add(s.options.Timeouts.Answer)) // see above
	if r.ContentLength != 0 {
		_ = deadlines.SetReadDeadline(now.Add(s.options.Timeouts.Body)) // see above
	}
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close") // there may have been a length as well, and a proxy that goes by it
	}
}

const notRunning = "The server is not running"

func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	plainError(w, http.StatusServiceUnavailable, why)
}

// closed says why no new connections are let in; "" where they are.
func (s *Server) closed() string {
	s.mu.Lock()
	phase := s.phase
	s.mu.Unlock()
	if phase != running {
		return notRunning
	}
	if err := s.apart(); err != nil {
		return err.Error()
	}
	return ""
}
