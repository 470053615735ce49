package natsengine

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy stands between two nodes. It can be cut: what is connected breaks, and
// nothing new gets through.
type proxy struct {
	to string
	l  net.Listener

	mu     sync.Mutex
	cut    bool
	silent bool // a cut that no side is told of
	conns  map[net.Conn]struct{}
	work   sync.WaitGroup
}

// startProxy runs one in front of an address.
func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{to: to, l: l, conns: make(map[net.Conn]struct{})}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		p.end()
		p.work.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.l.Addr().String() }

// set cuts or heals.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	if cut != p.silent { // what was connected in silence has lost its stream
		for c := range p.conns {
			_ = c.Close() // that is the cut
		}
	}
}

func (p *proxy) end() {
	p.mu.Lock()
	p.silent = false
	p.mu.Unlock()
	p.set(true)
}

func (p *proxy) accept() {
	for {
		from, err := p.l.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.to)
		if err != nil || !p.enter(from, to) {
			_ = from.Close()
			continue
		}
		p.work.Go(func() { p.pipe(from, to) })
		p.work.Go(func() { p.pipe(to, from) })
	}
}

func (p *proxy) enter(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.cut && !p.silent {
			_ = c.Close() // nothing gets through
		} else {
			p.conns[c] = struct{}{}
		}
	}
	return !p.cut || p.silent
}

// passes reports whether what has come goes on. Silence swallows it.
func (p *proxy) passes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.cut
}

// muffled is a connection behind a proxy.
type muffled struct {
	net.Conn
	p *proxy
}

func (m muffled) Write(b []byte) (int, error) {
	if !m.p.passes() {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

func (p *proxy) pipe(from, to net.Conn) {
	_, _ = io.Copy(muffled{to, p}, from) // ends with either
	_ = from.Close()
	_ = to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}
