package limit

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	ahead   = 64   // frames that may wait for a loop; whoever publishes more waits
	patient = 1000 // milliseconds, for a client that does not read
)

// room is those who have subscribed, shared out among loops.
type room struct {
	loops   []*loop
	writing sync.WaitGroup
}

// loop writes each frame to its members, one after the other.
type loop struct {
	frames chan []byte

	mu      sync.Mutex // while writing, too: a descriptor that is written to must not be closed
	members map[int]int
}

func newRoom(loops int) *room {
	r := &room{}
	for range loops {
		l := &loop{frames: make(chan []byte, ahead), members: map[int]int{}}
		r.loops = append(r.loops, l)
		r.writing.Go(l.run)
	}
	return r
}

func (r *room) of(n int) *loop { return r.loops[n%len(r.loops)] }

func (r *room) join(n, fd int) {
	l := r.of(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.members[n] = fd
}

func (r *room) leave(n int) {
	l := r.of(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.members, n)
}

func (r *room) send(frame []byte) {
	for _, l := range r.loops {
		l.frames <- frame
	}
}

// close waits for the loops; nobody may send any more.
func (r *room) close() {
	for _, l := range r.loops {
		close(l.frames)
	}
	r.writing.Wait()
}

func (l *loop) run() {
	for frame := range l.frames {
		l.mu.Lock()
		for n, fd := range l.members {
			if write(fd, frame) != nil {
				delete(l.members, n)
			}
		}
		l.mu.Unlock()
	}
}

// write writes all, and waits for a client that reads slowly.
func write(fd int, frame []byte) error {
	for len(frame) > 0 {
		n, err := unix.Write(fd, frame)
		if n > 0 {
			frame = frame[n:]
		}
		switch {
		case errors.Is(err, unix.EAGAIN):
			err = wait(fd)
		case errors.Is(err, unix.EINTR):
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func wait(fd int) error {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, patient) //nolint:gosec // a descriptor
	if n == 0 && err == nil {
		return errors.New("the client does not read")
	}
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
