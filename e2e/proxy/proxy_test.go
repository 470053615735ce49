package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein/e2e/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that sends back what comes, and says goodbye at the end.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-ended })
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c) // until the other side ends
				_, _ = c.Write([]byte("goodbye\n"))
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T, to string) *proxy.Proxy {
	t.Helper()
	p, err := proxy.Start(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// line is a connection of which lines come back.
type line struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *proxy.Proxy) line {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return line{c, bufio.NewReader(c)}
}

func (l line) say(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(l, text+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (l line) hear(t *testing.T, want string) {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, err := l.in.ReadString('\n'); err != nil || got != want+"\n" {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

// refuses expects that a new connection breaks, while it is made or soon after.
func refuses(t *testing.T, p *proxy.Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it is broken
	line{c, bufio.NewReader(c)}.breaks(t)
}

func (l line) breaks(t *testing.T) {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a reset", err)
	}
}

func TestWhatComesPassesAndSoDoesTheEnd(t *testing.T) {
	t.Parallel()
	l := dial(t, start(t, echo(t)))
	l.say(t, "hello")
	l.hear(t, "hello")
	if err := l.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	l.hear(t, "goodbye")
	if _, err := l.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
}

func TestAResetBreaksWhatThereIsAndLetsOthersIn(t *testing.T) {
	t.Parallel()
	p := start(t, echo(t))
	l := dial(t, p)
	l.say(t, "hello")
	l.hear(t, "hello")
	p.Reset()
	l.breaks(t)
	again := dial(t, p)
	again.say(t, "again")
	again.hear(t, "again")
}

func TestACutLetsNobodyInUntilItHeals(t *testing.T) {
	t.Parallel()
	p := start(t, echo(t))
	p.Cut()
	refuses(t, p)
	p.Heal()
	l := dial(t, p)
	l.say(t, "hello")
	l.hear(t, "hello")
}

func TestAFreezeLosesNothing(t *testing.T) {
	t.Parallel()
	p := start(t, echo(t))
	l := dial(t, p)
	l.say(t, "before")
	l.hear(t, "before")
	p.Freeze()
	l.say(t, "meanwhile")
	late := dial(t, p)
	late.say(t, "late")
	if err := l.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := l.in.ReadString('\n'); err == nil {
		t.Errorf("got %q through a frozen proxy", got)
	}
	p.Heal()
	l.hear(t, "meanwhile")
	late.hear(t, "late")
}

func TestWhatIsSwallowedIsLostAndItsConnectionWithIt(t *testing.T) {
	t.Parallel()
	p := start(t, echo(t))
	l := dial(t, p)
	l.say(t, "before")
	l.hear(t, "before")
	p.Swallow()
	l.say(t, "meanwhile")
	if err := l.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if got, err := l.in.ReadString('\n'); err == nil {
		t.Errorf("got %q through a proxy that swallows", got)
	}
	p.Heal()
	l.breaks(t)
	again := dial(t, p)
	again.say(t, "again")
	again.hear(t, "again")
}

func TestWithoutANodeConnectionsBreak(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	refuses(t, start(t, nowhere))
}

func TestCloseEndsAFreeze(t *testing.T) {
	t.Parallel()
	p := start(t, echo(t))
	l := dial(t, p)
	l.say(t, "before")
	l.hear(t, "before")
	p.Freeze()
	l.say(t, "meanwhile")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	l.breaks(t)
}
