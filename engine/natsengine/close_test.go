package natsengine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/skeinrt/skein/engine"
)

// shutdown is how long the server gives its engine to close.
const shutdown = 2 * time.Second

// The dead one's farewell never comes, and Close used up all of its time.
func TestCloseRightAfterAnotherNodesDeathIsInTime(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	nodes[1].kill()
	nodes[2].kill()
	ctx, cancel := context.WithTimeout(t.Context(), shutdown)
	defer cancel()
	if err := nodes[0].Close(ctx); err != nil {
		t.Errorf("Close: got %v, want nil", err)
	}
	listen := nodes[0].source.(*embedded).Listen
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatalf("%s is not free after Close: %v", listen, err)
	}
	_ = l.Close() // it was a trial
}

func TestCloseIsInTimeWhenAMemberDoesNotMove(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	stuck := make(chan struct{})
	defer close(stuck)
	nodes[1].join("room")
	nodes[1].sinkStuck(stuck)
	nodes[0].publish("room", "x")
	nodes[0].flow.sent.Add(2 * flowWindow)
	ended := make(chan error, 1)
	go func() { ended <- nodes[0].Publish(t.Context(), engine.Message{Channel: "room"}) }()
	until(t, "a publisher waits for it", func() bool { return nodes[0].Stats().Stalls == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), flowPatience*3/4)
	defer cancel()
	if err := nodes[0].Close(ctx); err != nil {
		t.Errorf("Close: got %v, want nil", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Publish, begun before Close: got %v, want nil", err)
	}
}

func TestCloseWithoutNATSDoesNotWait(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, server.Options{})
	a, b := openNode(t, "a", nats.ClientURL()), openNode(t, "b", nats.ClientURL())
	startAll(t, []*node{a, b})
	nats.Shutdown()
	nats.WaitForShutdown()
	until(t, "the loss is noticed", func() bool { return !a.carrier.up.Load() })
	began := time.Now()
	a.close()
	if took := time.Since(began); took >= farewellMost {
		t.Errorf("Close took %v, as if somebody could answer", took)
	}
}

func TestPatienceOfCloseIsAShareOfItsTime(t *testing.T) {
	t.Parallel()
	if got := farewellPatience(t.Context()); got != farewellMost {
		t.Errorf("without a deadline it is %v, want %v", got, farewellMost)
	}
	for _, c := range []struct{ left, most time.Duration }{
		{time.Hour, farewellMost}, {shutdown, shutdown / 3}, {30 * time.Millisecond, 10 * time.Millisecond}, {-time.Second, 0},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.left)
		if got := farewellPatience(ctx); got > c.most || c.left > shutdown && got != c.most {
			t.Errorf("of %v it is %v, want at most %v", c.left, got, c.most)
		}
		cancel()
	}
}

func TestCloseReleasesAllThoughItsContextIsDone(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	nodes[1].kill()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errEnough)
	if err := nodes[0].Close(ctx); err != nil && !errors.Is(err, errEnough) {
		t.Errorf("Close: got %v, want nil or %v", err, errEnough)
	}
	<-nodes[0].life.released
}

// tally counts what a publisher was told of its messages.
type tally struct {
	channel string
	taken   int
	last    error
}

// pour publishes numbers until that fails.
func (n *node) pour(y *tally) {
	for y.last == nil {
		y.last = n.Publish(n.t.Context(), engine.Message{Channel: y.channel, Data: fmt.Append(nil, y.taken)})
		if y.last == nil {
			y.taken++
		}
	}
}

func TestCloseWhilePublishingSendsAllThatWasTakenOver(t *testing.T) {
	t.Parallel()
	for round := range 2 {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			t.Parallel()
			nodes := startNodes(t, 3)
			tallies := make([]tally, 3)
			var all sync.WaitGroup
			for i := range tallies {
				tallies[i].channel = room(i)
				for _, n := range nodes {
					n.join(room(i))
				}
			}
			for i := range tallies {
				all.Go(func() { nodes[0].pour(&tallies[i]) })
			}
			for i := range tallies {
				until(t, "all publishers are under way", func() bool { return len(nodes[1].heard(room(i))) > 10*round })
			}
			nodes[0].close()
			at := len(nodes[0].heard(room(0)))
			all.Wait()
			for _, y := range tallies {
				if !errors.Is(y.last, engine.ErrClosed) {
					t.Errorf("Publish to %q ended with %v, want ErrClosed", y.channel, y.last)
				}
				for _, n := range nodes[1:] {
					n.checkNumbers(y.channel, 0, y.taken)
				}
			}
			if got := len(nodes[0].heard(room(0))); got != at {
				t.Errorf("the closed node's sink was called %d times after Close", got-at)
			}
		})
	}
}
