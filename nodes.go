package skein

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// NodeState is what a node is about.
type NodeState string

// States of a node.
const (
	StateServing  NodeState = "serving"
	StateWaiting  NodeState = "waiting"  // for Options.MinNodes
	StateCutOff   NodeState = "cut off"  // from all others
	StateDraining NodeState = "draining" // it shuts down
)

// NodeInfo is a node of the cluster as this one sees it. What it says of itself is as old as its last heartbeat.
type NodeInfo struct {
	// Name is unique in the cluster.
	Name string `json:"name"`
	// Address is where the other nodes reach it, where that is known.
	Address string `json:"address,omitempty"`
	// Local marks the node that was asked.
	Local bool `json:"local"`
	// Started is when it came up, by its own clock.
	Started time.Time `json:"started"`
	// Uptime is how long that is ago, by this node's clock.
	Uptime time.Duration `json:"uptime"`
	// Seen is when this node has last heard from it.
	Seen time.Time `json:"seen"`
	// Lag is how long a message to it and its answer have taken last; 0 is not known, or this node itself.
	Lag time.Duration `json:"lag"`

	NodeReport
}

// NodeReport is what a node says of itself.
type NodeReport struct {
	// Version is Options.Version.
	Version string `json:"version,omitempty"`
	// State is what it is about.
	State NodeState `json:"state,omitempty"`
	// Conns is how many WebSocket connections it has.
	Conns int `json:"conns"`
	// Sessions is how many of them have completed the handshake.
	Sessions int `json:"sessions"`
	// Channels is how many have subscribers there.
	Channels int `json:"channels"`
	// Published counts publications that it has handed to its engine.
	Published uint64 `json:"published"`
	// Delivered counts messages put into the queues of its clients.
	Delivered uint64 `json:"delivered"`
	// PublishRate is how many publications a second there were lately.
	PublishRate float64 `json:"publishRate"`
	// DeliverRate is how many deliveries a second there were lately.
	DeliverRate float64 `json:"deliverRate"`
	// Gaps counts channels of which messages may have been missing.
	Gaps uint64 `json:"gaps"`
	// Tasks are what plugins have registered with Host.Once.
	Tasks []string `json:"tasks,omitempty"`
	// Revocations is a digest of what it knows to be revoked, equal on nodes that know the same; "" is nothing.
	Revocations string `json:"revocations,omitempty"`
}

// Nodes lists the nodes of the cluster that are alive as this one sees it, sorted by name: itself alone where its engine
// has no others, and none while it is not running.
func (s *Server) Nodes() []NodeInfo {
	if !s.life.stood.Load() {
		return nil
	}
	var list []NodeInfo
	for _, m := range s.cluster.Members() {
		n := NodeInfo{
			Name: m.Name, Address: m.Address, Local: m.Local, Started: m.Started, Uptime: time.Since(m.Started), Seen: m.Seen, Lag: m.Lag,
		}
		if m.Local {
			n.NodeReport, n.Seen = s.report(), time.Now()
		} else {
			_ = json.Unmarshal(m.Info, &n.NodeReport) // what a node of another version says is taken as far as it is understood
		}
		list = append(list, n)
	}
	return list
}

// report is what this node says of itself.
func (s *Server) report() NodeReport {
	st := s.Stats()
	r := NodeReport{
		Version: s.options.Version, State: s.nodeState(), Conns: st.Conns, Sessions: st.Sessions, Channels: st.Channels,
		Published: st.Published, Delivered: st.Delivered, Gaps: st.Gaps, Tasks: s.onces,
		Revocations: s.revocations.digest(),
	}
	r.PublishRate, r.DeliverRate = s.cluster.pace.read(s.life.began, st.Published, st.Delivered)
	return r
}

func (s *Server) nodeState() NodeState {
	s.mu.Lock()
	draining := s.phase == draining
	s.mu.Unlock()
	switch {
	case draining:
		return StateDraining
	case s.cluster.lost.Load():
		return StateCutOff
	case !s.cluster.enough.Load():
		return StateWaiting
	default:
		return StateServing
	}
}

// pace makes rates of counters: those of the last interval between two readings that is long enough.
type pace struct {
	mu                       sync.Mutex
	at                       time.Time
	published, delivered     uint64
	publishRate, deliverRate float64
}

// paceInterval is a bit less than that between heartbeats, which are not exact.
const paceInterval = 900 * time.Millisecond

func (p *pace) read(began time.Time, published, delivered uint64) (publishRate, deliverRate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() {
		p.at = began
	}
	now := time.Now()
	if d := now.Sub(p.at); d >= paceInterval {
		p.publishRate = float64(published-p.published) / d.Seconds()
		p.deliverRate = float64(delivered-p.delivered) / d.Seconds()
		p.at, p.published, p.delivered = now, published, delivered
	}
	return p.publishRate, p.deliverRate
}

// builtVersion is the version of the program.
func builtVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return strings.Trim(info.Main.Version, "()")
}
