package ws

import (
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readSize = 32 << 10 // lent to a connection while its socket is readable

	// knownLimits bounds the sets of limits kept for sharing; there is one for each endpoint.
	knownLimits = 64
)

// Config of a Runtime. The zero value works.
type Config struct {
	// Shards is how many workers send. 0 means half of GOMAXPROCS, and one at least: a send is work for the kernel on
	// both ends, and whoever sends faster than the peers can read gathers fewer frames for each send.
	Shards int
	// Driver is one of Drivers. Empty means the first of them, which also stands in, with a warning in the log, for one that
	// does not work here.
	Driver Driver
	// Logger gets recovered panics. nil means none.
	Logger *slog.Logger
	// Panicked is called with each panic recovered from a Handler, on its goroutine. nil means that it is only logged.
	Panicked func(v any, stack []byte)
	// Paused is called each time that a full inbox stops the reading from a connection; it must not block. nil is nobody.
	Paused func()
	// Dropped is called with the policy of the frames that were dropped, and how many; replaced ones of KeepLatest count. It
	// is called with the connection locked: it must be quick and not use it. nil means that nobody counts.
	Dropped func(p Policy, n int)
}

// Runtime owns what connections share: flush shards, the timer wheel, pools and the driver.
type Runtime struct {
	config Config
	log    *slog.Logger
	epoch  time.Time // all times of connections count from here
	driver driver
	wheel  *wheel
	shards []*shard
	panics atomic.Int64

	pools
	executors Bench[*Conn]

	mu     sync.Mutex
	conns  *Conn // the newest, linked
	count  int
	turn   int // the shard of the next connection
	known  map[limits]*limits
	closed bool

	alive   sync.WaitGroup // connections and their goroutines
	workers sync.WaitGroup // shards, wheel, and executors at rest
	stop    sync.Once
}

// pools keep what connections borrow while something happens.
type pools struct {
	flate    flatePools
	buffers  sync.Pool // *[readSize]byte
	decoders sync.Pool // *decoder
	queues   lender[job]
	backlogs backlogs
	senders  sync.Pool // *sender, for connections without a shard
}

// NewRuntime starts the workers; Close ends them.
func NewRuntime(config Config) *Runtime {
	r := &Runtime{config: config, log: config.Logger, epoch: time.Now(), known: make(map[limits]*limits)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.wheel = newWheel(r.epoch)
	r.workers.Go(r.wheel.run)
	r.shards = make([]*shard, positive(config.Shards, (runtime.GOMAXPROCS(0)+1)/2))
	for i := range r.shards {
		r.shards[i] = newShard(r)
		r.workers.Go(r.shards[i].run)
	}
	r.driver = r.drive(config.Driver)
	return r
}

// Close terminates what is left, and waits for all executors, shards, loops and the wheel. A Handler that never returns holds
// it up; a Handler must not call it.
func (r *Runtime) Close() {
	r.mu.Lock()
	r.closed = true
	left := make([]*Conn, 0, r.count)
	for c := r.conns; c != nil; c = c.next {
		left = append(left, c)
	}
	r.mu.Unlock()
	for _, c := range left {
		c.Terminate()
	}
	r.alive.Wait()
	r.stop.Do(func() {
		r.executors.Close()
		r.wheel.close()
		for _, s := range r.shards {
			s.close()
		}
		r.driver.close()
	})
	r.workers.Wait()
}

// Conns is the number of connections that still hold a descriptor or have not seen Closed return.
func (r *Runtime) Conns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Panics is the number of panics recovered so far.
func (r *Runtime) Panics() int64 { return r.panics.Load() }

// terms are what an opening handshake has led to.
type terms struct {
	early    []byte // octets that came behind the handshake
	protocol string
	client   bool
	window   int // of permessage-deflate, in bits; 0: it was not agreed
}

// adopt makes a connection of nc, which it owns from here on.
func (r *Runtime) adopt(nc net.Conn, t terms, o Options) (*Conn, error) {
	if !r.enter() {
		_ = nc.Close() // nothing was agreed with anybody who could be told
		return nil, ErrClosed
	}
	c := &Conn{rt: r, client: t.client, window: uint8(t.window)} //nolint:gosec // at most 15
	if len(t.early) > 0 {
		c.held = &t.early
	}
	if t.protocol != "" {
		c.protocol = &t.protocol
	}
	c.link = r.driver.attach(c, nc)
	if !r.admit(c, o.limits()) {
		c.link.cut() // as above
		r.alive.Done()
		return nil, ErrClosed
	}
	return c, nil
}

// enter keeps the runtime from ending, and reports whether it is not about to.
func (r *Runtime) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.alive.Add(1)
	}
	return !r.closed
}

// admit gives the connection its place in a runtime that it has entered, and reports whether there is one.
func (r *Runtime) admit(c *Conn, l limits) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	c.limits = r.share(l)
	c.shard = r.shards[r.turn]
	r.turn = (r.turn + 1) % len(r.shards)
	c.next = r.conns
	if c.next != nil {
		c.next.prev = c
	}
	r.conns = c
	r.count++
	return true
}

// share gives the limits that equal l. Called with mu held.
func (r *Runtime) share(l limits) *limits {
	if shared := r.known[l]; shared != nil {
		return shared
	}
	if len(r.known) >= knownLimits {
		clear(r.known)
	}
	r.known[l] = &l
	return &l
}

// forget lets go of a connection that is over.
func (r *Runtime) forget(c *Conn) {
	r.mu.Lock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		r.conns = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	r.count--
	r.mu.Unlock()
	r.alive.Done()
}

// now is the time since the runtime began.
func (r *Runtime) now() time.Duration { return time.Since(r.epoch) }

// dropped tells of frames that were dropped.
func (r *Runtime) dropped(p Policy, n int) {
	if n > 0 && r.config.Dropped != nil {
		r.config.Dropped(p, n)
	}
}

// recovered counts and tells a panic. It must be called with the result of recover.
func (r *Runtime) recovered(v any) {
	r.panics.Add(1)
	stack := debug.Stack()
	r.log.Error("panic in a connection", slog.Any("panic", v), slog.String("stack", string(stack)))
	if r.config.Panicked != nil {
		r.config.Panicked(v, stack)
	}
}
