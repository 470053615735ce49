package natsengine

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// talk has a node publish numbers until it is stopped, which returns how many.
func (n *node) talk(channel string) (stop func() int) {
	done := make(chan struct{})
	var work sync.WaitGroup
	count := 0
	work.Go(func() {
		for ; ; count++ {
			select {
			case <-done:
				return
			default:
				n.publish(channel, fmt.Sprint(count))
			}
			if count%100 == 0 {
				n.join(fmt.Sprint(channel, " ", count)) // takes a round to all members
			}
		}
	})
	return sync.OnceValue(func() int {
		close(done)
		work.Wait()
		return count
	})
}

// checkNumbers looks for numbers that are missing, double or out of order, from
// the first heard on.
func (n *node) checkNumbers(channel string, first, count int) {
	n.t.Helper()
	until(n.t, "the last number arrives", func() bool {
		heard := n.heard(channel)
		return len(heard) > 0 && heard[len(heard)-1] == fmt.Sprint(count-1)
	})
	for i, got := range n.heard(channel) {
		if want := fmt.Sprint(first + i); got != want {
			n.t.Fatalf("%s: number %d on %q is %s, want %s", n.options.Node, i, channel, got, want)
		}
	}
	if got := n.gap(channel); got != 0 {
		n.t.Errorf("%s was told of %d gaps on %q, want none", n.options.Node, got, channel)
	}
}

func TestRollingRestartLosesNothingBetweenThoseWhoStay(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 3)
	begin := func(i int) *node {
		return newNode(t, Embed(Embedded{Options: Options{Node: fmt.Sprint("node ", i)}, Listen: listen[i], Seeds: listen, JoinTimeout: patient}))
	}
	nodes := []*node{begin(0), begin(1), begin(2)}
	startAll(t, nodes)
	for i := range nodes {
		speaker, listener := nodes[(i+1)%3], nodes[(i+2)%3]
		channel := fmt.Sprint("round ", i)
		listener.join(channel)
		stop := speaker.talk(channel)
		t.Cleanup(func() { stop() })
		until(t, "the talk begins", func() bool { return len(listener.heard(channel)) > 0 })
		nodes[i].close()
		until(t, "the talk goes on", func() bool { return len(listener.names()) == 2 })
		nodes[i] = begin(i).start()
		nodes[i].join(channel)
		know(t, nodes...)
		count := stop()
		listener.checkNumbers(channel, 0, count)
		if heard := nodes[i].heard(channel); len(heard) > 0 {
			var first int
			if _, err := fmt.Sscan(heard[0], &first); err != nil {
				t.Fatal(err)
			}
			nodes[i].checkNumbers(channel, first, count)
		}
	}
}

func TestNodeMovesToAnotherServerOfAnExternalCluster(t *testing.T) {
	t.Parallel()
	first, second := startNATSCluster(t)
	a, b := openNode(t, "a", first.ClientURL()), openNode(t, "b", second.ClientURL())
	startAll(t, []*node{a, b})
	a.join("room")
	b.join("room")
	first.Shutdown()
	first.WaitForShutdown()
	until(t, "a has moved", func() bool { return a.Stats().Losses > 0 && a.carrier.up.Load() })
	know(t, a, b)
	b.join("joined later")
	a.publish("joined later", "1")
	b.publish("room", "2")
	until(t, "they hear each other", func() bool { return len(b.heard("joined later")) == 1 && len(a.heard("room")) == 1 })
	if got := a.gap("room"); got == 0 {
		t.Error("a, which had lost its connection, was told of no gap")
	}
	if got := b.gap("room"); got != 0 {
		t.Errorf("b, which had not, was told of %d gaps, want none", got)
	}
}

func TestOfTwoThatStartUnderOneNameOneDoes(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	nodes := []*node{openNode(t, "same", url), openNode(t, "same", url)}
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { errs[i] = n.Start(t.Context(), n.sink) })
	}
	all.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("Start: got %v and %v, want one error", errs[0], errs[1])
	}
}
