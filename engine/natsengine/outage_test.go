package natsengine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Nobody who lives can say what a node has published that came and went while this one had lost NATS.
func TestWhatANodePublishedThatLeftDuringAnOutageIsAGap(t *testing.T) {
	t.Parallel()
	routes := server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoAdvertise: true}
	first := startNATS(t, server.Options{ServerName: "first", Cluster: routes})
	second := startNATS(t, server.Options{ServerName: "second", Cluster: routes, Routes: server.RoutesFromStr("nats://" + first.ClusterAddr().String())})
	until(t, "the NATS servers have a route", func() bool { return second.NumRoutes() > 0 && first.NumRoutes() > 0 })
	proxy := startProxy(t, first.Addr().String())
	a := openNode(t, "a", "nats://"+proxy.address()).start()
	b := openNode(t, "b", second.ClientURL()).start()
	know(t, a, b)
	a.join("room")
	b.publish("room", `"before"`)
	until(t, "a message arrives", func() bool { return len(a.heard("room")) == 1 })
	proxy.set(true)
	until(t, "the loss is told", func() bool { return a.gap("room") > 0 && !a.carrier.up.Load() })
	b.publish("room", `"lost"`)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "a buries b", func() bool { return a.members.count() == 0 })
	before := a.gap("room")
	proxy.set(false)
	until(t, "what was lost is told", func() bool { return a.gap("room") > before })
}

func TestNodeWhoseSinkHangsCountsAsDead(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	b.join("room")
	stuck := make(chan struct{})
	b.sinkStuck(stuck)
	a.publish("room", `"x"`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Join(ctx, "another"); err != nil {
		t.Errorf("got %v, want that a join does not wait for a node that hangs", err)
	}
	close(stuck)
	know(t, a, b, c)
}

func TestNameThatCannotBeLookedUpKeepsItsAddresses(t *testing.T) {
	t.Parallel()
	var wrong error
	s := &seeds{names: []string{"peers.test:1", "127.0.0.2:2"}, lookup: func(context.Context, string) ([]string, error) {
		return []string{"127.0.0.1"}, wrong
	}}
	s.resolve(t.Context())
	want := []string{"127.0.0.1:1", "127.0.0.2:2"}
	if got := s.known(); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	wrong = errors.New("the DNS is away")
	if changed := s.resolve(t.Context()); changed || !slices.Equal(s.known(), want) {
		t.Errorf("got %v, want them to stay %v", s.known(), want)
	}
	if len(s.failed) != 1 {
		t.Errorf("got failures %v, want that one is known", s.failed)
	}
}

// A beat says up to which number everything has been told; what is numbered while it is made is not among that.
func TestBeatsDoNotClaimWhatTheyDoNotTell(t *testing.T) {
	t.Parallel()
	e := newEngine(Options{Node: "a"}, &external{})
	for range 3 {
		_, _ = e.numbers.send("room", func(uint64, uint64) error { return nil })
	}
	e.tell(nil, 2, nil)
	if got := e.beats.told; got != 2 {
		t.Errorf("got %d told, want 2", got)
	}
	e.tell(nil, 0, []note{{"room", 3}}) // a publisher's, of one shard
	if got := e.beats.told; got != 2 {
		t.Errorf("got %d told by a beat of one shard, want still 2", got)
	}
}
