package skein

import (
	"fmt"
	"time"
)

// Rate is how often something may happen: PerSecond on average, and Burst at once. The zero value is no limit.
type Rate struct {
	// PerSecond is how many a second, fractions included. 0 is no limit.
	PerSecond float64
	// Burst is how many may come at once. 0 is one second's worth, and one at least.
	Burst int
}

// Rates are how often each thing may be done. All are off by default.
type Rates struct {
	// Packets of any kind, pongs included. One too many closes with CloseRate.
	Packets Rate
	// Bytes of messages, after inflating. One too many closes with CloseRate; a message that is larger than the burst needs
	// all of it, and is paid for later.
	Bytes Rate
	// Subscribes of clients. One too many is answered with NameRateLimit.
	Subscribes Rate
	// Publishes of clients; of users and addresses also those over HTTP and raw WebSockets. One too many is answered with
	// NameRateLimit.
	Publishes Rate
	// Calls of procedures, and events that are not answered. One too many is answered with NameRateLimit.
	Calls Rate
	// Connects of users, whose names the handshake or a later authentication tells, and of addresses, by upgrades. One too
	// many of a user closes with CloseRate or fails the authentication, and of an address is answered with 429. A session
	// has none.
	Connects Rate
}

// SharedRates bound what connections do together on this node.
type SharedRates struct {
	// User is for all connections with tokens of one user.
	User Rates
	// Address is for all connections from one address (IPv6: one /64), loopback too. Those of trusted proxies that forward
	// for nobody have no limit.
	Address Rates
	// UserClaim is the claim that names the user, here and for ConnLimits.PerUser. "" is username.
	UserClaim string
}

const defaultUserClaim = "username"

// rateKind is what a rate counts.
type rateKind uint8

const (
	ratePackets rateKind = iota
	rateBytes
	rateSubscribes
	ratePublishes
	rateCalls
	rateConnects
	rateKinds
)

// String is how flags, metrics and errors call it.
func (k rateKind) String() string {
	return [rateKinds]string{"packets", "bytes", "subscribes", "publishes", "calls", "connects"}[k]
}

// rateOwner is whose deeds a rate counts together.
type rateOwner uint8

const (
	ofSession rateOwner = iota
	ofUser
	ofAddress
	rateOwners
)

// String is how metrics and errors call it.
func (o rateOwner) String() string {
	return [rateOwners]string{"session", "user", "address"}[o]
}

func (r Rates) byKind() [rateKinds]Rate {
	return [rateKinds]Rate{r.Packets, r.Bytes, r.Subscribes, r.Publishes, r.Calls, r.Connects}
}

// over takes from base what r leaves open.
func (r Rates) over(base Rates) Rates {
	return Rates{
		Packets: or(r.Packets, base.Packets), Bytes: or(r.Bytes, base.Bytes), Subscribes: or(r.Subscribes, base.Subscribes),
		Publishes: or(r.Publishes, base.Publishes), Calls: or(r.Calls, base.Calls), Connects: or(r.Connects, base.Connects),
	}
}

// numbers are what must not be negative, by their names.
func (r Rates) numbers() map[string]float64 {
	m := map[string]float64{}
	for k, rate := range r.byKind() {
		name := [rateKinds]string{"Packets", "Bytes", "Subscribes", "Publishes", "Calls", "Connects"}[k]
		m[name+".PerSecond"], m[name+".Burst"] = rate.PerSecond, float64(rate.Burst)
	}
	return m
}

// rules are the rates of one kind of owner, made ready.
type rules [rateKinds]rule

// rule is a rate; one of 0 a second is none.
type rule struct {
	perSecond, burst float64
	refusal          *Error
}

// newRules returns nil where there is no rate.
func newRules(o rateOwner, r Rates) *rules {
	if r == (Rates{}) {
		return nil
	}
	var all rules
	for k, rate := range r.byKind() {
		burst := max(1, or(float64(rate.Burst), rate.PerSecond))
		all[k] = rule{rate.PerSecond, burst, &Error{
			Name: NameRateLimit, Status: statusTooMany,
			Message: fmt.Sprintf("Too many %s of this %s: %v a second and %v at once are allowed", rateKind(k), o, rate.PerSecond, burst),
		}}
	}
	return &all
}

// bucket lets a rule's rate through. It is not safe for concurrent use.
type bucket struct {
	left float64
	last time.Time
}

// take takes n, and reports whether it may. More than the rule's burst needs all of it, and leaves a debt.
func (b *bucket) take(r *rule, n float64) bool {
	if r.perSecond == 0 || n == 0 { // which must not be refused for a debt
		return true
	}
	now := time.Now()
	b.left, b.last = b.at(r, now), now
	if b.left < min(n, r.burst) {
		return false
	}
	b.left -= n
	return true
}

// at is what is left at a time.
func (b *bucket) at(r *rule, now time.Time) float64 {
	if b.last.IsZero() {
		return r.burst
	}
	return min(r.burst, b.left+r.perSecond*now.Sub(b.last).Seconds())
}

// buckets are those of one owner.
type buckets [rateKinds]bucket

// take is that of one kind; rules nil are none.
func (b *buckets) take(all *rules, k rateKind, n int) *Error {
	if all == nil || b[k].take(&all[k], float64(n)) {
		return nil
	}
	return all[k].refusal
}

// full reports whether they are as good as new.
func (b *buckets) full(all *rules, now time.Time) bool {
	if all == nil {
		return true
	}
	for k := range b {
		if b[k].at(&all[k], now) < all[k].burst {
			return false
		}
	}
	return true
}
