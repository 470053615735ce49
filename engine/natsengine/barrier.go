package natsengine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/skeinrt/skein/engine"
)

// resend is the age at which an unanswered barrier is sent again.
const resend = 500 * time.Millisecond

// barrier makes joins true. It subscribes in batches, like a group commit: the
// next batch fills while one is out. Behind a batch it sends a barrier on the
// same connection. NATS tells the other servers of a subscription on the route
// that later carries their messages to us, ahead of them, so that a member that
// has seen the barrier publishes to a server that knows the subscriptions.
// When all members of the view have answered, or died, the batch is
// acknowledged; time alone never does it.
type barrier struct {
	kick chan struct{} // holds one when there is work

	mu      sync.Mutex
	closed  bool
	filling *batch
	ended   []*nats.Subscription // to be cancelled before the next batch
	round   *round               // what is out
	rounds  uint64
}

// batch is a set of joins that are acknowledged together.
type batch struct {
	interests []*interest
	done      chan struct{}
	err       error // set before done is closed
}

// round is one barrier on its way.
type round struct {
	id      uint64
	waiting map[boot]struct{}
	base    baseline
	done    chan struct{} // closed when nobody is waited for, or err is set
	err     error
}

func newBarrier() *barrier { return &barrier{kick: make(chan struct{}, 1)} }

// queue puts the interest into the batch that fills.
func (b *barrier) queue(it *interest) *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return failedBatch(engine.ErrClosed)
	}
	if b.filling == nil {
		b.filling = &batch{done: make(chan struct{})}
	}
	b.filling.interests = append(b.filling.interests, it)
	b.wake()
	return b.filling
}

func failedBatch(err error) *batch {
	failed := &batch{done: make(chan struct{}), err: err}
	close(failed.done)
	return failed
}

// end has a subscription cancelled, before any that is queued later.
func (b *barrier) end(sub *nats.Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, sub)
	b.wake()
}

func (b *barrier) wake() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

func (b *barrier) take() (*batch, []*nats.Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	filling, ended := b.filling, b.ended
	b.filling, b.ended = nil, nil
	return filling, ended
}

// open begins a round for the members that view returns.
func (b *barrier) open(view func() []boot) *round {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		r := &round{done: make(chan struct{})}
		r.end(engine.ErrClosed)
		return r
	}
	return b.begin(view)
}

// close fails what is out and what would come. The round that it returns ends
// when the members have taken their leave of this node.
func (b *barrier) close(view func() []boot) *round {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.abortLocked(engine.ErrClosed)
	b.wake()
	return b.begin(view)
}

func (b *barrier) begin(view func() []boot) *round {
	b.rounds++
	r := &round{id: b.rounds, waiting: make(map[boot]struct{}), base: make(baseline), done: make(chan struct{})}
	for _, member := range view() {
		r.waiting[member] = struct{}{}
	}
	if len(r.waiting) == 0 {
		r.end(nil)
	} else {
		b.round = r
	}
	return r
}

func (r *round) end(err error) {
	r.err = err
	close(r.done)
}

// passed takes a member's answer.
func (b *barrier) passed(from boot, id, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.round == nil || b.round.id != id {
		return
	}
	if _, waited := b.round.waiting[from]; waited {
		b.round.base[from] = seq
		b.settle(from)
	}
}

// gone says that a member has died or left.
func (b *barrier) gone(member boot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.round != nil {
		b.settle(member)
	}
}

func (b *barrier) settle(member boot) {
	delete(b.round.waiting, member)
	if len(b.round.waiting) == 0 {
		b.round.end(nil)
		b.round = nil
	}
}

// abort fails the round that is out.
func (b *barrier) abort(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.abortLocked(err)
}

func (b *barrier) abortLocked(err error) {
	if b.round != nil {
		b.round.end(err)
		b.round = nil
	}
}

// commit works batches off until the engine closes.
func (e *Engine) commit(ctx context.Context) {
	for {
		select {
		case <-e.barrier.kick:
		case <-ctx.Done():
		}
		filling, ended := e.barrier.take()
		for _, sub := range ended {
			_ = sub.Unsubscribe() // fails only without a connection, which ends it as well
		}
		if filling != nil {
			base, err := e.subscribeBatch(ctx, filling)
			e.settleBatch(filling, base, err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// subscribeBatch returns the members' base lines when the batch is in force
// everywhere.
func (e *Engine) subscribeBatch(ctx context.Context, b *batch) (*baseline, error) {
	for _, it := range b.interests {
		token, _ := channelToken(it.channel)
		sub, err := e.carrier.subscribe(e.subjects.channels + token)
		if err != nil {
			return nil, err
		}
		if !e.interests.subscribed(it, sub) {
			_ = sub.Unsubscribe() // left meanwhile
		}
	}
	r := e.barrier.open(e.members.view)
	packet := e.packet(kindBarrier)
	packet.id = r.id
	if err := e.await(ctx, r, packet.encode()); err != nil {
		return nil, err
	}
	e.counters.rounds.Add(1)
	return &r.base, nil
}

// await sends the barrier until its round has ended.
func (e *Engine) await(ctx context.Context, r *round, data []byte) error {
	again := time.NewTicker(resend)
	defer again.Stop()
	for {
		select {
		case <-r.done:
			return r.err
		default:
		}
		if err := e.carrier.publish(e.subjects.everyone, data); err != nil {
			e.barrier.abort(err)
		}
		select {
		case <-r.done:
			return r.err
		case <-again.C:
			e.counters.resent.Add(1)
			e.log.LogAttrs(ctx, slog.LevelDebug, "barrier sent again", slog.Any("waiting", e.waiting(r)))
		}
	}
}

// waiting names the members that have not answered.
func (e *Engine) waiting(r *round) []string {
	e.barrier.mu.Lock()
	boots := make([]boot, 0, len(r.waiting))
	for b := range r.waiting {
		boots = append(boots, b)
	}
	e.barrier.mu.Unlock()
	return e.members.names(boots)
}

func (e *Engine) settleBatch(b *batch, base *baseline, err error) {
	for _, it := range b.interests {
		if err != nil {
			e.interests.fail(it, func(sub *nats.Subscription) { _ = sub.Unsubscribe() }) // as in commit
		} else {
			e.interests.acknowledged(it, base)
		}
	}
	b.interests = nil // the channels keep the batch no longer
	b.err = err
	close(b.done)
}
