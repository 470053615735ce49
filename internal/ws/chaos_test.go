package ws

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// orderly is a Handler that checks the promises about order.
type orderly struct {
	t      *testing.T
	mu     sync.Mutex
	next   int
	closed int
	gone   chan struct{}
}

func (o *orderly) Message(c *Conn, m Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if want := fmt.Sprint(o.next); string(m.Data) != want || o.closed > 0 {
		o.t.Errorf("got message %.20q, want %s before the end", m.Data, want)
	}
	o.next++
	_ = c.Send(NewFrame(true, m.Data))
}

func (o *orderly) Tick(c *Conn) { c.Schedule(50 * time.Millisecond) }

func (o *orderly) Closed(*Conn, CloseError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed++; o.closed == 1 {
		close(o.gone)
	}
}

// misbehave does one thing to a connection, from either side, and reports whether to go on.
func misbehave(rng *rand.Rand, c *Conn, peer net.Conn, next *int) bool {
	switch k := rng.IntN(100); {
	case k < 50:
		_, _ = peer.Write(wire(text(fmt.Sprint(*next))))
		*next++
	case k < 70:
		_ = c.Send(NewFrame(true, make([]byte, rng.IntN(3000))))
	case k < 75:
		_, _ = peer.Write(wire(ping("p")))
	case k < 80:
		c.Schedule(time.Duration(rng.IntN(30)) * time.Millisecond)
	case k < 90:
		c.Do(func() {})
	case k < 92:
		c.Close(4000, "ours")
	case k < 94:
		_, _ = peer.Write(wire(closing(4001, "theirs")))
	case k < 95:
		_, _ = peer.Write(wire(raw{first: 0x83}))
	case k < 96:
		c.Terminate()
		return false
	case k < 97:
		_ = peer.Close()
		return false
	}
	return true
}

// everyKindOfEnd lets many connections live and die at random, and checks that each ends once and none stays.
func everyKindOfEnd(t *testing.T, r *Runtime, pair func() (ours, theirs net.Conn), rounds int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range rounds {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		h := &orderly{t: t, gone: make(chan struct{})}
		o := Options{Outbox: 4000, Inbox: 50, Stall: 100 * time.Millisecond, CloseWait: 30 * time.Millisecond, Compression: i%2 == 0}
		ours, peer := pair()
		c := serveOn(t, r, ours, o, h)
		reads := rng.IntN(4) > 0
		wg.Go(func() {
			for reads {
				if _, err := readFrame(peer); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			next := 0
			for range 200 {
				if !misbehave(rng, c, peer, &next) {
					break
				}
			}
			_ = peer.Close()
			<-h.gone
		})
	}
	wg.Wait()
	r.Close()
	if n := r.Conns(); n != 0 || r.Panics() != 0 {
		t.Errorf("got %d connections and %d panics, want none", n, r.Panics())
	}
}

func TestEveryKindOfEndComesOnceInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { everyKindOfEnd(t, newRuntime(t), memoryPipe, 300) })
}

func TestEveryKindOfEndComesOnceOnPipes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { everyKindOfEnd(t, newRuntime(t), net.Pipe, 300) })
}

func TestEveryKindOfEndComesOnceOnSockets(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		everyKindOfEnd(t, r, func() (net.Conn, net.Conn) {
			ours, theirs := tcpPair(t)
			return ours, theirs
		}, 100)
	})
}
