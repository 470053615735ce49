package ws

import "sync"

// scratchSize bounds what is copied together for one send.
const scratchSize = 16 << 10

// shard flushes the connections that belong to it, on one goroutine.
type shard struct {
	mu     sync.Mutex
	ready  sync.Cond
	dirty  []*Conn
	closed bool
}

// sender is what one goroutine needs to send. A batch is only valid until the next gather.
type sender struct {
	scratch []byte
	batch   []byte
	n       int
	err     error
	attempt func(fd uintptr) bool // try, bound once so that a send allocates nothing
}

func newSender() *sender {
	s := &sender{scratch: make([]byte, scratchSize)}
	s.attempt = s.try
	return s
}

func newShard() *shard {
	s := new(shard)
	s.ready.L = &s.mu
	return s
}

// push has the connection flushed.
func (s *shard) push(c *Conn) {
	s.mu.Lock()
	s.dirty = append(s.dirty, c)
	if len(s.dirty) == 1 {
		s.ready.Signal()
	}
	s.mu.Unlock()
}

func (s *shard) close() {
	s.mu.Lock()
	s.closed = true
	s.ready.Signal()
	s.mu.Unlock()
}

// run flushes in rounds, with one send for each connection and round, so that none waits for another's backlog.
func (s *shard) run() {
	var round []*Conn
	with := newSender()
	for {
		if round = s.take(round); round == nil {
			return
		}
		for i, c := range round {
			if c.flush(with) {
				s.push(c)
			}
			round[i] = nil
		}
	}
}

// take waits for dirty connections and exchanges the list for an empty one; nil at the end.
func (s *shard) take(empty []*Conn) []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.dirty) == 0 {
		if s.closed {
			return nil
		}
		s.ready.Wait()
	}
	dirty := s.dirty
	s.dirty = empty[:0]
	return dirty
}
