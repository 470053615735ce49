package proxyproto

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const proxyHeader = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"

// pipes is a listener of connections in memory.
type pipes struct {
	waiting chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newPipes() *pipes { return &pipes{waiting: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects from an address.
func (p *pipes) dial(from string) net.Conn {
	near, far := net.Pipe()
	p.waiting <- &conn{far, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
	return near
}

func fromTen(peer net.Addr) bool {
	a, err := netip.ParseAddrPort(peer.String())
	return err == nil && netip.MustParsePrefix("10.0.0.0/8").Contains(a.Addr())
}

func TestAddressIsThatOfTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		l := NewListener(inner, Options{Trusted: fromTen})
		for _, test := range []struct{ from, wrote, want, rest string }{
			{"10.0.0.1:80", proxyHeader + "hello", "203.0.113.7:4711", "hello"},
			{"10.0.0.1:80", header2(local, 0) + "hello", "10.0.0.1:80", "hello"},
			{"10.0.0.1:80", "PROXY UNKNOWN\r\nhello", "10.0.0.1:80", "hello"},
			{"192.0.2.9:80", "hello", "192.0.2.9:80", "hello"},
			{"192.0.2.9:80", proxyHeader, "192.0.2.9:80", proxyHeader}, // a stranger's header is what he sends
		} {
			near := inner.dial(test.from)
			go func() {
				_, _ = io.WriteString(near, test.wrote) // compared below
				_ = near.Close()
			}()
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if got := c.RemoteAddr().String(); got != test.want {
				t.Errorf("%q from %s: got the address %s, want %s", test.wrote, test.from, got, test.want)
			}
			if u, ok := c.(*conn); ok && u.UnwrapConn() == nil {
				t.Error("there is no connection beneath")
			}
			if rest, err := io.ReadAll(c); err != nil || string(rest) != test.rest {
				t.Errorf("%q: got %q, %v behind the header, want %q", test.wrote, rest, err, test.rest)
			}
			_ = c.Close() // its end is not what is tested
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Somebody who is slow to say whose connection it is delays nobody, and does not stay.
func TestSlowProxyDelaysNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		refused := make(chan error, 10)
		l := NewListener(inner, Options{Trusted: fromTen, Refused: func(_ net.Addr, err error) { refused <- err }})
		began := time.Now()
		silent, slow := inner.dial("10.0.0.1:1"), inner.dial("10.0.0.1:2")
		if _, err := io.WriteString(slow, proxyHeader[:20]); err != nil {
			t.Fatal(err)
		}
		quick := inner.dial("10.0.0.1:3")
		go func() { _, _ = io.WriteString(quick, proxyHeader) }() // its address tells
		c, err := l.Accept()
		if err != nil || c.RemoteAddr().String() != "203.0.113.7:4711" || time.Since(began) != 0 {
			t.Fatalf("got %v, %v after %v, want the quick one at once", c, err, time.Since(began))
		}
		for _, lost := range []net.Conn{silent, slow} {
			if _, err := lost.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("got %v, want the connection to be closed", err)
			}
			if err := <-refused; err == nil {
				t.Error("it was not told")
			}
		}
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("they were closed after %v, want 5s", got)
		}
		_ = c.Close() // nothing more is asked of it
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestProxyWithoutAHeaderIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		refused := make(chan string, 10)
		l := NewListener(inner, Options{Trusted: fromTen, Refused: func(peer net.Addr, err error) { refused <- fmt.Sprint(peer, " ", err) }})
		near := inner.dial("10.0.0.1:1")
		go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\n\r\n") }() // it is refused
		if got, want := <-refused, "10.0.0.1:1 there is no header of the PROXY protocol"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the connection to be closed", err)
		}
		_ = inner.dial("10.0.0.1:1").Close() // a probe of the port is nobody's mistake
		synctest.Wait()
		if len(refused) != 0 {
			t.Errorf("got %q, want nothing", <-refused)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		l := NewListener(inner, Options{Trusted: fromTen, Waiting: 1})
		waiting, untaken := inner.dial("10.0.0.1:1"), inner.dial("10.0.0.1:2") // the second one has no place yet
		synctest.Wait()
		for range 2 {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, c := range []net.Conn{waiting, untaken} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("got %v, want the connection to be closed", err)
			}
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		inner := newPipes()
		l := NewListener(inner, Options{Trusted: fromTen})
		introduced, stranger := inner.dial("10.0.0.1:1"), inner.dial("192.0.2.9:1")
		go func() { _, _ = io.WriteString(introduced, proxyHeader) }() // nobody takes it
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for _, c := range []net.Conn{introduced, stranger} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("got %v, want the connection to be closed", err)
			}
		}
	})
}

// failing fails once, as a listener does when there are no descriptors left.
type failing struct {
	*pipes

	once sync.Once
}

var errFull = errors.New("too many open files")

func (f *failing) Accept() (c net.Conn, err error) {
	f.once.Do(func() { err = errFull })
	if err != nil {
		return nil, err
	}
	return f.pipes.Accept()
}

func TestErrorsOfAcceptArePassedOn(t *testing.T) {
	t.Parallel()
	inner := &failing{pipes: newPipes()}
	l := NewListener(inner, Options{Trusted: fromTen})
	if _, err := l.Accept(); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
	go inner.dial("192.0.2.9:1")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close() // it came, which was the question
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestHalfIsClosedBeneath(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	if err := (&conn{Conn: far}).CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want that a pipe has no halves", err)
	}
}
