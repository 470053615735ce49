package hub

import (
	"slices"
	"sync"
)

// indexAbove is the number of sessions up to which a scan finds one. A scan of
// 32 pointers takes about as long as a lookup in a map, and needs no memory.
const indexAbove = 32

// group holds the sessions of one channel. It is never empty but at its end:
// who finds it empty has found it just when it was removed, and looks again.
type group[S comparable] struct {
	mu      sync.RWMutex
	name    string
	members []S
	index   map[S]int // place in members; nil up to indexAbove
	inline  [1]S      // what members begins as, to save an allocation
}

func newGroup[S comparable](name string, s S) *group[S] {
	g := &group[S]{name: name, inline: [1]S{s}}
	g.members = g.inline[:]
	return g
}

// join reports false for a group that is just being removed.
func (g *group[S]) join(s S) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) == 0 {
		return false
	}
	if g.place(s) < 0 {
		g.add(s)
	}
	return true
}

// place returns where s stands in members, or -1.
func (g *group[S]) place(s S) int {
	if g.index == nil {
		return slices.Index(g.members, s)
	}
	if i, ok := g.index[s]; ok {
		return i
	}
	return -1
}

func (g *group[S]) add(s S) {
	g.members = append(g.members, s)
	clear(g.inline[:]) // members has moved out, and what has left must not be kept alive
	switch n := len(g.members); {
	case g.index != nil:
		g.index[s] = n - 1
	case n > indexAbove:
		g.reindex()
	}
}

// remove puts the last member where s was.
func (g *group[S]) remove(s S) bool {
	i := g.place(s)
	if i < 0 {
		return false
	}
	n := len(g.members) - 1
	moved := g.members[n]
	g.members[i] = moved
	clear(g.members[n:])
	g.members = g.members[:n]
	if g.index != nil {
		g.index[moved] = i
		delete(g.index, s)
	}
	if n >= indexAbove/2 && n <= cap(g.members)/4 {
		g.shrink()
	}
	return true
}

// shrink gives memory back when three quarters are unused. Before the next
// shrink half of the rest must leave, so that leaving stays cheap on average.
func (g *group[S]) shrink() {
	n := len(g.members)
	g.members = append(make([]S, 0, 2*n), g.members...)
	g.index = nil
	if n > indexAbove {
		g.reindex()
	}
}

func (g *group[S]) reindex() {
	g.index = make(map[S]int, len(g.members))
	for i, s := range g.members {
		g.index[s] = i
	}
}
