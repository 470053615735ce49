package natsengine

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// sweepSlots is the wheel's size: a channel lingers for half a turn at
	// least, and a whole one at most.
	sweepSlots = 16
	// maxLingering is how many channels may linger. Others end at once.
	maxLingering = 64 << 10
)

// sweeper ends the subscriptions of channels that have been left for a while,
// so that a storm of sessions that come back costs nothing.
type sweeper struct {
	mu    sync.Mutex
	now   int
	slots [sweepSlots][]leaving
}

// leaving is a channel that lingers, under the lease of that leaving.
type leaving struct {
	it    *interest
	lease uint32
}

func (s *sweeper) add(l leaving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := (s.now + sweepSlots/2 + 1 + rand.IntN(sweepSlots/2-1)) % sweepSlots //nolint:gosec // jitter
	s.slots[slot] = append(s.slots[slot], l)
}

func (s *sweeper) turn() []leaving {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = (s.now + 1) % sweepSlots
	due := s.slots[s.now]
	s.slots[s.now] = nil
	return due
}

func (e *Engine) sweep(ctx context.Context) {
	turn := time.NewTicker(max(e.options.Linger*2/sweepSlots, time.Millisecond))
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
		case <-ctx.Done():
			return
		}
		for _, l := range e.sweeper.turn() {
			e.interests.drop(l.it, l.lease, e.barrier.end)
		}
	}
}
