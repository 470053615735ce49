package ws

import (
	"errors"
	"sync"
	"time"
)

// state is what has happened to a connection, as bits that are set once, but for the first six.
type state uint32

const (
	stateQueued  state = 1 << iota // a shard or a writer has it, or will
	stateBlocked                   // the link awaits that the peer takes octets
	stateWatched                   // the I/O timer runs
	stateWriting                   // a send that may block is under way
	stateWaiting                   // what is pending may wait until since
	stateBehind                    // a send had to wait for the peer, and not all has left since

	stateSlow      // what is pending shall go, but for the close frame
	stateMute      // this side has closed: messages are not handed on
	stateEnding    // the verdict is there and the close frame is pending or sent
	stateDropping  // TCP is closed when Options.CloseWait is over
	stateCloseSent // our close frame has left
	stateCloseGot  // the peer's close frame has come, or never will
	stateUnwilling // a send has failed
	stateLost      // nothing more can be read
	stateFinished  // both close frames have passed
	stateCut       // TCP is closed, or is being closed
	stateClosed    // TCP is closed
	stateEnded     // the end is queued for the executor
	stateDelivered // the handler knows
	stateForgotten // the runtime does not
)

// errUnwilling is the cause of an end that no read has explained.
var errUnwilling = errors.New("the peer takes no more octets")

// outbox is what waits to be sent, and how far the end has come.
//
// Invariants: whoever has stateQueued, or the link while stateBlocked is set, alone takes frames off; so the order holds
// although sends happen without the lock; frames that are in no send are also dropped, see yield.go. The first frame stays
// while a part of it has left or may be leaving. After stateEnding nothing is appended.
type outbox struct {
	mu      sync.Mutex
	first   *Frame   // nil: empty
	rest    *backlog // behind first; nil: none
	bytes   int
	partial uint32 // octets of first that have left
	state   state
	since   time.Duration // of the last progress, or of stateDropping; the end of stateWaiting
	verdict *CloseError
}

// has reports whether one of the bits is set.
func (o *outbox) has(bits state) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state&bits != 0
}

// gotClose notes the peer's close frame; began and sent tell how far our own is.
func (o *outbox) gotClose() (began, sent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state |= stateCloseGot
	return o.state&stateEnding != 0, o.state&stateCloseSent != 0
}

// lost notes the end of reading, and reports whether our answer to the peer's close frame may still arrive.
func (o *outbox) lost() (answering bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state |= stateLost
	return o.state&(stateCloseGot|stateCloseSent|stateCut) == stateCloseGot
}

// burst is by how much the limits are stretched while the peer has not been found to be slow: frames that wait for a
// shard to come round are not the peer's fault.
const burst = 4

// overfull reports whether n more octets are too many, for a peer that a send waits for or not. A single frame never is.
// Called with mu held.
func (o *outbox) overfull(n int, l *limits, blocked bool) bool {
	octets, frames := l.outbox, l.frames()
	if !blocked {
		octets, frames = burst*octets, burst*frames
	}
	return o.first != nil && (o.bytes+n > octets || o.rest != nil && 1+o.rest.len() >= frames)
}

// append adds a frame. Called with mu held.
func (o *outbox) append(f *Frame, from *backlogs) {
	o.bytes += len(f.data)
	if o.first == nil {
		o.first = f
		return
	}
	if o.rest == nil {
		o.rest = from.lend()
	}
	o.rest.add(f)
}

// loosen makes a place for frames that may be dropped, and gives those that wait. Called with mu held.
func (o *outbox) loosen(from *backlogs) *loose {
	if o.rest == nil {
		o.rest = from.lend()
	}
	if o.rest.loose == nil {
		o.rest.loose = new(loose)
	}
	return o.rest.loose
}

// weight is what is pending costs, that in it which may be dropped with all that is kept for it. Called with mu held.
func (o *outbox) weight() int {
	if o.rest == nil {
		return o.bytes
	}
	n := o.bytes + slotCost*o.rest.firm.len()
	if l := o.rest.loose; l != nil {
		n += pieceCost*l.queue.len() + keyCost*(len(l.latest)+len(l.gaps))
	}
	return n
}

// clear drops everything. Called with mu held.
func (o *outbox) clear(to *backlogs) {
	to.giveBack(o.rest)
	o.first, o.rest = nil, nil
	o.bytes, o.partial = 0, 0
}

// trim drops all but the close frame, which is last, and a frame that has begun to leave. Called with mu held.
func (o *outbox) trim() {
	if o.rest.len() == 0 {
		return
	}
	last := o.rest.last()
	if begun := o.partial > 0 || o.state&stateBlocked != 0; begun {
		o.rest = &backlog{firm: fifo[*Frame]{items: []*Frame{last}}}
		o.bytes = len(o.first.data) + len(last.data) - int(o.partial)
	} else {
		o.first, o.rest, o.bytes = last, nil, len(last.data)
	}
}

// gather fills the sender's batch: one frame as it is, or as many as fit into its scratch. Called with mu held.
func (o *outbox) gather(s *sender) {
	s.batch = o.first.data[o.partial:]
	if o.rest == nil {
		return
	}
	if o.rest.dropable() > 0 {
		o.rest.gather(s)
		return
	}
	rest := o.rest.firm.all()
	if len(rest) == 0 || len(s.batch)+len(rest[0].data) > len(s.scratch) {
		return
	}
	n := copy(s.scratch, s.batch)
	for _, f := range rest {
		if n+len(f.data) > len(s.scratch) {
			break
		}
		n += copy(s.scratch[n:], f.data)
	}
	s.batch = s.scratch[:n]
}

// advance takes n octets that have left off. Called with mu held.
func (o *outbox) advance(n int, to *backlogs) {
	o.bytes -= n
	n += int(o.partial)
	for o.first != nil && n >= len(o.first.data) {
		n -= len(o.first.data)
		o.first = nil
		if o.rest != nil && o.rest.len() > 0 {
			o.first = o.rest.take()
		}
	}
	o.partial = uint32(n) //nolint:gosec // less than the length of a frame
	if o.rest != nil && o.rest.len() == 0 {
		to.giveBack(o.rest)
		o.rest = nil
	}
}
