package ws

// How a connection ends. The first close sets the verdict, which Closed gets. Then
//
//	close         our close frame is pending behind the rest
//	closeFlushed  it has left: TCP is dropped CloseWait later, if nothing else ends the connection before
//	finish        the peer's has come too, or never will: the handler is told, and TCP shut down in our direction;
//	              what still comes is thrown away, because closing TCP with unread octets could destroy the close frame
//	cut           TCP is closed, now at the latest
//	settle        TCP is closed and the handler has been told: the runtime forgets the connection

// close begins the end with a close frame, sets bits, and reports whether it was the first to do so.
func (c *Conn) close(e CloseError, bits state) bool {
	f := newCloseFrame(e.Code, e.Reason) // the peer's own is echoed
	if c.client {
		f = f.masked()
	}
	o := &c.out
	o.mu.Lock()
	if o.state&(stateEnding|stateCut) != 0 {
		o.mu.Unlock()
		return false
	}
	o.state |= stateEnding | bits
	o.verdict = &e
	hopeless := o.state&stateUnwilling != 0
	if !hopeless {
		c.add(f, 0)
	}
	if o.state&(stateSlow|stateBlocked) == stateSlow|stateBlocked {
		o.trim()
	}
	o.mu.Unlock()
	if hopeless {
		c.cut(e, 0)
	}
	c.resume() // what comes now is thrown away and needs no room
	c.ending()
	return true
}

// tooSlow applies the policy for a peer that does not take what it is sent: the rest of a frame that has begun to leave,
// then the close frame; everything else is lost.
func (c *Conn) tooSlow() {
	e := CloseError{Code: c.limits.slowCode, Reason: "too slow", Local: true}
	if c.close(e, stateMute|stateSlow) {
		c.drop()
	}
}

// closeFlushed is called once our close frame has left.
func (c *Conn) closeFlushed() {
	c.out.mu.Lock()
	c.out.state |= stateCloseSent
	both := c.out.state&stateCloseGot != 0
	c.out.mu.Unlock()
	c.drop()
	if both {
		c.finish()
	}
}

// finish is called when there is nothing more to say or to hear.
func (c *Conn) finish() {
	o := &c.out
	o.mu.Lock()
	done := o.state&(stateFinished|stateCut) != 0
	lost := o.state&stateLost != 0
	o.state |= stateFinished
	o.mu.Unlock()
	if done {
		return
	}
	c.end()
	if lost || !c.link.shut() {
		c.cut(c.verdict(), 0)
	}
}

// unwilling is called when a send fails. The reader may still find out why: the peer's close frame can be on its way.
func (c *Conn) unwilling() {
	o := &c.out
	o.mu.Lock()
	o.state |= stateUnwilling
	o.state &^= stateQueued
	o.clear(&c.rt.backlogs)
	hopeless := o.state&stateEnding != 0 || o.state&(stateLost|stateCloseGot) == stateLost
	o.mu.Unlock()
	if hopeless {
		c.cut(CloseError{Code: CodeAbnormal, Err: errUnwilling}, 0)
		return
	}
	c.drop()
}

// cut closes TCP at once and sets bits.
func (c *Conn) cut(e CloseError, bits state) {
	o := &c.out
	o.mu.Lock()
	if o.state&stateCut != 0 {
		o.mu.Unlock()
		return
	}
	o.state |= stateCut | bits
	if o.verdict == nil {
		o.verdict = &e
	}
	o.clear(&c.rt.backlogs)
	o.mu.Unlock()
	c.rt.wheel.clear(c, ioTimer)
	c.link.cut()
	c.ending()
	c.end()
	if c.in.abandon() {
		c.settle(stateDelivered)
	}
	c.settle(stateClosed)
}

// ending tells a busy handler of the end, once. It must not be called with a lock held.
func (c *Conn) ending() {
	c.in.mu.Lock()
	tell := c.in.busy && !c.in.told && !c.in.done
	c.in.told = c.in.told || tell
	c.in.mu.Unlock()
	if !tell {
		return // and there may be no handler yet
	}
	if e, ok := c.handler.(Ender); ok {
		defer c.rescue()
		e.Ending(c)
	}
}

// end queues the end for the executor, once.
func (c *Conn) end() {
	c.out.mu.Lock()
	before := c.out.state
	c.out.state |= stateEnded
	c.out.mu.Unlock()
	if before&stateEnded == 0 {
		c.enqueue(job{last: true})
	}
}

// settle sets bits, and lets the runtime forget the connection once it is cut and its handler knows.
func (c *Conn) settle(bits state) {
	const over = stateClosed | stateDelivered
	c.out.mu.Lock()
	c.out.state |= bits
	forget := c.out.state&(over|stateForgotten) == over
	if forget {
		c.out.state |= stateForgotten
	}
	c.out.mu.Unlock()
	if forget {
		c.rt.wheel.clear(c, userTimer)
		c.rt.forget(c)
	}
}

// verdict is how the connection ended. There is one after stateEnding and stateCut.
func (c *Conn) verdict() CloseError {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return *c.out.verdict
}

// watch starts the I/O timer for what is pending, unless it runs. The timer is set under the lock, as in drop, so that the
// longer time of a send cannot replace the shorter one of the end.
func (c *Conn) watch() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.state&(stateWatched|stateCut) == 0 {
		c.out.state |= stateWatched
		c.rt.wheel.set(c, ioTimer, c.limits.stall)
	}
}

// drop has TCP closed when CloseWait is over.
func (c *Conn) drop() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.state |= stateDropping
	if c.out.state&stateCut != 0 {
		return
	}
	c.out.state |= stateWatched
	c.out.since = c.rt.now()
	c.rt.wheel.set(c, ioTimer, c.limits.closeWait)
}

// overdue is called by the wheel when the I/O timer ends. The timer is not moved at each progress, so there can be time
// left.
func (c *Conn) overdue() {
	o := &c.out
	o.mu.Lock()
	o.state &^= stateWatched
	dropping := o.state&stateDropping != 0
	if o.state&stateCut != 0 || !dropping && o.first == nil {
		o.mu.Unlock()
		return
	}
	limit := c.limits.stall
	if dropping {
		limit = c.limits.closeWait
	}
	left := o.since + limit - c.rt.now()
	if left > 0 {
		o.state |= stateWatched
	}
	ending := o.state&stateEnding != 0
	o.mu.Unlock()
	switch {
	case left > 0:
		c.rt.wheel.set(c, ioTimer, left)
	case dropping || ending:
		c.cut(CloseError{Code: CodeAbnormal, Err: errUnwilling}, 0)
	default:
		c.tooSlow()
	}
}
