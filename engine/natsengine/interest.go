package natsengine

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

const interestShards = 64

// interests are the channels that this node has joined, or has left so lately
// that they are still subscribed.
type interests struct {
	seed   maphash.Seed
	shards [interestShards]interestShard
	joined atomic.Int64
	idle   atomic.Int64 // left, and lingering
}

type interestShard struct {
	mu       sync.RWMutex
	channels map[string]*interest
}

// interest is one of them.
type interest struct {
	channel string

	// Of the shard's lock.
	left  bool   // nobody here wants it; it lingers
	lease uint32 // which leaving the sweeper looks at
	batch *batch // what it is being subscribed with; nil when that is done
	sub   *nats.Subscription

	// base is set when the batch has been acknowledged.
	base atomic.Pointer[baseline]

	// Of the dispatcher.
	heard []heard
}

// baseline says, for the members that have answered a barrier, which number
// they had reached: what comes later has to arrive.
type baseline map[boot]uint64

// heard is the last number of one node on one channel.
type heard struct {
	from *peer
	last uint64
}

func newInterests() *interests {
	in := &interests{seed: maphash.MakeSeed()}
	for i := range in.shards {
		in.shards[i].channels = make(map[string]*interest)
	}
	return in
}

func (in *interests) shard(channel string) *interestShard {
	return &in.shards[maphash.String(in.seed, channel)%interestShards]
}

// find returns the channel's interest, and whether it is joined.
func (in *interests) find(channel string) (it *interest, joined bool) {
	sh := in.shard(channel)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	it = sh.channels[channel]
	return it, it != nil && !it.left
}

// join marks the channel as joined. It returns the batch to wait for, or nil
// when the subscription is in force already. queue gets an interest that has
// to be subscribed first.
func (in *interests) join(channel string, queue func(*interest) *batch) *batch {
	sh := in.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	it := sh.channels[channel]
	if it == nil {
		it = &interest{channel: channel}
		it.batch = queue(it)
		sh.channels[channel] = it
		in.joined.Add(1)
	} else if it.left {
		it.left = false
		in.idle.Add(-1)
		in.joined.Add(1)
	}
	return it.batch
}

// leave marks the channel as left. It returns the interest and its lease when
// it was joined.
func (in *interests) leave(channel string) (it *interest, lease uint32) {
	sh := in.shard(channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	it = sh.channels[channel]
	if it == nil || it.left {
		return nil, 0
	}
	it.left = true
	it.lease++
	in.joined.Add(-1)
	in.idle.Add(1)
	return it, it.lease
}

// drop forgets an interest that has been left under that lease and is left
// still; end takes over its subscription while nobody can join again.
func (in *interests) drop(it *interest, lease uint32, end func(*nats.Subscription)) {
	sh := in.shard(it.channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.channels[it.channel] != it || !it.left || it.lease != lease {
		return
	}
	delete(sh.channels, it.channel)
	in.idle.Add(-1)
	if it.sub != nil {
		end(it.sub)
	}
}

// fail forgets an interest whose batch has failed.
func (in *interests) fail(it *interest, end func(*nats.Subscription)) {
	sh := in.shard(it.channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.channels[it.channel] == it {
		delete(sh.channels, it.channel)
		in.count(it.left).Add(-1)
	}
	if it.sub != nil {
		end(it.sub)
	}
}

func (in *interests) count(left bool) *atomic.Int64 {
	if left {
		return &in.idle
	}
	return &in.joined
}

// subscribed gives the interest its subscription, unless it is gone meanwhile.
func (in *interests) subscribed(it *interest, sub *nats.Subscription) (kept bool) {
	sh := in.shard(it.channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.channels[it.channel] != it {
		return false
	}
	it.sub = sub
	return true
}

// acknowledged ends the interest's batch.
func (in *interests) acknowledged(it *interest, base *baseline) {
	it.base.Store(base)
	sh := in.shard(it.channel)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	it.batch = nil
}

// each calls f for every interest that is joined and acknowledged. f runs under
// a shard's lock.
func (in *interests) each(f func(*interest)) {
	for i := range in.shards {
		in.shards[i].eachJoined(f)
	}
}

func (sh *interestShard) eachJoined(f func(*interest)) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, it := range sh.channels {
		if !it.left && it.base.Load() != nil {
			f(it)
		}
	}
}
