package natsengine

import "slices"

// A receiver expects of each member, on each channel that it has joined, that
// no number is missing: a message names the number before it, and beats name the
// last one. It knows a number when it has heard it or when it lies below a base
// line, which is what the member had published when it answered the barrier of
// that channel, or when it was admitted. An unknown number is a gap.

// track notes a message of a channel. fresh is false for one that has been
// heard or told before; gap says that one before it is missing.
func (e *Engine) track(it *interest, from boot, h header) (fresh, gap bool) {
	p := e.members.peers[from]
	if p == nil {
		return true, false // it will be met, and everything before that be told
	}
	p.active = true
	last := it.last(p)
	if h.seq <= *last {
		e.counters.duplicates.Add(1)
		return false, false
	}
	gap = p.state == alive && h.prev > it.known(p, *last)
	*last = h.seq
	if p.state == alive {
		p.seq = max(p.seq, h.seq)
	}
	return true, gap
}

// last returns where the last number of p on the channel is kept.
func (it *interest) last(p *peer) *uint64 {
	for i := range it.heard {
		if it.heard[i].from == p {
			return &it.heard[i].last
		}
	}
	it.heard = slices.DeleteFunc(it.heard, func(h heard) bool { return h.from.state == dead })
	it.heard = append(it.heard, heard{from: p})
	return &it.heard[len(it.heard)-1].last
}

// known returns the highest number of p that need not arrive any more, given the
// last one that has. While the channel's barrier is out, all are.
func (it *interest) known(p *peer, last uint64) uint64 {
	base := it.base.Load()
	if base == nil {
		return ^uint64(0)
	}
	return max(last, (*base)[p.boot], p.base)
}

// check compares a member's notes with what has been heard of it.
func (e *Engine) check(p *peer, notes []note) {
	var gaps []string
	for _, n := range notes {
		it, joined := e.interests.find(n.channel)
		if it == nil || n.seq <= it.known(p, 0) {
			continue
		}
		last := it.last(p)
		if n.seq <= *last {
			continue
		}
		*last = n.seq
		if joined {
			gaps = append(gaps, it.channel)
		}
	}
	e.gap(gaps)
}

// gapFrom tells a possible gap on each channel on which p has been heard.
func (e *Engine) gapFrom(p *peer) {
	var gaps []string
	e.interests.each(func(it *interest) {
		if slices.ContainsFunc(it.heard, func(h heard) bool { return h.from == p }) {
			gaps = append(gaps, it.channel)
		}
	})
	e.gap(gaps)
}

// gapEverywhere tells a possible gap on each joined channel.
func (e *Engine) gapEverywhere() {
	var gaps []string
	e.interests.each(func(it *interest) { gaps = append(gaps, it.channel) })
	e.gap(gaps)
}

func (e *Engine) gap(channels []string) {
	e.counters.gaps.Add(uint64(len(channels)))
	e.teller.gap(channels...)
}
