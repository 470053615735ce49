//go:build unix

package cluster_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/natsengine"
)

// These are the ways of NATS to join regions, for docs/scale.md, which says which of them keeps the promises.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func natsServer(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(limit) {
		t.Fatal("NATS does not start")
	}
	return s
}

// await polls what only the servers know.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	for tick := time.Tick(5 * time.Millisecond); !ok(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("it did not come to this: %s", what)
		}
	}
}

// region is a node at one of the servers.
func region(t *testing.T, name string, s *server.Server) (e *natsengine.Engine, received *atomic.Int64) {
	t.Helper()
	received = new(atomic.Int64)
	e = natsengine.Open(natsengine.External{Options: natsengine.Options{Node: name}, URLs: []string{s.ClientURL()}})
	t.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := e.Start(t.Context(), func(engine.Message) { received.Add(1) }); err != nil {
		t.Fatal(err)
	}
	return e, received
}

// race joins channels in one region and publishes to each in the other one as soon as the join is acknowledged. It returns
// what has not arrived, and how much of it was told as a gap.
func race(t *testing.T, from, to *server.Server) (lost, told int64) {
	t.Helper()
	publisher, _ := region(t, "publisher", from)
	subscriber, received := region(t, "subscriber", to)
	await(t, "the nodes have met", func() bool { return len(publisher.Members()) == 2 && len(subscriber.Members()) == 2 })
	before := subscriber.Stats().Gaps
	const channels = 2_000
	for i := range channels {
		name := fmt.Sprint("channel ", i)
		if err := subscriber.Join(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Publish(t.Context(), engine.Message{Channel: name, Data: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	told = 0
	await(t, "all have arrived or are told", func() bool {
		told = int64(subscriber.Stats().Gaps - before)
		return received.Load()+told >= channels
	})
	return channels - received.Load(), told
}

func TestAcknowledgedJoinIsTrueAcrossLeafNodes(t *testing.T) {
	t.Parallel()
	hub := natsServer(t, &server.Options{ServerName: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}})
	figures, err := hub.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	to := []*url.URL{{Scheme: "nats-leaf", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(figures.LeafNode.Port))}}
	leaf := func(name string) *server.Server {
		return natsServer(t, &server.Options{ServerName: name, LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: to}}}})
	}
	east, west := leaf("east"), leaf("west")
	await(t, "both leaves are connected", func() bool { return hub.NumLeafNodes() == 2 })
	if lost, told := race(t, east, west); lost != 0 || told != 0 {
		t.Errorf("got %d lost and %d told as gaps, want none", lost, told)
	}
}

// A gateway tells of interest on another connection than the one that carries the messages, so that nothing can promise that
// it comes first. What is lost is told all the same.
func TestGatewaysLoseNothingInSilence(t *testing.T) {
	t.Parallel()
	gateway := func(name string, to ...*server.RemoteGatewayOpts) *server.Server {
		return natsServer(t, &server.Options{ServerName: name, Gateway: server.GatewayOpts{
			Name: name, Host: "127.0.0.1", Port: server.RANDOM_PORT, Gateways: to,
		}})
	}
	east := gateway("east")
	west := gateway("west", &server.RemoteGatewayOpts{
		Name: "east", URLs: []*url.URL{{Scheme: "nats", Host: east.GatewayAddr().String()}},
	})
	await(t, "both know each other", func() bool { return east.NumOutboundGateways() == 1 && west.NumOutboundGateways() == 1 })
	lost, told := race(t, east, west)
	t.Logf("%d lost, %d told", lost, told)
	if lost != told {
		t.Errorf("got %d lost and %d told as gaps, want as many", lost, told)
	}
}
