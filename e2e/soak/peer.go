package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skeinrt/skein/e2e/soak/judge"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// silence is how long a server may say nothing, pings included, before a peer thinks that it is gone.
const silence = 45 * time.Second

var errEnded = errors.New("the connection has ended")

// kind is what a peer speaks.
type kind struct {
	name     string
	codec    wire.Codec
	legacy   bool // the generation up to 14
	compress bool
}

func kinds() []kind {
	return []kind{
		{"v2 json", wire.JSON, false, false},
		{"v1 json", wire.JSON, true, false},
		{"v2 min-bin", wire.MinBin, false, false},
		{"v1 min-bin", wire.MinBin, true, false},
		{"v2 json deflate", wire.JSON, false, true},
		{"v2 min-bin deflate", wire.MinBin, false, true},
	}
}

// peer is a client without comfort: one connection, and what came on it in the order in which it came.
type peer struct {
	kind

	conn  *ws.Conn
	ended chan struct{}

	mu    sync.Mutex
	cids  uint64
	calls map[uint64]func(data json.RawMessage, err error) // nil: it has ended
	views map[string]*judge.View
	end   ws.CloseError
}

// dialPeer connects and completes the handshake.
func dialPeer(ctx context.Context, rt *ws.Runtime, url string, k kind) (*peer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := rt.Dial(ctx, url, ws.DialOptions{Options: ws.Options{Compression: k.compress, MaxMessage: 4 << 20}})
	if err != nil {
		return nil, err
	}
	p := &peer{
		kind: k, conn: conn, ended: make(chan struct{}),
		calls: map[uint64]func(json.RawMessage, error){}, views: map[string]*judge.View{},
	}
	conn.Start(p)
	conn.Schedule(silence)
	if err := p.call(ctx, "#handshake", []byte(`{"authToken":null}`)); err != nil {
		conn.Terminate()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return p, nil
}

// Message takes what the server sends.
func (p *peer) Message(c *ws.Conn, m ws.Message) {
	c.Schedule(silence)
	if !m.Binary && (len(m.Data) == 0 || string(m.Data) == wire.PingV1) {
		p.pong(string(m.Data))
		return
	}
	if m.Binary != p.codec.Binary() {
		return
	}
	for packet := range p.codec.Packets(m.Data) {
		p.packet(packet)
	}
}

// pong answers the ping of the own generation; the other one comes too while the server finds out.
func (p *peer) pong(ping string) {
	if p.legacy == (ping != "") {
		text := ""
		if p.legacy {
			text = wire.PongV1
		}
		_ = p.conn.Send(ws.NewFrame(false, []byte(text))) // the end is told by Closed
	}
}

func (p *peer) packet(packet wire.Packet) {
	switch packet.Kind {
	case wire.Response:
		p.answer(packet)
	case wire.Publish:
		p.view(packet.Channel, func(v *judge.View) { v.Got(packet.Payload) })
	case wire.KickOut:
		p.view(packet.Channel, (*judge.View).End)
	case wire.Ping:
		if p.legacy {
			p.send(p.codec.EncodedPong())
		}
	case wire.Event:
		if packet.Event == "#gap" {
			p.told(packet.Data)
		}
	default:
		if packet.CID != nil {
			p.send(p.codec.AppendResult(nil, packet.CID, nil))
		}
	}
}

func (p *peer) told(data json.RawMessage) {
	var gap struct{ Channel string }
	if json.Unmarshal(data, &gap) == nil {
		p.view(gap.Channel, (*judge.View).Told)
	}
}

func (p *peer) view(channel string, then func(*judge.View)) {
	p.mu.Lock()
	v := p.views[channel]
	p.mu.Unlock()
	if v != nil {
		then(v)
	}
}

func (p *peer) answer(packet wire.Packet) {
	cid, _ := packet.RID.Uint64()
	p.mu.Lock()
	then := p.calls[cid]
	delete(p.calls, cid)
	p.mu.Unlock()
	switch {
	case then == nil:
	case packet.Error != nil:
		then(nil, refusal(packet.Error))
	default:
		then(append(json.RawMessage(nil), packet.Data...), nil)
	}
}

// refusal is what the server answers instead of a result.
type refusal json.RawMessage

func (r refusal) Error() string { return string(r) }

// Tick is called when the server is silent for too long.
func (p *peer) Tick(c *ws.Conn) { c.Terminate() }

// Closed ends all views and calls.
func (p *peer) Closed(_ *ws.Conn, e ws.CloseError) {
	p.mu.Lock()
	calls, views := p.calls, p.views
	p.calls, p.views, p.end = nil, map[string]*judge.View{}, e
	p.mu.Unlock()
	for _, v := range views {
		v.End()
	}
	for _, then := range calls {
		then(nil, errEnded)
	}
	close(p.ended)
}

func (p *peer) send(packet []byte) {
	_ = p.conn.Send(ws.NewFrame(p.codec.Binary(), packet)) // the end is told by Closed
}

// begin sends a call. The answer, or errEnded, goes to then on the connection's executor.
func (p *peer) begin(event string, data []byte, then func(json.RawMessage, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		go then(nil, errEnded)
		return
	}
	p.cids++
	p.calls[p.cids] = then
	p.send(p.codec.AppendEvent(nil, event, data, p.cids))
}

// call waits for the answer, of which nobody here needs more than that it is none of refusal.
func (p *peer) call(ctx context.Context, event string, data []byte) error {
	answered := make(chan error, 1)
	p.begin(event, data, func(_ json.RawMessage, err error) { answered <- err })
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		p.conn.Terminate() // nobody knows what the server thinks
		return ctx.Err()
	}
}

// subscribe joins a channel. What is owed counts from the moment when the acknowledgement is read.
func (p *peer) subscribe(ctx context.Context, v *judge.View, channel string) error {
	p.mu.Lock()
	p.views[channel] = v
	p.mu.Unlock()
	done := make(chan error, 1)
	p.begin("#subscribe", fmt.Appendf(nil, `{"channel":%s}`, wire.AppendString(nil, channel)), func(_ json.RawMessage, err error) {
		if err == nil {
			v.Open()
		} else {
			v.End()
		}
		done <- err
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		p.conn.Terminate()
		return ctx.Err()
	}
}

// unsubscribe leaves a channel.
func (p *peer) unsubscribe(ctx context.Context, channel string) error {
	p.view(channel, (*judge.View).End)
	return p.call(ctx, "#unsubscribe", wire.AppendString(nil, channel))
}

// publish sends a publication, and tells its author what became of it.
func (p *peer) publish(a *judge.Author, channel string, size int, done func(error)) {
	n, payload := a.Post(channel, size)
	data := fmt.Appendf(nil, `{"channel":%s,"data":%s}`, wire.AppendString(nil, channel), payload)
	p.begin("#publish", data, func(_ json.RawMessage, err error) {
		switch {
		case err == nil:
			a.Acked(n)
		case !errors.Is(err, errEnded):
			a.Refused(n)
		}
		done(err)
	})
}
