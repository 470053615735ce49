package ws

import "sync"

// job is one thing for the executor: a message, or fn, or the end.
type job struct {
	fn     func()
	data   []byte
	binary bool
	last   bool
}

// inbox is what is queued for the executor, which works while there is something.
type inbox struct {
	mu      sync.Mutex
	queue   *fifo[job] // nil: empty
	bytes   int
	started bool // there is a handler
	busy    bool // there is an executor
	paused  bool // reading waits for room
	done    bool // nothing is taken any more
	told    bool // the handler knows of the end
}

// abandon ends an inbox that was never started, and reports whether it did.
func (in *inbox) abandon() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.started || in.done {
		return false
	}
	in.done = true
	in.queue = nil
	return true
}

// full is called with mu held.
func (in *inbox) full(l *limits) bool {
	return in.bytes >= l.inbox || in.queue.len() >= inboxCount
}

// resting reports whether nothing is being read: not yet, or not now.
func (in *inbox) resting() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.paused || !in.started
}

// begin starts reading and the executor, and reports whether the connection had not ended before.
//
// Executors are set to work with the inbox locked because the runtime waits for them: as long as the end has not been
// handed on, which takes the lock, it waits for the connection.
func (c *Conn) begin() bool {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.done {
		return false
	}
	in.started = true
	if in.queue.len() > 0 {
		in.busy = true
		c.rt.execute(c)
	}
	c.link.arm()
	return true
}

// enqueue gives a job to the executor, and reports whether the inbox is full.
func (c *Conn) enqueue(j job) (full bool) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.done {
		return false
	}
	if in.queue == nil {
		in.queue = c.rt.queues.lend()
	}
	in.queue.add(j)
	in.bytes += len(j.data)
	if in.started && !in.busy {
		in.busy = true
		c.rt.execute(c)
	}
	return in.full(c.limits)
}

// nextJob takes a job off the queue, and lets the reading go on once half of the room is free.
func (c *Conn) nextJob() (job, bool) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.queue.len() == 0 || in.done {
		c.rt.queues.giveBack(in.queue)
		in.queue, in.busy = nil, false
		return job{}, false
	}
	j := in.queue.take()
	in.bytes -= len(j.data)
	if in.paused && in.bytes <= c.limits.inbox/2 && in.queue.len() <= inboxCount/2 {
		in.paused = false
		c.link.arm()
	}
	return j, true
}

func (c *Conn) run(j job) {
	if j.last {
		c.runLast()
		return
	}
	defer c.rescue()
	if j.fn != nil {
		j.fn()
		return
	}
	if !c.out.has(stateMute) {
		c.handler.Message(c, Message{Binary: j.binary, Data: j.data})
	}
}

// runLast tells the handler about the end.
func (c *Conn) runLast() {
	c.in.mu.Lock()
	c.in.done, c.in.paused, c.in.queue = true, false, nil
	c.in.mu.Unlock()
	defer c.settle(stateDelivered)
	defer c.rescue()
	c.handler.Closed(c, c.verdict())
}
