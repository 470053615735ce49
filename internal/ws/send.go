package ws

import "time"

// push appends a frame of any kind, which may wait for others.
func (c *Conn) push(f *Frame, wait time.Duration) error {
	if c.client {
		f = f.masked()
	}
	o := &c.out
	o.mu.Lock()
	if o.state&(stateEnding|stateUnwilling|stateCut) != 0 {
		o.mu.Unlock()
		return ErrClosed
	}
	blocked := o.state&(stateBlocked|stateWriting) != 0 && c.blocked()
	if o.overfull(len(f.data), c.limits, blocked) && !c.makeRoom(len(f.data), blocked) {
		o.mu.Unlock()
		c.tooSlow()
		return ErrClosed
	}
	o.append(f, &c.rt.backlogs)
	c.schedule(wait)
	o.mu.Unlock()
	return nil
}

// add appends a frame and gets it sent, after the wait at the latest. Called with the outbox locked.
func (c *Conn) add(f *Frame, wait time.Duration) {
	c.out.append(f, &c.rt.backlogs)
	c.schedule(wait)
}

// schedule gets what is pending sent, after the wait at the latest. Called with the outbox locked.
func (c *Conn) schedule(wait time.Duration) {
	o := &c.out
	switch {
	case o.state&(stateQueued|stateBlocked) != 0: // it leaves with what is under way
	case wait <= 0 || o.bytes >= scratchSize:
		c.hurry()
	default:
		if due := c.rt.now() + wait; o.state&stateWaiting == 0 || due < o.since {
			o.state |= stateWaiting
			o.since = due
			c.shard.pushLater(c, due)
		}
	}
}

// hurry gets what is pending sent now. Called with the outbox locked.
func (c *Conn) hurry() {
	c.out.state = c.out.state&^stateWaiting | stateQueued
	c.link.wake()
}

// ripe is called when a wait is over: perhaps one of before, which does no harm.
func (c *Conn) ripe() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.state&(stateWaiting|stateCut) == stateWaiting {
		c.hurry()
	}
}

// flush makes one send, and reports whether there is more to send at once. Only who has stateQueued may call it.
func (c *Conn) flush(s *sender) (again bool) {
	o := &c.out
	o.mu.Lock()
	if o.state&stateSlow != 0 && o.first != nil {
		o.state &^= stateSlow
		o.trim()
	}
	if o.first == nil {
		o.state &^= stateQueued
		o.mu.Unlock()
		return false
	}
	o.gather(s)
	o.mu.Unlock()
	n, err := c.link.send(s)
	return c.sent(n, err)
}

// sent takes note of a send of n octets, and reports whether flush shall be called again.
func (c *Conn) sent(n int, err error) (again bool) {
	o := &c.out
	o.mu.Lock()
	o.state &^= stateBlocked | stateWriting
	o.state |= stateQueued
	if err != nil && err != errWouldBlock { //nolint:errorlint // a private value that is never wrapped
		o.mu.Unlock()
		c.unwilling()
		return false
	}
	if n > 0 && o.first != nil {
		o.advance(n, &c.rt.backlogs)
		if o.state&stateDropping == 0 {
			o.since = c.rt.now()
		}
	}
	if o.rest != nil && o.rest.loose != nil {
		c.landed()
	}
	switch {
	case o.first == nil:
		o.state &^= stateQueued | stateBehind
		flushed := o.state&(stateEnding|stateCloseSent|stateCut) == stateEnding
		o.mu.Unlock()
		if flushed {
			c.closeFlushed()
		}
		return false
	case err != nil:
		o.state &^= stateQueued
		o.state |= stateBlocked
		if o.state&stateBehind == 0 {
			c.fallBehind()
		}
		c.link.await(o.first.data[o.partial:])
		o.mu.Unlock()
		c.watch()
		return false
	default:
		o.mu.Unlock()
		return true
	}
}

// writing is called before a send that can block, so that the stall is measured from here.
func (c *Conn) writing() {
	c.out.mu.Lock()
	c.out.state |= stateWriting
	if c.out.state&stateDropping == 0 {
		c.out.since = c.rt.now()
	}
	c.out.mu.Unlock()
	c.watch()
}
