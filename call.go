package skein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/internal/wire"
)

// procedures is what the plugins have registered, by name.
type procedures struct {
	calls  map[string]procedure
	events map[string][]eventReceiver
}

// procedure answers calls of one name.
type procedure struct {
	host *Host
	fn   func(ctx context.Context, s *Session, data json.RawMessage) (json.RawMessage, error)
}

// receiveFunc takes events of one name.
type receiveFunc = func(ctx context.Context, s *Session, data json.RawMessage) error

type eventReceiver struct {
	host *Host
	fn   receiveFunc
}

func newProcedures() procedures {
	return procedures{map[string]procedure{}, map[string][]eventReceiver{}}
}

// Procedure serves calls of a name. Input and output are encoded as JSON; json.RawMessage passes as it is, and Nothing
// as output replies without data. Input that does not fit is refused with InvalidArgumentsError. Calls of one session
// run concurrently, each in a goroutine, up to Limits.Calls; but the next packet waits for one that is done within 2 ms.
// ErrNoReply leaves a call unanswered.
func Procedure[I, O any](h *Host, name string, fn func(ctx context.Context, s *Session, in I) (O, error)) {
	h.register("Procedure "+name, func() error {
		if _, taken := h.procedures[name]; taken {
			return errors.New("the plugin has registered it already")
		}
		h.procedures[name] = procedure{h, func(ctx context.Context, s *Session, data json.RawMessage) (json.RawMessage, error) {
			in, err := fromJSON[I](data)
			if err != nil {
				return nil, err
			}
			out, err := fn(ctx, s, in)
			if err != nil {
				return nil, err
			}
			return toJSON(out)
		}}
		return nil
	})
}

// ErrNoReply is returned by a procedure that leaves its call without an answer; the client's time-out ends it.
var ErrNoReply = errors.New("no reply")

// Receive takes events that clients transmit. They are received in order, and the session's later packets wait.
func (h *Host) Receive(event string, fn func(ctx context.Context, s *Session, data json.RawMessage) error) {
	h.register("Receive "+event, func() error {
		if _, taken := h.receivers[event]; taken {
			return errors.New("the plugin has registered it already")
		}
		h.receivers[event] = fn
		return nil
	})
}

// fromJSON decodes what a client has sent; nil is undefined and decodes to the zero value.
func fromJSON[I any](data json.RawMessage) (in I, err error) {
	if raw, ok := any(&in).(*json.RawMessage); ok {
		*raw = data
		return in, nil
	}
	if data == nil {
		return in, nil
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return in, &Error{Name: NameInvalidArgument, Message: describeJSONError(err), Status: 400}
	}
	return in, nil
}

// describeJSONError says what does not fit without Go's names of types.
func describeJSONError(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if t.Field == "" {
			return fmt.Sprintf("the data is %s where %s is expected", article(t.Value), article(jsonKind(t.Type)))
		}
		return fmt.Sprintf("the field %q is %s where %s is expected", t.Field, article(t.Value), article(jsonKind(t.Type)))
	}
	return "the data is malformed: " + err.Error()
}

// event serves an application event: a call where it has a cid, else a transmit.
func (s *Session) event(p *wire.Packet) {
	expired := s.expire()
	e := &Event{Session: s, Name: p.Event, Data: p.Data, Expired: expired}
	if p.CID == nil {
		s.received(e)
		return
	}
	cid := append(wire.Number(nil), p.CID...) // it outlives the message
	if h := s.server.hooks[onCall]; len(h) > 0 {
		ctx, cancel := context.WithTimeout(s.Context(), s.server.options.Timeouts.Hook)
		defer cancel()
		if err := h.ask(ctx, p.Event, e); err != nil {
			s.fail(cid, refusal(err, "invoke", "inbound"))
			return
		}
	}
	proc, ok := s.server.calls.calls[p.Event]
	if !ok {
		if s.endpoint.AnswerUnknown {
			s.fail(cid, &Error{Name: NameUnknownCall, Message: fmt.Sprintf("there is no procedure %q", p.Event)})
		}
		return
	}
	s.begin()
	done := make(chan struct{})
	started := s.server.life.tasks.Go(func() {
		defer close(done)
		defer s.end()
		began := time.Now()
		s.run(proc, cid, e.Data)
		s.slow.Store(time.Since(began) > quick)
	})
	if !started {
		s.end() // the server is going down, and cuts the connection
		return
	}
	s.await(done)
}

// quick is how long the next packet waits for a procedure. So the answers of quick ones come in the order of the calls,
// and what they do, such as a log-in, is done for the packet behind them.
const quick = 2 * time.Millisecond

// await waits for a procedure that may be quick; not where this session's last one was slow.
func (s *Session) await(done <-chan struct{}) {
	if s.slow.Load() {
		return
	}
	timer := time.NewTimer(quick)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.slow.Store(true)
	}
}

// pending is a call of a client that a procedure has to answer.
type pending struct {
	session  *Session
	cid      wire.Number
	answered atomic.Bool
}

type pendingKey struct{}

// Reply answers the call that a procedure was given ctx for, ahead of the procedure's return: for one that goes on
// working, or ends the session. What the procedure returns is then ignored. data is JSON text, or nil for undefined.
func Reply(ctx context.Context, data json.RawMessage) error {
	c, ok := ctx.Value(pendingKey{}).(*pending)
	switch {
	case !ok:
		return errors.New("reply: the context is not a procedure's")
	case data != nil && !wire.Valid(data):
		return errors.New("reply: the data is not JSON text")
	case !c.answered.CompareAndSwap(false, true):
		return errors.New("reply: the call has been answered")
	}
	c.session.reply(c.cid, data)
	return nil
}

// run calls a procedure and answers for it.
func (s *Session) run(proc procedure, cid wire.Number, data json.RawMessage) {
	c := &pending{session: s, cid: cid}
	out, err := proc.call(context.WithValue(s.Context(), pendingKey{}, c), s, data)
	switch {
	case errors.Is(err, ErrNoReply), !c.answered.CompareAndSwap(false, true):
	case err != nil:
		s.fail(cid, refusal(err, "invoke", "inbound"))
	case out != nil && !wire.Valid(out):
		s.fail(cid, &Error{Name: NamePlugin, Message: fmt.Sprintf("plugin %q returned data that is not JSON text", proc.host.name)})
	default:
		s.reply(cid, out)
	}
}

func (p procedure) call(ctx context.Context, s *Session, data json.RawMessage) (out json.RawMessage, err error) {
	defer p.host.recovered(ctx, &err)
	return p.fn(ctx, s, data)
}

// recovered turns a panic of the plugin's code into an error; it is deferred.
func (h *Host) recovered(ctx context.Context, err *error) {
	v := recover()
	if v == nil {
		return
	}
	h.server.counters.panics.Add(1)
	h.log.LogAttrs(ctx, slog.LevelError, "plugin panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	*err = &Error{Name: NamePlugin, Message: fmt.Sprintf("plugin %q failed", h.name), Props: map[string]any{"plugin": h.name}}
}

// begin counts a procedure and waits, on the executor, where too many are running: later packets wait with it.
func (s *Session) begin() {
	s.mu.Lock()
	c := s.calls()
	c.running++
	if c.running <= s.endpoint.Limits.Calls {
		s.mu.Unlock()
		return
	}
	s.server.counters.limited.add(limitCalls)
	free := make(chan struct{})
	c.waiting = free
	ctx := s.context()
	s.mu.Unlock()
	select {
	case <-free:
	case <-ctx.Done():
	}
}

func (s *Session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls()
	c.running--
	if c.waiting != nil {
		close(c.waiting)
		c.waiting = nil
	}
}

// calls are a session's in both directions.
type calls struct {
	open    map[uint64]chan<- answer // to the client
	last    uint64
	running int // procedures
	waiting chan struct{}
}

// calls is called under the lock.
func (s *Session) calls() *calls {
	if s.state.calls == nil {
		s.state.calls = new(calls)
	}
	return s.state.calls
}

// received hands a transmitted event to its receivers.
func (s *Session) received(e *Event) {
	h, receivers := s.server.hooks[onTransmit], s.server.calls.events[e.Name]
	ctx := s.contextFor(len(h) > 0 || len(receivers) > 0)
	if len(h) > 0 {
		if err := h.ask(ctx, e.Name, e); err != nil {
			return // a transmit is never answered, also not when refused
		}
	}
	for _, r := range receivers {
		if err := r.take(ctx, s, e.Data); err != nil && !errors.Is(err, errClosed) {
			r.host.log.LogAttrs(ctx, slog.LevelError, "an event was not handled",
				slog.String("event", e.Name), slog.String("session", s.id), slog.Any("error", err))
		}
	}
}

func (r eventReceiver) take(ctx context.Context, s *Session, data json.RawMessage) (err error) {
	defer r.host.recovered(ctx, &err)
	return r.fn(ctx, s, data)
}

// answer is what a client has said to a call.
type answer struct {
	data json.RawMessage
	err  error
}

// Call calls a procedure of the client and waits for its answer: until ctx's deadline or, where it has none, for
// Endpoint.CallTimeout. More than Limits.OpenCalls at once are an *Error of name NameResourceLimit. The client's error is an *Error; no answer in time is one of name NameTimeout, a connection that
// ends meanwhile one of NameBadConnection.
func (s *Session) Call(ctx context.Context, procedure string, data json.RawMessage) (json.RawMessage, error) {
	if err := s.sendable(data); err != nil {
		return nil, err
	}
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.endpoint.CallTimeout)
		defer cancel()
	}
	cid, answered, err := s.expect()
	if err != nil {
		return nil, err
	}
	defer s.giveUp(cid)
	s.send(s.codec.wire.AppendEvent(nil, procedure, data, cid))
	select {
	case a := <-answered:
		return a.data, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answered: // the end of the session, which is told here before its context ends
		return a.data, a.err
	default:
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, &Error{Name: NameTimeout, Message: fmt.Sprintf("Event response for %s event timed out", procedure)}
	}
	return nil, context.Cause(ctx)
}

func (s *Session) expect() (uint64, <-chan answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return 0, nil, errClosed
	}
	mine := s.calls()
	if most := s.endpoint.Limits.OpenCalls; len(mine.open) >= most {
		s.server.counters.limited.add(limitOpenCalls)
		return 0, nil, &Error{Name: NameResourceLimit, Message: fmt.Sprintf("The client has %d calls to answer: no more are allowed", most)}
	}
	mine.last++
	if mine.open == nil {
		mine.open = map[uint64]chan<- answer{}
	}
	c := make(chan answer, 1)
	mine.open[mine.last] = c
	return mine.last, c, nil
}

func (s *Session) giveUp(cid uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls().open, cid)
}

// answered takes a client's response; one that nobody waits for is ignored.
func (s *Session) answered(p *wire.Packet) {
	rid, err := strconv.ParseUint(string(p.RID), 10, 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	open := s.calls().open
	c := open[rid]
	delete(open, rid)
	s.mu.Unlock()
	if c == nil {
		return
	}
	if p.Error != nil {
		c <- answer{err: clientError(p.Error)}
		return
	}
	c <- answer{data: p.Data}
}

// clientError is an error as the client has sent it.
func clientError(raw json.RawMessage) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return ErrorText(text)
	}
	var props map[string]any
	if json.Unmarshal(raw, &props) != nil {
		return ErrorText(raw)
	}
	e := &Error{Props: props}
	e.Name, _ = props["name"].(string)
	e.Message, _ = props["message"].(string)
	delete(props, "name")
	delete(props, "message")
	return e
}

func badConnection(c closing) error {
	return &Error{
		Name: NameBadConnection, Message: "The call was aborted due to a bad connection",
		Props: map[string]any{"type": "disconnect", "code": c.code, "reason": c.reason},
	}
}
