package natsengine

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// protocol is what this version speaks with the other nodes. Nodes that speak
// different ones refuse each other by name.
const protocol = 1

// magic begins everything that a node sends, so that whatever else is
// published under the prefix is told apart.
const magic = 0xA7

// kind says what a packet is.
type kind byte

const (
	kindMessage  kind = iota + 1 // a message of a channel
	kindHello                    // who is there? answered by a welcome
	kindWelcome                  // the answer, behind all that its sender is interested in
	kindBeat                     // the sender lives; what it has published lately
	kindBye                      // the sender leaves; answered by a farewell
	kindFarewell                 // everything up to the bye has arrived
	kindBarrier                  // sent behind subscriptions; answered by passed
	kindPassed                   // they are in force where the sender publishes
	kindRefuse                   // the receiver may not be a member, and why
	kindAsk                      // a question; answered by an answer
	kindAnswer                   // the answer, or the error
	kindAbandon                  // nobody waits for that answer any more
	kindEcho                     // a beat has come; carries its stamp
	kindMark                     // answered when all before it has been handled
	kindMarked                   // the answer
)

// boot tells the runs of nodes apart. It is random and never 0.
type boot uint64

func (b boot) String() string { return strconv.FormatUint(uint64(b), 36) }

var (
	errMalformed = errors.New("natsengine: malformed packet")
	errProtocol  = errors.New("natsengine: another protocol")
)

// preamble is the first part of every packet, the same in all protocols.
type preamble struct {
	protocol byte
	kind     kind
	boot     boot
}

const preambleSize = 3 + 8

func appendPreamble(dst []byte, k kind, b boot) []byte {
	return binary.BigEndian.AppendUint64(append(dst, magic, protocol, byte(k)), uint64(b))
}

func readPreamble(data []byte) (preamble, []byte, error) {
	if len(data) < preambleSize || data[0] != magic {
		return preamble{}, nil, errMalformed
	}
	p := preamble{protocol: data[1], kind: kind(data[2]), boot: boot(binary.BigEndian.Uint64(data[3:]))}
	return p, data[preambleSize:], nil
}

// header stands in front of a message's data.
type header struct {
	// seq counts what the sender's node has published since its boot, over all
	// channels, and prev is the number of its message before this one on this
	// channel, or 0 where it does not know any more.
	seq, prev uint64
	origin    string
	// channel is the name where the subject has only its hash.
	channel string
}

func appendHeader(dst []byte, h header) []byte {
	dst = binary.AppendUvarint(dst, h.seq)
	dst = binary.AppendUvarint(dst, h.prev)
	dst = appendString(dst, h.origin)
	return appendString(dst, h.channel)
}

// readHeader returns the header and the message's data behind it.
func readHeader(body []byte) (header, []byte, error) {
	r := reader{rest: body}
	h := header{seq: r.uint(), prev: r.uint(), origin: r.string(), channel: r.string()}
	if r.failed || h.prev >= h.seq {
		return header{}, nil, errMalformed
	}
	return h, r.rest, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes a packet apart. After a mistake everything is zero and failed.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// octets returns the next n octets without copying them.
func (r *reader) octets() []byte {
	n := r.uint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) string() string { return string(r.octets()) }

func (r *reader) bool() bool { return r.uint() == 1 }

// count returns how many entries follow, each of at least size octets, so that
// a lie about it cannot make anybody allocate more than the packet's own size.
func (r *reader) count(size int) int {
	n := r.uint()
	if n > uint64(len(r.rest)/size) { //nolint:gosec // a length is not negative
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // not above the length of a slice
}

func (r *reader) fail() { r.rest, r.failed = nil, true }
