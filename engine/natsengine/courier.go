package natsengine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

const (
	// outboxSize is how many letters may wait for the courier. What finds no
	// room is dropped and counted; everything that matters is asked for again.
	outboxSize = 1024
	// maxNotes bounds the octets of names in one beat.
	maxNotes = 32 << 10
	// maxInfo is the most that a node may say of itself.
	maxInfo = 64 << 10
	// agePeriod is after how many heartbeats told numbers move on by one of
	// their two generations.
	agePeriod = 15
	// haste is after how long others hear of a change for which they should not
	// wait for a heartbeat. What changes meanwhile goes with it.
	haste = 50 * time.Millisecond
)

// letter is a packet for a subject. The courier fills in the status of those
// that have one.
type letter struct {
	subject string
	packet  packet
}

// beats numbers what this node tells of itself, in the order in which it
// leaves.
type beats struct {
	mu   sync.Mutex
	last uint64 // the number of the last beat
	told uint64 // every number of a message up to this one has been in a beat
}

// post sends a packet without waiting. The dispatcher must not wait for NATS:
// the nodes' dispatchers could wait for each other.
func (e *Engine) post(l letter) {
	select {
	case e.outbox <- l:
	default:
		e.counters.dropped.Add(1)
	}
}

// hasten has the courier beat soon.
func (e *Engine) hasten() {
	select {
	case e.due <- struct{}{}:
	default:
	}
}

// courier sends letters, and beats in time.
func (e *Engine) courier(ctx context.Context) {
	tick := time.NewTicker(max(e.options.Heartbeat, time.Millisecond))
	defer tick.Stop()
	soon := time.NewTimer(never)
	defer soon.Stop()
	for ticks := 1; ; {
		select {
		case l := <-e.outbox:
			e.send(l)
		case <-e.due:
			soon.Reset(haste)
		case <-soon.C:
			e.beat()
		case <-tick.C:
			e.beat()
			if ticks++; ticks%agePeriod == 0 {
				e.numbers.age()
			}
		case <-ctx.Done():
			return
		}
	}
}

// send drops a letter that NATS does not take: its receiver is as good as gone.
func (e *Engine) send(l letter) {
	switch l.packet.kind {
	case kindHello, kindWelcome:
		e.refresh()
		fallthrough
	case kindBye:
		e.beats.mu.Lock()
		defer e.beats.mu.Unlock()
		l.packet.status = e.status()
		l.packet.status.info = *e.info.Load()
	}
	if err := e.carrier.publish(l.subject, l.packet.encode()); err != nil {
		e.counters.dropped.Add(1)
	}
}

// beat tells that this node lives, how it does, and what it has published
// lately. A node whose sink hangs answers no barrier, so that it does not live.
func (e *Engine) beat() {
	if time.Since(e.started)-time.Duration(e.dispatched.Load()) > e.options.Death {
		return
	}
	upTo := e.numbers.seq.Load() // before the notes: each of these numbers is in one by then
	e.tell(e.refresh(), upTo, e.numbers.untold())
}

// refresh asks the node how it does.
func (e *Engine) refresh() json.RawMessage {
	info := e.node.Info()
	if len(info) > maxInfo {
		info = fmt.Appendf(nil, `{"error":"the node says %d octets of itself, and at most %d are told"}`, len(info), maxInfo)
	}
	e.info.Store(&info)
	return info
}

// tell sends beats with all notes, behind which every number up to that one has
// been told. A beat that NATS does not take is counted all the same, so that
// the others see that one is missing.
func (e *Engine) tell(info json.RawMessage, upTo uint64, notes []note) {
	e.beats.mu.Lock()
	defer e.beats.mu.Unlock()
	for first := true; first || len(notes) > 0; first = false {
		n := chunk(notes)
		p := e.packet(kindBeat)
		e.beats.last++
		if n == len(notes) {
			e.beats.told = max(e.beats.told, upTo)
		}
		p.status = e.status()
		p.status.info, p.status.notes, p.status.seq = info, notes[:n], e.beats.told
		if err := e.carrier.publish(e.subjects.everyone, p.encode()); err != nil {
			e.counters.dropped.Add(1)
		}
		notes = notes[n:]
	}
}

// chunk returns how many notes go into one beat.
func chunk(notes []note) int {
	size := 0
	for i, n := range notes {
		if size += len(n.channel) + 10; size > maxNotes && i > 0 {
			return i
		}
	}
	return len(notes)
}

// status is called with the lock of beats held, so that the number of the last
// beat is that of the last one sent.
func (e *Engine) status() status {
	return status{
		joining: e.joining.Load(),
		started: e.started.UnixNano(),
		address: e.source.address(),
		seq:     e.numbers.seq.Load(),
		beat:    e.beats.last,
		stamp:   int64(time.Since(e.started)),
		view:    e.members.others(),
	}
}

func (e *Engine) packet(k kind) packet {
	return packet{preamble: preamble{protocol: protocol, kind: k, boot: e.boot}, name: e.options.Node}
}
