package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// calls is what all callers share.
type calls struct {
	*bench

	callers  []*caller
	asked    atomic.Int64
	answered atomic.Int64
	stopped  atomic.Bool // no more calls
	closing  atomic.Bool
}

// caller keeps a window of acknowledged publications under way on one connection. One goroutine reads and writes.
type caller struct {
	*calls

	conn     *conn
	meter    *meter
	template template
	next     uint64
	at       map[uint64]time.Duration         // when those under way were sent
	each     func(call uint64, refused error) // the method answer, made once
	failed   error
}

func (b *bench) rpc(ctx context.Context) (*Report, error) {
	cs := &calls{bench: b, callers: make([]*caller, b.Conns)}
	var working sync.WaitGroup
	defer working.Wait()
	defer cs.close()
	b.Progress(fmt.Sprintf("connecting %d callers", b.Conns))
	err := b.openAll(ctx, b.Conns, none, func(_ context.Context, n int, c *conn) error {
		// In a channel of its own, so that none is a place where all meet.
		cs.callers[n] = cs.newCaller(n, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for n, c := range cs.callers {
		working.Go(func() {
			if err := c.work(); !cs.closing.Load() {
				b.fail(fmt.Errorf("caller %d of %d: %w", n+1, b.Conns, err))
			}
		})
	}
	watching, stop := context.WithCancel(ctx)
	working.Go(func() { cs.watch(watching) })
	defer stop()
	r, err := b.measure(ctx, func() (int64, int64) { return cs.asked.Load(), cs.answered.Load() })
	if err != nil {
		return nil, err
	}
	stop()
	cs.stopped.Store(true)
	r.Lost = b.settle(ctx, func() int64 { return cs.asked.Load() - cs.answered.Load() })
	r.setLatency(&sum(&b.meters).latency)
	return r, nil
}

func (cs *calls) newCaller(n int, conn *conn) *caller {
	c := &caller{
		calls: cs, conn: conn, meter: &cs.meters[n%meters], next: firstCall, at: make(map[uint64]time.Duration, cs.Window),
		template: newTemplate(cs.Protocol, fmt.Sprintf("%sCall%d", cs.Prefix, n), cs.Size, true),
	}
	c.each = c.answer
	return c
}

// watch ends the run when no answer comes any more, as no call would either.
func (cs *calls) watch(ctx context.Context) {
	for last := int64(-1); ctx.Err() == nil; pause(ctx, cs.Timeout) {
		n := cs.answered.Load()
		if n == last {
			cs.fail(fmt.Errorf("no call has been answered within %v", cs.Timeout))
			return
		}
		last = n
	}
}

func (cs *calls) close() {
	cs.closing.Store(true)
	for _, c := range cs.callers {
		if c != nil {
			_ = c.conn.Close() // either way it is over
		}
	}
}

// work calls, and calls anew with each answer, until the connection ends. It says why.
func (c *caller) work() error {
	for range c.Window {
		if err := c.ask(); err != nil {
			return err
		}
	}
	for {
		if err := c.conn.pump(c); err != nil {
			return err
		}
	}
}

func (c *caller) ask() error {
	c.next = firstCall + (c.next+1)%firstCall
	c.at[c.next] = time.Since(c.start)
	c.asked.Add(1)
	return c.conn.send(c.template.numbered(c.next))
}

func (c *caller) frame(op byte, payload []byte) error {
	reply, done, err := routine(c.Protocol, op, payload)
	if err != nil || done {
		return errors.Join(err, c.conn.send(reply))
	}
	c.Protocol.Answers(payload, c.each)
	return c.failed
}

// answer takes down the answer to a call, and calls anew.
func (c *caller) answer(call uint64, refused error) {
	at, ok := c.at[call]
	if !ok || c.failed != nil {
		return
	}
	if refused != nil {
		c.failed = fmt.Errorf("publish refused: %w", refused)
		return
	}
	delete(c.at, call)
	c.answered.Add(1)
	if c.measuring.Load() {
		c.meter.note(time.Since(c.start) - at)
	}
	if !c.stopped.Load() {
		c.failed = c.ask()
	}
}
