package engine

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Errors of the ability [Cluster], and of Publish and Join where there is one.
var (
	// ErrUnreachable is what Publish and Join answer while the engine has lost
	// what carries its messages. Nothing has been taken over.
	ErrUnreachable = errors.New("engine: the other nodes cannot be reached")
	// ErrTooLarge is what Publish answers for a message that the engine's
	// carrier does not take.
	ErrTooLarge = errors.New("engine: the message is too large")
	// ErrNoMember is what Call answers for a node that is not a member, or has
	// died before it has answered.
	ErrNoMember = errors.New("engine: no such member")
)

// Cluster is the ability of an engine that has other nodes: it knows them, and
// carries questions between them.
type Cluster interface {
	// Attach tells the engine about the node that it belongs to. It is called
	// once, before Start.
	Attach(Node)
	// Members lists the nodes that are alive as this one sees it, itself
	// included, sorted by name. Before Start and after Close there are none.
	Members() []Member
	// Call asks the member of that name, which may be this node, and waits for
	// what its Node.Serve returns; an error of Serve comes back as a
	// [*CallError]. topic tells the kinds of questions apart. A question and an
	// answer are at most 512 KiB each.
	Call(ctx context.Context, member, topic string, data []byte) ([]byte, error)
}

// Member is a node of the cluster as another one sees it.
type Member struct {
	// Name is the node's name, unique among the living.
	Name string
	// Boot is new at each start of the node.
	Boot string
	// Address is where the other nodes reach it, where that is known.
	Address string
	// Started is when it came up, by its own clock.
	Started time.Time
	// Seen is when this node has last heard from it.
	Seen time.Time
	// Lag is how long a message to it and its answer have taken last; 0 for
	// this node itself, and until it is known.
	Lag time.Duration
	// Info is what the node says of itself, one JSON value: the last Node.Info.
	Info json.RawMessage
	// Local marks this node itself.
	Local bool
}

// Node is what an engine with other nodes needs to know of its own. All
// functions are set, may be called from any goroutine after Start has been
// called and until Close returns, and must not block, except Serve. None may be
// called with a lock of the engine held.
type Node struct {
	// Name is how the server calls this node; empty is no name. An engine that
	// has been given none of its own takes it. The server does not start where
	// the two differ.
	Name string
	// Info says how the node does, for the others to show; it is asked with
	// every heartbeat.
	Info func() json.RawMessage
	// Serve answers a question of another node. It runs in a goroutine of its
	// own; ctx ends with the asker's patience, and with the engine.
	Serve func(ctx context.Context, from, topic string, data []byte) ([]byte, error)
	// Gap tells that messages of these joined channels have not arrived, or
	// perhaps not: a number was missing, or a link was lost over which more may
	// have been on its way.
	Gap func(channels []string)
	// Changed tells that Members has changed.
	Changed func()
	// Cut tells that this node has lost all the others without their taking
	// leave, or the carrier of its messages (true), and that it has found
	// them again (false).
	Cut func(lost bool)
}

// CallError is what a member has answered instead of data.
type CallError struct {
	// Member is who answered.
	Member string
	// Message is what it said.
	Message string
}

// Error names the member.
func (e *CallError) Error() string { return "node " + e.Member + ": " + e.Message }
