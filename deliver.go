package skein

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// deliver is the engine's sink and the one way out: encoded once for each codec, framed once, and the frame's pointer
// put into the queue of each subscriber. It never waits for a client.
func (s *Server) deliver(m engine.Message) {
	for _, l := range s.listeners[m.Channel] {
		l.hear(m.Data)
	}
	d := delivery{channel: m.Channel, data: m.Data}
	if len(s.rules) > 0 {
		rule := s.rules.of(m.Channel)
		d.wait, d.slow = rule.delay, rule.slow
	}
	if h := s.hooks[onDeliver]; len(h) > 0 && h.applies(m.Channel) {
		s.deliverAsked(h, &d)
		return
	}
	n := s.hub.Each(m.Channel, func(x *Session) { x.take(&d) })
	s.counters.delivered.Add(uint64(n)) //nolint:gosec // a count
}

// deliverAsked delivers to each receiver what the OnDeliver hooks make of it. The receivers are collected first, so that
// no lock is held while hooks run; who has left meanwhile gets nothing.
func (s *Server) deliverAsked(h chain, d *delivery) {
	receivers := make([]*Session, 0, s.hub.Count(d.channel))
	s.hub.Each(d.channel, func(x *Session) { receivers = append(receivers, x) })
	for _, x := range receivers {
		e := Event{Session: x, Channel: d.channel, Data: d.data}
		if err := h.ask(x.Context(), d.channel, &e); err != nil {
			continue
		}
		mine := d
		if !sameBytes(e.Data, d.data) {
			mine = &delivery{channel: d.channel, data: e.Data, wait: d.wait, slow: d.slow}
		}
		if x.takeIfIn(mine) {
			s.counters.delivered.Add(1)
		}
	}
}

// sameBytes reports whether a hook has left the data alone, by identity.
func sameBytes(a, b json.RawMessage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// take queues a delivery for the client.
func (s *Session) take(d *delivery) {
	if s.closed.Load() {
		return
	}
	if s.collecting() && s.batched(d.packet(s.codec), d.topic(s.codec)) {
		return
	}
	f := d.frame(s.codec)
	switch {
	case f == nil:
	case d.slow == SlowClose:
		s.sendWithin(f, d.wait)
	default:
		s.sendTopic(f, d.wait, d.topic(s.codec))
	}
}

// takeIfIn is take for a session that may have left the channel. The lock keeps leave from answering in between.
func (s *Session) takeIfIn(d *delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.state.channels.has(d.channel) {
		return false
	}
	s.take(d)
	return true
}

// delivery is one message on its way out, with the forms it has been given so far.
type delivery struct {
	channel string
	data    json.RawMessage
	wait    time.Duration // how long it may wait for others
	slow    SlowPolicy
	json    *ws.Frame
	minbin  *ws.Frame
	others  map[*codec]*ws.Frame // of plugins' codecs
	topics  map[*codec]*ws.Topic // nil while nobody needs one
}

// topic is what the connections need to know to drop the message, or nil where they may not.
func (d *delivery) topic(c *codec) *ws.Topic {
	if d.slow == SlowClose {
		return nil
	}
	t, ok := d.topics[c]
	if !ok {
		t = &ws.Topic{Name: d.channel, Policy: ws.Policy(d.slow), Gap: c.gap}
		if d.topics == nil {
			d.topics = map[*codec]*ws.Topic{}
		}
		d.topics[c] = t
	}
	return t
}

func (d *delivery) packet(c *codec) []byte {
	return c.wire.AppendPublish(make([]byte, 0, d.size()), d.channel, d.data)
}

// size is enough for the packet but for names that need escapes.
func (d *delivery) size() int { return len(d.channel) + len(d.data) + 64 }

func (d *delivery) frame(c *codec) *ws.Frame {
	if c.driver != nil {
		return d.otherFrame(c)
	}
	form := &d.json
	if c.wire == wire.MinBin {
		form = &d.minbin
	}
	if *form == nil {
		*form = ws.NewFrameFunc(c.wire.Binary(), d.size(), func(dst []byte) []byte {
			return c.wire.AppendPublish(dst, d.channel, d.data)
		})
	}
	return *form
}

func (d *delivery) otherFrame(c *codec) *ws.Frame {
	f, ok := d.others[c]
	if !ok {
		f, _ = c.frame(d.packet(c)) // a codec that cannot say it delivers nothing
		if d.others == nil {
			d.others = map[*codec]*ws.Frame{}
		}
		d.others[c] = f
	}
	return f
}

// sendFrame queues a frame. A client that is too slow has been closed by the connection, which is counted there.
func (s *Session) sendFrame(f *ws.Frame) { s.sendWithin(f, 0) }

func (s *Session) sendWithin(f *ws.Frame, wait time.Duration) {
	if err := s.conn.SendWithin(f, wait); err != nil {
		s.closed.Store(true)
	}
}

// sendTopic queues a message that may be dropped.
func (s *Session) sendTopic(f *ws.Frame, wait time.Duration, t *ws.Topic) {
	if err := s.conn.SendTopic(f, wait, t); err != nil {
		s.closed.Store(true)
	}
}

// sendPacket queues the packet that encode appends, batched where the session batches. sizeHint is about its length.
func (s *Session) sendPacket(sizeHint int, encode func(dst []byte) []byte) {
	if s.codec.driver != nil || s.collecting() {
		s.send(encode(make([]byte, 0, sizeHint)))
		return
	}
	if !s.closed.Load() {
		s.sendFrame(ws.NewFrameFunc(s.codec.wire.Binary(), sizeHint, encode))
	}
}

// send queues an encoded packet, batched where the session batches.
func (s *Session) send(packet []byte) {
	if s.collecting() && s.batched(packet, nil) {
		return
	}
	s.sendNow(packet)
}

// sendNow queues an encoded packet ahead of what is being collected.
func (s *Session) sendNow(packet []byte) {
	if s.closed.Load() {
		return
	}
	f, err := s.codec.frame(packet)
	if err != nil {
		s.warn("the codec cannot encode a packet", slog.Any("error", err))
		return
	}
	s.sendFrame(f)
}
