// Package hub knows which sessions of this node are in which channel.
//
// Every operation takes constant time but Each, which visits, and Channels and
// Len, which look at all shards. A channel with one session costs about 100
// octets, its name apart, and one allocation; each further session about 10,
// and 50 where there are many, and a map finds the one that leaves.
package hub

import (
	"hash/maphash"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Hub maps channels to the sessions in them. All methods may be called from
// many goroutines at once.
//
// A channel has a lock of its own, held while its sessions are visited, so that
// visitors of one channel share it, and nobody else waits for them but who
// joins or leaves that very channel. A shard's lock is held for a lookup only.
// Lock order: channel, then shard.
type Hub[S comparable] struct {
	seed   maphash.Seed
	shift  uint // leaves of a hash as many high bits as number the shards
	shards []shard[S]
}

type shard[S comparable] struct {
	mu       sync.RWMutex
	channels map[string]*group[S] // of groups that are not empty, or are just being removed

	_ [64]byte // keeps neighbours off this shard's cache line
}

// New returns an empty hub. shards is rounded up to a power of two; 0 or less
// means eight for each processor that Go may use, and at most maxShards.
func New[S comparable](shards int) *Hub[S] {
	if shards <= 0 {
		shards = 8 * runtime.GOMAXPROCS(0)
	}
	n, shift := 1, uint(64)
	for n < min(shards, maxShards) {
		n, shift = n*2, shift-1
	}
	h := &Hub[S]{seed: maphash.MakeSeed(), shift: shift, shards: make([]shard[S], n)}
	for i := range h.shards {
		h.shards[i].channels = make(map[string]*group[S])
	}
	return h
}

const maxShards = 1 << 12

// Join puts s into the channel, where it may be already. It returns the hub's
// own copy of the name, for the session to keep instead of another one.
func (h *Hub[S]) Join(channel string, s S) (name string) {
	sh := h.shard(channel)
	for {
		g := sh.find(channel)
		if g == nil {
			if sh.open(channel, s) {
				return channel
			}
			continue
		}
		if g.join(s) {
			return g.name
		}
	}
}

// Leave takes s out of the channel, where it need not be. When Leave has
// returned, no Each visits s for this channel, not even one that began earlier.
func (h *Hub[S]) Leave(channel string, s S) {
	sh := h.shard(channel)
	g := sh.find(channel)
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.remove(s) && len(g.members) == 0 {
		// Whoever has found the group before this waits for its lock, sees
		// that it is empty and looks again, by when it has gone.
		sh.close(channel)
	}
}

// Each calls fn for each session in the channel, in no particular order, and
// returns how many there were. A session that joins or leaves meanwhile waits,
// so it sees all of this visit or nothing of it. fn must be quick and must
// not call the hub.
func (h *Hub[S]) Each(channel string, fn func(S)) int {
	g := h.shard(channel).find(channel)
	if g == nil {
		return 0
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, s := range g.members {
		fn(s)
	}
	return len(g.members)
}

// Count returns how many sessions are in the channel.
func (h *Hub[S]) Count(channel string) int {
	g := h.shard(channel).find(channel)
	if g == nil {
		return 0
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.members)
}

// Len returns how many channels have sessions.
func (h *Hub[S]) Len() int {
	n := 0
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		n += len(sh.channels)
		sh.mu.RUnlock()
	}
	return n
}

// Channels returns the names that begin with prefix, sorted, and no more than
// the first limit of them; 0 or less means all. It locks one shard at a time:
// the answer is no snapshot of a single moment.
func (h *Hub[S]) Channels(prefix string, limit int) []string {
	var names []string
	for i := range h.shards {
		names = h.shards[i].appendNames(names, prefix)
		if limit > 0 && len(names) > limit {
			slices.Sort(names)
			clear(names[limit:])
			names = names[:limit]
		}
	}
	slices.Sort(names)
	return names
}

func (h *Hub[S]) shard(channel string) *shard[S] {
	return &h.shards[maphash.String(h.seed, channel)>>h.shift]
}

func (sh *shard[S]) find(channel string) *group[S] {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.channels[channel]
}

// open makes the channel with its first session; it reports false when
// somebody else has been faster.
func (sh *shard[S]) open(channel string, s S) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.channels[channel] != nil {
		return false
	}
	sh.channels[channel] = newGroup(channel, s)
	return true
}

func (sh *shard[S]) close(channel string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.channels, channel)
}

func (sh *shard[S]) appendNames(names []string, prefix string) []string {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for name := range sh.channels {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}
