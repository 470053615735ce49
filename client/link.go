package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// answer is what came back for a call: data, or an error of the server's or of the connection.
type answer struct {
	data json.RawMessage
	err  error
}

// link is one connection of a client. It is the connection's handler.
type link struct {
	client *Client
	conn   *ws.Conn
	codec  wire.Codec

	life   context.Context //nolint:containedctx // of the procedures that this connection has called
	stop   context.CancelCauseFunc
	closed chan struct{} // closed when the connection has ended; end is set before
	end    *CloseError

	dead bool // of Client.mu: Client.unlink has run

	// Of the connection's executor.
	open     bool
	farewell *CloseError // what a server up to version 14 says before it closes
	received int         // what keeping the message being handled alive would cost

	pingTimeout time.Duration // set when open becomes true

	mu    sync.Mutex
	calls map[uint64]func(answer) // nil: the connection has ended
}

// dial opens a connection and begins to read from it.
func (c *Client) dial(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.ConnectTimeout)
	defer cancel()
	conn, err := c.runtime.Dial(ctx, c.cfg.URL, c.cfg.dial)
	if err != nil {
		return nil, c.explain(err)
	}
	l := &link{
		client: c, conn: conn, codec: c.cfg.codec,
		closed: make(chan struct{}), calls: map[uint64]func(answer){},
	}
	l.life, l.stop = context.WithCancelCause(c.life)
	conn.Start(l)
	return l, nil
}

// Message handles what the server sent. It never waits for anybody but a TokenStore.
func (l *link) Message(_ *ws.Conn, m ws.Message) {
	if l.isPing(m) {
		l.ping()
		return
	}
	if l.codec.Binary() && !m.Binary {
		return // other generations' pings, or nothing that we could read
	}
	l.received = cap(m.Data)
	if l.codec == wire.MinBin {
		l.received = math.MaxInt // its packets alias a translation, whose size is not known
	}
	for p := range l.codec.Packets(m.Data) {
		l.packet(p)
	}
}

// isPing knows the pings that are sent beside the codec. Those of the other generation come too, from servers that
// are finding out what this client speaks, and must not be answered.
func (l *link) isPing(m ws.Message) bool {
	if l.client.cfg.legacy {
		return !m.Binary && string(m.Data) == wire.PingV1
	}
	return !m.Binary && len(m.Data) == 0
}

// ping answers, and waits for the next one. Before the handshake a pong would count as a breach of the protocol.
func (l *link) ping() {
	if !l.open {
		return
	}
	l.expectPing()
	var pong string
	if l.client.cfg.legacy {
		pong = wire.PongV1
	}
	_ = l.conn.Send(ws.NewFrame(false, []byte(pong))) // a closed connection is told by Closed
}

func (l *link) expectPing() {
	if !l.client.cfg.NoPing {
		l.conn.Schedule(l.pingTimeout)
	}
}

// Tick is called when no ping has come for too long.
func (l *link) Tick(conn *ws.Conn) { conn.Close(4000, "") }

// Closed ends what waits for an answer.
func (l *link) Closed(_ *ws.Conn, e ws.CloseError) {
	l.end = l.verdict(e)
	l.stop(l.end)
	l.client.unlink(l)
	l.mu.Lock()
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	for _, then := range calls {
		then(answer{err: fmt.Errorf("%w: %w", ErrDisconnected, l.end)})
	}
	close(l.closed)
}

// verdict says how the connection ended. Servers up to version 14 give their reason beforehand.
func (l *link) verdict(e ws.CloseError) *CloseError {
	end := &CloseError{Code: e.Code, Reason: e.Reason, Err: e.Err}
	f := l.farewell
	if e.Local || f == nil || e.Reason != "" {
		return end
	}
	if end.Reason = f.Reason; e.Code == 1005 || e.Code == 1006 {
		end.Code = f.Code
	}
	return end
}

func (l *link) packet(p wire.Packet) {
	switch p.Kind {
	case wire.Response:
		l.answer(p)
	case wire.Publish:
		if p.Named {
			l.client.deliver(p.Channel, detach(p.Payload, l.received))
		}
	case wire.Event:
		l.event(p)
	case wire.SetAuthToken:
		l.reply(p.CID, l.client.setToken(p.Token))
	case wire.RemoveAuthToken:
		l.client.change("")
		l.reply(p.CID, nil)
	case wire.KickOut:
		if p.Named {
			l.client.kicked(p.Channel, p.Data)
		}
	case wire.Disconnect:
		l.disconnecting(p.Data)
	case wire.Ping:
		if l.client.cfg.legacy && l.open {
			l.expectPing()
			_ = l.conn.Send(ws.NewFrame(true, l.codec.EncodedPong())) // as in ping
		}
	default: // requests that only servers serve, and what is no packet
	}
}

func (l *link) event(p wire.Packet) {
	switch {
	case p.Event == "#gap":
		l.client.gap(p.Data)
	case p.CID != nil:
		l.serve(p)
	default:
		l.client.receive(p.Event, Message{Data: detach(p.Data, l.received)})
	}
}

// disconnecting notes the reason that the close frame to come will lack.
func (l *link) disconnecting(data json.RawMessage) {
	var d struct {
		Code int             `json:"code"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(data, &d) == nil && d.Code != 0 {
		l.farewell = &CloseError{Code: d.Code, Reason: text(d.Data)}
	}
}

// answer hands a response to the one who asked. It does not matter to late ones that nobody waits any more.
func (l *link) answer(p wire.Packet) {
	cid, ok := p.RID.Uint64()
	if !ok {
		return
	}
	l.mu.Lock()
	then := l.calls[cid]
	delete(l.calls, cid)
	l.mu.Unlock()
	switch {
	case then == nil:
	case p.Error != nil:
		then(answer{data: p.Data, err: parseError(p.Error)})
	default:
		then(answer{data: detach(p.Data, l.received)})
	}
}

// call sends a call. The answer goes to then, on the connection's executor: an error when the connection ends first.
func (l *link) call(event string, data json.RawMessage, then func(answer)) (cid uint64, err error) {
	cid = l.client.cids.Add(1)
	f := l.frame(l.codec.AppendEvent(nil, event, data, cid))
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.push(f); err != nil {
		return 0, err
	}
	l.calls[cid] = then
	return cid, nil
}

// forget drops a call whose caller does not wait any more.
func (l *link) forget(cid uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, cid)
}

// send sends a packet that needs no answer.
func (l *link) send(packet []byte) error {
	f := l.frame(packet)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.push(f)
}

// small sends a packet of the protocol itself, out of the outbox's reserve. A closed connection is told by Closed.
func (l *link) small(packet []byte) { _ = l.conn.Send(l.frame(packet)) }

func (l *link) frame(packet []byte) *ws.Frame { return ws.NewFrame(l.codec.Binary(), packet) }

// push sends the frame unless that would exceed the outbox. The caller holds mu, so that nobody comes in between.
func (l *link) push(f *ws.Frame) error {
	limit := l.client.cfg.Outbox
	switch {
	case l.calls == nil:
		return ErrDisconnected
	case f.Len() > limit:
		return ErrTooLarge
	case l.conn.Pending()+f.Len() > limit:
		return ErrBusy
	case l.conn.Send(f) != nil:
		return ErrDisconnected
	}
	return nil
}

// retry waits until what was refused with err may be tried again: on this connection when the outbox was full, on the
// next one when this one is gone. It returns an error when trying again is of no use.
func (l *link) retry(ctx context.Context, err error) error {
	var later <-chan time.Time
	switch {
	case errors.Is(err, ErrBusy):
		// The connection does not tell when it has drained. Looking is cheap beside what fills a queue.
		t := time.NewTimer(busyPause)
		defer t.Stop()
		later = t.C
	case !errors.Is(err, ErrDisconnected):
		return err
	}
	select {
	case <-l.closed:
	case <-later:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	return nil
}

// settle waits until half of the outbox is free, or the connection gone.
func (l *link) settle(ctx context.Context) error {
	for l.life.Err() == nil && l.conn.Pending() > l.client.cfg.Outbox/2 {
		if err := l.retry(ctx, ErrBusy); err != nil {
			return err
		}
	}
	return nil
}

// expect registers a call that is sent otherwise.
func (l *link) expect(cid uint64, then func(answer)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls != nil {
		l.calls[cid] = then
	}
}
