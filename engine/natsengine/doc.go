// Package natsengine is the engine of a node that has others: it carries
// messages between them over NATS. [Embed] runs a NATS server in the process,
// whose routes make the nodes one cluster; [Open] uses a NATS that runs
// elsewhere. Both need nothing but this package: members, their deaths, calls
// and gaps are found by the nodes themselves.
//
// # What is guaranteed
//
// An acknowledged Join has been seen by the server of every member, so that
// whatever is published anywhere from then on arrives. It waits for a member
// that does not answer until that is dead (3 s), and never for time alone. A node
// that starts publishes nothing before it knows what each member is interested
// in.
//
// Local delivery never goes through NATS. The order of a publisher is kept on
// every node, and a message arrives at most once.
//
// No gap is silent. Every message names the one before it on its channel, and
// heartbeats tell the last ones, so that a receiver notices what is missing one
// heartbeat later at the latest. What it cannot know is told as a possible gap:
// on the channels on which a node was heard that has died without taking leave,
// and on all joined channels when a heartbeat is missing, when the connection to
// NATS was lost, and when a node is met that has published already, after a cut
// or when two clusters merge.
//
// # What is bounded
//
// Publish fails at once while the connection to NATS is lost, and after 5 s
// behind a NATS that does not read. A publisher waits while what its node has
// sent is more than 8 MiB ahead of what the slowest other node has handled, so
// that a flood is slowed down and not lost; but only for 1 s for a node that
// does not move. From then on that one loses what exceeds 96 MiB on its route,
// and its connection when one write takes longer than 2 s, is told of the gaps,
// and is waited for again when it has caught up. What has arrived and waits for
// the sink is at most 32 MiB, and 128 MiB in the embedded server behind that. At
// most 65,536 channels linger after they have been left; more end at once. Of what is
// published, the numbers of up to 131,072 channels are kept, each for 15 s at
// least unless there are more.
//
// # What it costs
//
// A joined channel takes about 1.2 KB on its node and 0.6 KB on each other one.
// A join that waits alone takes one round to the slowest member; joins that come
// meanwhile share the next round. Each heartbeat goes to each node, with the
// names of the channels published to since the last one.
package natsengine
