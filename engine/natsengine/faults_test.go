package natsengine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/skeinrt/skein/engine"
)

// apart starts two nodes that reach each other through proxies only.
func apart(t *testing.T, silent bool) (nodes []*node, cut func(bool)) {
	t.Helper()
	listen := freeAddresses(t, 2)
	var proxies []*proxy
	for _, address := range listen {
		p := startProxy(t, address)
		p.silent = silent
		proxies = append(proxies, p)
	}
	for i, address := range listen {
		nodes = append(nodes, newNode(t, Embed(Embedded{
			Options: Options{Node: fmt.Sprint("node ", i), Logger: testLogger(t)}, Listen: address,
			Advertise: proxies[i].address(), Seeds: []string{proxies[0].address(), proxies[1].address()}, JoinTimeout: patient,
		})))
	}
	startAll(t, nodes)
	return nodes, func(cut bool) {
		for _, p := range proxies {
			p.set(cut)
		}
	}
}

func TestCutIsToldAndHeals(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprint("silent ", silent), func(t *testing.T) {
			t.Parallel()
			cutIsToldAndHeals(t, silent)
		})
	}
}

func cutIsToldAndHeals(t *testing.T, silent bool) {
	t.Helper()
	nodes, cut := apart(t, silent)
	a, b := nodes[0], nodes[1]
	a.join("room", "idle")
	b.join("room")
	a.publish("room", `"before"`)
	until(t, "the message before the cut arrives", func() bool { return len(b.heard("room")) == 1 })
	cut(true)
	a.publish("room", `"lost"`)
	know(t, a)
	know(t, b)
	until(t, "both are told that they are cut off", func() bool { return len(a.cut()) == 1 && len(b.cut()) == 1 })
	until(t, "the gap is told where the other was heard", func() bool { return b.gap("room") == 1 })
	a.publish("room", `"still lost"`)
	a.join("joined alone")
	cut(false)
	know(t, a, b)
	until(t, "both are told that they are together", func() bool {
		return slices.Equal(a.cut(), []bool{true, false}) && slices.Equal(b.cut(), []bool{true, false})
	})
	until(t, "what was published meanwhile is told as a gap", func() bool { return b.gap("room") == 2 })
	for i := range 100 {
		a.publish("room", fmt.Sprint(i))
		b.publish("joined alone", fmt.Sprint(i))
	}
	until(t, "messages arrive again", func() bool { return len(b.heard("room")) >= 101 && len(a.heard("joined alone")) >= 100 })
	if got := b.heard("room"); len(got) != 101 || got[1] != "0" || got[100] != "99" {
		t.Errorf("b has heard %q, want what was published while it was connected, once each, in order", got)
	}
	if got := b.gap("room"); got != 2 {
		t.Errorf("gaps were told %d times, want 2: for the cut, and for what was published meanwhile", got)
	}
}

// Nothing but a number can tell of it: the connection is back before anybody is
// missed, and nothing is published afterwards.
func TestLastMessageBeforeAShortCutIsMissed(t *testing.T) {
	t.Parallel()
	nodes, cut := apart(t, false)
	a, b := nodes[0], nodes[1]
	b.join("room")
	cut(true)
	until(t, "the route is gone", func() bool { return a.source.(*embedded).server.NumRoutes() == 0 })
	a.publish("room", `"lost"`)
	cut(false)
	until(t, "the gap is told", func() bool { return b.gap("room") > 0 })
	if got := b.heard("room"); len(got) != 0 {
		t.Errorf("b has heard %q, want nothing", got)
	}
}

func TestKilledNodeIsNoMemberAnyMore(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	nodes[0].join("heard", "silent")
	nodes[2].publish("heard", `"x"`)
	until(t, "the message arrives", func() bool { return len(nodes[0].heard("heard")) == 1 })
	nodes[2].kill()
	know(t, nodes[0], nodes[1])
	until(t, "a possible gap is told where it was heard", func() bool { return nodes[0].gap("heard") == 1 })
	if got := nodes[0].gap("silent"); got != 0 {
		t.Errorf("a gap was told %d times on a channel on which nobody was heard, want 0", got)
	}
	if got := nodes[0].cut(); len(got) != 0 {
		t.Errorf("Cut was called with %v, want not at all: one other node is left", got)
	}
}

func TestExternalNATSIsRestarted(t *testing.T) {
	t.Parallel()
	nats := startNATS(t, server.Options{})
	var nodes []*node
	for _, e := range externalNodes(2, nats.ClientURL()) {
		e, _ := e.(*Engine)
		nodes = append(nodes, newNode(t, e))
	}
	startAll(t, nodes)
	a, b := nodes[0], nodes[1]
	a.join("room")
	b.join("room")
	port := nats.Addr().String()
	nats.Shutdown()
	nats.WaitForShutdown()
	for i, n := range nodes {
		until(t, "the loss is noticed", func() bool { return n.Stats().Losses == 1 })
		if err := n.Publish(t.Context(), engine.Message{Channel: "room", Data: []byte(`"refused"`)}); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("Publish while NATS is away: got %v, want ErrUnreachable", err)
		}
		if err := n.Join(t.Context(), "other"); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("Join while NATS is away: got %v, want ErrUnreachable", err)
		}
		if _, err := n.Call(t.Context(), nodes[1-i].options.Node, "x", nil); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("Call while NATS is away: got %v, want ErrUnreachable", err)
		}
		until(t, "the loss is told", func() bool { return n.gap("room") == 1 && slices.Equal(n.cut(), []bool{true}) })
	}
	_, number, err := hostPort(port)
	if err != nil {
		t.Fatal(err)
	}
	startNATS(t, server.Options{Port: number})
	for _, n := range nodes {
		until(t, "the connection is back, and told", func() bool { return slices.Equal(n.cut(), []bool{true, false}) })
	}
	know(t, a, b)
	b.join("other")
	a.publish("other", `"goes on"`)
	until(t, "messages arrive again", func() bool { return len(b.heard("other")) == 1 })
	if got := b.heard("room"); len(got) != 0 {
		t.Errorf("%q arrived, want nothing of what was refused", got)
	}
}

func TestSlowNodeCostsBoundedMemoryAndIsTold(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	a, b := nodes[0], nodes[1]
	b.join("flood")
	stuck := make(chan struct{})
	release := sync.OnceFunc(func() { close(stuck) })
	defer release()
	b.sinkStuck(stuck)
	data := fmt.Sprintf(`"%0*d"`, 256<<10, 0)
	for range 2_000 { // half a gigabyte
		err := a.Publish(t.Context(), engine.Message{Channel: "flood", Data: []byte(data)})
		if err != nil && !errors.Is(err, engine.ErrUnreachable) {
			t.Fatalf("Publish: got %v, want nil or ErrUnreachable", err)
		}
	}
	if waiting := b.carrier.inlet.read.Load() - b.carrier.inlet.taken.Load(); waiting > inletBytes+1<<20 {
		t.Errorf("%d octets wait for the sink, want about %d", waiting, inletBytes)
	}
	release()
	until(t, "the loss is told", func() bool { return b.gap("flood") > 0 })
	a.publish("flood", `"end"`)
	until(t, "it catches up", func() bool {
		heard := b.heard("flood")
		return len(heard) > 0 && heard[len(heard)-1] == `"end"` || func() bool { a.publish("flood", `"end"`); return false }()
	})
}
