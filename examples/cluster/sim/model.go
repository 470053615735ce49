package main

import (
	"errors"
	"fmt"
	"math"
)

// Load is what clients do with the whole cluster.
type Load struct {
	// Sessions is how many there are, on all nodes alike.
	Sessions float64
	// Subscriptions is how many channels each session has subscribed to.
	Subscriptions float64
	// Channels is how many there are.
	Channels int
	// Zipf is the exponent of popularity: the i-th channel gets a share proportional to 1/i^Zipf of the subscriptions, and
	// of the publications. 0 makes all alike.
	Zipf float64
	// Publications is how many sessions publish in a second, all together.
	Publications float64
	// Message is the size of each in octets.
	Message float64
	// Name is the length of a channel's name in octets.
	Name float64
	// Churn is how many sessions come in a second, and as many go.
	Churn float64
}

// check returns what cannot be.
func (l Load) check() error {
	for _, v := range []float64{l.Sessions, l.Subscriptions, l.Zipf, l.Publications, l.Message, l.Name, l.Churn} {
		if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v: want numbers that are not negative", v)
		}
	}
	if l.Channels < 1 || l.Channels > 10_000_000 {
		return errors.New("channels: want 1 to 10,000,000")
	}
	if l.Subscriptions > float64(l.Channels) {
		return errors.New("a session cannot subscribe to more channels than there are")
	}
	return nil
}

// Node is what the load means for one node, a second.
type Node struct {
	// Nodes is how many there are.
	Nodes int
	// Joined is how many channels have a subscriber on the node.
	Joined float64
	// Delivered, In and Out are messages to sessions, from other nodes and to other nodes.
	Delivered, In, Out float64
	// Route is the number of messages on the connection to each other node, in the direction that has more.
	Route float64
	// Clients, Routes, Beats and Joins are the CPU, in cores, for sessions, for messages between nodes, for heartbeats with
	// what they tell, and for interest that comes and goes.
	Clients, Routes, Beats, Joins float64
	// Memory is what lives, in octets: Sessions, Own channels, and the channels of the Others.
	Sessions, Own, Others float64
	// Sent is what leaves for the other nodes, in octets.
	Sent float64
}

// CPU is the number of cores that are busy.
func (n Node) CPU() float64 { return n.Clients + n.Routes + n.Beats + n.Joins }

// Memory is what lives, in octets.
func (n Node) Memory() float64 { return emptyNode + n.Sessions + n.Own + n.Others }

// expect sums up over the channels what one of the nodes has to do with them.
type expect struct {
	joined    float64 // has a subscriber here
	delivered float64 // to sessions here
	in        float64 // published elsewhere, wanted here
	noted     float64 // published to from here in a second
	joins     float64 // begins of interest a second
}

func (l Load) expect(nodes int) (e expect) {
	share := float64(nodes)
	total := harmonic(l.Channels, l.Zipf)
	for i := range l.Channels {
		popularity := math.Pow(float64(i+1), -l.Zipf) / total
		subscribers := math.Min(l.Sessions*l.Subscriptions*popularity, l.Sessions)
		published := l.Publications * popularity
		// Sessions choose their node at random, so that the number of a channel's subscribers on it is Poisson's.
		absent := math.Exp(-subscribers / share)
		arrivals := l.Churn * l.Subscriptions * popularity / share
		e.joined += 1 - absent
		e.delivered += published * subscribers / share
		e.in += published * (1 - 1/share) * (1 - absent)
		e.noted += 1 - math.Exp(-published/share)
		// Interest begins when a session comes, nobody is there, and nobody has left lately.
		e.joins += arrivals * absent * math.Exp(-arrivals*linger)
	}
	return e
}

// harmonic is what makes the shares of n channels one.
func harmonic(n int, s float64) (sum float64) {
	for i := range n {
		sum += math.Pow(float64(i+1), -s)
	}
	return sum
}

// on returns what one of that many nodes does.
func (l Load) on(nodes int) Node {
	e := l.expect(nodes)
	own, others := 1/float64(nodes), float64(nodes-1)
	n := Node{Nodes: nodes, Joined: e.joined, Delivered: e.delivered, In: e.in, Out: e.in} // what one sends another gets
	kib := l.Message / 1024

	published := l.Publications * own
	n.Clients = take(published) + e.delivered*delivered + l.Churn*own*(connected+l.Subscriptions*subscribed)

	n.Sessions = l.Sessions * own * (session + (math.Max(l.Subscriptions, 1)-1)*subscription)
	n.Own = e.joined * channelHere
	n.Others = others * e.joined * channelElsewhere
	if nodes == 1 {
		n.Own = 0 // the engine in memory keeps nothing
		return n
	}

	// A barrier goes to each node, and each answers.
	control := 2 * e.joins * others
	n.Route = e.in / others
	n.Routes = handOver(published) + e.in*kib*receiveKiB + receive(e.in) +
		others*(forward(n.Route)+n.Route*kib*forwardKiB)
	n.Joins = e.joins*joinHere + e.joins*others*joinElsewhere + receive(e.in+control) - receive(e.in)
	n.Beats = beatAlone + others*(beatOfOther+e.noted*noteIn) + e.noted*noteOut
	n.Sent = e.in*(l.Message+l.Name+envelope) + others*(beatSize+others*beatPeer+e.noted*(l.Name+noteSize)) +
		others*e.joins*(l.Name+interestSize) + control*barrierSize
	return n
}
