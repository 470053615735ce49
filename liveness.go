package skein

import (
	"sync"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// clock is what a session waits for. Its connection has one timer, which is set to the earliest of these.
type clock struct {
	mu   sync.Mutex // taken before the outbox's and the connection's
	main [2]instant
	rare *[alarms - 2]instant // nil as a rule
}

// instant is a time since the server's start; 0 is never.
type instant time.Duration

// alarm is one of the times of a clock.
type alarm int

const (
	handshakeAlarm alarm = iota // the handshake must have come
	pingAlarm
	flushAlarm   // the next batch
	unbatchAlarm // the end of batching
	doubtAlarm   // until then a min-bin client may be one up to 14: see patience. Nothing happens at its end.
	alarms
)

func (c *clock) at(a alarm) *instant {
	if int(a) < len(c.main) {
		return &c.main[a]
	}
	if c.rare == nil {
		c.rare = new([alarms - 2]instant)
	}
	return &c.rare[int(a)-len(c.main)]
}

// earliest is when the next thing happens, or never.
func (c *clock) earliest() instant {
	next := c.main[handshakeAlarm]
	sooner := func(m instant) {
		if m != 0 && (next == 0 || m < next) {
			next = m
		}
	}
	sooner(c.main[pingAlarm])
	if c.rare != nil {
		sooner(*c.at(flushAlarm))
		sooner(*c.at(unbatchAlarm))
	}
	return next
}

// due reports whether a time has come, and sets it to the next one: now plus interval, or never.
func (c *clock) due(a alarm, now instant, interval time.Duration) bool {
	if int(a) >= len(c.main) && c.rare == nil {
		return false
	}
	m := c.at(a)
	if *m == 0 || now < *m {
		return false
	}
	*m = 0
	if interval > 0 {
		*m = now + instant(interval)
	}
	return true
}

func (s *Server) now() instant { return instant(time.Since(s.life.began)) }

// patience is how long a min-bin client may take to answer protocol 1's ping before it is sent protocol 2's. Clients up
// to 14 with that codec break on protocol 2's, and may be far away or busy; later ones need none before the ping time-out.
func (e *endpoint) patience() time.Duration { return e.Ping.Timeout / 2 }

// arm sets one of the clock's times and the connection's timer.
func (s *Session) arm(a alarm, d time.Duration) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	*s.clock.at(a) = s.server.now() + instant(d)
	s.reschedule()
}

// watch sets the connection's timer for the first time.
func (s *Session) watch() {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	s.reschedule()
}

func (s *Session) disarm(a alarm) {
	s.clock.mu.Lock()
	defer s.clock.mu.Unlock()
	*s.clock.at(a) = 0
	s.reschedule()
}

// reschedule sets the connection's timer to the earliest time, under the clock's lock.
func (s *Session) reschedule() {
	next := s.clock.earliest()
	if next == 0 {
		s.conn.Schedule(-1)
		return
	}
	s.conn.Schedule(time.Duration(max(0, next-s.server.now())))
}

// tick runs on the timer wheel's goroutine: it sends and closes, and waits for nothing.
func (s *Session) tick() {
	if s.closed.Load() {
		return
	}
	now := s.server.now()
	s.clock.mu.Lock()
	late := s.clock.due(handshakeAlarm, now, 0)
	ping := s.clock.due(pingAlarm, now, s.endpoint.Ping.Interval)
	doubtful := s.clock.rare != nil && now < *s.clock.at(doubtAlarm)
	stop := s.clock.due(unbatchAlarm, now, 0)
	flush := s.clock.due(flushAlarm, now, s.endpoint.Batch.Interval) || stop
	if stop {
		*s.clock.at(flushAlarm) = 0
	}
	s.reschedule()
	s.clock.mu.Unlock()
	if late {
		s.server.counters.limited.add(limitHandshakeTime)
		s.shut(CloseHandshakeTimeout, "")
		return
	}
	if flush {
		s.out.Load().flush(s, stop)
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
	if p == Detect {
		s.sendPing(V1)
		if s.codec.wire == wire.MinBin {
			s.arm(doubtAlarm, s.endpoint.patience())
		} else {
			s.sendPing(V2)
		}
	}
	s.arm(pingAlarm, s.endpoint.Ping.Interval)
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
		s.arm(pingAlarm, left)
	}
	if s.Token().expired(time.Now()) {
		s.conn.Do(func() { _ = s.expire() }) // of one that sends anything but pongs
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

// pong is also the instant at which the token's expiry is looked at.
func (s *Session) pong() {
	if s.open.Load() {
		_ = s.expire() // nothing asks a hook here
	}
}
