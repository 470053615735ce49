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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skeinrt/skein/internal/proxyproto"
)

// Run starts the server, listens on Options.Addr, and on Door.Operators where there is one, until ctx is done, and shuts
// down.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	served := make(chan error, 2)
	serving, err := s.listen(ctx, served)
	if err == nil {
		select {
		case err = <-served: // a listener has failed, or the program has called Shutdown
			serving--
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, s.Shutdown(context.WithoutCancel(ctx)))
	for range serving {
		if late := <-served; !errors.Is(late, ErrStopped) { // it had not begun yet
			err = errors.Join(err, late)
		}
	}
	return err
}

// listen opens the listeners of the options, and says how many it serves.
func (s *Server) listen(ctx context.Context, served chan<- error) (serving int, err error) {
	for _, at := range []struct {
		addr, whom string
		serve      func(net.Listener) error
	}{
		{s.options.Addr, "clients", s.Serve},
		{s.options.Door.Operators, "operators", s.ServeOperators},
	} {
		if at.addr == "" {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", at.addr)
		if err != nil {
			return serving, fmt.Errorf("listen on %s: %w", at.addr, err)
		}
		s.log.LogAttrs(ctx, slog.LevelInfo, "serving", slog.String("addr", l.Addr().String()), slog.String("for", at.whom))
		serving++
		go func() { served <- at.serve(l) }()
	}
	return serving, nil
}

// Serve accepts connections from l until Shutdown, and returns nil when that is over. Several listeners may be served at once. With
// Options.TLS it speaks TLS.
func (s *Server) Serve(l net.Listener) error {
	return s.accept(l, s.newHTTP(s, &s.doorman), false)
}

// ServeOperators is Serve for a listener on which only routes for operators, and for everybody, are served. It stays open
// until the end of Shutdown. Its connections count for themselves, so that a crowd of clients locks no operator out. It
// fails without Options.Door.Operators, since what is for operators is then served to clients.
func (s *Server) ServeOperators(l net.Listener) error {
	if s.options.Door.Operators == "" {
		return errors.Join(errors.New("serve operators: the option Door.Operators is empty, so that their routes are served to clients"), l.Close())
	}
	own := &doorman{limits: ConnLimits{Total: mostOperators, PerAddress: -1}, turns: newTurnstile(), tally: &s.counters.limited}
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own.heard(r)
		s.answer(w, r, Operators)
	})
	return s.accept(l, s.newHTTP(inside, own), true)
}

const mostOperators = 100 // connections, and half as many

func (s *Server) newHTTP(h http.Handler, d *doorman) *http.Server {
	var one http.Protocols
	one.SetHTTP1(true) // WebSocket needs the connection to itself
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.options.Timeouts.Header, // of TLS handshakes, too
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(complaints{s.log}, "", 0),
		ConnState:         d.watch,
		ConnContext:       d.introduce,
		Protocols:         &one,
	}
}

// serving is what a server of HTTP serves.
type serving struct {
	addr      net.Addr
	operators bool
}

// accept serves a listener until the server shuts down.
func (s *Server) accept(l net.Listener, h *http.Server, operators bool) error {
	s.mu.Lock()
	if s.phase != running {
		s.mu.Unlock()
		return errors.Join(ErrStopped, l.Close())
	}
	s.servers[h] = serving{l.Addr(), operators}
	s.mu.Unlock()
	if s.options.Door.ProxyProtocol && !operators {
		l = s.introduced(l)
	}
	switch {
	case s.options.TLS != nil: // of which net/http wants to know itself
		l = tls.NewListener(l, serverTLS(s.options.TLS))
	case !operators:
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

// introduced are the connections of a listener, of which proxies say whose they are.
func (s *Server) introduced(l net.Listener) net.Listener {
	return proxyproto.NewListener(l, proxyproto.Options{
		Trusted: func(peer net.Addr) bool { return s.options.Door.trusts(parseAddress(peer.String())) },
		Timeout: s.options.Timeouts.Header,
		Refused: func(peer net.Addr, err error) {
			s.log.LogAttrs(s.life.ctx, slog.LevelWarn, "a proxy has sent no good header of the PROXY protocol",
				slog.String("proxy", peer.String()), attrQuoted("error", err.Error()))
		},
	})
}

// serverTLS offers HTTP/1.1 alone, besides protocols that are no HTTP, and no version that is broken.
func serverTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = slices.DeleteFunc(slices.Clone(c.NextProtos), func(p string) bool { return p == "h2" })
	if !slices.Contains(c.NextProtos, "http/1.1") {
		c.NextProtos = append(c.NextProtos, "http/1.1")
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
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

// Addr is the address of a listener that is served to clients, or nil.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.servers {
		if !one.operators {
			return one.addr
		}
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
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.answer(w, r, Clients) }

// answer serves one request with the routes that are for whom it comes from.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, from Audience) {
	muxes := s.muxes.Load()
	if muxes == nil {
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
	if hsts := s.options.Door.HSTS; hsts > 0 && s.options.Door.visit(r).scheme == "https" {
		w.Header().Set("Strict-Transport-Security", "max-age="+strconv.Itoa(int(hsts.Seconds())))
	}
	(*muxes)[from].ServeHTTP(w, r)
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
