package natsengine

import (
	"log/slog"
	"time"

	"github.com/skeinrt/skein/engine"
)

// hear takes a beat.
func (e *Engine) hear(p packet, now time.Time) {
	if !e.heeded(p) {
		return
	}
	other := e.members.peers[p.boot]
	if other == nil || other.state == dead {
		other = e.members.meet(p.boot, p.name, now)
		e.post(letter{e.subjects.inbox(p.boot), e.greeting(kindHello, 0)})
	}
	if other.state == alive {
		e.follow(other, p.status)
	}
	if other.joining != p.status.joining {
		e.teller.change() // of two of one name another may count
	}
	e.members.update(other, p.status, now)
	echo := e.packet(kindEcho)
	echo.id = uint64(p.status.stamp) //nolint:gosec // comes back as it is
	e.post(letter{e.subjects.inbox(p.boot), echo})
}

// follow checks a member's beat against what has been heard of it.
func (e *Engine) follow(p *peer, s status) {
	if s.beat <= p.beat {
		return
	}
	missed := s.beat > p.beat+1 && s.seq > p.beaten
	p.beat, p.beaten = s.beat, s.seq
	if missed {
		// The lost beat may have told of lost messages of any channel.
		p.base = max(p.base, s.seq)
		e.gapEverywhere()
	} else {
		e.check(p, s.notes)
	}
	p.seq = max(p.seq, s.seq)
}

// echo takes back the stamp of a beat of ours.
func (e *Engine) echo(p packet) {
	lag := time.Since(e.started) - time.Duration(p.id) //nolint:gosec // our own stamp
	if other := e.members.peers[p.boot]; other != nil && lag >= 0 {
		e.members.change(func() { other.lag = lag })
		other.active = true
	}
}

// farewell takes a bye, behind which nothing comes any more, and says so.
func (e *Engine) farewell(p packet, now time.Time) {
	e.post(letter{e.subjects.inbox(p.boot), e.packet(kindFarewell)})
	e.members.left[p.boot] = now // also one who is not known: its last beat may be on its way
	other := e.members.peers[p.boot]
	if other == nil {
		return
	}
	if other.state == alive && p.status.beat > other.beat && p.status.seq > other.beaten {
		e.gapEverywhere()
	}
	wasAlive := other.state == alive
	e.members.remove(other, now)
	e.part(other)
	if wasAlive {
		e.log.Info("node has left", slog.String("member", other.name), slog.String("boot", other.boot.String()))
	}
}

// part releases those who wait for a node that is gone.
func (e *Engine) part(p *peer) {
	e.barrier.gone(p.boot)
	e.flow.remove(p.boot)
	e.calls.fail(p.boot, engine.ErrNoMember)
	e.judge()
	e.teller.change()
	e.progress()
}

// tick looks who is silent.
func (e *Engine) tick(now time.Time) {
	stalled := now.Sub(e.ticked) > e.options.Death/2
	e.ticked = now
	for _, p := range e.members.peers {
		switch {
		case p.state == dead:
		case p.active || stalled:
			// After a stop of this node itself nobody can be blamed for silence.
			e.members.change(func() { p.seen = now })
			p.active = false
		case now.Sub(p.seen) > e.options.Death:
			e.bury(p)
		}
		if p.state == meeting {
			e.post(letter{e.subjects.inbox(p.boot), e.greeting(kindHello, 0)})
		}
	}
	e.members.prune(now)
}

// bury declares a node dead. What it said last may be lost; while the carrier
// is lost, that is told when it is back.
func (e *Engine) bury(p *peer) {
	wasAlive := p.state == alive
	e.members.change(func() { p.state = dead })
	e.log.Warn("node has died", slog.String("member", p.name), slog.String("boot", p.boot.String()),
		slog.Duration("silent", time.Since(p.seen)))
	switch {
	case wasAlive && e.carrier.up.Load():
		e.gapFrom(p)
	case wasAlive:
		e.owed = true
	}
	e.orphaned = e.orphaned || wasAlive && e.members.count() == 0
	e.part(p)
}

// carried learns that the carrier was lost or is back.
func (e *Engine) carried(now time.Time) {
	if losses := e.carrier.losses.Load(); losses != e.losses {
		e.losses = losses
		e.barrier.abort(engine.ErrUnreachable)
		e.calls.fail(0, engine.ErrUnreachable)
		e.gapEverywhere()
		e.rebase()
	}
	if e.carrier.up.Load() {
		for _, p := range e.members.peers {
			p.active = true
		}
		if e.owed {
			e.owed = false
			e.gapEverywhere()
		}
		e.post(letter{e.subjects.everyone, e.greeting(kindHello, 0)})
		e.tick(now)
	}
	e.judge()
}

// rebase remembers that everything up to what is known has been told.
func (e *Engine) rebase() {
	for _, p := range e.members.peers {
		p.base = max(p.base, p.seq)
	}
}

// judge tells whether this node is cut off.
func (e *Engine) judge() {
	alone := e.members.count() == 0
	e.teller.cut(!e.carrier.up.Load() || alone && e.orphaned)
}
