package natsengine

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	numberShards = 64
	// freshPerShard is how many channels may have numbers that the others have
	// not been told in a beat. A publisher that finds more tells them itself.
	freshPerShard = 256
	// keptPerShard bounds each of the two generations of told numbers.
	keptPerShard = 1024
)

// numbers counts what this node publishes, and keeps the last number of each
// channel for as long as a receiver may need it to see that it has missed one.
type numbers struct {
	seed   maphash.Seed
	seq    atomic.Uint64
	shards [numberShards]numberShard
}

// numberShard is held while a message is numbered and handed to NATS, so that
// the numbers of a channel leave in their order.
type numberShard struct {
	mu    sync.Mutex
	fresh map[string]uint64 // since the last beat
	told  map[string]uint64 // and those that beats have told: the newer half
	older map[string]uint64 // the half that goes next
}

func newNumbers() *numbers {
	n := &numbers{seed: maphash.MakeSeed()}
	for i := range n.shards {
		n.shards[i].fresh = make(map[string]uint64)
	}
	return n
}

func (n *numbers) shard(channel string) *numberShard {
	return &n.shards[maphash.String(n.seed, channel)%numberShards]
}

// send numbers a message and has it sent. It reports whether so many numbers
// are untold that somebody should tell them.
func (n *numbers) send(channel string, publish func(seq, prev uint64) error) (full bool, err error) {
	sh := n.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	prev, fresh := sh.last(channel)
	seq := n.seq.Add(1)
	if err := publish(seq, prev); err != nil {
		return false, err
	}
	sh.fresh[channel] = seq
	return !fresh && len(sh.fresh) >= freshPerShard, nil
}

// last returns the kept number of channel, and whether it is yet untold.
func (sh *numberShard) last(channel string) (seq uint64, fresh bool) {
	if seq, ok := sh.fresh[channel]; ok {
		return seq, true
	}
	if seq, ok := sh.told[channel]; ok {
		return seq, false
	}
	return sh.older[channel], false
}

// tell returns the numbers of one shard that have not been told, which the
// caller tells, come what may.
func (sh *numberShard) tell(notes []note) []note {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if len(sh.fresh) == 0 {
		return notes
	}
	if len(sh.told)+len(sh.fresh) > keptPerShard {
		sh.age()
	}
	if sh.told == nil {
		sh.told = make(map[string]uint64, len(sh.fresh))
	}
	for channel, seq := range sh.fresh {
		notes = append(notes, note{channel, seq})
		sh.told[channel] = seq
	}
	clear(sh.fresh)
	return notes
}

// untold returns the numbers of all shards that have not been told.
func (n *numbers) untold() []note {
	var notes []note
	for i := range n.shards {
		notes = n.shards[i].tell(notes)
	}
	return notes
}

// age forgets what was told before the last call.
func (n *numbers) age() {
	for i := range n.shards {
		n.shards[i].mu.Lock()
		n.shards[i].age()
		n.shards[i].mu.Unlock()
	}
}

func (sh *numberShard) age() { sh.older, sh.told = sh.told, nil }
