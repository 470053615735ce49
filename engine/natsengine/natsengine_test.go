package natsengine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/enginetest"
)

// patient is how long tests wait for what must happen. It costs time only where
// a test fails.
const patient = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEmbeddedNodesKeepTheContract(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 2, Patience: patient, Open: embeddedNodes})
}

func TestThreeEmbeddedNodesKeepTheContract(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Patience: patient, Open: embeddedNodes})
}

func TestNodesOnExternalNATSKeepTheContract(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Patience: patient, Open: func(t *testing.T, nodes int) []engine.Engine {
		t.Helper()
		return externalNodes(nodes, startNATS(t, server.Options{}).ClientURL())
	}})
}

func TestNodesOnAnExternalClusterKeepTheContract(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Patience: patient, Open: func(t *testing.T, nodes int) []engine.Engine {
		t.Helper()
		first, second := startNATSCluster(t)
		return externalNodes(nodes, first.ClientURL(), second.ClientURL())
	}})
}

// embeddedNodes returns nodes that are not started yet, with the same list of
// seeds.
func embeddedNodes(t *testing.T, nodes int) []engine.Engine {
	t.Helper()
	var engines []engine.Engine
	addresses := freeAddresses(t, nodes)
	for i, listen := range addresses {
		engines = append(engines, Embed(Embedded{
			Options: Options{Node: fmt.Sprint("node ", i), Logger: testLogger(t)}, Listen: listen, Seeds: addresses, JoinTimeout: patient,
		}))
	}
	return engines
}

// externalNodes spreads nodes over the URLs.
func externalNodes(nodes int, urls ...string) []engine.Engine {
	var engines []engine.Engine
	for i := range nodes {
		engines = append(engines, Open(External{Options: Options{Node: fmt.Sprint("node ", i)}, URLs: []string{urls[i%len(urls)]}}))
	}
	return engines
}

// testLogger shows what engines log when SKEIN_TEST_LOG is set.
func testLogger(t *testing.T) *slog.Logger {
	t.Helper()
	if os.Getenv("SKEIN_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// freeAddresses returns addresses that nobody listens on, below those that the system gives to connections, one of which
// would take them before a node does.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	var listeners []net.Listener
	for len(addresses) < n {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(10_000+rand.IntN(20_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, l.Addr().String())
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return addresses
}

// startNATS runs a server that is external to the engines.
func startNATS(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.NoSigs, o.NoLog, o.Host = true, true, "127.0.0.1"
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patient) {
		t.Fatal("the external NATS does not start")
	}
	return s
}

// startNATSCluster runs two servers with a route between them.
func startNATSCluster(t *testing.T) (first, second *server.Server) {
	t.Helper()
	first = startNATS(t, server.Options{ServerName: "first", Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT}})
	second = startNATS(t, server.Options{
		ServerName: "second", Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT},
		Routes: server.RoutesFromStr("nats://" + first.ClusterAddr().String()),
	})
	until(t, "the NATS servers have a route", func() bool { return second.NumRoutes() > 0 && first.NumRoutes() > 0 })
	return first, second
}

// until waits for a condition that no event tells.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patient); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patient)
		}
		<-tick.C
	}
}

// node is an engine with what it has told.
type node struct {
	t *testing.T
	*Engine

	mu       sync.Mutex
	messages map[string][]string // by channel
	gaps     map[string]int
	cuts     []bool
	changes  int
	stuck    <-chan struct{} // the sink waits for it
	serve    func(ctx context.Context, from, topic string, data []byte) ([]byte, error)
}

// newNode attaches a node to an engine, which is closed at the end.
func newNode(t *testing.T, e *Engine) *node {
	t.Helper()
	n := &node{t: t, Engine: e, messages: make(map[string][]string), gaps: make(map[string]int)}
	n.serve = func(_ context.Context, from, topic string, data []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s %s %s", from, topic, data), nil
	}
	e.Attach(engine.Node{
		Info: func() json.RawMessage { return json.RawMessage(`{"node":"` + e.options.Node + `"}`) },
		Serve: func(ctx context.Context, from, topic string, data []byte) ([]byte, error) {
			n.mu.Lock()
			serve := n.serve
			n.mu.Unlock()
			return serve(ctx, from, topic, data)
		},
		Gap: func(channels []string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, channel := range channels {
				n.gaps[channel]++
			}
		},
		Changed: func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.changes++
		},
		Cut: func(lost bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.cuts = append(n.cuts, lost)
		},
	})
	t.Cleanup(n.close)
	return n
}

func (n *node) sink(m engine.Message) {
	n.mu.Lock()
	stuck := n.stuck
	n.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages[m.Channel] = append(n.messages[m.Channel], string(m.Data))
}

// serves sets how the node answers.
func (n *node) serves(f func(ctx context.Context) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serve = func(ctx context.Context, _, _ string, _ []byte) ([]byte, error) { return nil, f(ctx) }
}

// sinkStuck makes the sink wait, which no sink may.
func (n *node) sinkStuck(until <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stuck = until
}

func (n *node) start() *node {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if err := n.Start(ctx, n.sink); err != nil {
		n.t.Fatalf("%s: Start: %v", n.options.Node, err)
	}
	return n
}

func (n *node) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(n.t.Context()), patient)
}

func (n *node) close() {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if err := n.Close(ctx); err != nil {
		n.t.Errorf("%s: Close: %v", n.options.Node, err)
	}
}

func (n *node) join(channels ...string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	for _, channel := range channels {
		if err := n.Join(ctx, channel); err != nil {
			n.t.Fatalf("%s: Join(%q): %v", n.options.Node, channel, err)
		}
	}
}

func (n *node) publish(channel, data string) {
	n.t.Helper()
	if err := n.Publish(n.t.Context(), engine.Message{Channel: channel, Data: []byte(data)}); err != nil {
		n.t.Fatalf("%s: Publish(%q): %v", n.options.Node, channel, err)
	}
}

func (n *node) heard(channel string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.messages[channel]
}

func (n *node) gap(channel string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gaps[channel]
}

func (n *node) cut() []bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts
}

func (n *node) names() []string {
	var names []string
	for _, m := range n.Members() {
		names = append(names, m.Name)
	}
	return names
}
