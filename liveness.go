package skein

import (
	"sync"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// clock is what a session waits for. Its connection has one timer, which is set to the earliest of these.
type clock struct {
	mu        sync.Mutex // taken before the outbox's and the connection's
	handshake time.Time
	ping      time.Time
	flush     time.Time // the next batch
	unbatch   time.Time // the end of batching
	doubt     time.Time // until then a min-bin client may be one up to 14: see patience
}

// patience is how long a min-bin client may take to answer protocol 1's ping before it is sent protocol 2's. Clients up
// to 14 with that codec break on protocol 2's, and may be far away or busy; later ones need none before the ping time-out.
func (e *endpoint) patience() time.Duration { return e.Ping.Timeout / 2 }

// arm sets one of the clock's times and the connection's timer.
func (s *Session) arm(t *time.Time, at time.Time) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	*t = at
	s.reschedule()
}

// watch sets the connection's timer for the first time.
func (s *Session) watch() {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.reschedule()
}

func (s *Session) disarm(t *time.Time) { s.arm(t, time.Time{}) }

// reschedule sets the connection's timer to the earliest time, under the clock's lock.
func (s *Session) reschedule() {
	var next time.Time
	for _, t := range []time.Time{s.clock.handshake, s.clock.ping, s.clock.flush, s.clock.unbatch} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if next.IsZero() {
		s.conn.Schedule(-1)
		return
	}
	s.conn.Schedule(max(0, time.Until(next)))
}

// due reports whether a time has come, and sets it to the next one: now plus interval, or never.
func due(t *time.Time, now time.Time, interval time.Duration) bool {
	if t.IsZero() || now.Before(*t) {
		return false
	}
	*t = time.Time{}
	if interval > 0 {
		*t = now.Add(interval)
	}
	return true
}

// tick runs on the timer wheel's goroutine: it sends and closes, and waits for nothing.
func (s *Session) tick() {
	if s.closed.Load() {
		return
	}
	now := time.Now()
	s.clock.mu.Lock()
	late := due(&s.clock.handshake, now, 0)
	ping := due(&s.clock.ping, now, s.endpoint.Ping.Interval)
	doubtful := now.Before(s.clock.doubt)
	stop := due(&s.clock.unbatch, now, 0)
	flush := due(&s.clock.flush, now, s.endpoint.Batch.Interval) || stop
	if stop {
		s.clock.flush = time.Time{}
	}
	s.reschedule()
	s.clock.mu.Unlock()
	if late {
		s.shut(CloseHandshakeTimeout, "")
		return
	}
	if flush {
		s.out.flush(s, stop)
	}
	if ping {
		s.ping(doubtful)
	}
}

// startPings begins with the pings that tell the protocol, where it is not known.
func (s *Session) startPings() {
	if s.endpoint.Ping.Off {
		return
	}
	p := s.endpoint.Protocol
	s.protocol.Store(uint32(p))
	now := time.Now()
	if p == Detect {
		s.sendPing(V1)
		if s.codec.wire == wire.MinBin {
			s.arm(&s.clock.doubt, now.Add(s.endpoint.patience()))
		} else {
			s.sendPing(V2)
		}
	}
	s.arm(&s.clock.ping, now.Add(s.endpoint.Ping.Interval))
}

// ping closes a silent client, or sends the next ping: both kinds until the client has shown which one it answers.
func (s *Session) ping(doubtful bool) {
	left := s.endpoint.Ping.Timeout - s.conn.Idle()
	if left <= 0 {
		s.server.counters.pongTimeouts.Add(1)
		s.shut(ClosePongTimeout, "")
		s.conn.Do(func() { s.finish(ws.CloseError{Code: ClosePongTimeout, Local: true}) }) // its answer is not waited for
		return
	}
	if left < s.endpoint.Ping.Interval {
		s.arm(&s.clock.ping, time.Now().Add(left))
	}
	p := Protocol(s.protocol.Load()) //nolint:gosec // it was one
	if p != V2 {
		s.sendPing(V1)
	}
	if p == V2 || p == Detect && !doubtful {
		s.sendPing(V2)
	}
}

// sendPing bypasses batches. While the protocol is not known, version 1's goes through the codec: a client up to 14
// runs every message through it, and later ones that speak version 1 over min-bin take it as a stray message.
func (s *Session) sendPing(p Protocol) {
	pings := s.server.pings
	switch {
	case p == V2:
		s.sendFrame(pings.empty)
	case s.codec.wire == wire.MinBin && s.endpoint.Protocol == Detect:
		s.sendFrame(pings.packed)
	default:
		s.sendFrame(pings.text)
	}
}

// pingFrames are shared by all connections.
type pingFrames struct{ empty, text, packed *ws.Frame }

func newPingFrames() pingFrames {
	return pingFrames{
		empty:  ws.NewFrame(false, nil),
		text:   ws.NewFrame(false, []byte(wire.PingV1)),
		packed: ws.NewFrame(true, wire.MinBin.EncodedPing()),
	}
}

// isPong reports whether the message is a pong, of either protocol where it is not known yet.
func (s *Session) isPong(m ws.Message) bool {
	if m.Binary || !s.open.Load() {
		return false
	}
	p := s.endpoint.Protocol
	return len(m.Data) == 0 && p != V1 && s.answers(V2) ||
		string(m.Data) == wire.PongV1 && p != V2 && s.answers(V1)
}

// answers notes which ping the client has answered. It is always true.
func (s *Session) answers(p Protocol) bool {
	if s.endpoint.Protocol == Detect {
		s.protocol.CompareAndSwap(uint32(Detect), uint32(p))
	}
	return true
}

// pong is also the moment at which the token's expiry is looked at.
func (s *Session) pong() {
	if s.open.Load() {
		_ = s.expire() // nothing asks a hook here
	}
}
