package ws

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const deliverySize = 132

// crowd gives n sockets whose peers throw away what they get, and count it.
func crowd(b *testing.B, n int) (sockets []net.Conn, octets *atomic.Int64) {
	b.Helper()
	octets = new(atomic.Int64)
	var wg sync.WaitGroup
	for range n {
		ours, theirs := tcpPair(b)
		sockets = append(sockets, ours)
		_ = theirs.SetDeadline(time.Time{})
		wg.Go(func() {
			buf := make([]byte, 4096)
			for {
				k, err := theirs.Read(buf)
				octets.Add(int64(k))
				if err != nil {
					return
				}
			}
		})
	}
	b.Cleanup(func() {
		for _, s := range sockets {
			_ = s.Close()
		}
		wg.Wait()
	})
	return sockets, octets
}

func settleAt(octets *atomic.Int64, want int64) {
	for octets.Load() < want {
		<-time.After(100 * time.Microsecond)
	}
}

// One frame to each of many connections, against the bare system calls.
func BenchmarkBroadcast(b *testing.B) {
	const n = 200
	frame := NewFrame(false, make([]byte, deliverySize-4))
	b.Run("limit", func(b *testing.B) {
		sockets, octets := crowd(b, n)
		var raws []rawWriter
		for _, s := range sockets {
			raws = append(raws, newRawWriter(b, s))
		}
		sent := int64(0)
		for b.Loop() {
			for i := range raws {
				raws[i].write(b, frame.data)
			}
			sent += n * int64(frame.Len())
			settleAt(octets, sent-n*8*deliverySize)
		}
		settleAt(octets, sent)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
	})
	for _, d := range Drivers() {
		for _, burst := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/burst%d", d, burst), func(b *testing.B) { broadcast(b, d, n, burst) })
		}
	}
}

func broadcast(b *testing.B, d Driver, n, burst int) {
	b.Helper()
	frame := NewFrame(false, make([]byte, deliverySize-4))
	sockets, octets := crowd(b, n)
	r := NewRuntime(Config{Shards: 2, Driver: d})
	b.Cleanup(r.Close)
	var conns []*Conn
	for _, s := range sockets {
		conns = append(conns, serveOn(b, r, s, Options{}, newSpy()))
	}
	sent := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			for _, c := range conns {
				_ = c.Send(frame)
			}
		}
		sent += int64(n * burst * frame.Len())
		settleAt(octets, sent-int64(n*burst*8*deliverySize))
	}
	settleAt(octets, sent)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n*burst), "ns/delivery")
}

type rawWriter struct {
	raw interface {
		Write(func(uintptr) bool) error
	}
}

func newRawWriter(b *testing.B, nc net.Conn) rawWriter {
	b.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	return rawWriter{raw}
}

func (w rawWriter) write(b *testing.B, p []byte) {
	b.Helper()
	_ = w.raw.Write(func(fd uintptr) bool {
		_, err := writeOnce(fd, p)
		return err == nil
	})
}

func BenchmarkEcho(b *testing.B) {
	for _, d := range Drivers() {
		b.Run(string(d), func(b *testing.B) { echoes(b, d) })
	}
}

func echoes(b *testing.B, d Driver) {
	b.Helper()
	r := NewRuntime(Config{Shards: 2, Driver: d})
	b.Cleanup(r.Close)
	h := newSpy()
	h.messages = make(chan Message, 1)
	h.on = func(c *Conn, m Message) {
		echo(c, m)
		select {
		case <-h.messages:
		default:
		}
	}
	_, peer := onTCP(b, r, Options{}, h)
	_ = peer.SetDeadline(time.Time{})
	out := wire(text(string(make([]byte, 100))))
	in := make([]byte, 102)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = peer.Write(out)
		if _, err := io.ReadFull(peer, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{100, 4096, 65536} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var d decoder
			d.reset(rules{max: 1 << 20})
			octets := wire(text(string(prose(n))))
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				for rest := octets; len(rest) > 0; {
					var err error
					if _, rest, err = d.next(rest); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// nowhere is a link that takes everything.
type nowhere struct{ stream }

func (*nowhere) wake()                       {}
func (*nowhere) send(s *sender) (int, error) { return len(s.batch), nil }

// What sending costs apart from the system calls: frames are queued, gathered and taken off.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{1, 4, 32} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := NewRuntime(Config{Shards: 1})
			b.Cleanup(r.Close)
			ours, _ := net.Pipe()
			c, err := r.adopt(ours, terms{}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			c.link = &nowhere{stream{conn: c, nc: ours}}
			f, with := NewFrame(false, make([]byte, deliverySize-4)), newSender()
			b.ReportAllocs()
			for b.Loop() {
				for range n {
					_ = c.Send(f)
				}
				for c.flush(with) {
				}
			}
		})
	}
}
