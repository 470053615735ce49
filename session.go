package skein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// Session is one connected client on this node. Its methods may be called from any goroutine; none waits for the
// client, except Call, and SetToken and RemoveToken where they confirm.
type Session struct {
	server   *Server // never changes, as the next five
	endpoint *endpoint
	conn     *ws.Conn
	id       string
	visitor  *visitor // nil as a rule
	meter    *meter   // nil where nothing is counted; own lock

	// Of the executor.
	codec    *codec        // set before the session opens, then only read
	request  *http.Request // until the handshake is over
	farewell *closing      // what a legacy client said in #disconnect
	finished bool

	open     atomic.Bool                // the handshake is complete
	closed   atomic.Bool                // nothing more is handled
	slow     atomic.Bool                // the last call has not been answered at once
	protocol atomic.Uint32              // a Protocol; Detect until the client has answered a ping
	clock    clock                      // of the timer wheel, armed by the executor
	out      atomic.Pointer[outbox]     // nil until the session batches
	grace    atomic.Pointer[time.Timer] // runs from the connection's end while the executor is busy

	mu    sync.Mutex // guards state; taken before a connection's lock, never around a hook or the engine
	state state
}

// state is what other goroutines may ask for and change. What an idle session does not need is made when it is.
type state struct {
	token    *Token
	channels memberships
	calls    *calls
	values   map[any]any
	scope    *scope
}

// scope is the session's own lifetime, made when it is first asked for.
type scope struct {
	ctx    context.Context //nolint:containedctx // see above
	cancel context.CancelCauseFunc
}

// visitor is what is kept of an upgrade request that was out of the ordinary.
type visitor struct {
	address string // that a trusted proxy has forwarded for, or empty
	query   string
}

type closing struct {
	code   int
	reason string
}

// receiver is a Session as its connection sees it.
type receiver Session

// Message handles one WebSocket message on the executor.
func (r *receiver) Message(_ *ws.Conn, m ws.Message) { (*Session)(r).receive(m) }

// Tick is the wheel's.
func (r *receiver) Tick(*ws.Conn) { (*Session)(r).tick() }

// Ending ends the session's context in time for what the executor is busy with, such as a hook, to hear of it. It takes
// no lock: it may be told inside of a send, whatever the sender holds.
func (r *receiver) Ending(*ws.Conn) {
	r.grace.Store(time.AfterFunc(endGrace, (*Session)(r).giveUpContext))
}

func (s *Session) giveUpContext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.context()
	s.state.scope.cancel(errClosed)
}

// endGrace is how long what a client has sent before it went may be handled as if it were still there.
const endGrace = 5 * time.Second

// Closed is the last thing on the executor.
func (r *receiver) Closed(_ *ws.Conn, e ws.CloseError) { (*Session)(r).finish(e) }

// ID is unique among all sessions of all nodes, and new at each connection.
func (s *Session) ID() string { return s.id }

// Endpoint is the path that the client has connected to.
func (s *Session) Endpoint() string { return s.endpoint.Path }

// RemoteAddr is the client's address, behind trusted proxies the forwarded one.
func (s *Session) RemoteAddr() string {
	if s.visitor != nil && s.visitor.address != "" {
		return s.visitor.address
	}
	return s.conn.RemoteAddr().String()
}

// Query returns the parameters of the upgrade request.
func (s *Session) Query() url.Values {
	if s.visitor == nil {
		return url.Values{}
	}
	q, _ := url.ParseQuery(s.visitor.query) // what can be read of it, as net/http does
	return q
}

// Open reports whether the handshake is complete and the connection not closed.
func (s *Session) Open() bool { return s.open.Load() && !s.closed.Load() }

// Context ends with the session.
func (s *Session) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.context()
}

// context is Context under the lock.
func (s *Session) context() context.Context {
	if s.state.scope == nil {
		ctx, cancel := context.WithCancelCause(s.background())
		s.state.scope = &scope{ctx, cancel}
	}
	if s.closed.Load() {
		s.state.scope.cancel(errClosed)
	}
	return s.state.scope.ctx
}

// contextFor is Context where something is to be asked, and else the server's, which costs nothing.
func (s *Session) contextFor(asked bool) context.Context {
	if asked {
		return s.Context()
	}
	return s.server.life.ctx
}

type sessionKey struct{}

// FromContext returns the session whose hook or procedure the context belongs to, or nil.
func FromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// Token is the client's verified token, or nil where it is not authenticated. It is not to be changed.
func (s *Session) Token() *Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.token
}

// Channels lists what the session is subscribed to, sorted.
func (s *Session) Channels() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.channels.names()
}

// Set keeps a value with the session, for plugins. Keys are of a type of the plugin's own, as in a context.
func (s *Session) Set(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.values == nil {
		s.state.values = map[any]any{}
	}
	s.state.values[key] = value
}

// Value returns what Set has kept, or nil.
func (s *Session) Value(key any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.values[key]
}

// Transmit sends an event that is not answered. data is JSON text, or nil for undefined. It fails when the session is
// not open.
func (s *Session) Transmit(event string, data json.RawMessage) error {
	if err := s.sendable(data); err != nil {
		return err
	}
	s.send(s.codec.wire.AppendEvent(nil, event, data, 0))
	return nil
}

// sendable says why data cannot be sent: one that is not JSON would break the client's parser.
func (s *Session) sendable(data json.RawMessage) error {
	switch {
	case !s.Open():
		return errClosed
	case data != nil && !wire.Valid(data):
		return &Error{Name: NameInvalidArgument, Message: "the data is not JSON text"}
	default:
		return nil
	}
}

// Disconnect closes the connection behind what has been sent. code 0 is CloseNormal; from 4500 up the client stays
// away. The reason is cut to 123 bytes.
func (s *Session) Disconnect(code int, reason string) {
	s.shut(or(code, CloseNormal), reason)
}

// Terminate cuts the connection without a close frame.
func (s *Session) Terminate() {
	s.closed.Store(true)
	s.conn.Terminate()
}

// shut closes the connection; nothing that comes or is delivered after it is handled.
func (s *Session) shut(code int, reason string) {
	if o := s.out.Load(); o != nil {
		o.flush(s, true)
	}
	s.closed.Store(true)
	s.conn.Close(code, reason)
}

// finish ends the session, once: behind the last message, or when the client is known to be gone.
func (s *Session) finish(e ws.CloseError) {
	if s.finished {
		return
	}
	s.finished = true
	s.closed.Store(true)
	opened := s.open.Load()
	s.server.forget(s, opened)
	s.mu.Lock()
	var calls map[uint64]chan<- answer
	if c := s.state.calls; c != nil {
		calls, c.open = c.open, nil
	}
	scope := s.state.scope
	s.mu.Unlock()
	if grace := s.grace.Load(); grace != nil {
		grace.Stop()
	}
	s.server.met(e)
	s.meter.end()
	end := closing{e.Code, e.Reason}
	if s.farewell != nil && e.Reason == "" && e.Code == s.farewell.code {
		end = *s.farewell
	}
	for _, call := range calls {
		call <- answer{err: badConnection(end)}
	}
	if scope != nil {
		scope.cancel(errClosed)
	}
	if h := s.server.hooks[onDisconnect]; len(h) > 0 {
		h.tell(s.background(), "", &Event{Session: s, Code: end.code, Reason: end.reason, Opened: opened})
	}
	s.leaveAll()
	s.server.doorman.leave(s.addr(), !opened)
}

// addr is RemoteAddr without the port.
func (s *Session) addr() netip.Addr { return parseAddress(s.RemoteAddr()) }

// background is a context for what outlives the session by a moment.
func (s *Session) background() context.Context {
	return context.WithValue(s.server.life.ctx, sessionKey{}, s)
}

var errClosed = errors.New("the session is not open")

// remember makes an opened session known to the server.
func (s *Server) remember(x *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[x.id] = x
}

func (s *Server) forget(x *Session, opened bool) {
	x.endpoint.count(opened, -1)
	s.drop(x.conn)
	if opened {
		s.counters.closed.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x.id)
}

func (s *Session) warn(msg string, attrs ...slog.Attr) {
	s.server.log.LogAttrs(s.server.life.ctx, slog.LevelWarn, msg, append(attrs, slog.String("session", s.id))...) //nolint:sloglint // constant at each caller
}

// codec is how one client's packets are written: one of the wire's two, perhaps behind a plugin's.
type codec struct {
	wire   wire.Codec
	driver Codec // nil: none
}

// frame makes a frame of an encoded packet.
func (c *codec) frame(packet []byte) (*ws.Frame, error) {
	if c.driver == nil {
		return ws.NewFrame(c.wire.Binary(), packet), nil
	}
	return c.encode(packet)
}

// gap is the frame that tells that messages of a channel are missing, or nil.
func (c *codec) gap(channel string) *ws.Frame {
	data := gapData(channel)
	if c.driver == nil {
		return ws.NewFrameFunc(c.wire.Binary(), len(data)+32, func(dst []byte) []byte {
			return c.wire.AppendEvent(dst, "#gap", data, 0)
		})
	}
	f, _ := c.encode(c.wire.AppendEvent(nil, "#gap", data, 0)) // a codec that cannot say it tells nothing
	return f
}

// encode runs a plugin's code on whatever goroutine sends.
func (c *codec) encode(packet []byte) (f *ws.Frame, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the codec panicked: %v", v)
		}
	}()
	binary, data, err := c.driver.Encode(packet)
	if err != nil {
		return nil, err
	}
	return ws.NewFrame(binary, data), nil
}
