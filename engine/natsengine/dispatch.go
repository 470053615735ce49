package natsengine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/skeinrt/skein/engine"
)

// watch is what the dispatcher keeps for itself.
type watch struct {
	ticked     time.Time
	losses     uint64            // of the carrier, that have been told
	orphaned   bool              // the last other node died without a bye
	owed       bool              // a node died while the carrier was lost: nobody can say what it published last
	complained map[boot]struct{} // runs of nodes that were logged as wrong
	strangers  map[boot]struct{} // those that are no members: they have another secret
	dispatched atomic.Int64      // when the dispatcher last came round, since the start; for the courier
}

// dispatch handles everything that arrives, in the order in which it does, and
// the passing of time. It waits for nothing but the sink.
func (e *Engine) dispatch(ctx context.Context) {
	tick := time.NewTicker(max(e.options.Heartbeat/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case m := <-e.carrier.inlet.queue:
			e.handle(ctx, m)
			e.carrier.inlet.done(m)
		case now := <-tick.C:
			e.dispatched.Store(int64(time.Since(e.started)))
			e.tick(now)
		case <-e.carrier.changed:
			e.carried(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) handle(ctx context.Context, m *nats.Msg) {
	pre, body, err := readPreamble(m.Data)
	if err != nil || pre.boot == e.boot {
		e.malformed(ctx, m, err)
		return
	}
	if pre.kind == kindMessage && pre.protocol == protocol {
		e.deliver(ctx, m, pre.boot, body)
		return
	}
	p, err := readPacket(pre, body)
	switch {
	case errors.Is(err, errProtocol):
		e.foreign(p)
	case err != nil:
		e.malformed(ctx, m, err)
	default:
		e.obey(ctx, p, time.Now())
	}
}

func (e *Engine) malformed(ctx context.Context, m *nats.Msg, err error) {
	if e.counters.malformed.Add(1) == 1 {
		e.log.LogAttrs(ctx, slog.LevelWarn, "something else publishes under the prefix of this cluster; only the first is logged",
			slog.String("subject", m.Subject), slog.Any("error", err))
	}
}

// deliver gives a message to the sink, once.
func (e *Engine) deliver(ctx context.Context, m *nats.Msg, from boot, body []byte) {
	h, data, err := readHeader(body)
	if err != nil {
		e.malformed(ctx, m, err)
		return
	}
	if !e.vouched(from) {
		return
	}
	channel := h.channel
	if token := strings.TrimPrefix(m.Subject, e.subjects.channels); !strings.HasPrefix(token, hashMark) {
		var ok bool
		if channel, ok = channelOf(token); !ok {
			e.malformed(ctx, m, errMalformed)
			return
		}
	}
	it, joined := e.interests.find(channel)
	if it == nil {
		return
	}
	fresh, gap := e.track(it, from, h)
	if !fresh || !joined {
		return
	}
	if gap {
		e.gap([]string{it.channel})
	}
	e.counters.received.Add(1)
	e.sink(engine.Message{Channel: it.channel, Data: data, Origin: h.origin})
}

// obey does what a packet says.
func (e *Engine) obey(ctx context.Context, p packet, now time.Time) {
	if !e.trusts(p, now) {
		return
	}
	switch p.kind {
	case kindHello:
		e.greet(p, now)
	case kindWelcome:
		e.welcome(p, now)
	case kindBeat:
		e.hear(p, now)
	case kindBye:
		e.farewell(p, now)
	case kindFarewell:
		e.barrier.gone(p.boot)
	case kindBarrier:
		answer := e.packet(kindPassed)
		answer.id, answer.seq = p.id, e.numbers.seq.Load()
		e.post(letter{e.subjects.inbox(p.boot), answer})
	case kindPassed:
		e.barrier.passed(p.boot, p.id, p.seq)
	case kindRefuse:
		e.shun(p.boot, now)
		e.refusal(p)
	case kindAsk:
		e.serve(ctx, p)
	case kindAnswer:
		e.calls.end(p.id, p.result(), p.failure())
	case kindAbandon:
		e.calls.abandon(question{p.boot, p.id})
	case kindEcho:
		e.echo(p)
	case kindMark:
		answer := e.packet(kindMarked)
		answer.id = p.id
		e.post(letter{e.subjects.flow(p.boot), answer})
	}
}
