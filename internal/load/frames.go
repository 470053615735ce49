package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The opcodes of RFC 6455 that matter here.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

const (
	final     = 0x80
	masked    = 0x80
	longest7  = 125
	follow16  = 126
	follow64  = 127
	mostOfOne = 16 << 20 // octets of a frame

	mostOfHead = 14 // octets
)

// newFrame makes a client's frame. The mask is zero: the server unmasks it all the same, and nothing has to be
// computed. (Masks protect proxies from hostile pages, and this is none.)
func newFrame(op byte, payload []byte) []byte {
	dst := append(make([]byte, 0, len(payload)+mostOfHead), final|op)
	switch n := len(payload); {
	case n <= longest7:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|follow16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|follow64), uint64(n))
	}
	return append(append(dst, 0, 0, 0, 0), payload...)
}

// receiver is what frames are for. The payload is only lent.
type receiver interface {
	frame(op byte, payload []byte) error
}

// splitter finds the frames in what a server sends, however it is cut into reads.
type splitter struct {
	rest []byte // the beginning of a frame whose end has not come
}

// feed passes the frames on that b completes.
func (s *splitter) feed(b []byte, to receiver) error {
	if len(s.rest) > 0 {
		s.rest = append(s.rest, b...)
		b = s.rest
	}
	for {
		op, payload, size, err := splitFrame(b)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if err := to.frame(op, payload); err != nil {
			return err
		}
		b = b[size:]
	}
	s.rest = append(s.rest[:0], b...) // moves what is in rest already
	return nil
}

// splitFrame gives the frame at the beginning of b. A size of 0 means that some of it is missing.
func splitFrame(b []byte) (op byte, payload []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	n, head := uint64(b[1]), 2
	switch {
	case b[1]&masked != 0 || b[0]&0x70 != 0:
		return 0, nil, 0, errors.New("not a frame of a WebSocket server")
	case b[0]&final == 0 || b[0]&15 == 0:
		return 0, nil, 0, errors.New("the server splits messages into fragments, which cannot be measured")
	case n == follow16:
		head = 4
	case n == follow64:
		head = 10
	}
	if len(b) < head {
		return 0, nil, 0, nil
	}
	switch head {
	case 4:
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		n = binary.BigEndian.Uint64(b[2:])
	}
	if n > mostOfOne {
		return 0, nil, 0, fmt.Errorf("a frame of %d bytes is too large", n)
	}
	size = head + int(n)
	if len(b) < size {
		return 0, nil, 0, nil
	}
	return b[0] & 15, b[head:size], size, nil
}

// routine deals with what is no message of the application: the WebSocket's and the protocol's liveness, and the end.
// answer is what to send back.
func routine(p Protocol, op byte, payload []byte) (answer []byte, done bool, err error) {
	switch {
	case op == opPing:
		return newFrame(opPong, payload), true, nil
	case op == opClose:
		return nil, true, closeError(payload)
	case op != opText:
		return nil, true, nil
	}
	if pong, ok := p.Pong(payload); ok {
		return newFrame(opText, pong), true, nil
	}
	return nil, false, nil
}

func closeError(payload []byte) error {
	if len(payload) < 2 {
		return errors.New("closed by the server")
	}
	return fmt.Errorf("closed by the server: %d %s", binary.BigEndian.Uint16(payload), payload[2:])
}

// goodbye is a close frame with 1000.
func goodbye() []byte { return newFrame(opClose, binary.BigEndian.AppendUint16(nil, 1000)) }
