package skein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/internal/ws"
)

// RawMessage is a message of a WebSocket that does not speak SocketCluster.
type RawMessage struct {
	// Binary reports whether it came in binary frames.
	Binary bool
	// Raw is the message as it came.
	Raw []byte
	// Data is the message as JSON: JSON text as it is, other text as a string, and binary as
	// {"base64":true,"data":"…"}, which is SocketCluster's form.
	Data json.RawMessage
}

// RawOptions are of a raw endpoint. The zero value takes what the server's options say.
type RawOptions struct {
	// Limits of a connection.
	Limits Limits
	// Origins that may connect. nil is the server's.
	Origins []string
	// Compression accepts permessage-deflate.
	Compression bool
	// Protocols are the subprotocols that the endpoint speaks, the preferred one first. One that ends with "*" is a
	// prefix, as for tokens that browsers can only send there; what the client has offered is agreed on.
	Protocols []string
	// Authorize decides about a request; nil lets everybody in. An error refuses with its Status, or 401. The token is
	// the connection's Token, which is closed with CloseRevoked when that has expired or is revoked.
	Authorize func(ctx context.Context, r *http.Request) (*Token, error)
}

// rawEndpoint is a path with what serves its connections.
type rawEndpoint struct {
	RawOptions
	host    *Host
	origins origins
	spoken  subprotocols
	rules   *rules // of a connection; nil: none
	start   func(c *RawConn) ws.Handler
	run     func(c *RawConn) // behind start, where it is not nil
}

// HandleWS serves a raw WebSocket endpoint below the plugin's prefix. serve is called in a goroutine of its own for each
// connection, which is closed when it returns: with 1000, or with 1011 where it returns an error.
func (h *Host) HandleWS(path string, serve func(c *RawConn) error, o ...RawOptions) {
	e := h.addRaw(path, o, func(c *RawConn) ws.Handler {
		c.queue = make(chan RawMessage)
		return (*queued)(c)
	})
	e.run = func(c *RawConn) {
		if !h.server.life.tasks.Go(func() { c.run(serve) }) {
			c.conn.Terminate() // the server is going down
		}
	}
}

// HandleMessages serves an endpoint of decoded messages: fn's value is the reply, as JSON text, and Nothing is none. An
// error is answered as {"error":{…}}. A connection's messages are handled one at a time, in order, and cost no
// goroutine. The same function answers POST requests to the path, under the same rules of origin and authorization.
func HandleMessages[I, O any](h *Host, path string, fn func(ctx context.Context, in I) (O, error), o ...RawOptions) {
	e := h.addRaw(path, o, func(c *RawConn) ws.Handler {
		return &answering{conn: c, fn: func(m RawMessage) (json.RawMessage, error) {
			in, err := fromJSON[I](m.Data)
			if err != nil {
				return nil, err
			}
			out, err := fn(c.ctx, in)
			if err != nil {
				return nil, err
			}
			return toJSON(out)
		}}
	})
	h.addRoute("POST "+path, kindMessages, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := e.ask(r)
		if err != nil {
			writeError(w, err)
			return
		}
		r = r.WithContext(context.WithValue(h.server.ClientContext(r.Context(), r, token), tokenKey{}, token))
		serveOperation(h, w, r, e.Limits.MaxMessage, fn)
	}))
}

// ask decides about a POST request as the endpoint does about an upgrade.
func (e *rawEndpoint) ask(r *http.Request) (*Token, error) {
	if err := e.host.server.foreign(e.origins, r); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), e.host.server.options.Timeouts.Hook)
	defer cancel()
	token, err := e.authorize(ctx, r)
	if err != nil {
		err = refusal(err, "handshakeWS", "handshake")
		return nil, withStatus(err, http.StatusUnauthorized)
	}
	return token, nil
}

// authorize asks the hooks, and then the endpoint's own rule.
func (e *rawEndpoint) authorize(ctx context.Context, r *http.Request) (*Token, error) {
	if err := e.host.server.hooks[onUpgrade].ask(ctx, "", &Event{Request: r}); err != nil {
		return nil, err
	}
	if e.Authorize == nil {
		return nil, nil //nolint:nilnil // everybody is let in, without a token
	}
	return e.Authorize(ctx, r)
}

type tokenKey struct{}

// TokenFrom returns what RawOptions.Authorize has returned for the connection or request that a function of
// HandleMessages is called for, or nil.
func TokenFrom(ctx context.Context) *Token {
	t, _ := ctx.Value(tokenKey{}).(*Token)
	return t
}

func (h *Host) addRaw(path string, o []RawOptions, start func(c *RawConn) ws.Handler) *rawEndpoint {
	e := &rawEndpoint{host: h, start: start}
	if len(o) > 0 {
		e.RawOptions = o[0]
	}
	h.register("endpoint "+path, func() (err error) {
		if len(o) > 1 {
			return fmt.Errorf("at most one RawOptions, not %d", len(o))
		}
		limitsErr := e.Limits.check()
		e.Limits = e.Limits.over(h.server.options.Limits)
		e.rules = newRules(ofSession, e.Limits.Rates)
		if e.Origins == nil {
			e.Origins = h.server.options.Origins
		}
		if e.spoken, err = parseSubprotocols(append([]string{}, e.Protocols...)); err != nil {
			return err
		}
		e.origins, err = parseOrigins(e.Origins)
		return errors.Join(err, limitsErr)
	})
	h.addRoute("GET "+path, kindWebSocket, e)
	return e
}

// ServeHTTP upgrades a request to a raw connection.
func (e *rawEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := e.host.server
	var token *Token
	addr, ok := s.letIn(w, r, func(ctx context.Context) (err error) {
		token, err = e.authorize(ctx, r)
		token = s.revocations.seen(token, time.Now())
		return err
	}, e.origins, false)
	if !ok {
		return
	}
	m := s.doorman.newMeter(e.rules, addr)
	if m != nil {
		if err := m.belong(s.userOf(token)); err != nil {
			m.end()
			s.doorman.leave(addr, false)
			turnAway(w, err)
			return
		}
	}
	conn, err := s.runtime.Accept(w, r, ws.Options{
		MaxMessage: e.Limits.MaxMessage, Inbox: e.Limits.Inbox, Outbox: e.Limits.Outbox, Stall: e.Limits.Stall,
		SlowCode: CloseSlow, Compression: e.Compression, Protocols: e.spoken.offered(r),
	})
	if err != nil {
		m.end()
		s.doorman.leave(addr, false)
		s.brokeOff(w, r, err)
		return
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(m.paying(s.life.ctx), tokenKey{}, token))
	c := &RawConn{
		server: s, host: e.host, conn: conn, ctx: ctx, cancel: cancel, token: token, from: addr, meter: m,
		request: r.WithContext(ctx), //nolint:contextcheck // the request's own context ends with the upgrade
	}
	stays := s.keep(conn, c)
	conn.Start(e.start(c))
	if e.run != nil {
		e.run(c)
	}
	if !stays {
		c.goAway(CloseGoingAway)
	}
	c.watch()
	c.withdraw()
}

// RawConn is a WebSocket connection that does not speak SocketCluster. Its sending methods may be called from any
// goroutine and never wait for the client.
type RawConn struct {
	server  *Server
	host    *Host
	conn    *ws.Conn
	request *http.Request
	ctx     context.Context //nolint:containedctx // the connection's own lifetime
	cancel  context.CancelCauseFunc
	token   *Token
	from    netip.Addr
	meter   *meter          // nil where nothing is counted
	queue   chan RawMessage // of HandleWS: closed at the end
	grace   atomic.Pointer[time.Timer]
	end     atomic.Pointer[ws.CloseError] // set before the queue is closed
	taking  atomic.Bool                   // serve is in Messages
	taken   atomic.Uint64                 // messages
}

// Messages yields what the client sends until the connection ends. A message is valid until the next one. While it is
// handled nothing more is read than Limits.Inbox.
func (c *RawConn) Messages() iter.Seq[RawMessage] {
	return func(yield func(RawMessage) bool) {
		c.taking.Store(true)
		defer c.leave()
		for m := range c.queue {
			c.taken.Add(1)
			if !yield(m) {
				return
			}
		}
	}
}

// leave is called when serve leaves Messages: the context of a connection that has ended meanwhile ends now.
func (c *RawConn) leave() {
	c.taking.Store(false)
	if c.end.Load() == nil {
		return
	}
	if t := c.grace.Load(); t != nil {
		t.Stop()
	}
	c.over()
}

// Err is why the connection has ended: nil for the clean ends 1000, 1001 and 1005, and while it is open.
func (c *RawConn) Err() error {
	end, ok := errors.AsType[ws.CloseError](context.Cause(c.ctx))
	if !ok || slices.Contains([]int{CloseNormal, CloseGoingAway, CloseNoStatus}, end.Code) {
		return nil
	}
	return end
}

// Context ends with the connection.
func (c *RawConn) Context() context.Context { return c.ctx }

// Request is the upgrade request.
func (c *RawConn) Request() *http.Request { return c.request }

// RemoteAddr is the client's address, behind trusted proxies the forwarded one.
func (c *RawConn) RemoteAddr() string {
	return or(c.server.forwardedFor(c.request), c.request.RemoteAddr)
}

// Token is what RawOptions.Authorize has returned.
func (c *RawConn) Token() *Token { return c.token }

// watch closes the connection when its token has expired, since it cannot be told. Until then nothing is done for it.
func (c *RawConn) watch() {
	if c.token == nil || c.token.Expiry.IsZero() {
		return
	}
	if left := time.Until(c.token.Expiry.Add(c.token.leeway)); left > 0 {
		c.conn.Schedule(left)
		return
	}
	c.conn.Close(CloseRevoked, "the token has expired")
}

// Subprotocol is the one agreed on, or "".
func (c *RawConn) Subprotocol() string { return c.conn.Subprotocol() }

// Send sends a text message. data is copied. The error says that the connection is closed.
func (c *RawConn) Send(data []byte) error { return c.conn.Send(ws.NewFrame(false, data)) }

// SendBinary sends a binary message. data is copied.
func (c *RawConn) SendBinary(data []byte) error { return c.conn.Send(ws.NewFrame(true, data)) }

// SendJSON sends v as JSON text.
func (c *RawConn) SendJSON(v any) error {
	b, err := toJSON(v)
	if err != nil {
		return err
	}
	return c.Send(b)
}

// Close closes the connection behind what has been sent. The reason is cut to 123 bytes.
func (c *RawConn) Close(code int, reason string) { c.conn.Close(code, reason) }

// run serves one connection of HandleWS.
func (c *RawConn) run(serve func(c *RawConn) error) {
	if err := c.serve(serve); err != nil && !errors.Is(err, ws.ErrClosed) && c.ctx.Err() == nil {
		c.host.log.WarnContext(c.ctx, "a raw connection ended with an error", attrQuoted("error", err.Error()))
		c.Close(1011, messageOf(err))
	}
	c.Close(CloseNormal, "")
	for range c.queue {
		continue // what came too late
	}
}

func (c *RawConn) serve(serve func(c *RawConn) error) (err error) {
	defer c.host.recovered(c.ctx, &err)
	return serve(c)
}

// ending ends the context of a serve that does not come for the next message, behind which Closed would wait.
func (c *RawConn) ending() { c.expect(c.taken.Load()) }

// expect looks, after a while, whether serve has taken further messages than those.
func (c *RawConn) expect(more uint64) {
	c.grace.Store(time.AfterFunc(endGrace, func() {
		switch now := c.taken.Load(); {
		case c.end.Load() != nil:
		case now != more:
			c.expect(now)
		default:
			c.cancel(ws.CloseError{Code: CloseAbnormal})
		}
	}))
}

// affords reports whether the connection, its user and its address may send a message; one that may not is closed.
func (c *RawConn) affords(m ws.Message) bool {
	if c.meter == nil || c.meter.charge(rateBytes, len(m.Data)) == nil && c.meter.charge(ratePackets, 1) == nil {
		return true
	}
	c.Close(CloseRate, "")
	return false
}

// finish is the end of the connection. The context stays for a moment where serve is busy with the last message.
func (c *RawConn) finish(e ws.CloseError) {
	c.end.Store(&e)
	old := c.grace.Load()
	if c.taking.Load() {
		c.grace.Store(time.AfterFunc(endGrace, c.over))
	} else {
		c.over()
	}
	if old != nil {
		old.Stop()
	}
	c.server.drop(c.conn)
	c.meter.end()
	c.server.met(e)
	c.server.doorman.leave(c.from, false)
}

// over ends the context with what has ended the connection.
func (c *RawConn) over() { c.cancel(*c.end.Load()) }

// queued is a RawConn of HandleWS as its connection sees it.
type queued RawConn

// Message waits until the message is taken: that is what stops the reading.
func (q *queued) Message(_ *ws.Conn, m ws.Message) {
	if !(*RawConn)(q).affords(m) {
		return
	}
	select {
	case q.queue <- rawMessage(m):
	case <-q.ctx.Done(): // serve takes no messages, and its client has gone
	}
}

// Ending is told when messages still wait.
func (q *queued) Ending(*ws.Conn) { (*RawConn)(q).ending() }

// Tick comes when the token expires.
func (q *queued) Tick(*ws.Conn) { (*RawConn)(q).watch() }

// Closed ends Messages.
func (q *queued) Closed(_ *ws.Conn, e ws.CloseError) {
	(*RawConn)(q).finish(e)
	close(q.queue)
}

// answering is a connection of HandleMessages.
type answering struct {
	conn *RawConn
	fn   func(m RawMessage) (json.RawMessage, error)
}

// Message handles one message on the executor and replies.
func (a *answering) Message(_ *ws.Conn, m ws.Message) {
	if !a.conn.affords(m) {
		return
	}
	out, err := a.answer(rawMessage(m))
	if err != nil {
		out = append(append([]byte(`{"error":`), errorJSON(err)...), '}')
	}
	if out != nil {
		_ = a.conn.Send(out) // the connection has ended, and Closed follows
	}
}

func (a *answering) answer(m RawMessage) (out json.RawMessage, err error) {
	defer a.conn.host.recovered(a.conn.ctx, &err)
	return a.fn(m)
}

// Tick comes when the token expires.
func (a *answering) Tick(*ws.Conn) { a.conn.watch() }

// Ending is told when a message is still handled.
func (a *answering) Ending(*ws.Conn) { a.conn.ending() }

// Closed ends the connection.
func (a *answering) Closed(_ *ws.Conn, e ws.CloseError) { a.conn.finish(e) }
