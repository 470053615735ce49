package ws

import "net"

// streamBuffer is what each connection without a descriptor keeps for reading: a blocked Read needs a place.
const streamBuffer = 2 << 10

// stream is the link of a connection without a usable descriptor: TLS, a pipe, a wrapped net.Conn. It writes on a
// goroutine of its own, which lives while something is pending, so that a blocked Write holds up nobody else.
type stream struct {
	conn *Conn
	nc   net.Conn
}

func (k *stream) arm() { k.conn.rt.alive.Go(k.read) }

func (k *stream) wake() { k.conn.rt.alive.Go(k.write) }

func (k *stream) shut() bool { return halfClose(k.nc) }

func (k *stream) addr() net.Addr { return k.nc.RemoteAddr() }

// cut leaves out what TLS would send at the end: it could block, and finish has sent it where there was time.
func (k *stream) cut() {
	nc := k.nc
	if secured, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = secured.NetConn()
	}
	_ = nc.Close() // nothing to be done about it
}

func (k *stream) read() {
	if !k.conn.takeHeld() {
		return
	}
	buf := make([]byte, streamBuffer)
	for {
		n, err := k.nc.Read(buf)
		if n > 0 && !k.conn.received(buf[:n]) {
			return
		}
		if err != nil {
			k.conn.lost(err)
			return
		}
	}
}

func (k *stream) write() {
	r := k.conn.rt
	s, _ := r.senders.Get().(*sender)
	if s == nil {
		s = newSender()
	}
	for k.conn.flush(s) {
	}
	s.batch = nil
	r.senders.Put(s)
}

func (k *stream) send(s *sender) (int, error) {
	k.conn.writing()
	return k.nc.Write(s.batch)
}

// await is never called: send does not return errWouldBlock.
func (k *stream) await([]byte) {}
