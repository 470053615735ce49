package enginetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/skeinrt/skein/engine"
)

// checkRefused has every call answered as outside an engine's life.
func (n *node) checkRefused(when string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if err := n.engine.Publish(ctx, engine.Message{Channel: "room", Data: []byte(`"refused"`)}); !errors.Is(err, engine.ErrClosed) {
		n.t.Errorf("%s: Publish %s: got %v, want ErrClosed", n.name, when, err)
	}
	if err := n.engine.Join(ctx, "room"); !errors.Is(err, engine.ErrClosed) {
		n.t.Errorf("%s: Join %s: got %v, want ErrClosed", n.name, when, err)
	}
	n.engine.Leave("room")
}

func nothingWorksBeforeStart(c *cluster) {
	c.open()
	for _, n := range c.nodes {
		n.checkRefused("before Start")
		n.close()
	}
}

func closeBeforeStart(c *cluster) {
	c.open()
	for _, n := range c.nodes {
		n.close()
		n.close()
		ctx, cancel := n.context()
		defer cancel()
		if err := n.engine.Start(ctx, n.record.sink); !errors.Is(err, engine.ErrClosed) {
			c.t.Errorf("%s: Start after Close: got %v, want ErrClosed", n.name, err)
		}
		n.checkRefused("after Close")
	}
}

func nothingWorksAfterClose(c *cluster) {
	c.start()
	c.join("room")
	c.each(func(n *node) {
		n.publish("room", fmt.Sprintf("%q", n.name))
		n.close()
		n.checkRefused("after Close")
		n.close()
	})
}

func closedNodeLeavesOthers(c *cluster) {
	c.start()
	c.join("room")
	c.settle("room")
	c.nodes[0].close()
	for _, n := range c.nodes[1:] {
		n.join("joined later")
		for _, channel := range []string{"room", "joined later"} {
			n.publish(channel, fmt.Sprintf(`"%s goes on"`, n.name))
			n.await(channel, fmt.Sprintf(`"%s goes on"`, n.name))
		}
	}
	if c.size > 2 {
		last := c.nodes[c.size-1]
		c.nodes[1].publish("room", `"to the last"`)
		last.await("room", `"to the last"`)
	}
}

// Whoever was told that a message is taken over may close the very next moment.
func closeDrains(c *cluster) {
	c.start()
	c.join("room")
	first := c.nodes[0]
	first.publishSequence("room", first.name, 500)
	first.close()
	for _, n := range c.nodes {
		n.awaitCount("room", "", 500)
		n.checkSequences("room")
	}
}

func closeInADoneContext(c *cluster) {
	c.start()
	c.join("room")
	c.each(func(n *node) {
		n.publish("room", fmt.Sprintf("%q", n.name))
		if err := n.engine.Close(done(c.t.Context())); err != nil && !errors.Is(err, errEnough) {
			c.t.Errorf("%s: Close in a done context: got %v, want nil or its cause", n.name, err)
		}
		n.checkRefused("after Close")
	})
}

var errEnough = errors.New("enough")

// done returns a context that has ended because of errEnough.
func done(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	cancel(errEnough)
	return ctx
}

func startInADoneContext(c *cluster) {
	c.open()
	for _, n := range c.nodes {
		if err := n.engine.Start(done(c.t.Context()), n.record.sink); !errors.Is(err, errEnough) {
			c.t.Errorf("%s: Start in a done context: got %v, want its cause", n.name, err)
		}
		n.checkRefused("after a failed Start")
		n.close()
	}
}

func doneContext(c *cluster) {
	c.start()
	c.join("room")
	for _, n := range c.nodes {
		n.checkGivesUp()
		n.publish("other", fmt.Sprintf("%q", n.name))
	}
	c.settle("room")
	for _, n := range c.nodes {
		if got := n.record.count("room", `"refused"`); got != 0 {
			c.t.Errorf("%s: a refused message arrived %d times, want 0", n.name, got)
		}
	}
	c.join("other")
	c.settle("other")
}

func (n *node) checkGivesUp() {
	n.t.Helper()
	ctx := done(n.t.Context())
	if err := n.engine.Publish(ctx, engine.Message{Channel: "room", Data: []byte(`"refused"`)}); !errors.Is(err, errEnough) {
		n.t.Errorf("%s: Publish in a done context: got %v, want its cause", n.name, err)
	}
	if err := n.engine.Join(ctx, "other"); !errors.Is(err, errEnough) {
		n.t.Errorf("%s: Join in a done context: got %v, want its cause", n.name, err)
	}
}
