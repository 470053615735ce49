package client

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/skeinrt/skein/internal/wire"
)

// SubscribeOptions say how a channel is subscribed to. The first subscription of a client to a channel decides about
// Data and WaitForAuth.
type SubscribeOptions struct {
	// Data goes to the server with the request, for its hooks.
	Data any
	// WaitForAuth asks for the channel only while the client is authenticated. Subscribe waits for that, too.
	WaitForAuth bool
	// Queue is this subscription's Options.Queue. 0 means that one.
	Queue int
}

// Subscription is a Stream of the messages of one channel, from before Subscribe has returned until it is closed, the
// server ends it or the client ends. It survives the loss of the connection, with a GapReconnect when it is active
// again.
type Subscription struct {
	*Stream
	channel string
	active  chan struct{} // closed when the server has acknowledged it for the first time
}

// Channel returns the channel's name.
func (s *Subscription) Channel() string { return s.channel }

// channel is one channel that the client is subscribed to, or will be. All of Client.mu.
type channel struct {
	name    string
	order   uint64          // resubscribed in the order of subscribing
	request json.RawMessage // the data of #subscribe
	waits   bool            // only while authenticated
	subs    []*Subscription // never empty
	link    *link           // where it has been asked for; nil: nowhere
	joined  bool            // acknowledged there
}

// Subscribe subscribes to a channel and returns when the server has acknowledged that. While there is no connection it
// waits for one, as long as the context says, or Options.CallTimeout. A refusal is an *Error. Several subscriptions to
// one channel share the server's; each gets every message.
func (c *Client) Subscribe(ctx context.Context, name string, o ...SubscribeOptions) (*Subscription, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	var options SubscribeOptions
	if len(o) > 0 {
		options = o[0]
	}
	s, err := c.enrol(name, options)
	if err != nil {
		return nil, fmt.Errorf("subscribe %q: %w", name, err)
	}
	select {
	case <-s.active:
		return s, nil
	case <-s.over:
		err = s.Err()
	case <-ctx.Done():
		err = context.Cause(ctx)
		s.Close()
	}
	return nil, fmt.Errorf("subscribe %q: %w", name, err)
}

// enrol adds a subscription, and asks the server for the channel if nobody has.
func (c *Client) enrol(name string, o SubscribeOptions) (*Subscription, error) {
	request, err := o.request(name)
	if err != nil {
		return nil, err
	}
	s := &Subscription{Stream: newStream(cmp.Or(o.Queue, c.cfg.Queue)), channel: name, active: make(chan struct{})}
	s.leave = func(reason error) { c.leave(s, reason) }
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, ErrClosed
	}
	ch := c.channels[name]
	if ch == nil {
		c.order++
		ch = &channel{name: name, order: c.order, request: request, waits: o.WaitForAuth}
		c.channels[name] = ch
	}
	ch.subs = append(ch.subs, s)
	if ch.joined {
		close(s.active)
	} else if c.current != nil {
		c.request([]*channel{ch}, c.current)
	}
	return s, nil
}

// request returns the data of #subscribe.
func (o SubscribeOptions) request(name string) (json.RawMessage, error) {
	data, err := encode(o.Data)
	if err != nil {
		return nil, err
	}
	b := wire.AppendString([]byte(`{"channel":`), name)
	if o.WaitForAuth {
		b = append(b, `,"waitForAuth":true`...)
	}
	if data != nil {
		b = append(append(b, `,"data":`...), data...)
	}
	if b = append(b, '}'); len(b) > batchSize {
		return nil, ErrTooLarge
	}
	return b, nil
}

// leave ends one subscription, and the channel's when it was the last.
func (c *Client) leave(s *Subscription, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer s.end(reason)
	ch := c.channels[s.channel]
	if ch == nil || !slices.Contains(ch.subs, s) {
		return
	}
	ch.subs = slices.DeleteFunc(ch.subs, func(other *Subscription) bool { return other == s })
	if len(ch.subs) > 0 {
		return
	}
	delete(c.channels, ch.name)
	if l := ch.link; l != nil {
		l.small(l.codec.AppendEvent(nil, "#unsubscribe", wire.AppendString(nil, ch.name), 0))
	}
}

// resubscribe asks for every channel on a new connection, in batches as the network takes them, and then makes the
// connection the current one: nothing else is sent before.
func (c *Client) resubscribe(ctx context.Context, l *link) error {
	rest, done := c.adopt(l, nil)
	for !done {
		if err := l.settle(ctx); err != nil {
			return fmt.Errorf("resubscribe: %w", err)
		}
		rest, done = c.adopt(l, rest)
	}
	return nil
}

// adopt makes the connection the current one, unless there are channels to be asked for first. Then it asks for some,
// and returns the rest. A connection that is lost already is done with, too.
func (c *Client) adopt(l *link, channels []*channel) (rest []*channel, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.dead {
		return nil, true
	}
	if len(channels) == 0 {
		channels = c.unasked()
	}
	if len(channels) == 0 {
		c.setCurrent(l)
		return nil, true
	}
	return c.request(channels, l), false
}

// unasked returns the channels that are to be asked for, in the order of subscribing. The caller holds mu.
func (c *Client) unasked() []*channel {
	var channels []*channel
	for _, ch := range c.channels {
		if c.askable(ch) {
			channels = append(channels, ch)
		}
	}
	slices.SortFunc(channels, func(a, b *channel) int { return cmp.Compare(a.order, b.order) })
	return channels
}

func (c *Client) askable(ch *channel) bool {
	return c.channels[ch.name] == ch && ch.link == nil && (!ch.waits || c.identity.authenticated)
}

// request asks for those of the channels that may be asked for, as many as one message holds, and returns the rest.
// The caller holds mu, and the link is not dead.
func (c *Client) request(channels []*channel, l *link) []*channel {
	var packets [][]byte
	for size := 0; len(channels) > 0; channels = channels[1:] {
		ch := channels[0]
		if !c.askable(ch) {
			continue
		}
		if size += len(ch.request); size > batchSize && len(packets) > 0 {
			break
		}
		ch.link = l
		cid := c.cids.Add(1)
		l.expect(cid, func(a answer) { c.acknowledged(ch, l, a) })
		packets = append(packets, l.codec.AppendEvent(nil, "#subscribe", ch.request, cid))
	}
	switch len(packets) {
	case 0:
	case 1:
		l.small(packets[0])
	default:
		l.small(l.codec.AppendBatch(nil, packets))
	}
	return channels
}

// acknowledged takes in the answer to #subscribe. A lost connection is none: the channel stays to be asked for.
func (c *Client) acknowledged(ch *channel, l *link, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.link != l || c.channels[ch.name] != ch {
		return
	}
	if a.err != nil {
		c.drop(ch, a.err)
		return
	}
	ch.joined = true
	for _, s := range ch.subs {
		select {
		case <-s.active:
			s.push(Message{Gap: GapReconnect})
		default:
			close(s.active)
		}
	}
}

// drop ends a channel that the server does not grant. The caller holds mu.
func (c *Client) drop(ch *channel, reason error) {
	delete(c.channels, ch.name)
	for _, s := range ch.subs {
		s.end(reason)
	}
}

// unlink takes in the loss of a connection.
func (c *Client) unlink(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.dead = true
	if c.current == l {
		c.setCurrent(nil)
	}
	for _, ch := range c.channels {
		if ch.link == l {
			ch.link, ch.joined = nil, false
		}
	}
}

func (c *Client) deliver(name string, data json.RawMessage) { c.push(name, Message{Data: data}) }

func (c *Client) push(name string, m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.channels[name]; ch != nil {
		for _, s := range ch.subs {
			s.push(m)
		}
	}
}

// gap obeys #gap: the server may have lost messages of a channel.
func (c *Client) gap(data json.RawMessage) {
	var g struct {
		Channel string `json:"channel"`
	}
	if json.Unmarshal(data, &g) == nil {
		c.push(g.Channel, Message{Gap: GapServer})
	}
}

// kicked obeys #kickOut. One that comes while the channel has only been asked for is about an earlier subscription.
func (c *Client) kicked(name string, data json.RawMessage) {
	var k struct {
		Message json.RawMessage `json:"message"`
	}
	_ = json.Unmarshal(data, &k) // without a message all the same
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.channels[name]; ch != nil && ch.joined {
		c.drop(ch, &KickError{Message: text(k.Message)})
	}
}
