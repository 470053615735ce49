package skeintest

import (
	"context"
	"net"
	"sync"
)

// Listener is a net.Listener in memory. Its connections are buffered as sockets are, and know deadlines.
type Listener struct {
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

// NewListener returns a listener for Serve; DialContext connects to it.
func NewListener() *Listener {
	return &Listener{waiting: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and DialContext. Connections stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is memory.
func (l *Listener) Addr() net.Addr { return addr("memory") }

// DialContext connects to the listener, whatever the network and address: it fits client.Options.NetDial and
// http.Transport.DialContext.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return l.DialFrom(ctx, "memory")
}

// DialFrom connects to the listener as if from an address, such as 203.0.113.7:1234.
func (l *Listener) DialFrom(ctx context.Context, from string) (net.Conn, error) {
	near, far := pipe(addr(from), l.Addr())
	select {
	case l.waiting <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.Addr(), Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
