package ws

import (
	"container/heap"
	"sync"
	"time"
)

// scratchSize bounds what is copied together for one send.
const scratchSize = 16 << 10

// shard flushes the connections that belong to it, on one goroutine.
type shard struct {
	rt *Runtime

	mu     sync.Mutex
	ready  sync.Cond
	dirty  []*Conn
	later  waits       // who may wait
	alarm  *time.Timer // for the first of them; nil until somebody waits
	closed bool
}

// wait is a connection that wants to be flushed at a time.
type wait struct {
	due  time.Duration // since the runtime's epoch
	conn *Conn
}

// waits is a heap, the earliest first.
type waits []wait

// Len is for package heap, as are the others.
func (w waits) Len() int { return len(w) }

// Less tells the earlier one.
func (w waits) Less(i, j int) bool { return w[i].due < w[j].due }

// Swap exchanges two.
func (w waits) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push appends one.
func (w *waits) Push(x any) { *w = append(*w, x.(wait)) } //nolint:forcetypeassert // the only type there is

// Pop takes the last one off.
func (w *waits) Pop() any {
	n := len(*w) - 1
	last := (*w)[n]
	(*w)[n] = wait{}
	*w = (*w)[:n]
	return last
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

func newShard(r *Runtime) *shard {
	s := &shard{rt: r}
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

// pushLater has the connection flushed at that time. Called with its outbox locked.
func (s *shard) pushLater(c *Conn, due time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	heap.Push(&s.later, wait{due, c})
	if s.later[0].conn == c && s.later[0].due == due {
		s.setAlarm(due - s.rt.now())
	}
}

// setAlarm is called with mu held.
func (s *shard) setAlarm(d time.Duration) {
	if s.alarm == nil {
		s.alarm = time.AfterFunc(d, s.ring)
		return
	}
	s.alarm.Reset(d)
}

// ring has those flushed whose time has come.
func (s *shard) ring() {
	for _, c := range s.ripe() {
		c.ripe()
	}
}

// ripe takes those off whose time has come.
func (s *shard) ripe() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Conn
	now := s.rt.now()
	for len(s.later) > 0 && s.later[0].due <= now {
		list = append(list, heap.Pop(&s.later).(wait).conn) //nolint:forcetypeassert // see Push
	}
	if len(s.later) > 0 && !s.closed {
		s.setAlarm(s.later[0].due - now)
	}
	return list
}

func (s *shard) close() {
	s.mu.Lock()
	s.closed = true
	if s.alarm != nil {
		s.alarm.Stop()
	}
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
