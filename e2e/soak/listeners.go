package main

import (
	"context"
	"fmt"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/e2e/soak/judge"
)

// listen stays with half of the channels until its connection ends.
func listen(ctx context.Context, h *hand) { listenToAll(ctx, h, h.some(coreChannels/2)) }

func listenTo(channel string) func(context.Context, *hand) {
	return func(ctx context.Context, h *hand) { listenToAll(ctx, h, []string{channel}) }
}

func listenToAll(ctx context.Context, h *hand, channels []string) {
	p := h.dial(ctx)
	if p == nil {
		return
	}
	defer p.leave()
	if h.subscribeAll(ctx, p, channels...) {
		select {
		case <-p.ended:
			h.tally.add("listeners' connections ended", 1)
		case <-ctx.Done():
		}
	}
}

// listenWithClient does the same with the Go client, which connects again by itself.
func listenWithClient(ctx context.Context, h *hand) {
	all := kinds()
	k := all[h.rand.IntN(len(all))]
	o := client.Options{
		URL: h.node().url(), Compression: k.compress, Protocol: 2, Reconnect: client.Backoff{Initial: 200 * time.Millisecond, Max: 2 * time.Second},
		CallTimeout: patience,
	}
	if k.legacy {
		o.Protocol = 1
	}
	if k.codec.Binary() {
		o.Codec = "minbin"
	}
	c, err := client.Dial(ctx, o)
	if err != nil {
		h.tally.add("connections refused or broken", 1)
		return
	}
	defer c.Close() //nolint:errcheck // how it ends does not matter
	h.tally.add("connections of the Go client", 1)
	for _, channel := range h.some(coreChannels / 2) {
		v := h.book.View(h.name+", "+k.name, channel)
		s, err := c.Subscribe(ctx, channel)
		if err != nil {
			v.End()
			return
		}
		v.Open()
		h.staying.Go(func() { h.follow(context.WithoutCancel(ctx), s, v) })
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
	}
}

// follow takes what arrives until the client ends. Each connection is a view of its own.
func (h *hand) follow(ctx context.Context, s *client.Subscription, v *judge.View) {
	for {
		m, err := s.Next(ctx)
		if err != nil {
			v.End()
			return
		}
		switch m.Gap {
		case client.NoGap:
			v.Got(m.Data)
		case client.GapReconnect:
			h.tally.add("reconnections of the Go client, by channel", 1)
			v.End()
			v = h.book.View(h.name, s.Channel())
			v.Open()
		case client.GapServer:
			v.Told()
		case client.GapOverflow:
			v.Told()
			h.tally.violation("%s dropped messages although it reads all the time", h.name)
		}
	}
}

// churn comes to channels and leaves them.
func churn(ctx context.Context, h *hand) {
	p := h.dial(ctx)
	if p == nil {
		return
	}
	defer p.leave()
	for ctx.Err() == nil {
		channels := h.some(1 + h.rand.IntN(3))
		if !h.subscribeAll(ctx, p, channels...) {
			return
		}
		stay := 500 * time.Millisecond
		if h.rand.IntN(8) == 0 {
			stay = 20 * time.Second
		}
		pause(ctx, time.Duration(h.rand.Int64N(int64(stay))))
		for _, channel := range channels {
			if p.unsubscribe(context.WithoutCancel(ctx), channel) != nil {
				return
			}
		}
	}
}

// visit comes, says something perhaps, and leaves in one of the ways there are.
func visit(ctx context.Context, h *hand) {
	p := h.dial(ctx)
	if p == nil {
		return
	}
	defer p.leave()
	if !h.subscribeAll(ctx, p, h.some(1)...) {
		return
	}
	if h.rand.IntN(3) == 0 {
		a := h.book.Author()
		for range 1 + h.rand.IntN(3) {
			p.publish(a, core(h.rand.IntN(coreChannels)), h.size(), func(error) {})
		}
	}
	pause(ctx, time.Duration(h.rand.IntN(100))*time.Millisecond)
	switch h.rand.IntN(3) {
	case 0:
		p.conn.Terminate()
	case 1:
		p.send(p.codec.AppendEvent(nil, "#disconnect", []byte(`{"code":1000}`), 0))
	}
}

// sweep uses very many channels for a short time each: those that come publish from another node.
func sweep(ctx context.Context, h *hand) {
	const channels = 200
	from, to := h.dial(ctx), h.dial(ctx)
	defer func() {
		for _, p := range []*peer{from, to} {
			if p != nil {
				p.leave()
			}
		}
	}()
	if from == nil || to == nil {
		return
	}
	a, prefix := h.book.Author(), h.rand.Uint64()
	for i := range channels {
		channel := fmt.Sprintf("swept.%x.%d", prefix, i)
		if !h.subscribeAll(ctx, to, channel) {
			return
		}
		from.publish(a, channel, 10, func(err error) {
			if err == nil {
				h.tally.add("publications on swept channels, acknowledged", 1)
			}
		})
	}
	pause(ctx, time.Second)
}
