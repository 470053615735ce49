package ws

import (
	"net"
	"syscall"
)

// park is the driver that lets one goroutine a connection wait for octets, and works everywhere.
type park struct{}

// Unwrapper is a net.Conn that only watches another one, as the connections of a counting listener do. Its octets are
// read and written beneath it; it is only told of Close.
type Unwrapper interface {
	// UnwrapConn gives the connection beneath.
	UnwrapConn() net.Conn
}

func (park) attach(c *Conn, nc net.Conn) link {
	// Other types may have a SyscallConn of what they embed, and octets of their own.
	switch plain := beneath(nc).(type) {
	case *net.TCPConn, *net.UnixConn:
		if raw, err := plain.(syscall.Conn).SyscallConn(); err == nil && rawSend {
			return &socket{conn: c, nc: nc, plain: plain, raw: raw}
		}
	}
	return &stream{conn: c, nc: nc}
}

func (park) close() {}

// beneath is what a net.Conn that only watches watches, or the net.Conn itself.
func beneath(nc net.Conn) net.Conn {
	if u, ok := nc.(Unwrapper); ok {
		return u.UnwrapConn()
	}
	return nc
}

// halfClose tells the peer that nothing more will come, if nc can.
func halfClose(nc net.Conn) bool {
	half, ok := nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
