// Package proxyproto is the server's side of the PROXY protocol, versions 1 and 2: what proxies of TCP write in front of a
// connection to say whose it is.
//
// Headers are read beside the accepting, so that a proxy that is slow to write one holds up nobody, and the address of a
// connection is known when Accept returns it. Of a connection nothing is read but its header: what lies behind it is read
// from the connection itself, without anything in between.
package proxyproto

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Options of a Listener.
type Options struct {
	// Trusted reports whether a peer is a proxy: then it must write a header. All others are served as they are.
	Trusted func(peer net.Addr) bool
	// Timeout is how long a header may take. 0 is 5 s.
	Timeout time.Duration
	// Waiting is how many headers are waited for at once; while there are as many, nothing is accepted. 0 is 1,024.
	Waiting int
	// Refused is told of connections that are closed because of what their proxy has written. It may be nil. It is called
	// from many goroutines.
	Refused func(peer net.Addr, err error)
}

// Listener accepts connections with the addresses that proxies tell.
type Listener struct {
	net.Listener

	options Options
	ready   chan accepted
	done    chan struct{}
	places  chan struct{} // one for each header that is waited for
	once    sync.Once
	running sync.WaitGroup

	mu      sync.Mutex
	waiting map[net.Conn]struct{} // nil when closed
}

type accepted struct {
	conn net.Conn
	err  error
}

// NewListener begins to accept from l. Close ends it.
func NewListener(l net.Listener, o Options) *Listener {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Waiting == 0 {
		o.Waiting = 1024
	}
	if o.Refused == nil {
		o.Refused = func(net.Addr, error) {}
	}
	p := &Listener{
		Listener: l, options: o, ready: make(chan accepted), done: make(chan struct{}),
		places: make(chan struct{}, o.Waiting), waiting: map[net.Conn]struct{}{},
	}
	p.running.Go(p.run)
	return p
}

// Accept returns the next connection whose header has come, or that needs none.
func (p *Listener) Accept() (net.Conn, error) {
	select {
	case a := <-p.ready:
		return a.conn, a.err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and the connections that it has not handed over.
func (p *Listener) Close() error {
	var err error
	p.once.Do(func() {
		close(p.done)
		err = p.Listener.Close()
		p.mu.Lock()
		waiting := p.waiting
		p.waiting = nil
		p.mu.Unlock()
		for c := range waiting {
			_ = c.Close() // nobody has it yet
		}
	})
	p.running.Wait()
	return err
}

// run accepts at the pace at which connections are taken: what comes faster stays in the backlog.
func (p *Listener) run() {
	for {
		c, err := p.Listener.Accept()
		if err != nil || !p.options.Trusted(c.RemoteAddr()) {
			if !p.hand(accepted{c, err}) {
				return
			}
			continue
		}
		select {
		case p.places <- struct{}{}:
			p.running.Go(func() {
				defer func() { <-p.places }()
				p.introduce(c)
			})
		case <-p.done:
			_ = c.Close() // nobody has it yet
			return
		}
	}
}

// hand gives a connection to Accept, and reports whether the listener is still open.
func (p *Listener) hand(a accepted) bool {
	select {
	case p.ready <- a:
		return true
	case <-p.done:
		if a.conn != nil {
			_ = a.conn.Close() // nobody has it yet
		}
		return false
	}
}

// introduce waits for the header of a connection.
func (p *Listener) introduce(c net.Conn) {
	if !p.keep(c) {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(p.options.Timeout)) // a connection without one ends otherwise
	client, err := read(c)
	if err != nil {
		p.drop(c)
		_ = c.Close() // it is the answer
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			p.options.Refused(c.RemoteAddr(), err)
		}
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // as above
	p.drop(c)
	if client.IsValid() {
		c = &conn{c, net.TCPAddrFromAddrPort(client)}
	}
	p.hand(accepted{conn: c})
}

// keep notes a connection that Close has to close.
func (p *Listener) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		_ = c.Close() // the listener is closed
		return false
	}
	p.waiting[c] = struct{}{}
	return true
}

func (p *Listener) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, c)
}

// conn is a connection of somebody whom a proxy has introduced.
type conn struct {
	net.Conn

	client net.Addr
}

// RemoteAddr is the client's address.
func (c *conn) RemoteAddr() net.Addr { return c.client }

// UnwrapConn is the proxy's connection, which all octets go through unchanged.
func (c *conn) UnwrapConn() net.Conn { return c.Conn }

// CloseWrite tells the proxy that nothing more will come, where its connection can.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
