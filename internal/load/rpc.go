package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/internal/wire"
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
	at       map[uint64]time.Duration // when those under way were sent
}

func (b *bench) rpc(ctx context.Context) (*Report, error) {
	cs := &calls{bench: b, callers: make([]*caller, b.Conns)}
	var working sync.WaitGroup
	defer working.Wait()
	defer cs.close()
	b.Progress(fmt.Sprintf("connecting %d callers", b.Conns))
	err := b.openAll(ctx, b.Conns, none, func(_ context.Context, n int, c *conn) error {
		// In a channel of its own, so that none is a place where all meet.
		cs.callers[n] = &caller{
			calls: cs, conn: c, meter: &b.meters[n%meters], next: firstCall, at: make(map[uint64]time.Duration, b.Window),
			template: newTemplate(fmt.Sprintf("%sCall%d", b.Prefix, n), b.Size, true),
		}
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
	reply, done, err := routine(op, payload)
	if err != nil || done {
		return errors.Join(err, c.conn.send(reply))
	}
	if bytes.Contains(payload, []byte(`"error"`)) {
		if err := refused(payload); err != nil {
			return err
		}
	}
	for call, rest := nextAnswer(payload); call != 0; call, rest = nextAnswer(rest) {
		at, ok := c.at[call]
		if !ok {
			continue
		}
		delete(c.at, call)
		c.answered.Add(1)
		if c.measuring.Load() {
			c.meter.note(time.Since(c.start) - at)
		}
		if !c.stopped.Load() {
			err = c.ask()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refused looks for a bad answer.
func refused(payload []byte) error {
	for p := range wire.JSON.Packets(payload) {
		if p.Kind == wire.Response && p.Error != nil {
			return fmt.Errorf("#publish: %s", refusal(p.Error))
		}
	}
	return nil
}

// nextAnswer is the first number of an answered call, 0: none, and what is behind it. Nothing but answers comes to
// somebody who has not subscribed, so that the key need not be parsed.
func nextAnswer(b []byte) (call uint64, rest []byte) {
	const key = `"rid":`
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return 0, nil
	}
	for i += len(key); i < len(b) && '0' <= b[i] && b[i] <= '9' && call < math.MaxUint32; i++ {
		call = call*10 + uint64(b[i]-'0')
	}
	return call, b[i:]
}
