package load

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// firstCall makes all numbers of calls as long as each other, so that they are written over in place.
const firstCall = 1_000_000_000

// template is a publication's frame, of which only a few digits change.
type template struct {
	frame       []byte
	stamp, call int // where they begin
}

// newTemplate makes a publication of size bytes, which is acknowledged if it is a call.
func newTemplate(p Protocol, channel string, size int, call bool) template {
	text := mark + strings.Repeat("x", size-len(mark))
	if !call {
		frame := newFrame(opText, p.Publish(channel, text, 0))
		return template{frame: frame, stamp: bytes.LastIndex(frame, []byte(mark))}
	}
	frame, other := newFrame(opText, p.Publish(channel, text, firstCall)), newFrame(opText, p.Publish(channel, text, 2*firstCall))
	number := 0
	for frame[number] == other[number] { // only the numbers differ, from their first digit on
		number++
	}
	return template{frame: frame, stamp: bytes.LastIndex(frame, []byte(mark)), call: number}
}

// stamped is the frame with this stamp; it is overwritten by the next one.
func (t *template) stamped(s stamp) []byte {
	s.put(t.frame[t.stamp:])
	return t.frame
}

// numbered is the frame with this number of a call; it is overwritten by the next one.
func (t *template) numbered(call uint64) []byte {
	strconv.AppendUint(t.frame[:t.call], call, 10)
	return t.frame
}

// publisher publishes on one connection, to the channels in turn.
type publisher struct {
	n         int
	conn      *conn
	templates []template // these by channel
	audience  []int64

	// Of the goroutine that publishes.
	numbers []uint64 // by channel
	promise int64    // owed, as it knows

	sent      atomic.Int64
	owed      atomic.Int64 // deliveries that have been asked for
	delivered atomic.Int64
	goal      atomic.Int64 // of delivered, at which ready is rung
	ready     chan struct{}
}

func (b *bench) newPublisher(n int) *publisher {
	p := &publisher{n: n, numbers: make([]uint64, b.Channels), ready: make(chan struct{}, 1)}
	for channel := range b.Channels {
		p.templates = append(p.templates, newTemplate(b.Protocol, b.channel(channel), b.Size, false))
		p.audience = append(p.audience, b.audience(channel))
	}
	p.goal.Store(math.MaxInt64)
	return p
}

// pace says when the next message to a channel is due, on the clock of the bench, once it is; false: no more.
type pace func(ctx context.Context, channel int) (at time.Duration, ok bool)

// run publishes until the pace ends.
func (p *publisher) run(ctx context.Context, next pace) error {
	for k := p.n; ; k++ {
		channel := k % len(p.templates)
		at, ok := next(ctx, channel)
		if !ok {
			return nil
		}
		p.numbers[channel]++
		p.promise += p.audience[channel]
		p.owed.Store(p.promise)
		s := stamp{uint64(p.n), uint64(channel), p.numbers[channel], at} //nolint:gosec // not negative
		if err := p.conn.send(p.templates[channel].stamped(s)); err != nil {
			return err
		}
		p.sent.Add(1)
	}
}

// arrived is told of n deliveries.
func (p *publisher) arrived(n int64) {
	if p.delivered.Add(n) >= p.goal.Load() {
		select {
		case p.ready <- struct{}{}:
		default:
		}
	}
}

// byClock is a fixed rate, gap between two messages, which does not wait for the server: what was due while a write
// had to wait is sent behind it, and counts from when it was due. That the timer is late is not the server's fault.
func byClock(start time.Time, first, gap time.Duration) pace {
	due, woke := time.Since(start)+first, time.Duration(0)
	return func(ctx context.Context, _ int) (time.Duration, bool) {
		if wait := due - time.Since(start); wait > 0 {
			pause(ctx, wait)
			woke = time.Since(start)
		}
		at := max(due, woke)
		due += gap
		return at, ctx.Err() == nil
	}
}

// byWindow keeps a window of messages under way: the next one is due when all deliveries but those of the window are
// there.
func (p *publisher) byWindow(b *bench) pace {
	most := int64(b.Window) * p.audience[0] // the first channel has the largest one
	stalled := time.NewTimer(b.Timeout)
	return func(ctx context.Context, channel int) (time.Duration, bool) {
		goal := p.promise + p.audience[channel] - most
		stalled.Reset(b.Timeout)
		for p.delivered.Load() < goal {
			p.goal.Store(goal)
			if p.delivered.Load() >= goal { // before it knew of the goal
				break
			}
			select {
			case <-p.ready:
			case <-ctx.Done():
				return 0, false
			case <-stalled.C:
				b.fail(fmt.Errorf("publisher %d of %d: %d deliveries have not come within %v", p.n+1, b.Pubs, p.promise-p.delivered.Load(), b.Timeout))
				return 0, false
			}
		}
		p.goal.Store(math.MaxInt64)
		return time.Since(b.start), ctx.Err() == nil
	}
}

// listen reads what the server sends to the publisher, until the connection ends.
func (p *publisher) listen() error {
	for {
		if err := p.conn.pump(p); err != nil {
			return err
		}
	}
}

func (p *publisher) frame(op byte, payload []byte) error {
	reply, _, err := routine(p.conn.protocol, op, payload)
	if err != nil {
		return err
	}
	return p.conn.send(reply)
}

// pause waits, but not beyond the context.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
