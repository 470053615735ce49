package ws

import (
	"errors"
	"log/slog"
	"net"
	"slices"
)

// Driver names a way to wait for what peers send.
type Driver string

const (
	// DriverPark has one goroutine a connection wait. It works everywhere, and is the default where the other does not.
	DriverPark Driver = "park"
	// DriverEpoll has a goroutine for each of GOMAXPROCS wait for all connections, where they are TCP without TLS;
	// it leaves the others to DriverPark. It needs Linux.
	DriverEpoll Driver = "epoll"
)

// Drivers are those that work on this system, the default first.
func Drivers() []Driver {
	if hasEpoll {
		return []Driver{DriverEpoll, DriverPark}
	}
	return []Driver{DriverPark}
}

// driver waits for the descriptors of connections. There is one for each Runtime.
type driver interface {
	// attach takes nc over for c and starts nothing yet.
	attach(c *Conn, nc net.Conn) link
	// close ends what the driver has started. There are no connections any more.
	close()
}

// link moves the octets of one connection.
//
// Its reading side calls, from one goroutine at a time: Conn.takeHeld once after each arm, Conn.received for each piece
// that comes, and Conn.lost at the end. When one of the first two reports false, reading is disarmed until the next arm,
// which can have come before they return: the state of the reading belongs to it then.
type link interface {
	// arm begins to read, or goes on. It must not block: it is called with the connection's inbox locked.
	arm()
	// wake gets Conn.flush called soon, by one goroutine at a time, until it reports false. It must not block: it is
	// called with the connection's outbox locked.
	wake()
	// send sends as much of s.batch as it can. Only a link that writes on a goroutine of its own may block.
	send(s *sender) (int, error)
	// await sends first, the head of the pending list, as soon as the peer takes octets again, and calls Conn.sent.
	// It must not block: it is called with the connection's outbox locked.
	await(first []byte)
	// shut tells the peer that nothing more will be sent, and reports whether that can be told apart from cut.
	shut() bool
	// cut closes the connection. No send may reach its descriptor afterwards, and reading ends with Conn.lost.
	cut()
	// addr is the peer's address.
	addr() net.Addr
}

// errWouldBlock is returned by send if the peer takes nothing more at the moment.
var errWouldBlock = errors.New("would block")

// drive gives the runtime's driver: that of the name, or else the default.
func (r *Runtime) drive(name Driver) driver {
	known := Drivers()
	if name != "" && !slices.Contains(known, name) {
		r.log.Warn("driver replaced by the default", slog.String("driver", string(name)), slog.String("default", string(known[0])))
	}
	if name == DriverPark || !hasEpoll {
		return park{}
	}
	return newEpoll(r)
}
