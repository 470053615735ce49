package ws

// execute gets the queue of a connection run. It is called once for each time that the connection becomes busy, with
// its inbox locked.
func (r *Runtime) execute(c *Conn) {
	r.alive.Add(1)
	if turn := r.executors.Pop(); turn != nil {
		turn <- c // there is room
		return
	}
	r.workers.Go(func() {
		turn := make(chan *Conn, 1)
		for next, ok := c, true; ok; next, ok = <-turn {
			next.execute()
			r.alive.Done()
			if !r.executors.Push(turn) {
				return
			}
		}
	})
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
