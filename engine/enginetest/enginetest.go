// Package enginetest is the contract of package engine as a suite of tests,
// which every driver runs:
//
//	func TestEngine(t *testing.T) {
//		enginetest.Run(t, enginetest.Driver{Nodes: 3, Open: open})
//	}
//
// The suite never sleeps and assumes no speed: what must arrive is waited for
// up to [Driver.Patience], and what must not arrive is looked for when
// everything sent behind it has arrived, and again when the engines are closed.
//
// The clauses about other nodes, [engine.Cluster], hold for engines that have
// them; with others they end at once.
package enginetest

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skeinrt/skein/engine"
)

// Driver is what the suite has to know about a driver.
type Driver struct {
	// Open returns the engines of a fresh cluster, one for each node, not yet
	// started. The suite starts them at the same time and closes them.
	Open func(t *testing.T, nodes int) []engine.Engine
	// Nodes is the size of the largest cluster to test; every test runs on a
	// lone node too. 0 means 1.
	Nodes int
	// Patience is how long the suite waits for what must happen. It costs
	// time only where a test fails. 0 means 10 s.
	Patience time.Duration
}

// Run runs the suite.
func Run(t *testing.T, d Driver) {
	t.Helper()
	d.Nodes = cmp.Or(d.Nodes, 1)
	d.Patience = cmp.Or(d.Patience, 10*time.Second)
	for _, c := range contract() {
		t.Run(c.name, func(t *testing.T) {
			t.Run("1 node", func(t *testing.T) { c.test(&cluster{t: t, driver: d, size: 1}) })
			if d.Nodes > 1 {
				t.Run(fmt.Sprint(d.Nodes, " nodes"), func(t *testing.T) { c.test(&cluster{t: t, driver: d, size: d.Nodes}) })
			}
		})
	}
}

type clause struct {
	name string
	test func(*cluster)
}

// contract lists what is promised, in the order in which a driver's author
// will want to meet it.
func contract() []clause {
	return []clause{
		{"NothingWorksBeforeStart", nothingWorksBeforeStart},
		{"CloseBeforeStart", closeBeforeStart},
		{"LocalSinkIsCalledBeforePublishReturns", localSinkComesFirst},
		{"MessageReachesEveryJoinedNodeOnce", reachesEveryNodeOnce},
		{"AcknowledgedJoinSeesWhatIsPublishedAfterwards", acknowledgedJoin},
		{"OrderOfAPublisherIsKeptEverywhere", orderIsKept},
		{"OnlyJoinedChannelsArrive", onlyJoinedChannels},
		{"LeaveEndsOneChannelOnOneNode", leaveIsLocal},
		{"JoinsAreNotCounted", joinsAreNotCounted},
		{"OctetsArriveUnchanged", octetsArrive},
		{"ChannelNamesAreData", namesAreData},
		{"SinkMayPublish", sinkMayPublish},
		{"StartGivesUpWhenItsContextIsDone", startInADoneContext},
		{"DoneContextChangesNothing", doneContext},
		{"ConcurrentUseLosesNothing", concurrentUse},
		{"CloseSendsWhatWasTakenOver", closeDrains},
		{"NothingWorksAfterClose", nothingWorksAfterClose},
		{"ClosedNodeDoesNotDisturbOthers", closedNodeLeavesOthers},
		{"CloseReturnsWhenItsContextEnds", closeInADoneContext},
		{"NoMembersOutsideOfLife", noMembersOutsideLife},
		{"MembersAreTheNodes", membersAreTheNodes},
		{"CallsAreAnswered", callsAreAnswered},
		{"CalmHasNoGaps", calmHasNoGaps},
	}
}

// cluster is what a test works with: nodes and what they have heard.
type cluster struct {
	t       *testing.T
	driver  Driver
	size    int
	nodes   []*node
	settled int // how many times settle was called
}

// open replaces the nodes by new ones, not started; the test closes them.
func (c *cluster) open() {
	c.t.Helper()
	engines := c.driver.Open(c.t, c.size)
	if len(engines) != c.size {
		c.t.Fatalf("Open returned %d engines, want %d", len(engines), c.size)
	}
	c.nodes = nil
	for i, e := range engines {
		name := fmt.Sprint("node ", i)
		r := newRecord(name)
		c.nodes = append(c.nodes, &node{t: c.t, name: name, patience: c.driver.Patience, engine: e, record: r, attached: attach(e, r)})
	}
}

// start opens nodes and starts them. At the end of the test they are closed, and
// each one's record is looked through for what is forbidden in any test.
func (c *cluster) start() {
	c.t.Helper()
	c.open()
	c.t.Cleanup(func() {
		c.each(func(n *node) {
			n.close()
			n.record.audit(c.t)
			n.attached.audit(c.t)
		})
	})
	c.each(func(n *node) {
		ctx, cancel := n.context()
		defer cancel()
		if err := n.engine.Start(ctx, n.record.sink); err != nil {
			c.t.Errorf("%s: Start: %v", n.name, err)
		}
	})
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// each calls f for all nodes at the same time.
func (c *cluster) each(f func(n *node)) {
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() { f(n) })
	}
	all.Wait()
}

// join has every node join the channels.
func (c *cluster) join(channels ...string) {
	c.t.Helper()
	c.each(func(n *node) {
		for _, channel := range channels {
			n.join(channel)
		}
	})
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// settle returns when every node has heard what every node had sent on channel,
// which all have joined, and one answer to that, so that an echo would have
// come as well.
func (c *cluster) settle(channel string) {
	c.t.Helper()
	c.settled++
	for round := range 2 {
		for _, n := range c.nodes {
			mark := fmt.Sprintf(`"settled %d.%d by %s"`, c.settled, round, n.name)
			n.publish(channel, mark)
			for _, other := range c.nodes {
				other.await(channel, mark)
			}
		}
	}
}

// node is one engine and what it has delivered.
type node struct {
	t        *testing.T
	name     string
	patience time.Duration
	engine   engine.Engine
	record   *record
	attached *attached
}

// context outlives the test's own, since nodes are closed in its clean-up.
func (n *node) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(n.t.Context()), n.patience)
}

func (n *node) join(channel string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	n.record.joining(channel)
	if err := n.engine.Join(ctx, channel); err != nil {
		n.t.Errorf("%s: Join(%.40q): %v", n.name, channel, err)
	}
}

// publish sends data, which no other publication of the test on that channel may be.
func (n *node) publish(channel, data string) {
	n.t.Helper()
	n.send(engine.Message{Channel: channel, Data: []byte(data)})
}

func (n *node) send(m engine.Message) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if err := n.engine.Publish(ctx, m); err != nil {
		n.t.Errorf("%s: Publish(%.40q, %.40q): %v", n.name, m.Channel, m.Data, err)
	}
}

// await returns when data has arrived on channel.
func (n *node) await(channel, data string) {
	n.t.Helper()
	n.awaitCount(channel, data, 1)
}

// awaitCount returns when data has arrived on channel that many times; if data
// is empty, that many of any kind.
func (n *node) awaitCount(channel, data string, count int) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if got := n.record.wait(ctx, channel, data, count); got < count {
		n.t.Fatalf("%s: %d of %d messages %.40q arrived on %.40q within %v", n.name, got, count, data, channel, n.patience)
	}
}

func (n *node) close() {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if err := n.engine.Close(ctx); err != nil {
		n.t.Errorf("%s: Close: %v", n.name, err)
	}
	n.record.seal()
}
