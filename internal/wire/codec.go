package wire

import (
	"bytes"
	"errors"
	"iter"
	"unicode/utf8"
)

// Codec is one of the two encodings that clients speak.
type Codec uint8

const (
	// JSON is the default codec: one JSON text for each message.
	JSON Codec = iota
	// MinBin is sc-codec-min-bin: MessagePack with shortened keys.
	MinBin
)

// The texts of protocol 1's liveness messages. Protocol 2 uses the empty text both ways.
const (
	PingV1 = "#1"
	PongV1 = "#2"
)

// Detect tells the codec from the first message of a connection, which is a handshake, perhaps in a batch.
func Detect(binary bool, data []byte) Codec {
	if !binary || len(data) == 0 {
		return JSON
	}
	switch c := data[0]; {
	case c > fixArray && c <= fixArray|0x0f:
		data = data[1:]
	case c == array16 && len(data) > 3:
		data = data[3:]
	case c == array32 && len(data) > 5:
		data = data[5:]
	}
	if bytes.HasPrefix(data, []byte(eventHead)) {
		return MinBin
	}
	return JSON
}

// Binary reports whether packets of this codec travel in binary frames.
func (c Codec) Binary() bool { return c == MinBin }

// EncodedPing returns protocol 1's ping as peers up to version 14 send it, who run it through the codec.
func (c Codec) EncodedPing() []byte { return c.encodedText(PingV1) }

// EncodedPong returns protocol 1's pong as peers up to version 14 send it, who run it through the codec.
func (c Codec) EncodedPong() []byte { return c.encodedText(PongV1) }

func (c Codec) encodedText(s string) []byte {
	if c == MinBin {
		s = fixStr2 + s
	}
	return []byte(s)
}

// Packets yields the packets of one message, in order, without copying payloads out of a JSON message. The whole
// message is validated first: malformed input yields exactly one Raw packet. So does each element of a batch that
// is no packet. An empty batch yields one packet of kind Empty.
func (c Codec) Packets(data []byte) iter.Seq[Packet] { return c.PacketsWithin(data, anyDepth) }

// PacketsWithin is Packets for a message of at most depth levels of objects and arrays, its own and those of a batch
// included. A deeper one yields exactly one packet, of kind TooDeep.
func (c Codec) PacketsWithin(data []byte, depth int) iter.Seq[Packet] {
	return func(yield func(Packet) bool) { c.each(data, depth, yield) }
}

func (c Codec) each(data []byte, depth int, yield func(Packet) bool) {
	if c == JSON {
		eachText(data, depth, yield)
		return
	}
	switch string(data) {
	case fixStr2 + PingV1:
		yield(Packet{Kind: Ping})
		return
	case fixStr2 + PongV1:
		yield(Packet{Kind: Pong})
		return
	}
	text, err := unpackMessage(data)
	switch {
	case err == nil:
		eachText(text, depth, yield)
	case errors.Is(err, errDeep) && depth < anyDepth:
		yield(Packet{Kind: TooDeep})
	default:
		yield(Packet{})
	}
}

// eachText yields the packets of a JSON message.
func eachText(data []byte, depth int, yield func(Packet) bool) {
	f := fields{depth: depth}
	i := space(data, 0)
	first := peek(data, i)
	switch first {
	case '{':
		if end := f.object(data, i, inPacket); end >= 0 && space(data, end) == len(data) {
			yield(f.packet())
			return
		}
	case '[':
		if validWithin(data, depth) {
			eachElement(data, space(data, i+1), yield)
			return
		}
	}
	if depth < anyDepth && (first == '{' || first == '[') && Valid(data) {
		yield(Packet{Kind: TooDeep})
		return
	}
	// A binary frame's text may be bad UTF-8. JavaScript replaces what it cannot read, and then parses.
	if !utf8.Valid(data) {
		eachText(bytes.ToValidUTF8(data, []byte("\uFFFD")), depth, yield)
		return
	}
	yield(Packet{})
}

// eachElement yields the elements of a valid batch, the first of which starts at i.
func eachElement(data []byte, i int, yield func(Packet) bool) {
	if data[i] == ']' {
		yield(Packet{Kind: Empty})
		return
	}
	for more := true; more; i = space(data, i+1) {
		f := fields{depth: anyDepth}
		var p Packet
		if data[i] == '{' {
			i = f.object(data, i, inPacket)
			p = f.packet()
		} else {
			i = value(data, i, anyDepth)
		}
		i = space(data, i)
		more = yield(p) && data[i] == ','
	}
}
