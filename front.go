package skein

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/skeinrt/skein/internal/ws"
)

// front stands between a listener and net/http. It serves the plain requests for an upgrade, of which there are as many as
// clients, and leaves everything else to net/http with what has been read: other paths, long or odd headers, all that it
// does not recognise at once. The same handler answers both, so that one place lets in and refuses.
//
// It saves what net/http needs for a connection that may go on to a second request: a goroutine that watches for the
// client's end, its buffers and timers, which are a fifth of a connect (docs/adr/0020-upgrades-before-net-http.md).
type front struct {
	net.Listener
	server *Server

	arrivals chan arrival // for net/http
	closed   chan struct{}
	closing  sync.Once
	hosts    ws.Bench[*entrant] // own lock

	mu      sync.Mutex
	unheard map[*entrant]struct{} // whose request has not been read
}

// arrival is what Accept returns.
type arrival struct {
	conn net.Conn
	err  error
}

func newFront(s *Server, l net.Listener) *front {
	f := &front{
		Listener: l, server: s, arrivals: make(chan arrival), closed: make(chan struct{}),
		unheard: map[*entrant]struct{}{},
	}
	s.life.tasks.Go(f.run)
	return f
}

// Accept gives net/http the connections that are for it.
func (f *front) Accept() (net.Conn, error) {
	select {
	case a := <-f.arrivals:
		return a.conn, a.err
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

// Close stops accepting, and ends the connections that have made no request.
func (f *front) Close() error {
	err := f.Listener.Close()
	f.closing.Do(func() { close(f.closed) })
	f.hosts.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for v := range f.unheard {
		_ = v.Close() // which is all that is to be told
	}
	return err
}

// run accepts until the listener is closed. Errors are net/http's, which waits before it asks again.
func (f *front) run() {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			if !f.pass(arrival{err: err}) {
				return
			}
			continue
		}
		v := &entrant{Conn: c}
		f.server.doorman.watch(v, http.StateNew)
		if turn := f.hosts.Pop(); turn != nil {
			turn <- v // there is room
		} else if !f.server.life.tasks.Go(func() { f.host(v) }) {
			f.end(v)
		}
	}
}

// pass leaves a connection or an error to net/http, and reports whether that is there.
func (f *front) pass(a arrival) bool {
	select {
	case f.arrivals <- a:
		return true
	case <-f.closed:
		return false
	}
}

// host sees to an entrant, and then to others.
func (f *front) host(v *entrant) {
	d := &desk{reader: bufio.NewReaderSize(nil, longestPlain)}
	turn := make(chan *entrant, 1)
	for next, ok := v, true; ok; next, ok = <-turn {
		f.meet(next, d)
		if !f.hosts.Push(turn) {
			return
		}
	}
}

// meet reads the first request of a connection, and serves it or leaves it to net/http.
func (f *front) meet(v *entrant, d *desk) {
	read, err := f.hear(v, d)
	if err != nil { // it broke off, or took too long: there is nobody to be answered
		f.end(v)
		return
	}
	if r := d.request(read, f.server.upgrades); r != nil {
		f.serve(v, r, read[d.header:])
		return
	}
	v.unread = bytes.Clone(read)
	if !f.pass(arrival{conn: v}) {
		f.end(v)
	}
}

// hear reads until there is a header, or something of which none can become that is recognised here.
func (f *front) hear(v *entrant, d *desk) ([]byte, error) {
	if !f.await(v) {
		return nil, net.ErrClosed
	}
	defer f.heard(v)
	v.until = time.Now().Add(f.server.options.Timeouts.Header)
	if err := v.SetReadDeadline(v.until); err != nil {
		return nil, err
	}
	for n := 0; ; {
		k, err := v.Conn.Read(d.buf[n:])
		tail := d.buf[max(0, n-len(headerEnd)+1) : n+k]
		n += k
		switch {
		case n == len(d.buf), bytes.Contains(tail, []byte(headerEnd)), n > 0 && !couldBePlain(d.buf[:n], tail):
			return d.buf[:n], nil
		case errors.Is(err, io.EOF) && n > 0: // it can still be answered
			return d.buf[:n], nil
		case err != nil:
			return nil, err
		}
	}
}

// await notes that an entrant is to be ended with the listener, unless that is closed.
func (f *front) await(v *entrant) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		return false
	default:
		f.unheard[v] = struct{}{}
		return true
	}
}

func (f *front) heard(v *entrant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.unheard, v)
}

func (f *front) end(v *entrant) {
	_ = v.Close() // there is nothing to be done about it
	f.server.doorman.watch(v, http.StateClosed)
}

// serve has the server's handler answer a request, behind whose header early has come already.
func (f *front) serve(v *entrant, r *http.Request, early []byte) {
	w := &reply{front: f, entrant: v, early: early, header: http.Header{}}
	defer w.end()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http compares it in the same way
			f.server.counters.panics.Add(1)
			f.server.log.LogAttrs(r.Context(), slog.LevelError, "panic in an upgrade", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	ctx := f.server.doorman.introduce(context.WithValue(f.server.life.ctx, http.LocalAddrContextKey, v.LocalAddr()), v)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.RemoteAddr = v.RemoteAddr().String()
	f.server.ServeHTTP(w, r.WithContext(ctx))
}

// entrant is a connection on its way in.
type entrant struct {
	net.Conn
	unread []byte    // has been read from it, and is for net/http
	until  time.Time // its first request must have come; zero behind that
}

// SetReadDeadline lets net/http begin no new time for a header that has begun.
func (v *entrant) SetReadDeadline(t time.Time) error {
	if !v.until.IsZero() && (t.IsZero() || t.After(v.until)) {
		t = v.until
	}
	return v.Conn.SetReadDeadline(t)
}

// lift is called when the first request has come.
func (v *entrant) lift() error {
	if v.until.IsZero() {
		return nil
	}
	v.until = time.Time{}
	return v.Conn.SetReadDeadline(v.until)
}

// Read reads what is unread first.
func (v *entrant) Read(p []byte) (int, error) {
	if len(v.unread) == 0 {
		return v.Conn.Read(p)
	}
	n := copy(p, v.unread)
	v.unread = v.unread[n:]
	return n, nil
}

// UnwrapConn gives what is beneath, once nothing is unread.
func (v *entrant) UnwrapConn() net.Conn {
	if len(v.unread) > 0 {
		return v
	}
	if u, ok := v.Conn.(interface{ UnwrapConn() net.Conn }); ok {
		return u.UnwrapConn()
	}
	return v.Conn
}
