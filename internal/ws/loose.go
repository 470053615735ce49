package ws

import "sort"

// Policy says what gives way when a peer does not take what it is sent.
type Policy uint8

// The policies of a Topic.
const (
	// KeepAll drops nothing: the peer's connection ends at its bound.
	KeepAll Policy = iota
	// DropOldest drops what has waited longest of all that may be dropped, until the new frame has room.
	DropOldest
	// DropNewest drops the new frame, and those that follow until the peer has been told of it.
	DropNewest
	// KeepLatest has the new frame take the place of the one that waits, if the peer is behind; it makes room as
	// DropOldest does.
	KeepLatest

	noticeInPlace // of a notice: behind it only frames of its topic are dropped that lie next to it
	noticeAtEnd   // of one of DropNewest: nothing of its topic comes behind it
)

// Topic is what a frame is one message of. It never changes.
type Topic struct {
	// Name tells topics apart.
	Name string
	// Policy of its frames.
	Policy Policy
	// Gap makes the frame that tells the peer that messages of the topic are missing; nil tells nothing. It is called with
	// the connection locked: it must be quick and not use it.
	Gap func(name string) *Frame
}

// gap is the notice, or nil.
func (t *Topic) gap() *Frame {
	if t.Gap == nil {
		return nil
	}
	return t.Gap(t.Name)
}

const (
	// reserve is the part of the bound that frames which may be dropped leave to those that may not: to the notices
	// before all, whose place must be there when it is needed.
	reserve = 16

	// What the place of a frame costs besides its octets, at most: a slice has two and a half times the room that it
	// needs just after it has grown, and a frame that nobody shares has a head and a topic.
	slotCost  = 24
	pieceCost = 128
	keyCost   = 64 // of a map's entry
)

// piece is a frame that may be dropped, or the notice that stands where others have been.
type piece struct {
	frame *Frame
	topic *Topic // of a notice: one of its own
	after uint32 // frames of the backlog's firm queue that go before it
	id    uint32 // ascending
}

func (p *piece) notice() bool { return p.topic.Policy >= noticeInPlace }

// loose are the frames of a backlog that may be dropped, and the notices among them.
type loose struct {
	queue fifo[piece]
	next  uint32 // the id of the next piece
	held  int    // of the first: in the send that is under way, and not to be touched
	skip  int    // of the first: known to be notices, or held
	twice bool   // a frame was held when it should have been replaced

	latest map[string]uint32 // ids of those that wait of KeepLatest topics, while the peer is behind
	gaps   map[string]uint32 // ids of the notices that wait, the newest of each topic, and are not held
}

func (l *loose) add(f *Frame, t *Topic, after uint32) {
	l.queue.add(piece{f, t, after, l.next})
	l.next++
}

// take removes the first piece, which leaves.
func (l *loose) take() *Frame {
	p := l.queue.take()
	l.held = max(0, l.held-1)
	l.skip = max(0, l.skip-1)
	l.forget(&p)
	return p.frame
}

// remove takes out the piece at i, which may be dropped and so is none of those that are skipped.
func (l *loose) remove(i int) {
	l.forget(&l.queue.all()[i])
	l.queue.remove(i)
}

// forget strikes a piece off those that are known by their names.
func (l *loose) forget(p *piece) {
	var known map[string]uint32
	switch p.topic.Policy {
	case noticeInPlace, noticeAtEnd:
		known = l.gaps
	case KeepLatest:
		known = l.latest
	default:
		return
	}
	if id, ok := known[p.topic.Name]; ok && id == p.id {
		delete(known, p.topic.Name)
	}
}

// remember notes a piece of a KeepLatest topic.
func (l *loose) remember(p *piece) {
	if l.latest == nil {
		l.latest = map[string]uint32{}
	}
	l.latest[p.topic.Name] = p.id
}

// find gives the place of a piece that is there.
func (l *loose) find(pieces []piece, id uint32) int {
	return sort.Search(len(pieces), func(i int) bool { return !later(id, pieces[i].id) })
}

// oldest gives the place of the oldest piece that may be dropped, or -1.
func (l *loose) oldest() int {
	all := l.queue.all()
	i := max(l.held, l.skip)
	for i < len(all) && all[i].notice() {
		i++
	}
	l.skip = i
	if i == len(all) {
		return -1
	}
	return i
}

// told reports whether the topic's notice waits.
func (l *loose) told(t *Topic) bool {
	_, ok := l.gaps[t.Name]
	return ok
}

// note notes that the piece of that id is the topic's notice, and gives the topic of the notice itself.
func (l *loose) note(t *Topic, id uint32) *Topic {
	if l.gaps == nil {
		l.gaps = map[string]uint32{}
	}
	l.gaps[t.Name] = id
	if t.Policy == DropNewest {
		return &Topic{Name: t.Name, Policy: noticeAtEnd}
	}
	return &Topic{Name: t.Name, Policy: noticeInPlace}
}

// conflate leaves one piece of each KeepLatest topic: the newest, in the place of the oldest. It returns how many it has
// dropped, and their octets.
func (l *loose) conflate() (dropped, octets int) {
	clear(l.latest)
	all := l.queue.all()[l.held:]
	kept := all[:0]
	for i := range all {
		p := all[i]
		if p.topic.Policy == KeepLatest {
			if id, ok := l.latest[p.topic.Name]; ok {
				older := &kept[l.find(kept, id)]
				dropped++
				octets += len(older.frame.data)
				older.frame = p.frame
				continue
			}
			l.remember(&p)
		}
		kept = append(kept, p)
	}
	clear(all[len(kept):])
	l.queue.items = l.queue.items[:len(l.queue.items)-dropped]
	l.skip, l.twice = 0, false
	return dropped, octets
}

// landed is called when a send is over: what it has not taken waits again. Behind the notice of a DropNewest topic there can
// be others of it by then, so the next loss needs a notice of its own.
func (l *loose) landed() {
	if l.held == 0 {
		return
	}
	for _, p := range l.queue.all()[:l.held] {
		if p.topic.Policy == noticeInPlace && !l.told(p.topic) {
			l.gaps[p.topic.Name] = p.id
		}
	}
	l.held, l.skip = 0, 0
}

// reset makes it empty, and reports whether it is small enough to be kept.
func (l *loose) reset() bool {
	if cap(l.queue.items) > fifoKept || len(l.latest)+len(l.gaps) > 0 {
		return false
	}
	l.queue.reset()
	*l = loose{queue: l.queue}
	return true
}
