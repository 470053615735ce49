package ws

import "sync"

// executorsKept is how many executors without work are kept.
const executorsKept = 16

// executors are goroutines that run what is queued for connections. A few that have become idle wait for the next
// connection instead of ending: their stacks have grown by then, which costs a new goroutine more than all else.
type executors struct {
	mu     sync.Mutex
	idle   []chan *Conn // the last one to become idle is the first to work again: its stack is in the cache
	closed bool
}

// execute gets the queue of a connection run. It is called once for each time that the connection becomes busy, with
// its inbox locked.
func (r *Runtime) execute(c *Conn) {
	r.alive.Add(1)
	if turn := r.executors.pop(); turn != nil {
		turn <- c // there is room
		return
	}
	r.workers.Go(func() {
		turn := make(chan *Conn, 1)
		for next, ok := c, true; ok; next, ok = <-turn {
			next.execute()
			r.alive.Done()
			if !r.executors.push(turn) {
				return
			}
		}
	})
}

func (x *executors) pop() chan *Conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := len(x.idle)
	if n == 0 {
		return nil
	}
	turn := x.idle[n-1]
	x.idle = x.idle[:n-1]
	return turn
}

// push keeps an executor that has become idle, and reports whether it may stay.
func (x *executors) push(turn chan *Conn) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || len(x.idle) >= executorsKept {
		return false
	}
	x.idle = append(x.idle, turn)
	return true
}

// close ends the idle ones; there is no work any more.
func (x *executors) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, turn := range x.idle {
		close(turn)
	}
	x.idle = nil
}

// execute runs the queue until it is empty.
func (c *Conn) execute() {
	for {
		j, ok := c.nextJob()
		if !ok {
			return
		}
		c.run(j)
	}
}
