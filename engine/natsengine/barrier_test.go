package natsengine

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skeinrt/skein/engine"
)

// trials is how often an acknowledged join is put to the test. That a thing
// never happens shows in many.
const trials = 2_000

func TestAcknowledgedJoinMissesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		nodes int
		churn bool
	}{{2, false}, {2, true}, {3, false}, {3, true}} {
		t.Run(fmt.Sprintf("%d nodes, churn %v", c.nodes, c.churn), func(t *testing.T) {
			t.Parallel()
			nodes := startNodes(t, c.nodes)
			if c.churn {
				stop := churn(nodes)
				defer stop()
			}
			joiner, publishers := nodes[0], nodes[1:]
			for i := range trials {
				channel := fmt.Sprint("trial ", i)
				joiner.join(channel)
				publishers[i%len(publishers)].publish(channel, `"now"`)
			}
			for i := range trials { // what is published later arrives later
				publishers[i%len(publishers)].publish(fmt.Sprint("trial ", i), `"later"`)
			}
			lost := 0
			for i := range trials {
				channel := fmt.Sprint("trial ", i)
				until(t, "the later message arrives", func() bool {
					heard := joiner.heard(channel)
					return len(heard) > 0 && heard[len(heard)-1] == `"later"`
				})
				if len(joiner.heard(channel)) != 2 {
					lost++
				}
			}
			if lost > 0 {
				t.Errorf("%d of %d messages published after an acknowledged join were lost, want 0", lost, trials)
			}
			for _, n := range nodes {
				n.mu.Lock()
				if len(n.gaps) > 0 {
					t.Errorf("%s was told of gaps on %d channels, want none", n.options.Node, len(n.gaps))
				}
				n.mu.Unlock()
			}
		})
	}
}

// churn has every node join, publish to and leave channels until it is stopped.
// Each worker hears its own message from another node before it goes on, so that
// nobody is flooded.
func churn(nodes []*node) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	for i, n := range nodes {
		other := nodes[(i+1)%len(nodes)]
		for w := range 3 {
			all.Go(func() { n.comeAndGo(other, fmt.Sprint("churn ", i, " ", w, " "), done) })
		}
	}
	return func() {
		close(done)
		all.Wait()
	}
}

func (n *node) comeAndGo(other *node, prefix string, done <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		channel := fmt.Sprint(prefix, i)
		n.join(channel)
		other.publish(channel, `"x"`)
		until(n.t, "a message arrives under churn", func() bool { return len(n.heard(channel)) == 1 })
		n.Leave(channel)
	}
}

// startNodes starts embedded nodes at the same time and waits until they know
// each other.
func startNodes(t *testing.T, count int) []*node {
	t.Helper()
	var nodes []*node
	for _, e := range embeddedNodes(t, count) {
		e, _ := e.(*Engine)
		nodes = append(nodes, newNode(t, e))
	}
	startAll(t, nodes)
	return nodes
}

func startAll(t *testing.T, nodes []*node) {
	t.Helper()
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			ctx, cancel := n.context()
			defer cancel()
			if err := n.Start(ctx, n.sink); err != nil {
				t.Errorf("%s: Start: %v", n.options.Node, err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	know(t, nodes...)
}

// know waits until exactly these nodes know each other.
func know(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		until(t, fmt.Sprintf("%s knows %d nodes", n.options.Node, len(nodes)), func() bool { return len(n.names()) == len(nodes) })
	}
}

func TestJoinsAreAcknowledgedInBatches(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	var all sync.WaitGroup
	const joins = 2_000
	for i := range joins {
		all.Go(func() { nodes[0].join(fmt.Sprint("channel ", i)) })
	}
	all.Wait()
	if got := nodes[0].Stats(); got.Barriers > joins/4 || got.Joined != joins {
		t.Errorf("%d barriers for %d channels, want few for %d", got.Barriers, got.Joined, joins)
	}
}

func TestJoinWaitsForANodeThatDoesNotAnswerUntilItIsDead(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	nodes[2].kill()
	began := time.Now()
	nodes[0].join("room")
	if took := time.Since(began); took < time.Second {
		t.Errorf("the join was acknowledged after %v, long before the silent node can be dead", took)
	}
	know(t, nodes[0], nodes[1])
	nodes[1].publish("room", `"survives"`)
	until(t, "the survivors go on", func() bool { return len(nodes[0].heard("room")) == 1 })
	if got := nodes[0].Stats().Resent; got == 0 {
		t.Error("the unanswered barrier was never sent again")
	}
}

// kill ends a node without its saying bye. Its Close gives up at once.
func (n *node) kill() {
	n.t.Helper()
	n.life.stop()
	n.life.work.Wait()
	n.carrier.close()
	n.source.stop()
}

func TestJoinWhoseContextEndsCountsAsLeft(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	nodes[1].kill()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- nodes[0].Join(ctx, "room") }()
	until(t, "the barrier is out", func() bool {
		nodes[0].barrier.mu.Lock()
		defer nodes[0].barrier.mu.Unlock()
		return nodes[0].barrier.round != nil
	})
	cancel(errEnough)
	if err := <-ended; err == nil || err.Error() != errEnough.Error() {
		t.Errorf("Join: got %v, want %v", err, errEnough)
	}
	if got := nodes[0].Stats(); got.Joined != 0 || got.Lingering != 1 {
		t.Errorf("%d channels joined and %d linger, want 0 and 1", got.Joined, got.Lingering)
	}
	nodes[0].publish("room", `"nobody is here"`)
	nodes[0].join("room")
	if got := nodes[0].heard("room"); len(got) != 0 {
		t.Errorf("%q arrived on a channel that was not joined", got)
	}
}

var errEnough = fmt.Errorf("enough")

func TestCloseEndsJoinsThatWait(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	nodes[1].kill()
	ended := make(chan error, 1)
	go func() { ended <- nodes[0].Join(context.WithoutCancel(t.Context()), "room") }()
	until(t, "the barrier is out", func() bool {
		nodes[0].barrier.mu.Lock()
		defer nodes[0].barrier.mu.Unlock()
		return nodes[0].barrier.round != nil
	})
	nodes[0].close()
	if err := <-ended; err == nil {
		t.Error("Join of a closed engine: got nil, want an error")
	}
}

func TestChannelThatIsLeftLingers(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 1)[0]
	n := newNode(t, Embed(Embedded{Options: Options{Node: "a", Linger: 100 * time.Millisecond}, Listen: listen})).start()
	n.join("room")
	barriers := n.Stats().Barriers
	n.Leave("room")
	n.publish("room", `"left"`)
	n.join("room")
	if got := n.Stats(); got.Barriers != barriers {
		t.Errorf("joining a lingering channel took %d barriers, want 0", got.Barriers-barriers)
	}
	n.publish("room", `"back"`)
	if got := n.heard("room"); len(got) != 1 || got[0] != `"back"` {
		t.Errorf("%q arrived, want only what was published while it was joined", got)
	}
	n.Leave("room")
	until(t, "it lingers no more", func() bool { return n.Stats().Lingering == 0 })
	server := n.source.(*embedded).server
	until(t, "it is not subscribed", func() bool { return server.NumSubscriptions() == 3 })
	n.join("room")
	n.publish("room", `"again"`)
	if got := n.heard("room"); len(got) != 2 {
		t.Errorf("%q arrived, want two", got)
	}
}

func TestBatchFailsWhenItsConnectionIsLost(t *testing.T) {
	t.Parallel()
	b := newBarrier()
	in := newInterests()
	first := in.join("room", b.queue)
	if second := in.join("room", b.queue); second != first {
		t.Error("a second join of a pending channel is in another batch")
	}
	r := b.open(func() []boot { return []boot{1, 2} })
	b.passed(1, r.id, 7)
	b.passed(3, r.id, 7)
	b.passed(2, r.id+1, 7)
	b.abort(engine.ErrUnreachable)
	<-r.done
	if r.err == nil || len(r.base) != 1 || r.base[1] != 7 {
		t.Errorf("the round ended with %v and base lines %v, want an error and one of node 1", r.err, r.base)
	}
}
