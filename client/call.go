package client

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/skeinrt/skein/internal/wire"
)

// Call calls a procedure of the server and returns its result; nil: it returned nothing. Data is encoded as JSON;
// json.RawMessage is sent as it is, and nil is no data. While there is no connection it waits for one. A call that was
// sent is never sent again: when the connection is lost before the answer, the error is ErrDisconnected.
//
// The context's deadline is the time-out; without one it is Options.CallTimeout. What the server answers as an error is
// an *Error.
func (c *Client) Call(ctx context.Context, procedure string, data any) (json.RawMessage, error) {
	text, err := encode(data)
	if err == nil {
		text, err = c.ask(ctx, procedure, text, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("call %q: %w", procedure, err)
	}
	return text, nil
}

// Call calls a procedure of the server, as Client.Call does, and decodes its result. Nothing and null decode to the
// zero value.
func Call[O any](ctx context.Context, c *Client, procedure string, data any) (O, error) {
	var out O
	raw, err := c.Call(ctx, procedure, data)
	if err != nil || raw == nil {
		return out, err
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("call %q: result: %w", procedure, err)
	}
	return out, nil
}

// Publish sends data to a channel, and returns when the server has taken it over. Otherwise it is like Call.
func (c *Client) Publish(ctx context.Context, channel string, data any) error {
	text, err := encode(data)
	if err == nil {
		_, err = c.ask(ctx, "#publish", publication(channel, text), nil)
	}
	if err != nil {
		return fmt.Errorf("publish to %q: %w", channel, err)
	}
	return nil
}

// TransmitPublish sends data to a channel and asks for no acknowledgement: a refusal is not told. It never waits:
// without a connection it returns ErrDisconnected, and ErrBusy when too much waits for the network.
func (c *Client) TransmitPublish(channel string, data any) error {
	text, err := encode(data)
	if err == nil {
		err = c.transmit(c.cfg.codec.AppendPublish(nil, channel, text))
	}
	if err != nil {
		return fmt.Errorf("publish to %q: %w", channel, err)
	}
	return nil
}

// Transmit sends an event to the server. It neither waits nor learns what became of it, like TransmitPublish.
func (c *Client) Transmit(event string, data any) error {
	text, err := encode(data)
	if err == nil {
		err = c.transmit(c.cfg.codec.AppendEvent(nil, event, text, 0))
	}
	if err != nil {
		return fmt.Errorf("transmit %q: %w", event, err)
	}
	return nil
}

// Binary returns the JSON form of octets: clients and servers of SocketCluster send binary values so, and the
// min-bin codec turns them into octets on the wire.
func Binary(octets []byte) json.RawMessage { return wire.Binary(octets) }

func publication(channel string, data json.RawMessage) json.RawMessage {
	b := append(make([]byte, 0, len(channel)+len(data)+32), `{"channel":`...)
	b = wire.AppendString(b, channel)
	if data != nil {
		b = append(append(b, `,"data":`...), data...)
	}
	return append(b, '}')
}

func (c *Client) transmit(packet []byte) error {
	c.mu.Lock()
	l, err := c.current, c.err
	c.mu.Unlock()
	switch {
	case err != nil:
		return ErrClosed
	case l == nil:
		return ErrDisconnected
	}
	return l.send(packet)
}

// ask makes one call and waits for its answer. First sees the answer on the connection's executor, before anything
// that the server sent behind it.
func (c *Client) ask(ctx context.Context, event string, data json.RawMessage, first func(answer)) (json.RawMessage, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	result := make(chan answer, 1)
	then := func(a answer) {
		if first != nil {
			first(a)
		}
		result <- a
	}
	for {
		l, err := c.link(ctx)
		if err != nil {
			return nil, err
		}
		cid, err := l.call(event, data, then)
		if err != nil {
			if err := l.retry(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case a := <-result:
			return a.data, a.err
		case <-ctx.Done():
			l.forget(cid)
			return nil, context.Cause(ctx)
		}
	}
}

// bound gives the context the usual time-out unless it has a deadline of its own.
func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.cfg.CallTimeout)
}

// Procedure answers calls of the server. Its result is encoded like the data of Client.Call; an *Error goes to the
// server as it is, any other error with its text only. The context is done when the connection is lost.
type Procedure func(ctx context.Context, data json.RawMessage) (any, error)

// Handle has the server's calls of a procedure answered by fn, in a goroutine of its own for each; nil: not any more.
// At most 128 run at once; the server is answered a ResourceLimitError when it asks for more, and an
// UnknownProcedureError for what nobody handles.
func (c *Client) Handle(procedure string, fn Procedure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fn == nil {
		delete(c.procedures, procedure)
		return
	}
	c.procedures[procedure] = fn
}

// Receive returns the stream of the events of this name that the server transmits from now on.
func (c *Client) Receive(event string) *Stream {
	s := newStream(c.cfg.Queue)
	s.leave = func(reason error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		left := slices.DeleteFunc(c.receivers[event], func(other *Stream) bool { return other == s })
		if c.receivers[event] = left; len(left) == 0 {
			delete(c.receivers, event)
		}
		s.end(reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		s.end(ErrClosed)
		return s
	}
	c.receivers[event] = append(c.receivers[event], s)
	return s
}

// receive hands an event to whoever wants it.
func (c *Client) receive(event string, m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.receivers[event] {
		s.push(m)
	}
}

// serve answers a call of the server. Names with # are the protocol's: what this client does not know of it stays
// unanswered, as with others.
func (l *link) serve(p wire.Packet) {
	c := l.client
	c.mu.Lock()
	fn := c.procedures[p.Event]
	c.mu.Unlock()
	if fn == nil {
		if !strings.HasPrefix(p.Event, "#") {
			l.reply(p.CID, &Error{Name: "UnknownProcedureError", Message: fmt.Sprintf("No procedure %q", p.Event)})
		}
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		l.reply(p.CID, &Error{Name: "ResourceLimitError", Message: "Too many calls at once"})
		return
	}
	cid, data, event := slices.Clone(p.CID), slices.Clone(p.Data), p.Event
	go func() {
		defer func() { <-c.slots }()
		result, err := l.run(event, fn, data)
		l.finish(cid, result, err)
	}()
}

// run keeps a procedure's panic from the rest of the program: the server could provoke it at will.
func (l *link) run(name string, fn Procedure, data json.RawMessage) (result json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.client.cfg.Logger.LogAttrs(l.life, slog.LevelError, "procedure panicked", slog.String("procedure", name),
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
			err = &Error{Name: "InternalError", Message: "The procedure panicked"}
		}
	}()
	v, err := fn(l.life, data)
	if err != nil {
		return nil, err
	}
	return encode(v)
}

// finish answers when there is room; results can be large.
func (l *link) finish(cid wire.Number, result json.RawMessage, err error) {
	packet := l.response(cid, result, err)
	for {
		err := l.send(packet)
		if err == nil || l.life.Err() != nil {
			return
		}
		if err = l.retry(l.life, err); err != nil {
			l.reply(cid, &Error{Name: "InternalError", Message: "The result was not sent"})
			return
		}
	}
}

// reply says whether something was done, if the server wants to know.
func (l *link) reply(cid wire.Number, err error) {
	if cid != nil {
		l.small(l.response(cid, nil, err))
	}
}

func (l *link) response(cid wire.Number, result json.RawMessage, err error) []byte {
	if err == nil {
		return l.codec.AppendResult(nil, cid, result)
	}
	text, bad := errorJSON(err)
	if bad != nil {
		text, _ = errorJSON(&Error{Message: err.Error()}) // two strings encode
	}
	return l.codec.AppendFailure(nil, cid, text)
}
