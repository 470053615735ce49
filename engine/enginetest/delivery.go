package enginetest

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/skeinrt/skein/engine"
)

func localSinkComesFirst(c *cluster) {
	c.start()
	c.join("room")
	for _, n := range c.nodes {
		for i := range 100 {
			data := fmt.Sprintf(`"%s, %d"`, n.name, i)
			n.publish("room", data)
			if got := n.record.count("room", data); got != 1 {
				c.t.Fatalf("%s: its own %s had arrived %d times when Publish returned, want 1", n.name, data, got)
			}
		}
	}
}

func reachesEveryNodeOnce(c *cluster) {
	c.start()
	c.join("room")
	for _, n := range c.nodes {
		n.publish("room", fmt.Sprintf("%q", n.name))
	}
	c.settle("room")
	for _, n := range c.nodes {
		for _, from := range c.nodes {
			data := fmt.Sprintf("%q", from.name)
			if got := n.record.count("room", data); got != 1 {
				c.t.Errorf("%s: message of %s arrived %d times, want 1", n.name, from.name, got)
			}
		}
	}
}

// Interest travels between nodes, and so does the message: only many trials
// show which of them is faster.
func acknowledgedJoin(c *cluster) {
	c.start()
	for i := range 200 {
		channel := fmt.Sprint("room ", i)
		joiner := c.nodes[i%c.size]
		joiner.join(channel)
		for _, n := range c.nodes {
			n.publish(channel, fmt.Sprintf("%q", n.name))
		}
		joiner.awaitCount(channel, "", c.size)
	}
}

func orderIsKept(c *cluster) {
	const publishers, each = 4, 250
	c.start()
	c.join("room")
	c.each(func(n *node) {
		var all sync.WaitGroup
		for p := range publishers {
			all.Go(func() { n.publishSequence("room", fmt.Sprint(n.name, " publisher ", p), each) })
		}
		all.Wait()
	})
	for _, n := range c.nodes {
		n.awaitCount("room", "", c.size*publishers*each)
		n.checkSequences("room")
	}
}

// step is the data of a message whose order is checked.
type step struct {
	Publisher string
	Number    int
}

func (n *node) publishSequence(channel, publisher string, steps int) {
	n.t.Helper()
	for i := range steps {
		data, err := json.Marshal(step{publisher, i})
		if err != nil {
			n.t.Error(err)
		}
		n.publish(channel, string(data))
	}
}

// checkSequences looks for a step that is missing or out of place.
func (n *node) checkSequences(channel string) {
	n.t.Helper()
	next := make(map[string]int)
	for _, m := range n.record.on(channel) {
		var s step
		if err := json.Unmarshal(m.Data, &s); err != nil {
			n.t.Fatalf("%s: %.40q arrived on %.40q: %v", n.name, m.Data, channel, err)
		}
		if want := next[s.Publisher]; s.Number != want {
			n.t.Fatalf("%s: %s: message %d arrived on %.40q, want %d", n.name, s.Publisher, s.Number, channel, want)
		}
		next[s.Publisher]++
	}
}

// What arrives on a channel that was never joined is found by the audit.
func onlyJoinedChannels(c *cluster) {
	c.start()
	c.join("room")
	for _, n := range c.nodes {
		for _, channel := range []string{"other", "roo", "room2", "room.a", "Room"} {
			n.publish(channel, fmt.Sprintf("%q", n.name))
		}
	}
	c.settle("room")
}

func leaveIsLocal(c *cluster) {
	c.start()
	c.join("room", "other")
	first := c.nodes[0]
	first.engine.Leave("room")
	first.engine.Leave("never joined")
	for _, n := range c.nodes {
		n.publish("room", fmt.Sprintf(`"%s while the first has left"`, n.name))
		for _, other := range c.nodes[1:] {
			other.await("room", fmt.Sprintf(`"%s while the first has left"`, n.name))
		}
	}
	c.settle("other")
	first.join("room")
	for _, n := range c.nodes {
		n.publish("room", fmt.Sprintf(`"%s when the first is back"`, n.name))
		first.await("room", fmt.Sprintf(`"%s when the first is back"`, n.name))
	}
}

// That one Leave undoes several Joins cannot be seen from here, since a leave
// may linger; that several Joins do not multiply messages can.
func joinsAreNotCounted(c *cluster) {
	c.start()
	c.join("room", "room", "room")
	c.settle("room")
	for _, n := range c.nodes {
		n.engine.Leave("room")
		n.engine.Leave("room")
	}
	c.join("room")
	for _, n := range c.nodes {
		n.publish("room", fmt.Sprintf("%q", n.name))
		for _, other := range c.nodes {
			other.await("room", fmt.Sprintf("%q", n.name))
		}
	}
}

func sinkMayPublish(c *cluster) {
	c.start()
	c.join("question", "answer")
	answerer := c.nodes[c.size-1]
	answerer.record.then(func(m engine.Message) {
		if m.Channel == "question" {
			answerer.publish("answer", string(m.Data))
		}
	})
	for i, n := range c.nodes {
		n.publish("question", fmt.Sprint(i))
	}
	for _, n := range c.nodes {
		n.awaitCount("answer", "", c.size)
	}
}

// A listener that stays must not notice that others come, go and talk.
func concurrentUse(c *cluster) {
	const workers, rounds = 4, 50
	c.start()
	c.join("steady")
	c.each(func(n *node) {
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() { n.comeAndGo(fmt.Sprint(n.name, " worker ", w), rounds) })
		}
		all.Go(func() { n.publishSequence("steady", n.name, workers*rounds) })
		all.Wait()
	})
	for _, n := range c.nodes {
		n.awaitCount("steady", "", c.size*workers*rounds)
		n.checkSequences("steady")
	}
}

// comeAndGo joins, hears itself and leaves, over and over. Everything is on
// channels of its own but for one that every worker publishes to.
func (n *node) comeAndGo(name string, rounds int) {
	n.t.Helper()
	for i := range rounds {
		channel := fmt.Sprint(name, " ", i%3)
		n.join(channel)
		data := fmt.Sprint(i)
		n.publish(channel, data)
		if got := n.record.count(channel, data); got != 1 {
			n.t.Errorf("%s: its own message %s on %q had arrived %d times when Publish returned, want 1", n.name, data, channel, got)
		}
		n.publish("nobody joins this", fmt.Sprintf(`"%s, %d"`, name, i))
		n.engine.Leave(channel)
	}
}
