package engine

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// memoryShards spreads the joined channels over this many locks. Lookups hold
// one for tens of nanoseconds, so that a constant is enough for any machine.
const memoryShards = 64

// Memory is the engine of a node that stands alone. It starts no goroutine and
// has no queue: Publish calls the sink in its caller's goroutine, so that
// several publishers may be in the sink at once, each in its own order.
// Publishing to a channel that is not joined costs one lookup.
//
// Leave takes effect for every Publish that begins after it.
type Memory struct {
	seed   maphash.Seed
	shards [memoryShards]memoryShard

	mu    sync.Mutex
	phase phase
}

type phase uint8

const (
	created phase = iota
	started
	closed
)

type memoryShard struct {
	mu     sync.RWMutex
	sink   Sink // nil outside the engine's life
	joined map[string]struct{}

	// users counts those in the sink, and the engine itself until it closes.
	// It rises from a positive number only and under mu, so zero is final.
	users   atomic.Int64
	drained chan struct{} // closed when users is zero

	_ [64]byte // keeps neighbours off this shard's cache line
}

// NewMemory returns an engine for a single node.
func NewMemory() *Memory {
	return &Memory{seed: maphash.MakeSeed()}
}

// Start opens the engine. It fails only when it is called twice, or after
// Close, or too late for its context.
func (m *Memory) Start(ctx context.Context, sink Sink) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.phase {
	case closed:
		return ErrClosed
	case started:
		return errors.New("engine: started twice")
	}
	m.phase = started
	for i := range m.shards {
		m.shards[i].open(sink)
	}
	return nil
}

// Publish calls the sink, if the channel is joined, before it returns.
func (m *Memory) Publish(ctx context.Context, msg Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sh := m.shard(msg.Channel)
	sink, err := sh.enter(msg.Channel)
	if sink == nil {
		return err
	}
	defer sh.exit()
	sink(msg)
	return nil
}

// Join has effect at once.
func (m *Memory) Join(ctx context.Context, channel string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sh := m.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.sink == nil {
		return ErrClosed
	}
	sh.joined[channel] = struct{}{}
	return nil
}

// Leave has effect at once, but for publishers that are in the sink already.
func (m *Memory) Leave(channel string) {
	sh := m.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.joined, channel)
}

// Close refuses all further calls and waits until nobody is in the sink.
func (m *Memory) Close(ctx context.Context) error {
	if !m.shut() {
		return nil
	}
	for i := range m.shards {
		select {
		case <-m.shards[i].drained:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// shut ends the phase of service; it reports whether there has been one.
func (m *Memory) shut() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == started {
		for i := range m.shards {
			m.shards[i].shut()
		}
	}
	m.phase = closed
	return m.shards[0].drained != nil
}

func (m *Memory) shard(channel string) *memoryShard {
	return &m.shards[maphash.String(m.seed, channel)%memoryShards]
}

func (sh *memoryShard) open(sink Sink) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.sink = sink
	sh.joined = make(map[string]struct{})
	sh.drained = make(chan struct{})
	sh.users.Store(1)
}

// enter returns the sink for a joined channel, and nil for another; whoever
// gets it calls exit behind it.
func (sh *memoryShard) enter(channel string) (Sink, error) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if sh.sink == nil {
		return nil, ErrClosed
	}
	if _, ok := sh.joined[channel]; !ok {
		return nil, nil
	}
	sh.users.Add(1)
	return sh.sink, nil
}

func (sh *memoryShard) exit() {
	if sh.users.Add(-1) == 0 {
		close(sh.drained)
	}
}

func (sh *memoryShard) shut() {
	sh.mu.Lock()
	sh.sink = nil
	sh.joined = nil
	sh.mu.Unlock()
	sh.exit()
}
