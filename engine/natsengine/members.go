package natsengine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/skeinrt/skein/engine"
)

const (
	// maxDead and deadKept bound what is remembered of nodes that have died, in
	// case they come back.
	maxDead  = 256
	deadKept = time.Hour
)

// state is how this node stands to another one.
type state uint8

const (
	// meeting: it has been heard, and has not answered our hello yet. Joins
	// wait for it already.
	meeting state = iota
	alive
	dead
)

// peer is another node, in one of its runs.
type peer struct {
	boot boot   // never changes
	name string // never changes

	// Of the dispatcher, and written under the lock of members.
	state    state
	welcomed bool // it has answered our hello, behind its interest
	joining  bool // its Start has not returned, when it was last heard
	address  string
	started  time.Time
	info     json.RawMessage
	view     []other
	seen     time.Time
	lag      time.Duration

	// Of the dispatcher alone.
	proven bool   // it has shown that it has our secret
	active bool   // something has come from it since the last tick
	seq    uint64 // its highest number known
	beat   uint64 // its last beat
	beaten uint64 // what it had published at that beat
	base   uint64 // below this nothing need arrive: told, or from before it was admitted
}

// members are the other nodes. Only the dispatcher writes, so that it may read
// without the lock.
type members struct {
	mu    sync.RWMutex
	peers map[boot]*peer
	// left has the runs that have said bye, so that what is still on its way
	// from them does not bring them back.
	left map[boot]time.Time
}

func newMembers() *members {
	return &members{peers: make(map[boot]*peer), left: make(map[boot]time.Time)}
}

// meet returns the peer of that boot, a new one if need be.
func (ms *members) meet(b boot, name string, now time.Time) *peer {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	p := ms.peers[b]
	if p == nil {
		p = &peer{boot: b, name: name, state: dead}
		ms.peers[b] = p
	}
	if p.state == dead {
		p.state, p.welcomed, p.seen = meeting, false, now
	}
	return p
}

// update takes what a peer says of itself.
func (ms *members) update(p *peer, s status, now time.Time) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	p.seen, p.view, p.address, p.started = now, s.view, s.address, time.Unix(0, s.started)
	p.joining = s.joining
	if len(s.info) > 0 && !bytes.Equal(p.info, s.info) {
		p.info = bytes.Clone(s.info) // the packet is larger, and goes
	}
}

// change sets fields of a peer under the lock.
func (ms *members) change(f func()) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	f()
}

// remove forgets a peer that has said bye.
func (ms *members) remove(p *peer, now time.Time) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	p.state = dead
	delete(ms.peers, p.boot)
	ms.left[p.boot] = now
}

// prune forgets the dead and those that have left, the oldest first.
func (ms *members) prune(now time.Time) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var gone []*peer
	for _, p := range ms.peers {
		if p.state == dead {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, func(a, b *peer) int { return a.seen.Compare(b.seen) })
	for i, p := range gone {
		if len(gone)-i > maxDead || now.Sub(p.seen) > deadKept {
			delete(ms.peers, p.boot)
		}
	}
	for b, at := range ms.left {
		if now.Sub(at) > time.Minute {
			delete(ms.left, b)
		}
	}
}

// view returns those whom joins wait for.
func (ms *members) view() []boot {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var boots []boot
	for b, p := range ms.peers {
		if p.state != dead {
			boots = append(boots, b)
		}
	}
	return boots
}

// others is view as beats carry it.
func (ms *members) others() []other {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var others []other
	for b, p := range ms.peers {
		if p.state != dead {
			others = append(others, other{b, p.name})
		}
	}
	return others
}

// count returns how many others are alive.
func (ms *members) count() int {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	n := 0
	for _, p := range ms.peers {
		if p.state == alive {
			n++
		}
	}
	return n
}

// rivals orders nodes by name, and those of one name by which of them counts: the
// youngest, because the older one was killed and is not dead for long enough. But
// one that is joining may yet be refused.
func rivals(a, b *peer) int {
	order := cmp.Or(cmp.Compare(a.name, b.name), b.started.Compare(a.started))
	if a.name != b.name || a.joining == b.joining {
		return order
	}
	if a.joining {
		return 1
	}
	return -1
}

// named returns the boot of the living member of that name that counts.
func (ms *members) named(name string) (boot, bool) {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var found *peer
	for _, p := range ms.peers {
		if p.state == alive && p.name == name && (found == nil || rivals(p, found) < 0) {
			found = p
		}
	}
	if found == nil {
		return 0, false
	}
	return found.boot, true
}

func (ms *members) names(boots []boot) []string {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var names []string
	for _, b := range boots {
		if p := ms.peers[b]; p != nil {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	return names
}

// addresses returns where the routes of the living are.
func (ms *members) addresses() []string {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var addresses []string
	for _, p := range ms.peers {
		if p.state != dead && p.address != "" {
			addresses = append(addresses, p.address)
		}
	}
	return addresses
}

// list returns the living, of one name only the one that counts.
func (ms *members) list() []engine.Member {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var living []*peer
	for _, p := range ms.peers {
		if p.state == alive {
			living = append(living, p)
		}
	}
	slices.SortFunc(living, rivals)
	living = slices.CompactFunc(living, func(a, b *peer) bool { return a.name == b.name })
	var list []engine.Member
	for _, p := range living {
		list = append(list, engine.Member{
			Name: p.name, Boot: p.boot.String(), Address: p.address,
			Started: p.started, Seen: p.seen, Lag: p.lag, Info: p.info,
		})
	}
	return list
}

// Members lists this node and the others that are alive.
func (e *Engine) Members() []engine.Member {
	if !e.life.open.Load() {
		return nil
	}
	local := engine.Member{
		Name: e.options.Node, Boot: e.boot.String(), Address: e.source.address(),
		Started: e.started, Seen: time.Now(), Info: *e.info.Load(), Local: true,
	}
	list := append(e.members.list(), local)
	slices.SortStableFunc(list, func(a, b engine.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
