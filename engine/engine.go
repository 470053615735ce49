// Package engine is the seam between a node and whatever carries messages to
// the other nodes.
//
// A driver implements [Engine] and passes the suite of package enginetest.
// [Memory] is the driver of a node that stands alone.
//
// What a driver promises:
//
//   - Order: the messages that one publisher sends to one channel reach the
//     sink in the order sent, on every node that has joined the channel. A
//     publisher is anybody who calls Publish, waits for it to return, and
//     calls it again. Nothing is promised between publishers, nor between
//     channels.
//   - Acknowledged join: once Join has returned nil, every Publish that begins
//     afterwards, on any node, reaches this node's sink, until Leave or Close.
//   - Once: while a channel stays joined, a message reaches each sink at most
//     once, and the publishing node's own sink is called in Publish and never
//     again by an echo.
//   - Octets: Channel, Data and Origin arrive as they were sent. A channel's
//     name is data. Any string is a name, the empty one and one that looks like
//     a pattern included.
//
// A driver that cannot keep a promise, as when a link has been cut, must say
// so through an ability; it must not hide a gap.
//
// # Abilities
//
// What not every driver can do (members of the cluster and calls between them,
// history, presence) is an interface of its own beside Engine. A driver has the
// ability when its value implements that interface as well; the server asks
// once, with a type assertion, in Start, and does without where the answer is no.
package engine

import (
	"context"
	"encoding/json"
	"errors"
)

// ErrClosed is what an engine answers outside its life: before Start has
// returned nil, and from the moment Close is called.
var ErrClosed = errors.New("engine: not running")

// Message is what an engine carries.
type Message struct {
	// Channel is the name of the channel, any string.
	Channel string
	// Data is the payload, one JSON value. nil and empty mean that there is
	// none, and are the same to a driver. The octets are never changed once
	// the message has been handed over: everyone who sees it shares them.
	Data json.RawMessage
	// Origin is the id of the session that published the message, or empty
	// when it was not a session.
	Origin string
}

// Sink takes a message that has arrived for this node.
//
// The engine may call it from several goroutines at once, for the same channel
// too, but keeps the order of each publisher. It must not block: on it waits
// either a publisher or the stream of messages from the other nodes. It may
// keep Data, which nobody may write to. It may call Publish (the driver holds
// no lock while it calls the sink), but neither Join, Leave nor Close.
type Sink func(Message)

// Engine carries messages between nodes. The sink is called for every message
// of a joined channel, in one order per publisher, and must not block.
//
// Start comes first and once, Close last; between them all methods may be
// called from many goroutines at once, with one exception: calls to Join and
// Leave for one channel come one after the other. The engine does not count:
// a channel is joined or it is not, and one Leave undoes any number of Joins.
// The server keeps the count.
//
// A method whose context is done already changes nothing and answers with
// [context.Cause] of it. Nobody but the caller retries: an error means that the engine
// has given up, and what it was about.
type Engine interface {
	// Start returns nil when this node may serve clients: a Join and a Publish
	// will keep their promises from now on. The context bounds the starting
	// only. After an error the engine can only be closed.
	Start(ctx context.Context, sink Sink) error

	// Publish hands m over. nil means that the engine has taken it over and,
	// where this node has joined the channel, that the local sink has been
	// called and has returned; it does not mean that other nodes have the
	// message yet. After an error some nodes may have received it, this one
	// included, so that whoever tries again may send it twice.
	//
	// The engine keeps m.Data for as long as it likes and never writes to it;
	// the caller must not either.
	Publish(ctx context.Context, m Message) error

	// Join returns nil when everything published anywhere from now on reaches
	// this node's sink. Messages may arrive before it returns. To join a
	// joined channel is no error and costs little. After an error the channel
	// counts as left.
	Join(ctx context.Context, channel string) error

	// Leave ends the interest of this node. It returns at once, without
	// waiting for the network; messages may go on arriving for a while,
	// and a Join that follows soon may find everything still in place. To
	// leave a channel that is not joined does nothing.
	Leave(channel string)

	// Close sends what Publish has taken over, leaves all channels and
	// releases everything. When it returns nil the sink is not running and
	// will not be called again. When the context ends first, Close returns its
	// cause, and everything is released all the same. Close may be called
	// before Start, and again: later calls wait like the first.
	Close(ctx context.Context) error
}
