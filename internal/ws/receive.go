package ws

import (
	"bytes"
	"time"
)

// takeHeld decodes what was read before reading stopped, and reports whether to read on.
func (c *Conn) takeHeld() bool {
	held := c.held
	c.held = nil
	return held == nil || c.received(*held)
}

// received takes octets from the peer, and reports whether to read on: otherwise the inbox is full, and the executor
// arms the link again.
func (c *Conn) received(b []byte) bool {
	defer func() {
		if v := recover(); v != nil {
			c.rt.recovered(v)
			c.fail(CloseError{Code: CodeInternal, Reason: "internal error", Local: true})
		}
	}()
	now := c.rt.now()
	for len(b) > 0 && !c.deaf {
		rest, full := c.decode(b, now)
		c.returnDecoder()
		b = rest
		if full && c.pause(rest) {
			return false // the next reader may be at work already: touch nothing
		}
	}
	return true
}

// decode takes octets that have come at that time until one has filled the inbox, and gives what is left.
func (c *Conn) decode(b []byte, now time.Duration) (rest []byte, full bool) {
	d := c.borrowDecoder()
	for len(b) > 0 && !full && !c.deaf {
		ev, rest, err := d.next(b)
		if err != nil {
			c.fail(err.(CloseError)) //nolint:errorlint // that is what the decoder returns
			break
		}
		full, b = c.handle(ev, now), rest
	}
	return b, full
}

func (c *Conn) borrowDecoder() *decoder {
	if c.decoder != nil {
		return c.decoder
	}
	d, _ := c.rt.decoders.Get().(*decoder)
	if d == nil {
		d = new(decoder)
	}
	d.reset(rules{max: c.limits.message, client: c.client, deflate: c.window != 0, pools: &c.rt.flate})
	c.decoder = d
	return d
}

// returnDecoder gives the decoder back between two messages.
func (c *Conn) returnDecoder() {
	if c.decoder != nil && (c.deaf || c.decoder.idle()) {
		c.decoder.message = nil
		c.rt.decoders.Put(c.decoder)
		c.decoder = nil
	}
}

// handle acts on one event, and reports whether the inbox is full.
func (c *Conn) handle(ev event, now time.Duration) (full bool) {
	switch ev.op {
	case opText, opBinary:
		c.heard.Store(int64(now))
		if c.out.has(stateEnding) {
			break
		}
		return c.enqueue(job{data: ev.data, binary: ev.op == opBinary})
	case opPing:
		_ = c.push(newFrame(bitFin|opPong, ev.data), 0) // an ending connection needs no pong
	case opClose:
		e, err := parseClose(ev.data)
		if err != nil {
			c.fail(err.(CloseError)) //nolint:errorlint // that is what parseClose returns
			break
		}
		c.deaf = true
		c.peerClosed(e)
	}
	return false
}

// fail ends the connection for what the peer sent, in the same way as if that had been its close frame: no other one
// could be found behind it, and what came before it is still answered.
func (c *Conn) fail(e CloseError) {
	c.deaf = true
	c.peerClosed(e)
}

// peerClosed answers the peer's close frame, behind the answers to what came before it.
func (c *Conn) peerClosed(e CloseError) {
	began, sent := c.out.gotClose()
	c.ending()
	switch {
	case !began:
		c.enqueue(job{fn: func() { c.close(e, 0) }})
	case sent:
		c.finish()
	}
}

// lost is told by the link that nothing more can be read.
func (c *Conn) lost(err error) {
	c.decoder = nil
	if c.out.lost() {
		return // our close frame is still on its way, and the peer may be reading
	}
	c.cut(CloseError{Code: CodeAbnormal, Err: err}, 0)
}

// pause keeps the rest of what was read and stops the reading, unless the inbox has room again by now.
func (c *Conn) pause(rest []byte) bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.in.full(c.limits) || c.out.has(stateEnding) {
		return false
	}
	if len(rest) > 0 {
		held := bytes.Clone(rest)
		c.held = &held
	}
	c.in.paused = true
	if told := c.rt.config.Paused; told != nil {
		told()
	}
	return true
}

// resume lets the reading go on, if it was paused.
func (c *Conn) resume() {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.in.paused {
		c.in.paused = false
		c.link.arm()
	}
}
