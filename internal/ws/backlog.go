package ws

import "sync"

// backlog is what waits behind the first frame of an outbox. A connection has one only while something does: it is lent by
// the runtime, so that neither an idle connection nor a busy one costs an allocation.
//
// Frames that may be dropped have a queue of their own, from which each can be taken without touching the others; a piece
// knows how many frames of the firm queue go before it, and so the two are one queue for whoever takes frames off.
type backlog struct {
	firm  fifo[*Frame] // never dropped
	taken uint32       // of firm, since it was lent; this and all that is compared with it wraps around
	loose *loose       // nil: nothing that may be dropped has come
}

func (b *backlog) len() int {
	if b == nil {
		return 0
	}
	n := len(b.firm.items) - b.firm.head
	if l := b.loose; l != nil {
		n += len(l.queue.items) - l.queue.head
	}
	return n
}

// dropable is the length of the loose queue.
func (b *backlog) dropable() int {
	if b.loose == nil {
		return 0
	}
	return b.loose.queue.len()
}

// add appends a frame that is never dropped.
func (b *backlog) add(f *Frame) { b.firm.add(f) }

// addLoose appends a frame that may be dropped, or a notice.
func (b *backlog) addLoose(f *Frame, t *Topic) {
	b.loose.add(f, t, b.taken+uint32(b.firm.len())) //nolint:gosec // it wraps around
}

// take removes the frame that is next.
func (b *backlog) take() *Frame {
	if l := b.loose; l != nil && l.queue.len() > 0 && !later(l.queue.items[l.queue.head].after, b.taken) {
		return l.take()
	}
	b.taken++
	return b.firm.take()
}

// last is the newest of the frames that are never dropped, which a close frame is.
func (b *backlog) last() *Frame { return b.firm.items[len(b.firm.items)-1] }

// gather copies as many frames as fit behind the batch.
func (b *backlog) gather(s *sender) {
	firm, loose := b.firm.all(), b.loose.queue.all()
	n, i, j := len(s.batch), 0, 0
	for i < len(firm) || j < len(loose) {
		soft := j < len(loose) && !later(loose[j].after, b.taken+uint32(i))
		var f *Frame
		if soft {
			f = loose[j].frame
		} else {
			f = firm[i]
		}
		if n+len(f.data) > len(s.scratch) {
			break
		}
		if i+j == 0 {
			copy(s.scratch, s.batch)
		}
		n += copy(s.scratch[n:], f.data)
		if !soft {
			i++
			continue
		}
		if loose[j].notice() {
			b.loose.forget(&loose[j])
		}
		j++
	}
	if i+j > 0 {
		s.batch = s.scratch[:n]
	}
	b.loose.held = j
}

// later reports whether a comes behind b, of two numbers that wrap around and are not far apart.
func later(a, b uint32) bool { return int32(a-b) > 0 } //nolint:gosec // as it says

// backlogs keep those that are out of use.
type backlogs struct{ pool sync.Pool }

func (l *backlogs) lend() *backlog {
	b, _ := l.pool.Get().(*backlog)
	if b == nil {
		b = new(backlog)
	}
	return b
}

// giveBack takes a backlog that nobody uses any more.
func (l *backlogs) giveBack(b *backlog) {
	if b == nil || cap(b.firm.items) > fifoKept {
		return
	}
	b.firm.reset()
	b.taken = 0
	if b.loose != nil && !b.loose.reset() {
		b.loose = nil
	}
	l.pool.Put(b)
}
