package ws

import (
	"encoding/binary"
	"unicode/utf8"

	gobwas "github.com/gobwas/ws"
)

const (
	// A message's fragments are bounded because each costs far more work than the octets it takes to send it.
	maxEmptyFragments = 1024
	maxFragments      = 131072

	headStart = 2 // octets that tell how long the header is
)

// rules is what a decoder needs to know of its connection.
type rules struct {
	max     int  // octets of a message, inflated
	client  bool // this side is the client: the peer must not mask
	deflate bool // permessage-deflate was agreed
	pools   *flatePools
}

// event is one thing that a peer said. Its data is the receiver's own for messages, the decoder's for control frames.
type event struct {
	op   byte // opText, opBinary, opClose, opPing, opPong; 0 for nothing yet
	data []byte
}

// decoder turns octets into events. It does no I/O and keeps what is unfinished; between messages it is idle and can
// serve another connection.
type decoder struct {
	rules rules

	head     [maxHead + maskSize]byte
	headLen  int // collected so far
	headNeed int // 0 while the payload of a frame is being read

	// Of the frame being read.
	first byte
	key   [maskSize]byte
	left  int // octets of payload still to come
	at    int // octets of payload already taken

	control    [maxControl]byte
	controlLen int

	// Of the message being read; op 0 for none.
	op        byte
	deflated  bool
	message   []byte
	text      utf8Stream
	fragments int
	empty     int
}

// reset makes the decoder ready for a connection with these rules.
func (d *decoder) reset(r rules) {
	*d = decoder{rules: r, headNeed: headStart}
}

// idle reports whether nothing is unfinished.
func (d *decoder) idle() bool {
	return d.op == 0 && d.headLen == 0 && d.headNeed == headStart
}

// next reads b up to the end of one event and returns what it left over. Without an event b is used up. After an error,
// which is a CloseError, the decoder is of no more use.
func (d *decoder) next(b []byte) (event, []byte, error) {
	for {
		if d.headNeed > 0 {
			var err error
			if b, err = d.readHead(b); err != nil || d.headNeed > 0 {
				return event{}, b, err
			}
		}
		n := min(len(b), d.left)
		if err := d.take(b[:n]); err != nil {
			return event{}, b, err
		}
		b = b[n:]
		if d.left > 0 {
			return event{}, b, nil
		}
		ev, err := d.endFrame()
		if err != nil || ev.op != 0 {
			return ev, b, err
		}
	}
}

// readHead collects the header; headNeed is 0 once it is whole and checked.
func (d *decoder) readHead(b []byte) ([]byte, error) {
	for d.headLen < d.headNeed {
		n := copy(d.head[d.headLen:d.headNeed], b)
		b = b[n:]
		d.headLen += n
		if d.headLen < d.headNeed {
			return b, nil
		}
		if d.headNeed == headStart {
			if err := d.checkStart(); err != nil {
				return b, err
			}
			d.headNeed = d.headSize()
		}
	}
	n, err := d.length()
	if err != nil {
		return b, err
	}
	return b, d.startFrame(n)
}

// checkStart judges the first two octets, so that a wrong frame is refused before anything else of it is read.
func (d *decoder) checkStart() error {
	first, second := d.head[0], d.head[1]
	op := first & 0x0f
	if rsv := first & bitRsv; rsv != 0 {
		if rsv != bitRsv1 || !d.rules.deflate || (op != opText && op != opBinary) {
			return violation(CodeProtocol, "reserved bit set")
		}
	}
	if (second&bitMask != 0) == d.rules.client {
		return violation(CodeProtocol, "wrong masking")
	}
	switch op {
	case opText, opBinary:
		if d.op != 0 {
			return violation(CodeProtocol, "new message inside a fragmented one")
		}
	case opContinuation:
		if d.op == 0 {
			return violation(CodeProtocol, "continuation of nothing")
		}
	case opClose, opPing, opPong:
		if first&bitFin == 0 || second&^bitMask > maxControl {
			return violation(CodeProtocol, "control frame fragmented or too long")
		}
	default:
		return violation(CodeProtocol, "reserved opcode")
	}
	return nil
}

func (d *decoder) headSize() int {
	size := headStart
	switch d.head[1] &^ bitMask {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if d.head[1]&bitMask != 0 {
		size += maskSize
	}
	return size
}

// length reads the payload's length, which must be in its shortest form.
func (d *decoder) length() (uint64, error) {
	switch short := d.head[1] &^ bitMask; short {
	case 126:
		n := binary.BigEndian.Uint16(d.head[headStart:])
		if n <= maxControl {
			return 0, violation(CodeProtocol, "length not in its shortest form")
		}
		return uint64(n), nil
	case 127:
		n := binary.BigEndian.Uint64(d.head[headStart:])
		if n>>63 != 0 || n <= 0xffff {
			return 0, violation(CodeProtocol, "length not in its shortest form")
		}
		return n, nil
	default:
		return uint64(short), nil
	}
}

// startFrame applies the limits and turns to the payload.
func (d *decoder) startFrame(n uint64) error {
	d.first = d.head[0]
	if d.first&0x08 == 0 {
		if err := d.startFragment(n); err != nil {
			return err
		}
	}
	if d.head[1]&bitMask != 0 {
		copy(d.key[:], d.head[d.headNeed-maskSize:d.headNeed])
	}
	d.left, d.at = int(n), 0 //nolint:gosec // below the limit, which is an int
	d.headLen, d.headNeed = 0, 0
	return nil
}

func (d *decoder) startFragment(n uint64) error {
	if op := d.first & 0x0f; op != opContinuation {
		d.op, d.deflated = op, d.first&bitRsv1 != 0
	}
	d.fragments++
	if n == 0 {
		d.empty++
	}
	if d.fragments > maxFragments || d.empty > maxEmptyFragments {
		return broken(CodeTooBig, ErrFragments)
	}
	if n > uint64(d.limit()-len(d.message)) { //nolint:gosec // a message is never longer than its limit
		return broken(CodeTooBig, ErrMessage)
	}
	return nil
}

// limit is the most octets that a message may have before it is inflated: what cannot be compressed grows a little.
func (d *decoder) limit() int {
	if d.deflated {
		return d.rules.max + d.rules.max>>10 + 64
	}
	return d.rules.max
}

// take stores a part of the payload and unmasks it.
func (d *decoder) take(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	var stored []byte
	if d.first&0x08 != 0 {
		stored = d.control[d.controlLen:][:copy(d.control[d.controlLen:], p)]
		d.controlLen += len(p)
	} else {
		d.grow(len(p))
		start := len(d.message)
		d.message = append(d.message, p...)
		stored = d.message[start:]
	}
	if !d.rules.client {
		gobwas.Cipher(stored, d.key, d.at)
	}
	d.at += len(p)
	d.left -= len(p)
	if d.op == opText && !d.deflated && d.first&0x08 == 0 && !d.text.accepts(stored) {
		return violation(CodeInvalidData, "text is not UTF-8")
	}
	return nil
}

// grow makes room for n octets more: no more than has come already once again, so that an announcement alone costs
// nothing, and exactly what is missing when that is known.
func (d *decoder) grow(n int) {
	have := len(d.message)
	if cap(d.message)-have >= n || have == 0 && d.left == n {
		return // append alone gives a whole small message just its size
	}
	size := max(2*cap(d.message), have+n, 64)
	if d.first&bitFin != 0 {
		size = min(size, have+d.left)
	}
	bigger := make([]byte, have, min(size, d.limit()))
	copy(bigger, d.message)
	d.message = bigger
}

// endFrame gives the event that the finished frame completes, if it does.
func (d *decoder) endFrame() (event, error) {
	d.headNeed = headStart
	if d.first&0x08 != 0 {
		data := d.control[:d.controlLen]
		d.controlLen = 0
		return event{op: d.first & 0x0f, data: data}, nil
	}
	if d.first&bitFin == 0 {
		return event{}, nil
	}
	ev := event{op: d.op, data: d.message}
	if d.op == opText && !d.deflated && !d.text.complete() {
		return event{}, violation(CodeInvalidData, "text ends inside a character")
	}
	if d.deflated {
		data, err := d.rules.pools.inflate(d.message, d.rules.max)
		if err != nil {
			return event{}, err
		}
		if d.op == opText && !utf8.Valid(data) {
			return event{}, violation(CodeInvalidData, "text is not UTF-8")
		}
		ev.data = data
	}
	d.op, d.deflated, d.message = 0, false, nil
	d.fragments, d.empty = 0, 0
	return ev, nil
}
