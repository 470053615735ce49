package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	loopBuffer = 256 << 10
	loopEvents = 512
)

// loops read all connections that are TCP without TLS. They begin with the first one.
type loops struct {
	mu  sync.Mutex
	all []*loop
}

// loop reads many connections on one goroutine. It waits for its epoll set in Go's poller, so that closing ends it and
// no thread is kept.
type loop struct {
	set  *os.File
	raw  syscall.RawConn
	done chan struct{}

	// Of the goroutine.
	events []syscall.EpollEvent
	n      int
	buf    []byte

	mu      sync.Mutex
	members []*member // by the number in the event
}

// loop is the one for the connection of this number. Half of the processors are left to those who publish.
func (ls *loops) loop(n int) (*loop, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for len(ls.all) < max(1, runtime.GOMAXPROCS(0)/2) {
		l, err := newLoop()
		if err != nil {
			return nil, fmt.Errorf("make an epoll set: %w", err)
		}
		ls.all = append(ls.all, l)
		go l.run()
	}
	return ls.all[n%len(ls.all)], nil
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
		set: os.NewFile(uintptr(set), "epoll"), done: make(chan struct{}),
		events: make([]syscall.EpollEvent, loopEvents), buf: make([]byte, loopBuffer),
	}
	if l.raw, err = l.set.SyscallConn(); err == nil {
		err = l.set.SetReadDeadline(time.Time{}) // fails where it is not in Go's poller
	}
	if err != nil {
		return nil, errors.Join(err, l.set.Close())
	}
	return l, nil
}

// take reports whether a loop reads the connection from now on. It has a descriptor of its own then, as Go's poller
// would wake up for every frame as well.
func (ls *loops) take(m *member, nc net.Conn) (bool, error) {
	plain, ok := nc.(*net.TCPConn)
	if !ok {
		return false, nil
	}
	l, err := ls.loop(m.n)
	if err != nil {
		return false, err
	}
	fd, err := duplicate(plain)
	if err != nil {
		return false, err
	}
	_ = plain.Close() // TCP stays open by the duplicate
	m.out = fd
	return true, l.add(m, fd)
}

func duplicate(plain *net.TCPConn) (descriptor, error) {
	raw, err := plain.SyscallConn()
	if err != nil {
		return -1, err
	}
	var fd uintptr
	var errno syscall.Errno
	err = raw.Control(func(old uintptr) {
		fd, _, errno = syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return descriptor(fd), err
}

func (l *loop) add(m *member, fd descriptor) error {
	l.mu.Lock()
	n := len(l.members)
	l.members = append(l.members, m)
	l.mu.Unlock()
	event := &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(n)} //nolint:gosec // fewer than descriptors
	return l.control(func(set int) error { return syscall.EpollCtl(set, syscall.EPOLL_CTL_ADD, int(fd), event) })
}

// control does something with the set, unless it is closed.
func (l *loop) control(fn func(set int) error) error {
	var err error
	return errors.Join(l.raw.Control(func(set uintptr) { err = fn(int(set)) }), err)
}

func (l *loop) run() {
	defer close(l.done)
	for l.raw.Read(l.poll) == nil {
		l.mu.Lock()
		members := l.members // it only grows
		l.mu.Unlock()
		for _, e := range l.events[:l.n] {
			l.read(members[e.Fd])
		}
	}
}

// poll gets events without waiting, and reports whether there are any.
func (l *loop) poll(set uintptr) bool {
	n, err := syscall.EpollWait(int(set), l.events, 0)
	l.n = max(n, 0)
	return n > 0 && err == nil
}

// read makes one read, so that nobody waits for another's flood.
func (l *loop) read(m *member) {
	fd, ok := m.out.(descriptor)
	if !ok {
		return
	}
	n, err := syscall.Read(int(fd), l.buf)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return
	case err == nil && n == 0:
		err = io.EOF
	case err == nil:
		err = m.take(l.buf[:n])
	}
	if err != nil {
		m.lost(err)
		_ = l.control(func(set int) error { return syscall.EpollCtl(set, syscall.EPOLL_CTL_DEL, int(fd), nil) }) // or it is over
	}
}

// close waits for the loops. The connections stay.
func (ls *loops) close() {
	for _, l := range ls.all {
		_ = l.set.Close() // ends the reading
		<-l.done
	}
}

// descriptor is a connection's own, with its TCP in non-blocking mode.
type descriptor int

// Write sends what fits: a server that does not take some octets is not waited for.
func (d descriptor) Write(p []byte) (int, error) { return syscall.Write(int(d), p) }

// Close says goodbye, and closes it.
func (d descriptor) Close() error {
	_, _ = d.Write(goodbye()) // either way it is over
	return syscall.Close(int(d))
}
