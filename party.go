package skein

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// party is one user or one address: what its connections share.
type party struct {
	key     string
	members int       // under the lock of its parties
	left    time.Time // by the last member

	mu      sync.Mutex
	buckets buckets
}

// parties are all users, or all addresses, that have connections, and those whose buckets have not filled up again.
type parties struct {
	owner rateOwner
	rules *rules // nil: no rates
	most  int    // members of one; 0 is no limit
	tally *tally

	mu    sync.Mutex
	here  map[string]*party
	idle  map[string]*party // without members, mostIdle at most
	swept time.Time
}

const (
	sweepInterval = 10 * time.Second
	mostIdle      = 1 << 15
	sampled       = 8 // of the idle ones, of which the longest gone is forgotten where there are too many
)

func newParties(o rateOwner, r Rates, most int, t *tally) *parties {
	return &parties{owner: o, rules: newRules(o, r), most: most, tally: t, here: map[string]*party{}, idle: map[string]*party{}}
}

// counted reports whether anything is bounded for them.
func (p *parties) counted() bool { return p.rules != nil || p.most > 0 }

// join adds a connection to the party of a key, or says why not.
func (p *parties) join(key string) (*party, *Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.find(key)
	if p.most > 0 && one.members >= p.most {
		p.tally.add(limitUserSessions)
		return nil, tooManySessions(p.most)
	}
	if p.owner == ofUser { // an address has paid for the upgrade
		if err := p.charge(one, rateConnects, 1); err != nil {
			closing := *err
			closing.Code = CloseRate
			return nil, &closing
		}
	}
	one.members++
	p.here[key] = one
	delete(p.idle, key)
	return one, nil
}

// leave undoes join.
func (p *parties) leave(one *party) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.members--; one.members == 0 {
		delete(p.here, one.key)
		p.shelve(one)
	}
}

// visit charges a party of which there may be no connection.
func (p *parties) visit(key string, k rateKind, n int) *Error {
	if p.rules == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.charge(p.find(key), k, n)
}

// charge takes n of a kind from a party.
func (p *parties) charge(one *party, k rateKind, n int) *Error {
	if p.rules == nil {
		return nil
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	err := one.buckets.take(p.rules, k, n)
	if err != nil {
		p.tally.add(rateLimit(p.owner, k))
	}
	return err
}

// find returns the party of a key, under the lock. A new one is idle.
func (p *parties) find(key string) *party {
	p.sweep(time.Now())
	if one := p.here[key]; one != nil {
		return one
	}
	one := p.idle[key]
	if one == nil {
		one = &party{key: key}
		p.shelve(one)
	}
	return one
}

// shelve keeps a party without members. Where there are too many, which takes someone with many addresses or tokens, one
// of those that have been gone for longest is forgotten, and may begin anew.
func (p *parties) shelve(one *party) {
	one.left = time.Now()
	if _, there := p.idle[one.key]; !there && len(p.idle) >= mostIdle {
		p.forget()
	}
	p.idle[one.key] = one
}

func (p *parties) forget() {
	var oldest *party
	n := 0
	for _, one := range p.idle {
		if oldest == nil || one.left.Before(oldest.left) {
			oldest = one
		}
		if n++; n == sampled {
			break
		}
	}
	delete(p.idle, oldest.key)
	p.tally.add(limitForgotten(p.owner))
}

// sweep forgets the parties without members whose buckets have filled up again: they are as good as new.
func (p *parties) sweep(now time.Time) {
	if now.Sub(p.swept) < sweepInterval {
		return
	}
	p.swept = now
	for key, one := range p.idle {
		if one.buckets.full(p.rules, now) { // nobody else has it: it has no members
			delete(p.idle, key)
		}
	}
}

// meter is what one connection is charged to: itself, its user and its address.
type meter struct {
	rules            *rules
	users, addresses *parties
	tally            *tally
	address          *party // nil where there is none

	mu   sync.Mutex
	own  buckets
	user *party
	over bool
}

// newMeter returns the meter of a connection from an address, or nil where nothing is counted.
func (d *doorman) newMeter(own *rules, from netip.Addr) *meter {
	if own == nil && !d.users.counted() && !d.addresses.counted() {
		return nil
	}
	m := &meter{rules: own, users: d.users, addresses: d.addresses, tally: d.tally}
	if d.addresses.counted() && d.known(from) {
		m.address, _ = d.addresses.join(neighbourhood(from).String()) // addresses have no limit of their own here
	}
	return m
}

// charge takes n of a kind from the connection, its user and its address, or says who has done too much.
func (m *meter) charge(k rateKind, n int) *Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.own.take(m.rules, k, n); err != nil {
		m.tally.add(rateLimit(ofSession, k))
		return err
	}
	if m.user != nil {
		if err := m.users.charge(m.user, k, n); err != nil {
			return err
		}
	}
	if m.address == nil {
		return nil
	}
	return m.addresses.charge(m.address, k, n)
}

// belong makes the connection one of a user, who may be "", or says why not; then nothing has changed.
func (m *meter) belong(user string) *Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.join(user)
}

func (m *meter) join(user string) *Error {
	if m.over || m.user != nil && m.user.key == user {
		return nil
	}
	var next *party
	if user != "" {
		var err *Error
		if next, err = m.users.join(user); err != nil {
			return err
		}
	}
	if m.user != nil {
		m.users.leave(m.user)
	}
	m.user = next
	return nil
}

// end is that of the connection.
func (m *meter) end() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.join("") // which is always allowed
	m.over = true
	if m.address != nil {
		m.addresses.leave(m.address)
		m.address = nil
	}
}

// paying is a context in which publications are charged to the connection.
func (m *meter) paying(ctx context.Context) context.Context {
	if m == nil {
		return ctx
	}
	return context.WithValue(ctx, payerKey{}, payer(m))
}

// payer is whom publications in a context are charged to.
type payer interface {
	charge(k rateKind, n int) *Error
}

type payerKey struct{}

// payFor charges a publication to the client that the context is about, if it is about one.
func payFor(ctx context.Context) error {
	p, ok := ctx.Value(payerKey{}).(payer)
	if !ok {
		return nil
	}
	if err := p.charge(ratePublishes, 1); err != nil {
		return err
	}
	return nil
}

// passer is a client of HTTP, which has no connection of its own to be charged.
type passer struct {
	door          *doorman
	user, address string // "" is nobody
}

func (c passer) charge(k rateKind, n int) *Error {
	if c.user != "" {
		if err := c.door.users.visit(c.user, k, n); err != nil {
			return err
		}
	}
	if c.address != "" {
		return c.door.addresses.visit(c.address, k, n)
	}
	return nil
}

// ClientContext is a context of a request in which publications count for the rates of its address and of the token's
// user; a token of nil is nobody's. It is for plugins that publish what clients send over HTTP. Raw connections and
// HandleMessages need it not.
func (s *Server) ClientContext(ctx context.Context, r *http.Request, token *Token) context.Context {
	d := &s.doorman
	c := passer{door: d, user: s.userOf(token)}
	if from := s.ClientAddr(r); d.addresses.counted() && d.known(from) {
		c.address = neighbourhood(from).String()
	}
	return context.WithValue(ctx, payerKey{}, c)
}

// userOf is whose token it is; "" where nobody asks, or nobody knows.
func (s *Server) userOf(token *Token) string {
	if token == nil || !s.doorman.users.counted() {
		return ""
	}
	return token.text(or(s.options.Rates.UserClaim, defaultUserClaim))
}
