package natsengine

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// flowWindow is how many octets a node may be ahead of the slowest other
	// one before its publishers wait. It keeps what several of them send below
	// what NATS keeps for a connection.
	flowWindow = 8 << 20
	// flowMark is how many octets apart the marks are that the others answer.
	flowMark = 1 << 20
	// flowRetry is when a mark is sent again, and flowPatience for how long
	// publishers wait for one node. Then it is left behind, and loses what does
	// not fit, until it has caught up.
	flowRetry    = 250 * time.Millisecond
	flowPatience = time.Second
)

// flow makes publishers wait for the others' dispatchers, so that a flood is
// slowed down and not lost. Marks travel behind messages, and are answered when
// those have been handled.
type flow struct {
	sent   atomic.Int64 // octets published
	marked atomic.Int64 // of which at the last mark
	floor  atomic.Int64 // what the slowest node that is waited for has handled

	mu      sync.Mutex
	lanes   map[boot]*lane
	changed chan struct{} // closed and replaced when floor rises
}

// lane is another node.
type lane struct {
	handled int64
	behind  bool // it is not waited for
}

func newFlow() *flow {
	f := &flow{lanes: make(map[boot]*lane), changed: make(chan struct{})}
	f.floor.Store(math.MaxInt64)
	return f
}

// add begins to wait for a node.
func (f *flow) add(b boot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lanes[b] = &lane{handled: f.sent.Load()}
	f.settle()
}

func (f *flow) remove(b boot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.lanes, b)
	f.settle()
}

// handled takes a node's answer to a mark.
func (f *flow) handled(b boot, mark int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.lanes[b]
	if sent := f.sent.Load(); l != nil && mark > l.handled && mark <= sent {
		l.handled = mark
		l.behind = l.behind && sent-mark > flowWindow/2
		f.settle()
	}
}

// leave gives up those who are more than a window behind.
func (f *flow) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lanes {
		l.behind = l.behind || f.sent.Load()-l.handled > flowWindow
	}
	f.settle()
}

func (f *flow) settle() {
	floor := int64(math.MaxInt64)
	for _, l := range f.lanes {
		if !l.behind {
			floor = min(floor, l.handled)
		}
	}
	if f.floor.Swap(floor) != floor {
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

func (f *flow) full() bool { return f.sent.Load()-f.floor.Load() > flowWindow }

func (f *flow) news() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// pace waits until the others are not too far behind, or have had their time.
func (e *Engine) pace(ctx context.Context) error {
	if !e.flow.full() {
		return nil
	}
	e.counters.stalls.Add(1)
	retry := time.NewTicker(flowRetry)
	defer retry.Stop()
	for began := time.Now(); ; {
		news := e.flow.news()
		if !e.flow.full() {
			return nil
		}
		select {
		case <-news:
		case <-retry.C:
			if time.Since(began) >= flowPatience {
				e.flow.leave()
				return nil
			}
			e.mark(e.flow.sent.Load())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ahead counts octets that were published, and marks them.
func (e *Engine) ahead(octets int) {
	sent := e.flow.sent.Add(int64(octets))
	if last := e.flow.marked.Load(); sent-last >= flowMark && e.flow.marked.CompareAndSwap(last, sent) {
		e.mark(sent)
	}
}

func (e *Engine) mark(sent int64) {
	p := e.packet(kindMark)
	p.id = uint64(sent) //nolint:gosec // only grows
	if err := e.carrier.publish(e.subjects.everyone, p.encode()); err != nil {
		e.counters.dropped.Add(1) // the next one does
	}
}

// paced takes the others' answers, in a goroutine of their own: the dispatcher
// may be waiting in a sink that publishes.
func (e *Engine) paced(m *nats.Msg) {
	pre, body, err := readPreamble(m.Data)
	if err != nil {
		return
	}
	if p, err := readPacket(pre, body); err == nil && p.kind == kindMarked {
		e.flow.handled(p.boot, int64(p.id)) //nolint:gosec // a mark of ours
	}
}
