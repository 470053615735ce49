package natsengine

import "sync/atomic"

// counters are what Stats shows.
type counters struct {
	published, received, gaps, duplicates atomic.Uint64
	rounds, resent, malformed, dropped    atomic.Uint64
	stalls                                atomic.Uint64
}

// Stats are figures of an engine since Start.
type Stats struct {
	// Published and Received count messages that went to NATS and came from it.
	Published, Received uint64
	// Gaps counts channels for which a gap was told, once for each time.
	Gaps uint64
	// Duplicates counts messages that had been heard, or told as a gap, before.
	Duplicates uint64
	// Barriers counts acknowledged batches of joins, and Resent the barriers
	// that had to be sent again.
	Barriers, Resent uint64
	// Malformed counts what others publish under the prefix and is none of ours.
	Malformed uint64
	// Dropped counts packets between nodes that found no room or no connection.
	Dropped uint64
	// Stalls counts publications that had to wait for a slower node.
	Stalls uint64
	// Losses counts how often the connection to NATS was lost.
	Losses uint64
	// Joined and Lingering are how many channels are subscribed: those in use,
	// and those that were left lately.
	Joined, Lingering int
	// Waiting is how many messages have arrived and wait for the sink.
	Waiting int
	// RoutePending is how many octets wait for the slowest of the other nodes,
	// where this process has the routes.
	RoutePending int64
}

// Stats returns the engine's figures.
func (e *Engine) Stats() Stats {
	return Stats{
		Published: e.counters.published.Load(), Received: e.counters.received.Load(),
		Gaps: e.counters.gaps.Load(), Duplicates: e.counters.duplicates.Load(),
		Barriers: e.counters.rounds.Load(), Resent: e.counters.resent.Load(),
		Malformed: e.counters.malformed.Load(), Dropped: e.counters.dropped.Load(),
		Losses: e.carrier.losses.Load(), Stalls: e.counters.stalls.Load(),
		Joined: int(e.interests.joined.Load()), Lingering: int(e.interests.idle.Load()),
		Waiting: len(e.carrier.inlet.queue), RoutePending: e.source.pending(),
	}
}
