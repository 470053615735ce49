package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/skeinrt/skein/e2e/soak/judge"
	"github.com/skeinrt/skein/internal/ws"
)

// crew are the clients of one cycle. Those that act stop first, so that what they have sent can arrive at those that
// stay.
type crew struct {
	fleet *fleet
	book  *judge.Book
	rt    *ws.Runtime
	tally *tally
	seed  uint64
	load  int // percent

	acting  sync.WaitGroup
	staying sync.WaitGroup
	members uint64
}

// coreChannels are those that everybody uses.
const coreChannels = 20

const (
	rawChannel   = "testChannel" // where the plain WebSocket endpoint publishes
	bigChannel   = "big"
	floodChannel = "flood"
)

func core(i int) string {
	switch i {
	case 0:
		return rawChannel
	case 1:
		return "odd * > . \u00e9 \U0001f600 $SYS"
	default:
		return fmt.Sprint("core.", i)
	}
}

// hand is one member of the crew.
type hand struct {
	*crew

	name string
	rand *rand.Rand
}

// sign takes n members on for a job, which each do until the context is done.
func (c *crew) sign(ctx context.Context, group *sync.WaitGroup, n int, name string, job func(ctx context.Context, h *hand)) {
	for i := range n {
		c.members++
		h := &hand{crew: c, name: fmt.Sprint(name, " ", i), rand: rand.New(rand.NewPCG(c.seed, c.members))} //nolint:gosec // to be repeatable
		group.Go(func() {
			for ctx.Err() == nil {
				job(ctx, h)
				pause(ctx, time.Duration(50+h.rand.IntN(200))*time.Millisecond)
			}
		})
	}
}

// start takes everybody on.
func (c *crew) start(act, stay context.Context) {
	n := len(c.fleet.nodes)
	many := func(count int) int { return max(1, count*c.load/100) }
	c.sign(stay, &c.staying, 3*n, "listener", listen)
	c.sign(stay, &c.staying, n, "client", listenWithClient)
	c.sign(stay, &c.staying, 2, "big listener", listenTo(bigChannel))
	c.sign(stay, &c.staying, 2, "flood listener", listenTo(floodChannel))

	c.sign(act, &c.acting, many(8), "publisher", publish)
	c.sign(act, &c.acting, 1, "big publisher", publishBig)
	c.sign(act, &c.acting, 1, "flooder", flood)
	c.sign(act, &c.acting, n, "api", publishOverAPI)
	c.sign(act, &c.acting, 2, "raw", publishRaw)
	c.sign(act, &c.acting, many(6), "churner", churn)
	c.sign(act, &c.acting, many(12), "visitor", visit)
	c.sign(act, &c.acting, 2, "sweeper", sweep)
	c.sign(act, &c.acting, 3, "caller", call)
	c.sign(act, &c.acting, 3, "token holder", holdTokens)
	c.sign(act, &c.acting, 2, "never reading", neverRead)
	c.sign(act, &c.acting, 2, "slow", readSlowly)
	c.sign(act, &c.acting, 3, "hostile", attack)
}

// dial connects to a random node. nil: it did not work, as it may while there is a fault.
func (h *hand) dial(ctx context.Context) *peer {
	n, all := h.node(), kinds()
	p, err := dialPeer(ctx, h.rt, n.url(), all[h.rand.IntN(len(all))])
	if err != nil {
		h.tally.add("connections refused or broken", 1)
		return nil
	}
	h.tally.add("connections", 1)
	h.tally.add("connections, "+p.name, 1)
	return p
}

func (h *hand) node() *node { return h.fleet.nodes[h.rand.IntN(len(h.fleet.nodes))] }

// leave ends a connection and waits for it.
func (p *peer) leave() {
	p.conn.Close(ws.CodeNormal, "")
	<-p.ended
}

// subscribeAll joins channels; false: it did not work.
func (h *hand) subscribeAll(ctx context.Context, p *peer, channels ...string) bool {
	for _, channel := range channels {
		if p.subscribe(ctx, h.book.View(h.name+", "+p.name, channel), channel) != nil {
			h.tally.add("subscriptions refused or broken", 1)
			return false
		}
		h.tally.add("subscriptions", 1)
	}
	return true
}

// some are some of the core channels.
func (h *hand) some(n int) (channels []string) {
	for _, i := range h.rand.Perm(coreChannels)[:n] {
		channels = append(channels, core(i))
	}
	return channels
}

// size is that of a message: most are small.
func (h *hand) size() int {
	switch n := h.rand.IntN(100); {
	case n < 90:
		return h.rand.IntN(400)
	case n < 99:
		return h.rand.IntN(8 << 10)
	default:
		return h.rand.IntN(64 << 10)
	}
}

// tally counts what was done, and keeps what was wrong.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	wrong  map[string]int
}

func newTally() *tally { return &tally{counts: map[string]int{}, wrong: map[string]int{}} }

func (t *tally) add(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] += n
}

// violation notes a broken promise.
func (t *tally) violation(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := fmt.Sprintf(format, args...); len(t.wrong) < 200 || t.wrong[text] > 0 {
		t.wrong[text]++
	}
}
