package skein

import (
	"sync"
	"time"
)

// withinRates reports whether the session, its user and its address may send one more packet; a session that may not is
// closed with CloseRate.
func (s *Session) withinRates() bool {
	l := &s.endpoint.Limits
	if s.rate == nil && l.Rate > 0 {
		s.rate = new(bucket)
	}
	ok := l.Rate == 0 || s.rate.take(l.Rate, max(1, or(float64(l.Burst), l.Rate)))
	r := &s.server.doorman.rates
	if ok && r.address.rate > 0 {
		ok = r.address.take(s.visitor.place)
	}
	if ok && r.user.rate > 0 {
		if user := s.user(); user != "" {
			ok = r.user.take(user)
		}
	}
	if !ok {
		s.server.counters.rateLimited.Add(1)
		s.shut(CloseRate, "")
	}
	return ok
}

// user is who the session's token says it is, or "".
func (s *Session) user() string {
	token := s.Token()
	if token == nil {
		return ""
	}
	return token.text(or(s.server.options.Rates.UserClaim, defaultUserClaim))
}

const defaultUserClaim = "username"

// rates are what users and addresses send together.
type rates struct{ user, address meter }

func (r *rates) set(o Rates) {
	r.user.rate, r.user.burst = o.User, max(1, or(float64(o.Burst), o.User))
	r.address.rate, r.address.burst = o.Address, max(1, or(float64(o.Burst), o.Address))
}

// meter is a bucket for each key that has been used lately.
type meter struct {
	rate, burst float64

	mu      sync.Mutex
	buckets map[string]*bucket
	swept   time.Time
}

const sweepInterval = 10 * time.Second

func (m *meter) take(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(time.Now())
	b := m.buckets[key]
	if b == nil {
		b = &bucket{}
		m.buckets[key] = b
	}
	return b.take(m.rate, m.burst)
}

// sweep forgets the buckets that have filled up again: they are as good as new.
func (m *meter) sweep(now time.Time) {
	if m.buckets != nil && now.Sub(m.swept) < sweepInterval {
		return
	}
	if m.buckets == nil {
		m.buckets = map[string]*bucket{}
	}
	m.swept = now
	full := time.Duration(m.burst / m.rate * float64(time.Second))
	for key, b := range m.buckets {
		if now.Sub(b.last) > full {
			delete(m.buckets, key)
		}
	}
}

// bucket lets rate tokens a second through, at most burst at once. It is not safe for concurrent use.
type bucket struct {
	left float64
	last time.Time
}

func (b *bucket) take(rate, burst float64) bool {
	now := time.Now()
	if b.last.IsZero() {
		b.left = burst
	} else {
		b.left = min(burst, b.left+rate*now.Sub(b.last).Seconds())
	}
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
