// Package proxy passes TCP on between clients or nodes and a node, and breaks what passes through it.
package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// dialWithin bounds how long a node may take to accept.
const dialWithin = 5 * time.Second

// Proxy listens on a free port of the loopback address. Its methods may be called from any goroutine.
type Proxy struct {
	to       string
	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex
	gate  chan struct{} // not nil while nothing passes; closed when it does again
	cut   bool
	deaf  bool
	over  bool
	conns map[net.Conn]struct{}
}

// Start begins to pass on what comes to Addr.
func Start(to string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends at once
	if err != nil {
		return nil, err
	}
	p := &Proxy{to: to, listener: l, conns: map[net.Conn]struct{}{}}
	p.work.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Reset breaks all connections with a TCP reset on both sides. New ones may come.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.breakAll()
}

// Cut breaks all connections, and lets none in until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.breakAll()
}

// Freeze holds up what passes, and loses nothing, until Heal. No side is told.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate == nil && !p.over {
		p.gate = make(chan struct{})
	}
}

// Swallow throws away what passes, and tells no side, until Heal, which breaks the connections: they have lost their
// streams.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

// Heal ends Cut, Freeze and Swallow.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heal()
}

// Close ends the proxy and all connections, and waits for them.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.over = true
	p.heal()
	p.breakAll()
	p.mu.Unlock()
	p.work.Wait()
	return err
}

func (p *Proxy) heal() {
	if p.deaf {
		p.breakAll()
	}
	p.cut, p.deaf = false, false
	if p.gate != nil {
		close(p.gate)
		p.gate = nil
	}
}

func (p *Proxy) breakAll() {
	for c := range p.conns {
		abort(c)
	}
}

// abort closes with a reset.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // what is under way is to be lost
	}
	_ = c.Close() // it is broken on purpose
}

// finish passes an end on: what is under way in the other direction still comes.
func finish(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite() // it may have broken meanwhile
	}
}

func (p *Proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(from) })
	}
}

func (p *Proxy) serve(from net.Conn) {
	if !p.enter(from) {
		return
	}
	defer p.leave(from)
	p.wait()
	to, err := net.DialTimeout("tcp", p.to, dialWithin) //nolint:noctx // it ends soon
	if err != nil || !p.enter(to) {
		abort(from)
		return
	}
	defer p.leave(to)
	var there sync.WaitGroup
	there.Go(func() { p.pipe(to, from) })
	p.pipe(from, to)
	there.Wait()
}

// enter registers a connection, or breaks it when none may come.
func (p *Proxy) enter(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut || p.over {
		abort(c)
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) leave(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close() // the other side has ended
}

// wait waits while nothing passes, and reports whether what waited goes on.
func (p *Proxy) wait() (passes bool) {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.deaf
}

// pipe passes one direction on. A side that was broken breaks the other one.
func (p *Proxy) pipe(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if p.wait() && n > 0 {
			if _, failed := to.Write(buf[:n]); failed != nil {
				abort(from)
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			finish(to)
			return
		case err != nil:
			abort(to)
			abort(from)
			return
		}
	}
}
