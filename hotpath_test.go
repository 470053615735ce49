package skein_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/skeinrt/skein"
)

// plainClient speaks just enough over TCP to publish and to subscribe, and allocates nothing while it does.
type plainClient struct {
	tb   testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func dialPlain(tb testing.TB, addr string) *plainClient {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	c := &plainClient{tb, conn, bufio.NewReaderSize(conn, 64<<10)}
	_, _ = fmt.Fprintf(conn, "GET /socketcluster/ HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		tb.Fatalf("got %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	c.call(`{"event":"#handshake","data":{"authToken":null},"cid":1}`)
	return c
}

// maskedFrame is a text frame as a client sends it, with a mask of zeros.
func maskedFrame(text string) []byte {
	b := []byte{0x81, 0x80 | byte(len(text))}
	if len(text) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// call sends a packet and reads one.
func (c *plainClient) call(packet string) {
	c.tb.Helper()
	if _, err := c.conn.Write(maskedFrame(packet)); err != nil {
		c.tb.Fatal(err)
	}
	c.skip(1)
}

// skip reads n frames away.
func (c *plainClient) skip(n int) {
	for range n {
		head, err := c.in.Peek(4)
		size := 2
		if err == nil {
			size += int(head[1])
			if head[1] == 126 {
				size = 4 + int(binary.BigEndian.Uint16(head[2:]))
			}
			_, err = c.in.Discard(size)
		}
		if err != nil {
			c.tb.Error(err)
			return
		}
	}
}

// hotPath is a server with subscribers of one channel and a publisher, each over TCP.
type hotPath struct {
	publisher   *plainClient
	subscribers []*plainClient
	burst       []byte // frames that are sent at once
}

const burstSize = 8

func newHotPath(tb testing.TB, driver string, subscribers int) *hotPath {
	tb.Helper()
	s := skein.New(skein.Options{Driver: driver, Endpoints: []skein.Endpoint{{Ping: skein.Ping{Off: true}}}})
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	tb.Cleanup(func() {
		_ = s.Shutdown(tb.Context()) // its context has ended: at once
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	h := &hotPath{publisher: dialPlain(tb, l.Addr().String())}
	for range subscribers {
		c := dialPlain(tb, l.Addr().String())
		c.call(`{"event":"#subscribe","data":{"channel":"room"},"cid":2}`)
		h.subscribers = append(h.subscribers, c)
	}
	packet := `{"event":"#publish","data":{"channel":"room","data":"` + strings.Repeat("x", 128) + `"},"cid":3}`
	for range burstSize {
		h.burst = append(h.burst, maskedFrame(packet)...)
	}
	return h
}

// publish sends n bursts, each behind the acknowledgements of the one before, and returns when everybody has everything.
func (h *hotPath) publish(n int) {
	done := make(chan struct{})
	for _, c := range h.subscribers {
		go func() {
			c.skip(n * burstSize)
			done <- struct{}{}
		}()
	}
	for range n {
		if _, err := h.publisher.conn.Write(h.burst); err != nil {
			h.publisher.tb.Error(err)
			break
		}
		h.publisher.skip(burstSize)
	}
	for range h.subscribers {
		<-done
	}
}

// allocations counts what one publication allocates in the whole process, and rounds.
func (h *hotPath) allocations() float64 {
	const bursts = 500
	h.publish(bursts) // pools fill
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h.publish(bursts)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs-uint64(3*len(h.subscribers))) / (bursts * burstSize)
}

// Serial, because it counts what the whole process allocates. A publication may cost four allocations: the message, the
// channel's name, the frame of the delivery and that of the acknowledgement. A delivery may cost none.
func TestHotPathMakesNoGarbage(t *testing.T) {
	for _, driver := range []string{"park", "epoll"} {
		if driver == "epoll" && runtime.GOOS != "linux" {
			continue
		}
		few, many := newHotPath(t, driver, 1).allocations(), newHotPath(t, driver, 50).allocations()
		if !raceDetector && (few > 4.5 || many > few+0.5) {
			t.Errorf("%s: a publication allocates %.2f times for 1 subscriber, and %.2f times for 50, want 4 and no more", driver, few, many)
		}
	}
}

func BenchmarkHotPath(b *testing.B) {
	for _, driver := range []string{"park", "epoll"} {
		if driver == "epoll" && runtime.GOOS != "linux" {
			continue
		}
		for _, subscribers := range []int{0, 1, 10, 100} {
			b.Run(fmt.Sprint(driver, "/", subscribers), func(b *testing.B) {
				h := newHotPath(b, driver, subscribers)
				b.ReportAllocs()
				b.ResetTimer()
				h.publish((b.N + burstSize - 1) / burstSize)
			})
		}
	}
}
