package ws

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"

	gobwas "github.com/gobwas/ws"
)

// The opcodes of RFC 6455 §5.2.
const (
	opContinuation byte = 0x0
	opText         byte = 0x1
	opBinary       byte = 0x2
	opClose        byte = 0x8
	opPing         byte = 0x9
	opPong         byte = 0xA
)

const (
	bitFin  byte = 0x80
	bitRsv1 byte = 0x40
	bitRsv  byte = 0x70
	bitMask byte = 0x80

	maxControl = 125
	maxHead    = 10 // without a mask
	maskSize   = 4

	// These make the types below fill their size classes.
	tinySize   = 48
	smallSize  = 160
	mediumSize = 464
)

// Frame is one message as it goes over the wire, encoded once and shared by all its receivers. It never changes.
type Frame struct {
	data []byte // header and payload, as a server sends them
	head uint8  // octets of data before the payload

	flattening sync.Mutex
	flat       atomic.Pointer[flatForms] // nil until a connection wants one
}

// flatForms are a frame's compressed forms, by window. Each is made when the first connection wants it, and is the frame
// itself where it would not be smaller.
type flatForms [windows]atomic.Pointer[Frame]

// NewFrame makes a text or binary frame of a copy of payload.
func NewFrame(binary bool, payload []byte) *Frame {
	return newFrame(bitFin|dataOpcode(binary), payload)
}

// NewFrameFunc makes a frame whose payload encode appends to dst, so that it is written straight behind the header.
// sizeHint is the expected length of the payload; a wrong one costs a copy, no more.
func NewFrameFunc(binary bool, sizeHint int, encode func(dst []byte) []byte) *Frame {
	f := allocFrame(maxHead + max(sizeHint, 0))
	data := encode(f.data[:maxHead])
	n := len(data) - maxHead
	head := headSize(n)
	f.data = data[maxHead-head:]
	f.head = uint8(head) //nolint:gosec // at most 10
	putHead(f.data, bitFin|dataOpcode(binary), n)
	return f
}

// Len is the number of octets that the uncompressed frame has on the wire of a server.
func (f *Frame) Len() int { return len(f.data) }

// A frame with its octets in one allocation: for acknowledgements and pings, for most messages, and for larger ones.
type (
	tinyFrame struct {
		Frame

		buf [tinySize]byte
	}
	smallFrame struct {
		Frame

		buf [smallSize]byte
	}
	mediumFrame struct {
		Frame

		buf [mediumSize]byte
	}
)

func newFrame(first byte, payload []byte) *Frame {
	head := headSize(len(payload))
	f := allocFrame(head + len(payload))
	f.head = uint8(head) //nolint:gosec // at most 10
	putHead(f.data, first, len(payload))
	copy(f.data[head:], payload)
	return f
}

func allocFrame(size int) *Frame {
	switch {
	case size <= tinySize:
		tiny := new(tinyFrame)
		tiny.data = tiny.buf[:size:size]
		return &tiny.Frame
	case size <= smallSize:
		small := new(smallFrame)
		small.data = small.buf[:size:size]
		return &small.Frame
	case size <= mediumSize:
		medium := new(mediumFrame)
		medium.data = medium.buf[:size:size]
		return &medium.Frame
	default:
		return &Frame{data: make([]byte, size)}
	}
}

// newCloseFrame makes a close frame; 1005 stands for one without a status. The reason must fit already.
func newCloseFrame(code int, reason string) *Frame {
	if code == CodeNoStatus {
		return newFrame(bitFin|opClose, nil)
	}
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), uint16(code)) //nolint:gosec // a checked code
	return newFrame(bitFin|opClose, append(payload, reason...))
}

// masked gives a private copy as a client must send it.
func (f *Frame) masked() *Frame {
	head := int(f.head)
	data := make([]byte, len(f.data)+maskSize)
	copy(data, f.data[:head])
	data[1] |= bitMask
	var key [maskSize]byte
	_, _ = rand.Read(key[:]) // never fails: it would end the program
	copy(data[head:], key[:])
	payload := data[head+maskSize:]
	copy(payload, f.data[head:])
	gobwas.Cipher(payload, key, 0)
	return &Frame{data: data, head: uint8(head + maskSize)} //nolint:gosec // at most 14
}

// compressed gives the permessage-deflate form for a window of so many bits, or the frame itself where that would not be
// smaller.
func (f *Frame) compressed(pools *flatePools, window int) *Frame {
	if len(f.data)-int(f.head) < minDeflate || f.data[0]&bitRsv1 != 0 {
		return f
	}
	if forms := f.flat.Load(); forms != nil {
		if flat := forms[window-minWindow].Load(); flat != nil {
			return flat
		}
	}
	return f.flatten(pools, window)
}

// flatten makes a compressed form, unless there is one by now.
func (f *Frame) flatten(pools *flatePools, window int) *Frame {
	f.flattening.Lock()
	defer f.flattening.Unlock()
	forms := f.flat.Load()
	if forms == nil {
		forms = new(flatForms)
		f.flat.Store(forms)
	}
	form := &forms[window-minWindow]
	if flat := form.Load(); flat != nil {
		return flat
	}
	flat := pools.deflate(f.data[0]|bitRsv1, f.data[f.head:], window)
	if flat == nil || len(flat.data) >= len(f.data) {
		flat = f
	}
	form.Store(flat)
	return flat
}

func dataOpcode(binary bool) byte {
	if binary {
		return opBinary
	}
	return opText
}

func headSize(n int) int {
	switch {
	case n <= maxControl:
		return 2
	case n <= 0xffff:
		return 4
	default:
		return maxHead
	}
}

// putHead writes the header of an unmasked frame with n octets of payload.
func putHead(dst []byte, first byte, n int) {
	dst[0] = first
	switch headSize(n) {
	case 2:
		dst[1] = byte(n) //nolint:gosec // at most 125
	case 4:
		dst[1] = 126
		binary.BigEndian.PutUint16(dst[2:], uint16(n)) //nolint:gosec // at most 65535
	default:
		dst[1] = 127
		binary.BigEndian.PutUint64(dst[2:], uint64(n)) //nolint:gosec // a length is not negative
	}
}
