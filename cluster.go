package skein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/skeinrt/skein/engine"
)

// ErrCutOff is why a node that has lost the others gets no traffic, where Options.CutOff is CloseSessions.
var ErrCutOff = errors.New("the node has lost the others of its cluster")

// CutOff says what a node does when it has lost all others of its cluster without their taking leave, or what carries its
// messages. It cannot tell which of them is alive: of two nodes, the one that survives the other has lost all others too.
// Either way the sessions that stay are told, with the event #gap for each of their channels.
type CutOff uint8

// What Options.CutOff may be.
const (
	ServeAlone    CutOff = iota // serve on, for the sessions that are there and for those that come
	CloseSessions               // send all connections away, spread as by Shutdown, and be not ready until the others are back
)

// cluster is the node's place among the others.
type cluster struct {
	engine.Cluster // set by Start

	enough atomic.Bool // Options.MinNodes have been there
	lost   atomic.Bool // the others have been lost
	pace   pace        // own lock
	gaps   gaps        // own lock

	mu      sync.Mutex
	changed chan struct{}      // closed when the members change; nil: nobody waits for it
	turned  context.CancelFunc // of what is done until the cut ends
}

// attach finds out whether the engine has other nodes, and tells it about this one.
func (s *Server) attach() error {
	c, ok := s.engine.(engine.Cluster)
	if !ok {
		c = alone{s}
	}
	if n := s.options.MinNodes; !ok && n > 1 {
		return fmt.Errorf("the option Options.MinNodes is %d, and the engine has no other nodes", n)
	}
	s.cluster.Cluster = c
	s.engine = contained{s.engine, s}
	s.cluster.gaps.told = make(chan struct{}, 1)
	c.Attach(engine.Node{
		Name: s.options.Node, Info: s.info, Serve: s.serve, Gap: s.gapped, Changed: s.membersChanged, Cut: s.cut,
	})
	return nil
}

// recognise compares the name that the engine has for this node.
func (s *Server) recognise() error {
	for _, m := range s.cluster.Members() {
		if m.Local && m.Name != s.options.Node {
			return fmt.Errorf("the engine calls this node %q and the server %q: give both the same name", m.Name, s.options.Node)
		}
	}
	s.membersChanged()
	return nil
}

// membersChanged is the engine's.
func (s *Server) membersChanged() {
	c := &s.cluster
	if len(c.Members()) >= s.options.MinNodes {
		c.enough.Store(true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// change returns what is closed when the members change.
func (c *cluster) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// apart says why the node should get no traffic although it runs: it waits for its cluster, or has lost it.
func (s *Server) apart() error {
	switch {
	case s.isolated():
		return ErrCutOff
	case !s.cluster.enough.Load():
		return fmt.Errorf("the node waits for its cluster: %d of %d nodes are there", len(s.cluster.Members()), s.options.MinNodes)
	default:
		return nil
	}
}

// isolated reports whether the node has lost its cluster and serves nobody without it.
func (s *Server) isolated() bool {
	return s.options.CutOff == CloseSessions && s.cluster.lost.Load()
}

// cut is the engine's: the others are lost, or found again. What was sent between the two has not arrived, so that the
// sessions are told at both ends.
func (s *Server) cut(lost bool) {
	c := &s.cluster
	if c.lost.Swap(lost) == lost {
		return
	}
	c.gaps.addAll()
	ctx := c.await(s.life.ctx)
	if !lost {
		s.log.LogAttrs(ctx, slog.LevelInfo, "the other nodes are back")
		return
	}
	s.counters.cuts.Add(1)
	s.log.LogAttrs(ctx, slog.LevelWarn, "the other nodes are lost")
	if s.options.CutOff == CloseSessions {
		s.life.tasks.Go(func() { s.usher(ctx, s.options.Timeouts.Drain) })
	}
}

// await returns a context that ends with the next cut or its end, as the one does that was returned before.
func (c *cluster) await(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turned != nil {
		c.turned()
	}
	ctx, c.turned = context.WithCancel(ctx)
	return ctx
}

// call asks a node; this one without the engine.
func (s *Server) call(ctx context.Context, node, topic string, data []byte) ([]byte, error) {
	switch {
	case !s.life.stood.Load():
		return nil, ErrStopped
	case len(data) > maxQuestion:
		return nil, fmt.Errorf("ask node %s: %w: %d bytes, and %d are allowed", node, engine.ErrTooLarge, len(data), maxQuestion)
	case node != s.options.Node:
		return s.cluster.Call(ctx, node, topic, data)
	}
	out, err := s.serve(ctx, node, topic, data)
	if err == nil && len(out) > maxQuestion {
		err = engine.ErrTooLarge
	}
	if err != nil {
		return nil, &engine.CallError{Member: node, Message: err.Error()}
	}
	return out, nil
}

// maxQuestion is how long a question or an answer may be.
const maxQuestion = 512 * kib

// alone is the cluster of a node whose engine has no others.
type alone struct{ server *Server }

// Attach needs nothing.
func (alone) Attach(engine.Node) {}

// Members is this node.
func (a alone) Members() []engine.Member {
	return []engine.Member{{Name: a.server.options.Node, Started: a.server.life.began, Local: true}}
}

// Call has nobody to ask.
func (alone) Call(context.Context, string, string, []byte) ([]byte, error) {
	return nil, engine.ErrNoMember
}

// info is what the other nodes show of this one.
func (s *Server) info() json.RawMessage {
	b, err := marshal(s.report())
	if err != nil {
		return nil // a bug, which costs a line in a table
	}
	return b
}
