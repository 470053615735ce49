package ws

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	hasEpoll = true

	loopBuffer = 64 << 10 // one for each loop
	loopEvents = 256      // taken at once
	theBell    = -1       // in place of a slot
)

// What a loop waits for: edges, not levels. Then neither stopping and going on nor the end of a blocked send changes the
// set, and a connection that its peer has reset while its reading is stopped is not reported for ever.
const (
	edges     = 1 << 31 // syscall.EPOLLET is negative
	forOctets = edges | syscall.EPOLLIN | syscall.EPOLLRDHUP
	forRoom   = forOctets | syscall.EPOLLOUT
	theEnd    = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
)

// epoll is the driver for TCP without TLS on Linux: a few loops wait for all connections, which have neither a goroutine
// nor a place in Go's poller. What it cannot carry it leaves to park.
type epoll struct {
	park

	rt    *Runtime
	begin sync.Once // with the first connection: what is only used in memory needs no loops, which no fake clock waits for
	loops []*loop
	turn  atomic.Uint32
}

func newEpoll(r *Runtime) driver { return &epoll{rt: r} }

// start starts the loops, as many as run at the same time, or as many as can be had.
func (e *epoll) start() {
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop()
		if err != nil {
			e.rt.log.Warn("an epoll set cannot be made", slog.Int("sets", len(e.loops)), slog.Any("error", err))
			return
		}
		e.loops = append(e.loops, l)
		e.rt.workers.Go(l.run)
	}
}

func (e *epoll) close() {
	e.begin.Do(func() {})
	for _, l := range e.loops {
		l.close()
	}
}

// attach moves the connection to a second descriptor: only closing the net.Conn takes it out of Go's poller.
func (e *epoll) attach(c *Conn, nc net.Conn) link {
	plain, ok := beneath(nc).(*net.TCPConn)
	if !ok {
		return e.park.attach(c, nc)
	}
	if e.begin.Do(e.start); len(e.loops) == 0 {
		return e.park.attach(c, nc)
	}
	d, err := e.take(c, plain)
	if err != nil {
		return e.park.attach(c, nc) // needs no further descriptor
	}
	_ = plain.Close() // TCP stays open by the duplicate
	if nc != net.Conn(plain) {
		return &told{descriptor: d, nc: nc}
	}
	return d
}

func (e *epoll) take(c *Conn, plain *net.TCPConn) (*descriptor, error) {
	fd, err := duplicate(plain)
	if err != nil {
		return nil, err
	}
	l := e.loops[int(e.turn.Add(1))%len(e.loops)]
	d := &descriptor{conn: c, loop: l, fd: int32(fd)} //nolint:gosec // descriptors are small
	if peer, ok := plain.RemoteAddr().(*net.TCPAddr); ok {
		d.peer = peer.AddrPort()
	}
	if err := l.add(d); err != nil {
		_ = syscall.Close(fd) // already failing
		return nil, err
	}
	return d, nil
}

// duplicate gives another descriptor of the connection, which no child process inherits.
func duplicate(plain *net.TCPConn) (int, error) {
	raw, err := plain.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return int(fd), err
}

// loop reads from the descriptors of one epoll set, on one goroutine. That waits for the set in Go's poller, and not in
// epoll_wait, which would keep a thread, and a processor until the scheduler notices.
//
// A slot can belong to another descriptor by the time that an event is looked at. Therefore events carry the generation
// of the descriptor they are for.
type loop struct {
	set  int
	bell int // an eventfd, which wakes the loop

	// Of the goroutine.
	file    *os.File // the set as Go's poller knows it
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // poll, bound once so that waiting allocates nothing
	events  []syscall.EpollEvent
	n       int           // of events
	woken   []*descriptor // whom they are for; nil if it is gone
	buf     []byte

	mu         sync.Mutex
	slots      []*descriptor
	free       []int32 // slots without a descriptor
	generation int32
	todo       []*descriptor // to look at though there is no event
	asleep     bool          // and must be woken
	closed     bool
}

func newLoop() (*loop, error) {
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// os.File gives only what does not block to Go's poller.
	if err := syscall.SetNonblock(set, true); err != nil {
		return nil, errors.Join(err, syscall.Close(set))
	}
	l := &loop{
		set: set, bell: -1, file: os.NewFile(uintptr(set), "epoll"),
		events: make([]syscall.EpollEvent, loopEvents), woken: make([]*descriptor, loopEvents), buf: make([]byte, loopBuffer),
	}
	l.attempt = l.poll
	if err := l.open(); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// open makes the loop able to sleep and to be woken.
func (l *loop) open() error {
	if err := l.file.SetReadDeadline(time.Time{}); err != nil { // it is not in Go's poller
		return err
	}
	var err error
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return err
	}
	bell, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return errno
	}
	l.bell = int(bell)
	return syscall.EpollCtl(l.set, syscall.EPOLL_CTL_ADD, l.bell, &syscall.EpollEvent{Events: forOctets, Fd: theBell})
}

// release closes what the loop holds.
func (l *loop) release() {
	_ = l.file.Close() // nothing to be done about it
	if l.bell >= 0 {
		_ = syscall.Close(l.bell) // as above
	}
}

// add watches a descriptor. What comes before it is armed is not lost: an armed one is read from at once.
func (l *loop) add(d *descriptor) error {
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		d.slot = l.free[n-1]
		l.free = l.free[:n-1]
		l.slots[d.slot] = d
	} else {
		d.slot = int32(len(l.slots)) //nolint:gosec // there are not more than descriptors
		l.slots = append(l.slots, d)
	}
	l.generation++
	d.generation = l.generation
	l.mu.Unlock()
	if err := l.watch(syscall.EPOLL_CTL_ADD, d, forOctets); err != nil {
		l.remove(d)
		return err
	}
	return nil
}

// watch tells the set what to wait for. An edge that has passed is reported again.
func (l *loop) watch(op int, d *descriptor, events uint32) error {
	return syscall.EpollCtl(l.set, op, int(d.fd), &syscall.EpollEvent{Events: events, Fd: d.slot, Pad: d.generation})
}

// remove gives the slot free. Closing the descriptor takes it out of the set.
func (l *loop) remove(d *descriptor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots[d.slot] = nil
	l.free = append(l.free, d.slot)
}

// push has the descriptor looked at in the next round.
func (l *loop) push(d *descriptor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.todo = append(l.todo, d)
	l.ring()
}

func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.ring()
}

// ring wakes the loop if it sleeps. The bell's count is never taken back: each addition is an edge, and it cannot
// overflow. Called with mu held.
func (l *loop) ring() {
	if l.asleep {
		l.asleep = false
		_, _ = syscall.Write(l.bell, binary.NativeEndian.AppendUint64(nil, 1)) // see above
	}
}

// run takes turns: one read for each descriptor and round, so that none waits for another's flood.
func (l *loop) run() {
	defer l.release()
	var todo []*descriptor
	for {
		l.wait()
		var over bool
		if todo, over = l.take(todo); over {
			return
		}
		for i, d := range l.woken[:l.n] {
			if d != nil {
				d.happened(l.events[i].Events)
			}
		}
		for _, d := range todo {
			d.proceed()
		}
	}
}

// wait gets events. It sleeps until there are some, unless there is something else to do.
func (l *loop) wait() {
	l.mu.Lock()
	l.asleep = len(l.todo) == 0 && !l.closed
	asleep := l.asleep
	l.mu.Unlock()
	if !asleep || l.raw.Read(l.attempt) != nil {
		l.poll(uintptr(l.set))
	}
}

// poll gets events without waiting, and reports whether there are any.
func (l *loop) poll(fd uintptr) bool {
	l.n = eventsNow(fd, l.events)
	return l.n > 0
}

// take finds out whom the events are for, and exchanges the list of what is to be done for the one that is done. After
// the end what has been pushed before it is still done.
func (l *loop) take(done []*descriptor) (todo []*descriptor, over bool) {
	clear(done)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asleep = false
	clear(l.woken)
	for i, e := range l.events[:l.n] {
		if e.Fd == theBell {
			continue
		}
		if d := l.slots[e.Fd]; d != nil && d.generation == e.Pad {
			l.woken[i] = d
		}
	}
	todo, l.todo = l.todo, done[:0]
	return todo, l.closed && len(todo) == 0
}
