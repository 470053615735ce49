package ws

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

// descriptor is the link of a connection that a loop reads from.
//
// The kernel gives the number of a closed descriptor to whoever asks next. Therefore fd is only used between enter and
// exit, and closed when the connection has been cut and the last one has left.
type descriptor struct {
	conn       *Conn // these never change
	loop       *loop
	peer       netip.AddrPort
	fd         int32
	slot       int32
	generation int32

	users atomic.Int32 // who is between enter and exit, plus gone when the connection has been cut

	wanted  atomic.Bool // reading shall begin or go on
	blocked atomic.Bool // the connection awaits room for octets

	// Of the loop's goroutine.
	reading bool
	ended   bool // nothing comes behind what has come: read on after a short read, as there is no further edge
}

const gone = 1 << 30

// enter keeps the descriptor open until exit, and reports whether it is open.
func (d *descriptor) enter() bool {
	for {
		n := d.users.Load()
		if n >= gone {
			return false
		}
		if d.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (d *descriptor) exit() {
	if d.users.Add(-1) == gone {
		_ = syscall.Close(int(d.fd)) // nothing to be done about it
	}
}

func (d *descriptor) arm() {
	d.wanted.Store(true)
	d.loop.push(d)
}

func (d *descriptor) wake() { d.conn.shard.push(d.conn) }

func (d *descriptor) addr() net.Addr { return net.TCPAddrFromAddrPort(d.peer) }

func (d *descriptor) send(s *sender) (int, error) {
	if !d.enter() {
		return 0, net.ErrClosed
	}
	defer d.exit()
	return writeOnce(uintptr(d.fd), s.batch) //nolint:gosec // a descriptor is not negative
}

// await leaves the sending to the shard, which may send more than the first frame. It sets the watch anew because there
// can be room already: that is reported then.
func (d *descriptor) await([]byte) {
	d.blocked.Store(true)
	if d.enter() {
		defer d.exit()
		_ = d.loop.watch(syscall.EPOLL_CTL_MOD, d, forRoom) // else the connection ends as stalled
	}
}

func (d *descriptor) shut() bool {
	if !d.enter() {
		return false
	}
	defer d.exit()
	return syscall.Shutdown(int(d.fd), syscall.SHUT_WR) == nil
}

// cut leaves it to the loop to tell the connection, as its reading may be under way.
func (d *descriptor) cut() {
	d.users.Add(gone + 1)
	d.exit()
	d.loop.remove(d)
	d.loop.push(d)
}

// happened is called by the loop for what the set reports.
func (d *descriptor) happened(events uint32) {
	if events&theEnd != 0 {
		d.ended = true
	}
	if events&(theEnd|syscall.EPOLLOUT) != 0 && d.blocked.CompareAndSwap(true, false) && d.conn.sent(0, nil) {
		d.wake()
	}
	if d.reading && events&^syscall.EPOLLOUT != 0 {
		d.read()
	}
}

// proceed is called by the loop after push.
func (d *descriptor) proceed() {
	if d.wanted.CompareAndSwap(true, false) {
		d.reading = d.conn.takeHeld()
	}
	if d.reading {
		d.read()
	}
}

// read makes one read. Being stopped by the connection cannot overtake being armed again, which proceed sees to later.
func (d *descriptor) read() {
	n, err := d.receive(d.loop.buf)
	if n == 0 && err == nil {
		err = io.EOF
	}
	switch {
	case err == errWouldBlock: //nolint:errorlint // a private value that is never wrapped
	case err != nil:
		d.reading = false
		d.conn.lost(err)
	case !d.conn.received(d.loop.buf[:n]):
		d.reading = false
	case n == len(d.loop.buf) || d.ended:
		d.loop.push(d)
	}
}

func (d *descriptor) receive(p []byte) (int, error) {
	if !d.enter() {
		return 0, net.ErrClosed
	}
	defer d.exit()
	return readOnce(uintptr(d.fd), p) //nolint:gosec // a descriptor is not negative
}

// told is a descriptor from beneath a net.Conn that wants to know of the end.
type told struct {
	*descriptor

	nc net.Conn
}

func (k *told) cut() {
	k.descriptor.cut()
	_ = k.nc.Close() // what is beneath it is closed already
}
