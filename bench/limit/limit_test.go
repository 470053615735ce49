package limit

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves until the end of the test, or until stop is called.
func start(t *testing.T) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-served; err != nil {
			t.Errorf("got %v, want that it ends quietly", err)
		}
	}
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// peer is a client.
type peer struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
}

func connect(t *testing.T, addr string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p := &peer{t, nc, bufio.NewReader(nc)}
	p.write("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	res, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got, want := res.Header.Get("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; res.StatusCode != http.StatusSwitchingProtocols || got != want {
		t.Fatalf("got %s with %q, want 101 with %q", res.Status, got, want)
	}
	return p
}

func (p *peer) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, text); err != nil {
		p.t.Fatal(err)
	}
}

// say sends a text frame, masked with zeros.
func (p *peer) say(payload string) {
	p.t.Helper()
	frame := newFrame([]byte(payload))
	head := len(frame) - len(payload)
	frame[1] |= 0x80
	p.write(string(frame[:head]) + "\x00\x00\x00\x00" + payload)
}

// hear wants a text frame with this payload.
func (p *peer) hear(want string) {
	p.t.Helper()
	frame := newFrame([]byte(want))
	got := make([]byte, len(frame))
	if _, err := io.ReadFull(p.in, got); err != nil || !bytes.Equal(got, frame) {
		p.t.Fatalf("got %.80q, %v, want %.80q", got, err, frame)
	}
}

func TestEveryCallIsAnsweredByItsNumber(t *testing.T) {
	t.Parallel()
	addr, _ := start(t)
	p := connect(t, addr)
	for _, c := range []struct{ call, answer string }{
		{`{"event":"#handshake","data":{"authToken":null},"cid":1}`, `{"rid":1}`},
		{`{"event":"#subscribe","data":{"channel":"a"},"cid":2}`, `{"rid":2}`},
		{`{"event":"other","data":{"cid":5},"cid":12345678901}`, `{"rid":12345678901}`},
	} {
		p.say(c.call)
		p.hear(c.answer)
	}
}

func TestPublicationsGoToAllWhoHaveSubscribed(t *testing.T) {
	t.Parallel()
	addr, _ := start(t)
	var subscribers []*peer
	for range 5 {
		s := connect(t, addr)
		s.say(`{"event":"#subscribe","data":{"channel":"a"},"cid":2}`)
		s.hear(`{"rid":2}`)
		subscribers = append(subscribers, s)
	}
	p := connect(t, addr)
	for _, size := range []int{1, 100, 300, 70_000, 2 << 20} { // each head, and more than a socket's buffer
		message := `{"event":"#publish","data":{"channel":"a","data":"` + strings.Repeat("x", size) + `"}}`
		p.say(message)
		for _, s := range subscribers {
			s.hear(message)
		}
	}
	p.say(`{"event":"#publish","data":{"channel":"a","data":"x"},"cid":7}`)
	p.hear(`{"rid":7}`) // and nothing else: it has not subscribed
}

func TestThoseWhoLeaveAreForgotten(t *testing.T) {
	t.Parallel()
	addr, _ := start(t)
	gone, stays, p := connect(t, addr), connect(t, addr), connect(t, addr)
	for _, s := range []*peer{gone, stays} {
		s.say(`{"event":"#subscribe","data":{"channel":"a"},"cid":1}`)
		s.hear(`{"rid":1}`)
	}
	gone.write("\x88\x80\x00\x00\x00\x00") // close
	if b, err := io.ReadAll(gone.in); err != nil || len(b) != 0 {
		t.Errorf("got %q, %v, want the end", b, err)
	}
	for range 3 {
		p.say(`{"event":"#publish","data":1}`)
		stays.hear(`{"event":"#publish","data":1}`)
	}
}

func TestWhatItCannotServeEndsTheConnection(t *testing.T) {
	t.Parallel()
	addr, _ := start(t)
	for name, frame := range map[string]string{
		"masked in earnest": "\x81\x81\x01\x02\x03\x04x",
		"too large":         "\x81\xff\x00\x00\x00\x00\x10\x00\x00\x00",
	} {
		p := connect(t, addr)
		p.write(frame)
		if b, err := io.ReadAll(p.in); len(b) != 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: got %q, %v, want the end", name, b, err)
		}
	}
}

func TestItsEndEndsAllConnections(t *testing.T) {
	t.Parallel()
	addr, stop := start(t)
	p := connect(t, addr)
	p.say(`{"event":"#subscribe","data":{"channel":"a"},"cid":1}`)
	p.hear(`{"rid":1}`)
	stop()
	if b, err := io.ReadAll(p.in); len(b) != 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("got %q, %v, want the end", b, err)
	}
}

func TestNumbersOfCallsStandAtTheEnd(t *testing.T) {
	t.Parallel()
	for packet, want := range map[string]uint64{
		`{"event":"a","cid":5}`: 5, `{"event":"a","data":{"x":1,"cid":9}}`: 0, `{"event":"a"}`: 0, `{"a":1,"cid":-1}`: 0, ``: 0,
		`{"event":"a","data":{"x":1,"cid":3},"cid":4}`: 4,
	} {
		if got := number([]byte(packet)); got != want {
			t.Errorf("%s: got %d, want %d", packet, got, want)
		}
	}
}

// A client that reads nothing is waited for, but not for ever.
func TestThoseWhoDoNotReadAreForgotten(t *testing.T) {
	t.Parallel()
	addr, _ := start(t)
	lazy, p := connect(t, addr), connect(t, addr)
	lazy.say(`{"event":"#subscribe","data":{"channel":"a"},"cid":1}`)
	lazy.hear(`{"rid":1}`)
	message := `{"event":"#publish","data":"` + strings.Repeat("x", 8<<20) + `"}`
	eager := connect(t, addr)
	eager.say(`{"event":"#subscribe","data":{"channel":"a"},"cid":1}`)
	eager.hear(`{"rid":1}`)
	for range 2 {
		p.say(message)
		eager.hear(message)
	}
}
