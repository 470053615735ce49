package ws

import (
	"net"
	"sync/atomic"
	"time"
)

// Message is one whole text or binary message.
type Message struct {
	// Binary tells a binary message from text.
	Binary bool
	// Data is the receiver's own. That of text is valid UTF-8.
	Data []byte
}

// Handler is what a connection is for. All but Tick run on the connection's ordered executor, one at a time.
type Handler interface {
	// Message may block: a full inbox stops the reading from the connection. It is not called any more once this side
	// has closed.
	Message(c *Conn, m Message)
	// Tick is called when the time given to Schedule has come, on the goroutine of the timer wheel; it must not block.
	Tick(c *Conn)
	// Closed is called once, last on the executor.
	Closed(c *Conn, e CloseError)
}

// Ender is a Handler that wants to know of the end while Message still runs, which may be waiting for just that: Closed
// is queued behind it, and the answer to the peer's close frame too.
type Ender interface {
	// Ending is called once, when either side has begun to end the connection while the executor is busy. It may be
	// called from any goroutine and must not block.
	Ending(c *Conn)
}

// Conn is one WebSocket connection. Its methods may be called from any goroutine.
type Conn struct {
	rt       *Runtime // these never change
	limits   *limits
	link     link
	protocol *string // nil: none was agreed
	handler  Handler // set by Start
	shard    *shard  // that sends for it
	client   bool    // this side masks
	window   uint8   // of permessage-deflate, in bits; 0: it was not agreed

	// Of the reader.
	deaf    bool     // what comes is thrown away
	decoder *decoder // nil between messages
	held    *[]byte  // octets read, but not decoded; nil as a rule

	heard atomic.Int64 // when the last message was whole, since the runtime's epoch

	in  inbox  // own lock
	out outbox // own lock

	timer timer // of the wheel

	prev, next *Conn // of the runtime
}

// Start begins reading; it is called once. Octets that came with the handshake are the first.
func (c *Conn) Start(h Handler) {
	c.handler = h
	c.heard.Store(int64(c.rt.now()))
	if !c.begin() {
		h.Closed(c, c.verdict())
	}
}

// Do runs fn on the executor, behind what is queued; after Closed it is dropped.
func (c *Conn) Do(fn func()) { c.enqueue(job{fn: fn}) }

// Schedule has Tick called after d, at most 20 ms late. There is one such time for each connection: a later call
// replaces an earlier one, and a negative d stops it. It is for after Start.
func (c *Conn) Schedule(d time.Duration) {
	if d < 0 {
		c.rt.wheel.clear(c, userTimer)
		return
	}
	c.rt.wheel.set(c, userTimer, d)
}

// Idle is the time since the last data message was received whole, handled or not; before any, since Start. It is 0
// while a full inbox stops the reading. Control frames do not count.
func (c *Conn) Idle() time.Duration {
	if c.in.resting() {
		return 0
	}
	return max(0, c.rt.now()-time.Duration(c.heard.Load()))
}

// Send appends the frame to what is pending and never blocks. It returns ErrClosed once the connection is ending, or if
// the peer turns out to be too slow.
func (c *Conn) Send(f *Frame) error {
	return c.SendWithin(f, 0)
}

// SendWithin is Send for a frame that may wait for others to be sent with, up to that time. It leaves at once together
// with the next one that may not wait, and when 16 KiB have gathered.
func (c *Conn) SendWithin(f *Frame, wait time.Duration) error {
	if c.window != 0 {
		f = f.compressed(&c.rt.flate, int(c.window))
	}
	return c.push(f, wait)
}

// SendTopic is SendWithin for a message of a topic, which the topic's policy may drop, also later. nil means that it has none.
func (c *Conn) SendTopic(f *Frame, wait time.Duration, t *Topic) error {
	if t == nil || t.Policy == KeepAll || c.client {
		return c.SendWithin(f, wait)
	}
	if c.window != 0 {
		f = f.compressed(&c.rt.flate, int(c.window))
	}
	return c.pushLoose(f, wait, t)
}

// Behind reports whether the peer does not take what it is sent: a send had to wait for it, and not all has left since.
func (c *Conn) Behind() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.state&stateBehind != 0 || c.blocked()
}

// Close flushes what is pending, sends a close frame, waits for the peer's up to Options.CloseWait and ends. The first
// close of a connection wins; others do nothing. Code 1005 sends an empty close frame, and a code that may not be sent
// becomes 1000. The reason is cut to 123 octets between two characters.
func (c *Conn) Close(code int, reason string) {
	c.close(CloseError{Code: sendableCode(code), Reason: cutReason(reason), Local: true}, stateMute)
}

// Terminate cuts the connection at once. Closed gets 1006, unless another close came first.
func (c *Conn) Terminate() {
	c.cut(CloseError{Code: CodeAbnormal, Local: true}, stateMute)
}

// Pending is the number of octets that wait to be sent.
func (c *Conn) Pending() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.bytes
}

// Subprotocol is the one agreed in the handshake, or empty.
func (c *Conn) Subprotocol() string {
	if c.protocol == nil {
		return ""
	}
	return *c.protocol
}

// RemoteAddr is the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.link.addr() }

// tick tells the handler that its time has come.
func (c *Conn) tick() {
	if c.out.has(stateEnded) {
		return
	}
	defer c.rescue()
	c.handler.Tick(c)
}

// rescue ends the connection if its goroutine panics. It must be deferred.
func (c *Conn) rescue() {
	if v := recover(); v != nil {
		c.rt.recovered(v)
		c.Close(CodeInternal, "internal error")
	}
}
