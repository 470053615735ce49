package enginetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skeinrt/skein/engine"
)

// attached is what a node with other nodes has been told.
type attached struct {
	cluster engine.Cluster // nil without the ability
	record  *record        // shares its lock and its news

	// Of the record's lock.
	gaps    []string
	cuts    int
	changes int
}

// attach gives the engine a node, if it has the ability.
func attach(e engine.Engine, r *record) *attached {
	a := &attached{record: r}
	a.cluster, _ = e.(engine.Cluster)
	if a.cluster == nil {
		return a
	}
	a.cluster.Attach(engine.Node{
		Info:    func() json.RawMessage { return json.RawMessage(`{"suite":true}`) },
		Serve:   serve,
		Gap:     func(channels []string) { r.note(func() { a.gaps = append(a.gaps, channels...) }) },
		Changed: func() { r.note(func() { a.changes++ }) },
		Cut:     func(bool) { r.note(func() { a.cuts++ }) },
	})
	return a
}

// serve is every node's answer to questions.
func serve(ctx context.Context, from, topic string, data []byte) ([]byte, error) {
	switch topic {
	case "echo":
		return []byte(from + " asks " + string(data)), nil
	case "wait":
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case "long":
		return bytes.Repeat([]byte("x"), maxCall), nil
	}
	return nil, errors.New("no topic " + topic)
}

// maxCall is the most that a question or its answer may have.
const maxCall = 512 << 10

// audit finds what no test may bring about: nothing is lost in calm.
func (a *attached) audit(t *testing.T) {
	t.Helper()
	a.record.mu.Lock()
	defer a.record.mu.Unlock()
	if len(a.gaps) > 0 {
		t.Errorf("%s: gaps were told, first on %.40q, and nothing was lost", a.record.name, a.gaps[0])
	}
	if a.cuts > 0 {
		t.Errorf("%s: Cut was called %d times, and nothing was cut", a.record.name, a.cuts)
	}
}

// clustered starts the nodes and reports whether they know each other.
func (c *cluster) clustered() bool {
	c.t.Helper()
	c.start()
	if c.nodes[0].attached.cluster == nil {
		c.t.Log("the engine has no ability Cluster")
		return false
	}
	return true
}

// self returns the node's name in the cluster.
func (n *node) self() string {
	n.t.Helper()
	for _, m := range n.attached.cluster.Members() {
		if m.Local {
			return m.Name
		}
	}
	n.t.Fatalf("%s: no member is local", n.name)
	return ""
}

func (c *cluster) names() []string {
	c.t.Helper()
	var names []string
	for _, n := range c.nodes {
		names = append(names, n.self())
	}
	slices.Sort(names)
	return names
}

// awaitMembers returns when the node sees exactly the members of those names.
func (n *node) awaitMembers(names []string) []engine.Member {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	for {
		changed := n.record.news()
		members := n.attached.cluster.Members()
		var got []string
		for _, m := range members {
			got = append(got, m.Name)
		}
		if slices.Equal(got, names) {
			return members
		}
		select {
		case <-changed:
		case <-ctx.Done():
			n.t.Fatalf("%s: members are %q, want %q", n.name, got, names)
		}
	}
}

func membersAreTheNodes(c *cluster) {
	if !c.clustered() {
		return
	}
	names := c.names()
	for _, n := range c.nodes {
		local := 0
		for _, m := range n.awaitMembers(names) {
			if m.Boot == "" || m.Started.IsZero() || m.Seen.IsZero() {
				c.t.Errorf("%s: %+v: want a boot and both times", n.name, m)
			}
			if m.Local {
				local++
			}
		}
		if local != 1 {
			c.t.Errorf("%s: %d members are local, want 1", n.name, local)
		}
	}
	c.nodes[0].leave(c.nodes[1:])
}

// leave closes the node; the others notice, and their engines say so.
func (n *node) leave(others []*node) {
	n.t.Helper()
	name := n.self()
	n.close()
	if got := n.attached.cluster.Members(); len(got) != 0 {
		n.t.Errorf("%s: after Close it has members %v, want none", n.name, got)
	}
	var names []string
	for _, other := range others {
		names = append(names, other.self())
	}
	slices.Sort(names)
	for _, other := range others {
		other.awaitMembers(names)
		ctx, cancel := other.context()
		defer cancel()
		if _, err := other.attached.cluster.Call(ctx, name, "echo", nil); !errors.Is(err, engine.ErrNoMember) {
			n.t.Errorf("%s: Call of a node that has left: got %v, want ErrNoMember", other.name, err)
		}
	}
}

func noMembersOutsideLife(c *cluster) {
	c.open()
	for _, n := range c.nodes {
		defer n.close()
		if n.attached.cluster == nil {
			c.t.Log("the engine has no ability Cluster")
			return
		}
		if got := n.attached.cluster.Members(); len(got) != 0 {
			c.t.Errorf("%s: before Start it has members %v, want none", n.name, got)
		}
		if _, err := n.attached.cluster.Call(c.t.Context(), "any", "echo", nil); !errors.Is(err, engine.ErrClosed) {
			c.t.Errorf("%s: Call before Start: got %v, want ErrClosed", n.name, err)
		}
	}
}

func callsAreAnswered(c *cluster) {
	if !c.clustered() {
		return
	}
	names := c.names()
	for _, n := range c.nodes {
		n.awaitMembers(names)
		for _, name := range names {
			data := fmt.Sprintf("%s of %s \x00\xff", n.name, name)
			if got, err := n.call(name, "echo", []byte(data)); err != nil || string(got) != n.self()+" asks "+data {
				c.t.Errorf("%s: Call(%q): got %q, %v, want %q", n.name, name, got, err, n.self()+" asks "+data)
			}
			n.checkCallErrors(name)
		}
	}
}

func (n *node) call(name, topic string, data []byte) ([]byte, error) {
	ctx, cancel := n.context()
	defer cancel()
	return n.attached.cluster.Call(ctx, name, topic, data)
}

// checkCallErrors has a member's calls fail in every way.
func (n *node) checkCallErrors(name string) {
	n.t.Helper()
	var told *engine.CallError
	if _, err := n.call(name, "none", nil); !errors.As(err, &told) || told.Member != name || !strings.Contains(told.Message, "no topic none") {
		n.t.Errorf("%s: Call(%q) that fails there: got %v, want a CallError that says so", n.name, name, err)
	}
	if _, err := n.call("no such node", "echo", nil); !errors.Is(err, engine.ErrNoMember) {
		n.t.Errorf("%s: Call of no member: got %v, want ErrNoMember", n.name, err)
	}
	if _, err := n.call(name, "echo", make([]byte, maxCall+1)); !errors.Is(err, engine.ErrTooLarge) {
		n.t.Errorf("%s: Call(%q) with too much: got %v, want ErrTooLarge", n.name, name, err)
	}
	if got, err := n.call(name, "long", nil); err != nil || len(got) != maxCall {
		n.t.Errorf("%s: Call(%q): got %d octets, %v, want %d", n.name, name, len(got), err, maxCall)
	}
	if _, err := n.attached.cluster.Call(done(n.t.Context()), name, "echo", nil); !errors.Is(err, errEnough) {
		n.t.Errorf("%s: Call(%q) in a done context: got %v, want its cause", n.name, name, err)
	}
	ctx, cancel := context.WithCancelCause(n.t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := n.attached.cluster.Call(ctx, name, "wait", nil)
		ended <- err
	}()
	cancel(errEnough)
	if err := <-ended; !errors.Is(err, errEnough) {
		n.t.Errorf("%s: Call(%q) whose context ends: got %v, want its cause", n.name, name, err)
	}
}

// Everything that is calm happens here; that nothing is told is the audit's.
func calmHasNoGaps(c *cluster) {
	if !c.clustered() {
		return
	}
	for _, n := range c.nodes {
		n.awaitMembers(c.names())
	}
	for round := range 20 {
		channel := fmt.Sprint("room ", round%7)
		c.join("room", channel)
		for _, n := range c.nodes {
			n.publish(channel, fmt.Sprintf(`"%s, %d"`, n.name, round))
		}
		c.nodes[round%c.size].engine.Leave(channel)
	}
	c.settle("room")
	c.nodes[0].publish("room", `"the last of one that leaves"`)
	c.nodes[0].leave(c.nodes[1:])
	for _, n := range c.nodes[1:] {
		n.await("room", `"the last of one that leaves"`)
	}
}
