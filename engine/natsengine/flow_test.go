package natsengine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/skeinrt/skein/engine"
)

func TestFloodIsSlowedDownAndNotLost(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	const publishers, each = 2, 300
	data := fmt.Sprintf(`"%0*d"`, 128<<10, 0)
	for _, n := range nodes {
		n.join("flood")
	}
	var all sync.WaitGroup
	for _, n := range nodes[:publishers] {
		all.Go(func() {
			for range each {
				n.publish("flood", data)
			}
		})
	}
	all.Wait()
	for _, n := range nodes {
		until(t, "the flood arrives", func() bool { return len(n.heard("flood")) == publishers*each })
		if got := n.gap("flood"); got != 0 || n.Stats().Losses != 0 {
			t.Errorf("%s was told of %d gaps and lost its connection %d times, want neither", n.options.Node, got, n.Stats().Losses)
		}
	}
	if got := nodes[0].Stats().Stalls + nodes[1].Stats().Stalls; got == 0 {
		t.Error("no publication had to wait for the others")
	}
}

func TestPublishersWaitForTheSlowestNode(t *testing.T) {
	t.Parallel()
	f := newFlow()
	f.sent.Store(5 * flowWindow)
	if f.full() {
		t.Error("without others publishers wait")
	}
	f.add(1)
	f.add(2)
	f.sent.Add(flowWindow)
	if f.full() {
		t.Error("publishers wait while one window is out")
	}
	f.sent.Add(flowMark)
	if !f.full() {
		t.Error("publishers do not wait when more than one window is out")
	}
	news := f.news()
	f.handled(1, f.sent.Load())
	f.handled(3, f.sent.Load())   // no member
	f.handled(2, f.sent.Load()+1) // a lie
	if !f.full() {
		t.Error("publishers do not wait for the slowest")
	}
	f.leave()
	<-news
	if f.full() {
		t.Error("publishers wait for a node that was left behind")
	}
	f.sent.Add(2 * flowWindow)
	f.handled(1, f.sent.Load())
	f.handled(2, f.sent.Load()-flowWindow)
	if f.full() || f.floor.Load() != f.sent.Load() {
		t.Error("publishers wait for a node that has not caught up yet")
	}
	f.handled(2, f.sent.Load()-1)
	if got, want := f.floor.Load(), f.sent.Load()-1; got != want {
		t.Errorf("the floor is %d when it has caught up, want %d", got, want)
	}
	f.remove(2)
	f.remove(1)
	if f.full() {
		t.Error("publishers wait for nobody")
	}
}

func TestPublishThatWaitsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	stuck := make(chan struct{})
	defer close(stuck)
	nodes[1].join("room")
	nodes[1].sinkStuck(stuck)
	nodes[0].publish("room", "x")
	nodes[0].flow.sent.Add(2 * flowWindow)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- nodes[0].Publish(ctx, engine.Message{Channel: "room"}) }()
	until(t, "it waits", func() bool { return nodes[0].Stats().Stalls == 1 })
	cancel(errEnough)
	if err := <-ended; err != nil && !errors.Is(err, errEnough) {
		t.Errorf("Publish: got %v, want %v, or nil after its patience", err, errEnough)
	}
}
