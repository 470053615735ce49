package ws

import "time"

// How a connection whose peer does not take what it is sent drops frames. A peer is behind from the moment at which a send
// has to wait for it, until nothing is pending. What has no room by then, or in a burst that is four times too large, makes
// other frames give way, or gives way itself, as its topic says. The first frame, and what is in a send under way, stay.
//
// A notice, made by Topic.Gap, stands where frames of a topic are missing, one for each topic that it waits for: in the
// place of the oldest that was dropped, or at the end where the newest was. It is never dropped itself, and what is lost
// of the topic while it waits lies next to it or before it. Replacing a message by a newer one of its topic tells nothing.

// patience is how long a send that blocks (of a link that cannot tell beforehand) may take before the peer is behind.
const patience = 100 * time.Millisecond

// blocked reports whether a send has to wait for the peer. Called with the outbox locked.
func (c *Conn) blocked() bool {
	o := &c.out
	return o.state&stateBlocked != 0 || o.state&stateWriting != 0 && c.rt.now()-o.since >= patience
}

// pushLoose is push for a frame that may be dropped.
func (c *Conn) pushLoose(f *Frame, wait time.Duration, t *Topic) error {
	o := &c.out
	o.mu.Lock()
	if o.state&(stateEnding|stateUnwilling|stateCut) != 0 {
		o.mu.Unlock()
		return ErrClosed
	}
	if o.state&stateBehind == 0 && c.blocked() {
		c.fallBehind()
	}
	if !c.admit(f, t) {
		o.mu.Unlock()
		c.tooSlow()
		return ErrClosed
	}
	c.schedule(wait)
	o.mu.Unlock()
	return nil
}

// fallBehind is called when the peer is found not to take what it is sent. Called with the outbox locked, as are all that
// follow.
func (c *Conn) fallBehind() {
	o := &c.out
	o.state |= stateBehind
	if o.rest != nil && o.rest.loose != nil {
		c.conflate(o.rest.loose)
	}
}

func (c *Conn) conflate(l *loose) {
	dropped, octets := l.conflate()
	c.out.bytes -= octets
	c.rt.dropped(KeepLatest, dropped)
}

// landed is called when a send is over.
func (c *Conn) landed() {
	l := c.out.rest.loose
	l.landed()
	if l.twice {
		c.conflate(l)
	}
}

// admit queues the frame, or drops it, and reports whether what is never dropped has room.
func (c *Conn) admit(f *Frame, t *Topic) bool {
	o := &c.out
	if o.first == nil {
		o.append(f, &c.rt.backlogs)
		return true
	}
	l := o.loosen(&c.rt.backlogs)
	if t.Policy == DropNewest && l.told(t) || t.Policy == KeepLatest && c.replace(l, f, t) {
		c.rt.dropped(t.Policy, 1)
		return true
	}
	for !c.fits(len(f.data) + pieceCost + keyCost) {
		if t.Policy == DropNewest || !c.evict() {
			c.rt.dropped(t.Policy, 1)
			return c.tell(t)
		}
	}
	o.bytes += len(f.data)
	o.rest.addLoose(f, t)
	if t.Policy == KeepLatest && o.state&stateBehind != 0 {
		l.remember(&l.queue.items[len(l.queue.items)-1])
	}
	return true
}

// replace puts the frame in the place of the one of its topic that waits, if the peer is behind, and reports whether it has.
// Where a longer one has no room it goes to the end, and the older one is dropped nevertheless.
func (c *Conn) replace(l *loose, f *Frame, t *Topic) bool {
	id, ok := l.latest[t.Name]
	if !ok {
		return false
	}
	all := l.queue.all()
	i := l.find(all, id)
	if i < l.held {
		l.twice = true
		return false
	}
	more := len(f.data) - len(all[i].frame.data)
	if more > 0 && !c.fits(more) {
		c.out.bytes -= len(all[i].frame.data)
		l.remove(i)
		c.rt.dropped(KeepLatest, 1)
		return false
	}
	c.out.bytes += more
	all[i].frame = f
	return true
}

// bound is how much may be pending.
func (c *Conn) bound() int {
	if c.out.state&stateBehind == 0 {
		return burst * c.limits.outbox
	}
	return c.limits.outbox
}

// fits reports whether so much more that may be dropped has room.
func (c *Conn) fits(n int) bool {
	bound := c.bound()
	return c.out.weight()+n <= bound-bound/reserve
}

// fitsNotice reports whether so much more for a notice has room: within the bound, or in the part of it that is kept for
// notices when a single frame is as long as all of it.
func (c *Conn) fitsNotice(n int) bool {
	o, bound := &c.out, c.bound()
	n += o.weight()
	return n <= bound || n-(len(o.first.data)-int(o.partial)) <= bound/reserve
}

// makeRoom drops what may be dropped until a frame has room that may not be, and reports whether it has.
func (c *Conn) makeRoom(n int, blocked bool) bool {
	for c.out.overfull(n, c.limits, blocked) {
		if !c.evict() {
			return false
		}
	}
	return true
}

// evict drops the oldest frame that may be dropped, and reports whether there was one.
func (c *Conn) evict() bool {
	o := &c.out
	if o.rest == nil || o.rest.loose == nil {
		return false
	}
	l := o.rest.loose
	i := l.oldest()
	if i < 0 {
		return false
	}
	p := &l.queue.all()[i]
	t := p.topic
	c.rt.dropped(t.Policy, 1)
	o.bytes -= len(p.frame.data)
	var gap *Frame
	if !l.told(t) {
		gap = t.gap()
	}
	switch {
	case gap == nil:
		l.remove(i)
	case t.Policy == DropNewest: // whose newest may be dropped next
		l.remove(i)
		o.bytes += len(gap.data)
		o.rest.addLoose(gap, l.note(t, l.next))
	default:
		l.forget(p)
		o.bytes += len(gap.data)
		p.frame, p.topic = gap, l.note(t, p.id)
	}
	return true
}

// tell queues the notice for the topic at the end, unless one waits, and reports whether all notices have room.
func (c *Conn) tell(t *Topic) bool {
	l := c.out.rest.loose
	for !l.told(t) {
		gap := t.gap()
		switch {
		case gap == nil:
			return true
		case c.fitsNotice(len(gap.data) + pieceCost + keyCost):
			c.out.bytes += len(gap.data)
			c.out.rest.addLoose(gap, l.note(t, l.next))
		case !c.evict():
			return false
		}
	}
	return c.fitsNotice(0)
}
