package natsengine

import (
	"encoding/binary"
	"time"
)

// packet is what nodes say to each other beside messages. Which fields travel
// depends on its kind; see encode.
type packet struct {
	preamble
	name string // of the sending node

	status status // hello, welcome, beat, bye
	proof  []byte // hello, welcome: that the sender has the cluster's secret
	id     uint64 // barrier, passed, ask, answer, abandon; the stamp of an echo; what is marked
	seq    uint64 // passed: the sender's last number
	text   string // why refused; the topic asked
	data   []byte // question or answer
	failed bool   // the answer is an error
	// patience is how long the asker will wait.
	patience time.Duration
}

// status is what a node says of itself.
type status struct {
	joining bool   // it publishes nothing until it has been welcomed
	started int64  // when it booted, Unix nanoseconds
	address string // where its routes are, if it has any
	info    []byte // the last Node.Info; empty in a beat of notes only
	seq     uint64 // its last number
	beat    uint64 // counts its beats; a missing one may have told of a message
	stamp   int64  // echoed, for the lag
	view    []other
	notes   []note
}

// other is a member that the sender knows.
type other struct {
	boot boot
	name string
}

// note tells the last number on a channel, so that a message is missed even
// when none follows it.
type note struct {
	channel string
	seq     uint64
}

func (p packet) encode() []byte {
	dst := appendString(appendPreamble(nil, p.kind, p.boot), p.name)
	switch p.kind {
	case kindHello, kindWelcome:
		return p.status.append(appendString(dst, string(p.proof)))
	case kindBeat, kindBye:
		return p.status.append(dst)
	case kindPassed:
		return binary.AppendUvarint(binary.AppendUvarint(dst, p.id), p.seq)
	case kindRefuse:
		return appendString(dst, p.text)
	case kindAsk:
		dst = binary.AppendUvarint(dst, p.id)
		dst = binary.AppendUvarint(dst, uint64(max(p.patience, 0)))
		return append(appendString(dst, p.text), p.data...)
	case kindAnswer:
		return append(appendBool(binary.AppendUvarint(dst, p.id), p.failed), p.data...)
	case kindBarrier, kindAbandon, kindEcho, kindMark, kindMarked:
		return binary.AppendUvarint(dst, p.id)
	}
	return dst
}

func (s status) append(dst []byte) []byte {
	dst = appendBool(dst, s.joining)
	dst = binary.AppendVarint(dst, s.started)
	dst = appendString(dst, s.address)
	dst = appendString(dst, string(s.info))
	dst = binary.AppendUvarint(dst, s.seq)
	dst = binary.AppendUvarint(dst, s.beat)
	dst = binary.AppendVarint(dst, s.stamp)
	dst = binary.AppendUvarint(dst, uint64(len(s.view)))
	for _, o := range s.view {
		dst = appendString(binary.BigEndian.AppendUint64(dst, uint64(o.boot)), o.name)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.notes)))
	for _, n := range s.notes {
		dst = binary.AppendUvarint(appendString(dst, n.channel), n.seq)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// readPacket takes apart what follows a preamble. Of another protocol it
// returns only what all have in common, and errProtocol.
func readPacket(pre preamble, body []byte) (packet, error) {
	r := reader{rest: body}
	p := packet{preamble: pre, name: r.string()}
	if pre.kind == kindRefuse {
		p.text = r.string()
	}
	if pre.protocol != protocol && !r.failed {
		return p, errProtocol
	}
	p.read(&r)
	if r.failed || p.boot == 0 {
		return packet{}, errMalformed
	}
	return p, nil
}

func (p *packet) read(r *reader) {
	switch p.kind {
	case kindHello, kindWelcome:
		p.proof = r.octets()
		p.status.read(r)
	case kindBeat, kindBye:
		p.status.read(r)
	case kindPassed:
		p.id, p.seq = r.uint(), r.uint()
	case kindAsk:
		p.id = r.uint()
		p.patience = time.Duration(min(r.uint(), uint64(maxPatience)))
		p.text, p.data = r.string(), r.rest
	case kindAnswer:
		p.id, p.failed, p.data = r.uint(), r.bool(), r.rest
	case kindBarrier, kindAbandon, kindEcho, kindMark, kindMarked:
		p.id = r.uint()
	case kindFarewell, kindRefuse:
	default:
		r.fail()
	}
}

func (s *status) read(r *reader) {
	s.joining = r.bool()
	s.started = r.int()
	s.address = r.string()
	s.info = r.octets()
	s.seq, s.beat = r.uint(), r.uint()
	s.stamp = r.int()
	if n := r.count(8 + 1); n > 0 {
		s.view = make([]other, 0, n)
		for range n {
			s.view = append(s.view, other{boot: r.boot(), name: r.string()})
		}
	}
	if n := r.count(1 + 1); n > 0 {
		s.notes = make([]note, 0, n)
		for range n {
			s.notes = append(s.notes, note{channel: r.string(), seq: r.uint()})
		}
	}
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) boot() boot {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	b := boot(binary.BigEndian.Uint64(r.rest))
	r.rest = r.rest[8:]
	return b
}
