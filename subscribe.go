package skein

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/wire"
)

// Joining and leaving. The invariants:
//
//   - A session is in the hub before its channel's gate is held, and out of it before the gate is released, so a
//     message that the engine delivers meets everybody who has been acknowledged.
//   - A subscription is acknowledged when the engine's Join is through, also for the second subscriber who comes while
//     the first one's Join is under way.
//   - Engine calls of one channel never overlap: a leave cannot overtake a join.

// subscribe serves #subscribe. Only a call subscribes: one without a cid has no effect, as with SocketCluster.
func (s *Session) subscribe(p *wire.Packet) {
	if p.CID == nil {
		_ = s.expire() // nobody is asked
		return
	}
	if err := s.join(p); err != nil {
		s.fail(p.CID, err)
		return
	}
	s.reply(p.CID, nil)
}

func (s *Session) join(p *wire.Packet) error {
	expired := s.expire()
	if !p.Named {
		return invalidAction("Subscribe channel name was malformatted")
	}
	if err := s.checkToken(p.Channel); err != nil {
		return err
	}
	if n := s.endpoint.Limits.ChannelName; len(p.Channel) > n {
		s.server.counters.limited.add(limitChannelName)
		return invalidAction(fmt.Sprintf("Subscribe channel name is longer than %d bytes", n))
	}
	ctx := s.contextFor(s.server.asksAt(onSubscribe, onSubscribed))
	if h := s.server.hooks[onSubscribe]; len(h) > 0 {
		e := &Event{Session: s, Channel: p.Channel, Data: p.Payload, Expired: expired}
		if err := h.ask(ctx, p.Channel, e); err != nil {
			return refusal(err, "subscribe", "inbound")
		}
	}
	if err := s.checkChannelLimit(p.Channel); err != nil {
		return err
	}
	added, err := s.enter(ctx, p.Channel)
	if err != nil {
		return err
	}
	if err := s.checkToken(p.Channel); err != nil { // behind joining: a token that ends from here on takes the channel with it
		s.leave(p.Channel)
		return err
	}
	if h := s.server.hooks[onSubscribed]; added && len(h) > 0 {
		h.tell(ctx, p.Channel, &Event{Session: s, Channel: p.Channel, Data: p.Payload})
	}
	return nil
}

// checkChannelLimit counts before it looks for duplicates, as SocketCluster does.
func (s *Session) checkChannelLimit(channel string) error {
	limit := s.endpoint.Limits.Channels
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit == 0 || len(s.state.channels.list) < limit {
		return nil
	}
	s.server.counters.limited.add(limitChannels)
	return brokerError(fmt.Sprintf("Failed to subscribe socket to the %s channel - InvalidActionError: "+
		"Socket %s tried to exceed the channel subscription limit of %d", channel, s.id, limit))
}

// enter puts the session into the channel and reports whether it was not there yet.
func (s *Session) enter(ctx context.Context, channel string) (added bool, err error) {
	if !s.note(channel) {
		return false, nil
	}
	name := s.server.hub.Join(channel, s)
	if err := s.server.gates.hold(ctx, name); err != nil {
		s.server.hub.Leave(channel, s)
		s.drop(channel)
		s.warn("the engine has not joined a channel", slog.Any("error", err))
		return false, brokerError(fmt.Sprintf("Failed to subscribe socket to the %s channel - %v", channel, err))
	}
	if !s.confirm(name) {
		s.server.part(channel, s)
		return false, brokerError(fmt.Sprintf("Failed to subscribe socket to the %s channel - Socket %s was kicked out of it", channel, s.id))
	}
	return true, nil
}

// claim marks a channel as left, so that nobody else leaves it, and returns how far it was; false where it is not there
// or somebody else has claimed it.
func (s *Session) claim(channel string) (was stage, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &s.state.channels
	if !list.has(channel) {
		return 0, false
	}
	m := &list.list[list.find(channel)]
	was, m.stage = m.stage, leaving
	return was, true
}

// drop takes the channel from the session's own list, if it is there.
func (s *Session) drop(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.state.channels.find(channel); i >= 0 {
		s.state.channels.remove(i)
	}
}

// note adds the channel to the session's own list, and reports whether it was not there.
func (s *Session) note(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.channels.find(channel) >= 0 {
		return false
	}
	s.state.channels.add(channel)
	return true
}

// confirm marks the channel as held, unless it has been left meanwhile. name is the hub's copy of its name, which all
// sessions share.
func (s *Session) confirm(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &s.state.channels
	if !list.has(name) {
		return false
	}
	list.list[list.find(name)] = membership{name, held}
	return true
}

// leave takes the session out of the channel and reports whether it was in it. Nothing more is delivered from there.
// The session's own list comes last, as it comes first in joining: until then nobody joins or leaves the channel again.
func (s *Session) leave(channel string) bool {
	was, there := s.claim(channel)
	if !there {
		return false
	}
	s.server.hub.Leave(channel, s)
	s.drop(channel)
	if was == joining {
		return true // whoever is joining has the gate to release, and nobody has been told of it
	}
	s.server.gates.release(channel)
	if h := s.server.hooks[onUnsubscribe]; len(h) > 0 {
		h.tell(s.background(), channel, &Event{Session: s, Channel: channel})
	}
	return true
}

func (s *Session) leaveAll() {
	for _, channel := range s.Channels() {
		s.leave(channel)
	}
}

// part undoes Join and hold.
func (s *Server) part(channel string, x *Session) {
	s.hub.Leave(channel, x)
	s.gates.release(channel)
}

// unsubscribe serves #unsubscribe.
func (s *Session) unsubscribe(p *wire.Packet) {
	_ = s.expire() // nobody is asked
	if !p.Named {
		s.fail(p.CID, invalidAction("Unsubscribe channel name was malformatted"))
		return
	}
	if !s.leave(p.Channel) {
		s.fail(p.CID, brokerError(fmt.Sprintf("Failed to unsubscribe socket from the %s channel - InvalidActionError: "+
			"Socket %s tried to unsubscribe from a channel which it is not subscribed to", p.Channel, s.id)))
		return
	}
	s.reply(p.CID, nil)
}

// Kick takes the session out of a channel and tells the client, which does not subscribe again by itself. message may
// be empty. The client is told also where it was not subscribed; the error then says so.
func (s *Session) Kick(channel, message string) error {
	was := s.leave(channel)
	data := append([]byte(`{"channel":`), wire.AppendString(nil, channel)...)
	if message != "" {
		data = append(append(data, `,"message":`...), wire.AppendString(nil, message)...)
	}
	if err := s.Transmit("#kickOut", append(data, '}')); err != nil {
		return err
	}
	if !was {
		return invalidAction(fmt.Sprintf("Socket %s tried to unsubscribe from a channel which it is not subscribed to", s.id))
	}
	return nil
}

// KickAll is Kick for all channels of the session.
func (s *Session) KickAll(message string) {
	for _, channel := range s.Channels() {
		_ = s.Kick(channel, message) // it has left by itself, or the session is closed
	}
}

// gates count who holds a channel on this node, and let one engine call at a time through for each.
type gates struct {
	engine engine.Engine
	mu     sync.Mutex
	open   map[string]*gate
}

type gate struct {
	holders int           // sessions and listeners that hold the channel or wait for it
	joined  bool          // the engine has joined
	busy    chan struct{} // an engine call is under way; closed at its end
}

// hold returns when the engine has joined the channel. The caller then counts as a holder until release.
func (g *gates) hold(ctx context.Context, channel string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.open[channel]
	if c == nil {
		c = &gate{}
		if g.open == nil {
			g.open = map[string]*gate{}
		}
		g.open[channel] = c
	}
	c.holders++
	for !c.joined || c.busy != nil {
		if err := g.advance(ctx, channel, c); err != nil {
			c.holders--
			g.settle(channel, c)
			return err
		}
	}
	return nil
}

// advance waits for the call that is under way, or makes the Join itself. The lock is held at both ends only.
func (g *gates) advance(ctx context.Context, channel string, c *gate) error {
	if busy := c.busy; busy != nil {
		g.mu.Unlock()
		defer g.mu.Lock()
		select {
		case <-busy:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var err error
	g.call(c, func() { err = g.engine.Join(ctx, channel) })
	c.joined = err == nil
	return err
}

// call makes an engine call without the lock, with the channel marked as busy.
func (g *gates) call(c *gate, fn func()) {
	busy := make(chan struct{})
	c.busy = busy
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		c.busy = nil
		close(busy)
	}()
	fn()
}

// release ends a hold. The last one leaves the channel.
func (g *gates) release(channel string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.open[channel]
	c.holders--
	g.settle(channel, c)
}

// settle leaves a channel that nobody holds any more and forgets it.
func (g *gates) settle(channel string, c *gate) {
	if c.holders > 0 || c.busy != nil {
		return
	}
	if c.joined {
		g.call(c, func() { g.engine.Leave(channel) })
		c.joined = false
	}
	if c.holders == 0 && c.busy == nil {
		delete(g.open, channel)
	}
}
