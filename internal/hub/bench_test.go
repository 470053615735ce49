package hub

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// session stands for one of the server: what matters is that it is pointed to.
type session struct{ sent int }

// room returns a hub with n sessions in the channel "room".
func room(n int) *Hub[*session] {
	h := New[*session](0)
	for range n {
		h.Join("room", new(session))
	}
	return h
}

func TestEachAllocatesNothing(t *testing.T) {
	h := room(100)
	total := 0
	if n := testing.AllocsPerRun(100, func() {
		h.Each("room", func(s *session) { total += s.sent })
		h.Each("nowhere", func(s *session) { total += s.sent })
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkEach(b *testing.B) {
	for _, n := range []int{0, 1, 10, 100, 15_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := room(n)
			b.ReportAllocs()
			for b.Loop() {
				total := 0
				h.Each("room", func(s *session) { total += s.sent })
			}
		})
	}
}

// BenchmarkEachParallel has all publishers on one channel, and somebody who
// joins and leaves it as well.
func BenchmarkEachParallel(b *testing.B) {
	for _, n := range []int{1, 100, 15_000} {
		for _, churn := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/churn=%v", n, churn), func(b *testing.B) {
				h := room(n)
				stop := make(chan struct{})
				var all sync.WaitGroup
				if churn {
					all.Go(func() { joinAndLeave(h, stop) })
				}
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						total := 0
						h.Each("room", func(s *session) { total += s.sent })
					}
				})
				close(stop)
				all.Wait()
			})
		}
	}
}

func joinAndLeave(h *Hub[*session], stop <-chan struct{}) {
	s := new(session)
	for {
		select {
		case <-stop:
			return
		default:
			h.Join("room", s)
			h.Leave("room", s)
			runtime.Gosched()
		}
	}
}

// BenchmarkJoinLeave has to cost the same in a channel of any size.
func BenchmarkJoinLeave(b *testing.B) {
	for _, n := range []int{0, 1, indexAbove - 1, indexAbove + 1, 15_000, 150_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := room(n)
			s := new(session)
			b.ReportAllocs()
			for b.Loop() {
				h.Join("room", s)
				h.Leave("room", s)
			}
		})
	}
}

// BenchmarkFillAndEmpty is the reconnect storm of one large channel.
func BenchmarkFillAndEmpty(b *testing.B) {
	const n = 15_000
	sessions := make([]*session, n)
	for i := range sessions {
		sessions[i] = new(session)
	}
	b.ReportAllocs()
	for b.Loop() {
		h := New[*session](0)
		for _, s := range sessions {
			h.Join("room", s)
		}
		for _, s := range sessions {
			h.Leave("room", s)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*n), "ns/call")
}

// BenchmarkMemory tells what a channel costs that has few sessions, and what a
// session costs in one that has many; names are not counted.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct{ channels, sessions int }{{200_000, 1}, {200_000, 2}, {200_000, 4}, {10, 15_000}} {
		b.Run(fmt.Sprintf("%dx%d", c.channels, c.sessions), func(b *testing.B) {
			names := make([]string, c.channels)
			for i := range names {
				names[i] = fmt.Sprint("channel/", i)
			}
			sessions := make([]session, c.sessions)
			for b.Loop() {
				before := inUse()
				h := New[*session](0)
				for _, name := range names {
					for s := range sessions {
						h.Join(name, &sessions[s])
					}
				}
				octets := float64(inUse() - before)
				b.ReportMetric(octets/float64(c.channels), "B/channel")
				b.ReportMetric(octets/float64(c.channels*c.sessions), "B/membership")
				runtime.KeepAlive(h)
			}
			runtime.KeepAlive(names)
		})
	}
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkChannels(b *testing.B) {
	h := New[*session](0)
	s := new(session)
	for i := range 200_000 {
		h.Join(fmt.Sprint("channel/", i), s)
	}
	b.ReportAllocs()
	for b.Loop() {
		h.Channels("channel/1", 100)
	}
}
