package main

// What things cost. Times are seconds of one core. Measured means by the benchmarks of this package, in medians, or, where
// that is said, by `skein bench`; docs/scale.md has the figures and how they were taken.
const (
	micro = 1e-6

	// A delivery has its own write, which is what it costs at low rates; with many frames to a write it is a fourth.
	// Measured by skein bench: the README has it.
	delivered = 6.5 * micro
	// A session that connects, and each of its subscriptions. Measured by skein bench connect, and idle.
	connected, subscribed = 75 * micro, 11 * micro

	// A message's octets cost a little more than the message itself, for each KiB. Measured.
	receiveKiB, forwardKiB = 1.0 * micro, 0.35 * micro

	// A join that shares its barrier with others, on its own node and on each other one. Measured.
	joinHere, joinElsewhere = 11 * micro, 3.4 * micro

	// Heartbeats, each second: what the first other node costs, each one, and each channel that was published to. Measured.
	beatAlone, beatOfOther = 2500 * micro, 550 * micro
	noteOut, noteIn        = 0.6 * micro, 0.5 * micro

	// Memory in octets, measured: an empty process, a session with its connection and first subscription (skein bench idle;
	// the README has it), a further subscription, a channel on the node that has joined it, and on each other one.
	emptyNode                     = 30 << 20
	session, subscription         = 1300, 250
	channelHere, channelElsewhere = 1290, 680

	// Octets on a route beside a message and the channel's name: the protocol line, the envelope and TLS; what a beat has
	// with the node's own figures, for each member, and for each channel beside its name; what interest has that begins;
	// and a barrier. Counted from the formats.
	envelope, beatSize, beatPeer, noteSize = 75, 600, 12, 10
	interestSize, barrierSize              = 30, 90

	// How long a channel stays joined after its last subscriber, in seconds: the middle of 5 and 10.
	linger = 7.5
)

// path is where messages pass that share a wake-up when they come close together. Its cost falls from each+wake to each.
type path struct {
	each, wake float64 // for a message, and for a wake-up
	share      float64 // messages a second at which two share one
}

// cost is for a second with that many messages.
func (p path) cost(rate float64) float64 { return rate*p.each + p.wake*rate/(1+rate/p.share) }

// take is a publication of a session: read, decoded and acknowledged. Measured by skein bench rpc, the README has it, and
// fanout at 300 to 2,000 a second.
func take(rate float64) float64 { return path{4.7 * micro, 200 * micro, 1000}.cost(rate) }

// handOver is Publish: the envelope, the connection to the NATS in the process, and the search for interest.
func handOver(rate float64) float64 { return path{0.55 * micro, 60 * micro, 1000}.cost(rate) }

// forward is a copy to one node.
func forward(rate float64) float64 { return path{0.3 * micro, 15 * micro, 3000}.cost(rate) }

// receive is a copy from a node up to the sink; rate is that of all nodes together.
func receive(rate float64) float64 { return path{1.9 * micro, 130 * micro, 1000}.cost(rate) }
