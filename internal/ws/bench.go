package ws

import "sync"

// benchSize is how many goroutines without work a bench keeps.
const benchSize = 16

// Bench keeps a few goroutines that have become idle, each with the channel by which it gets its next turn: their stacks have
// grown by then, which costs a new goroutine more than all else. The zero value is ready. Its methods may be called from many
// goroutines at once.
type Bench[T any] struct {
	mu     sync.Mutex
	idle   []chan T // the last one to become idle is the first to work again: its stack is in the cache
	closed bool
}

// Pop takes the channel of a goroutine that is idle, or nil. Whoever gets it sends one value, for which there is room.
func (b *Bench[T]) Pop() chan<- T {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.idle)
	if n == 0 {
		return nil
	}
	turn := b.idle[n-1]
	b.idle = b.idle[:n-1]
	return turn
}

// Push keeps a goroutine that has become idle, and reports whether it may stay. turn has room for one value, and is closed
// when it shall end.
func (b *Bench[T]) Push(turn chan T) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || len(b.idle) >= benchSize {
		return false
	}
	b.idle = append(b.idle, turn)
	return true
}

// Close ends the idle ones, and keeps no more.
func (b *Bench[T]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, turn := range b.idle {
		close(turn)
	}
	b.idle = nil
}
