package ws

import "sync"

// job is one thing for the executor: a message, or fn, or the end.
type job struct {
	fn     func()
	data   []byte
	binary bool
	last   bool
}

// inbox is the queue of the executor, a goroutine that exists only while the queue is not empty.
type inbox struct {
	mu      sync.Mutex
	jobs    []job
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
	in.jobs = nil
	return true
}

// full is called with mu held.
func (in *inbox) full(l *limits) bool {
	return in.bytes >= l.inbox || len(in.jobs) >= inboxCount
}

// resting reports whether nothing is being read: not yet, or not now.
func (in *inbox) resting() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.paused || !in.started
}

// begin starts reading and the executor, and reports whether the connection had not ended before.
//
// Goroutines are started with the inbox locked because the runtime waits for them: as long as the end has not been
// handed on, which takes the lock, it waits for the connection.
func (c *Conn) begin() bool {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.done {
		return false
	}
	in.started = true
	if len(in.jobs) > 0 {
		in.busy = true
		c.rt.alive.Go(c.execute)
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
	in.jobs = append(in.jobs, j)
	in.bytes += len(j.data)
	if in.started && !in.busy {
		in.busy = true
		c.rt.alive.Go(c.execute)
	}
	return in.full(c.limits)
}

// execute is the executor.
func (c *Conn) execute() {
	for {
		j, ok := c.nextJob()
		if !ok {
			return
		}
		c.run(j)
	}
}

// nextJob takes a job off the queue, and lets the reading go on once half of the room is free.
func (c *Conn) nextJob() (job, bool) {
	in := &c.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.jobs) == 0 || in.done {
		in.jobs, in.busy = nil, false
		return job{}, false
	}
	j := in.jobs[0]
	in.jobs[0] = job{}
	in.jobs = in.jobs[1:]
	in.bytes -= len(j.data)
	if in.paused && in.bytes <= c.limits.inbox/2 && len(in.jobs) <= inboxCount/2 {
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
	c.in.done, c.in.paused, c.in.jobs = true, false, nil
	c.in.mu.Unlock()
	defer c.settle(stateDelivered)
	defer c.rescue()
	c.handler.Closed(c, c.verdict())
}
