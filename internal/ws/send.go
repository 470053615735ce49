package ws

// push appends a frame of any kind.
func (c *Conn) push(f *Frame) error {
	if c.client {
		f = f.masked()
	}
	o := &c.out
	o.mu.Lock()
	if o.state&(stateEnding|stateUnwilling|stateCut) != 0 {
		o.mu.Unlock()
		return ErrClosed
	}
	if o.overfull(len(f.data), c.limits) {
		o.mu.Unlock()
		c.tooSlow()
		return ErrClosed
	}
	c.add(f)
	o.mu.Unlock()
	return nil
}

// add appends a frame and gets it sent. Called with the outbox locked.
func (c *Conn) add(f *Frame) {
	c.out.append(f, &c.rt.backlogs)
	if c.out.state&(stateQueued|stateBlocked) == 0 {
		c.out.state |= stateQueued
		c.link.wake()
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
	switch {
	case o.first == nil:
		o.state &^= stateQueued
		flushed := o.state&(stateEnding|stateCloseSent|stateCut) == stateEnding
		o.mu.Unlock()
		if flushed {
			c.closeFlushed()
		}
		return false
	case err != nil:
		o.state &^= stateQueued
		o.state |= stateBlocked
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
