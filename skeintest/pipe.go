package skeintest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is how much one direction of a connection takes before a write waits: like that of a small socket.
const pipeBuffer = 64 << 10

// addr is the address of an end in memory.
type addr string

// Network returns memory.
func (addr) Network() string { return "memory" }

// String returns the address.
func (a addr) String() string { return string(a) }

// pipe returns the two ends of a connection: what is written to one is read from the other, through a buffer, as over
// a socket, and unlike net.Pipe.
func pipe(near, far net.Addr) (a, b *end) {
	up, down := newLane(), newLane()
	return &end{in: down, out: up, local: near, remote: far}, &end{in: up, out: down, local: far, remote: near}
}

// lane is one direction of a connection.
type lane struct {
	mu      sync.Mutex
	data    []byte
	ended   bool // nothing more is written
	deaf    bool // nothing more is read
	changed chan struct{}
	readBy  time.Time
	writeBy time.Time
}

func newLane() *lane { return &lane{changed: make(chan struct{})} }

// change applies fn under the lock and wakes those who wait.
func (l *lane) change(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
	l.wake()
}

func (l *lane) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// wait gives the lock up until something changes or the deadline is over.
func (l *lane) wait(deadline time.Time) {
	changed := l.changed
	l.mu.Unlock()
	defer l.mu.Lock()
	if deadline.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func past(deadline time.Time) bool { return !deadline.IsZero() && !time.Now().Before(deadline) }

func (l *lane) read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.deaf:
			return 0, net.ErrClosed
		case past(l.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(l.data) > 0:
			n := copy(p, l.data)
			l.data = l.data[n:]
			l.wake()
			return n, nil
		case l.ended:
			return 0, io.EOF
		}
		l.wait(l.readBy)
	}
}

// take returns what is there, without waiting; ended reports whether that was the last.
func (l *lane) take() (data []byte, ended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	data, l.data = l.data, nil
	l.wake()
	return data, l.ended || l.deaf
}

func (l *lane) write(p []byte) (n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.ended:
			return n, net.ErrClosed
		case l.deaf:
			return n, io.ErrClosedPipe
		case past(l.writeBy):
			return n, os.ErrDeadlineExceeded
		}
		fits := min(pipeBuffer-len(l.data), len(p)-n)
		if fits > 0 {
			l.data = append(l.data, p[n:n+fits]...)
			n += fits
			l.wake()
		}
		if n == len(p) {
			return n, nil
		}
		l.wait(l.writeBy)
	}
}

// end is one end of a connection.
type end struct {
	in, out       *lane
	local, remote net.Addr
}

// Read reads what the other end has written.
func (e *end) Read(p []byte) (int, error) { return e.in.read(p) }

// Write returns when all is in the buffer.
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

// Close ends both directions. What is in the buffers can still be read by the other end.
func (e *end) Close() error {
	e.out.change(func() { e.out.ended = true })
	e.in.change(func() { e.in.deaf = true })
	return nil
}

// CloseWrite ends the direction to the other end.
func (e *end) CloseWrite() error {
	e.out.change(func() { e.out.ended = true })
	return nil
}

// LocalAddr is this end's address.
func (e *end) LocalAddr() net.Addr { return e.local }

// RemoteAddr is the other end's address.
func (e *end) RemoteAddr() net.Addr { return e.remote }

// SetDeadline sets both deadlines.
func (e *end) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t) // neither fails
	return e.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read, also one that waits already.
func (e *end) SetReadDeadline(t time.Time) error {
	e.in.change(func() { e.in.readBy = t })
	return nil
}

// SetWriteDeadline bounds Write, also one that waits already.
func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.change(func() { e.out.writeBy = t })
	return nil
}
