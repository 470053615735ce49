package ws

import (
	"io"
	"net"
	"syscall"
)

// socket is the link of a connection with a descriptor. While nothing comes it costs a parked goroutine and no buffer.
//
// Descriptors are only used inside RawConn.Read and RawConn.Write: these keep a closed one from being used again, maybe
// by another connection, until they return.
type socket struct {
	conn  *Conn
	nc    net.Conn // to close
	plain net.Conn // to use
	raw   syscall.RawConn

	// Of the reading goroutine.
	buf *[readSize]byte
	n   int
	err error
}

func (k *socket) arm() { k.conn.rt.alive.Go(k.read) }

func (k *socket) wake() { k.conn.shard.push(k.conn) }

func (k *socket) shut() bool { return halfClose(k.plain) }

func (k *socket) cut() { _ = k.nc.Close() } // nothing to be done about it

func (k *socket) addr() net.Addr { return k.plain.RemoteAddr() }

func (k *socket) read() {
	if !k.conn.takeHeld() {
		return
	}
	ready := k.ready
	for {
		if err := k.raw.Read(ready); err != nil {
			k.conn.lost(err)
			return
		}
		buf, err := k.buf, k.err
		k.buf = nil
		more := err == nil && k.conn.received(buf[:k.n]) // if not, the next reader may be at work already
		k.conn.rt.buffers.Put(buf)
		if err != nil {
			k.conn.lost(err)
			return
		}
		if !more {
			return
		}
	}
}

// ready reads with a borrowed buffer; false parks the goroutine until there is something. It is always tried before
// parking: RawConn.Read forgets what the poller has told before, so that what came behind a short read, such as the
// peer's FIN, would be waited for in vain.
func (k *socket) ready(fd uintptr) bool {
	buf, _ := k.conn.rt.buffers.Get().(*[readSize]byte)
	if buf == nil {
		buf = new([readSize]byte)
	}
	k.n, k.err = readOnce(fd, buf[:])
	if k.err == errWouldBlock { //nolint:errorlint // a private value that is never wrapped
		k.conn.rt.buffers.Put(buf)
		return false
	}
	if k.n == 0 && k.err == nil {
		k.err = io.EOF
	}
	k.buf = buf
	return true
}

func (k *socket) send(s *sender) (int, error) {
	s.n = 0
	if err := k.raw.Write(s.attempt); err != nil {
		return 0, err
	}
	return s.n, s.err
}

// try is one send of the batch.
func (s *sender) try(fd uintptr) bool {
	s.n, s.err = writeOnce(fd, s.batch)
	return true
}

// await sends from a goroutine that lives until the peer takes octets. Its first attempt is as necessary as ready's.
func (k *socket) await(first []byte) {
	k.conn.rt.alive.Go(func() {
		var n int
		var err error
		closed := k.raw.Write(func(fd uintptr) bool {
			n, err = writeOnce(fd, first)
			return n > 0 || err != errWouldBlock //nolint:errorlint // a private value that is never wrapped
		})
		if closed != nil {
			err = closed
		}
		if k.conn.sent(n, err) {
			k.wake()
		}
	})
}
