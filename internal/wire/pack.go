package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
)

func packEvent(dst []byte, event string, data []byte, cid uint64) []byte {
	if event == publishName {
		f := fields{depth: anyDepth}
		if start := space(data, 0); peek(data, start) == '{' && f.object(data, start, inData) > 0 {
			dst = append(dst, publishHead...)
			dst = packTuple(dst, cid)
			dst = packText(dst, f.inner.channel)
			dst = packText(dst, f.inner.data)
			return packCID(dst, cid)
		}
	}
	dst = append(dst, eventHead...)
	dst = packTuple(dst, cid)
	dst = packString(dst, event)
	dst = packText(dst, data)
	return packCID(dst, cid)
}

func packPublish(dst []byte, channel string, data []byte) []byte {
	dst = append(dst, publishHead...)
	dst = packTuple(dst, 0)
	dst = packString(dst, channel)
	return packText(dst, data)
}

func packResponse(dst []byte, rid Number, err, data []byte) []byte {
	dst = append(dst, responseHead...)
	dst = append(dst, fixArray|3)
	dst = packText(dst, rid)
	dst = packText(dst, err)
	return packText(dst, data)
}

// packTuple begins the array of a packet: two things, and a cid if there is one.
func packTuple(dst []byte, cid uint64) []byte {
	if cid == 0 {
		return append(dst, fixArray|2)
	}
	return append(dst, fixArray|3)
}

func packCID(dst []byte, cid uint64) []byte {
	if cid == 0 {
		return dst
	}
	return packFloat(dst, float64(cid))
}

// packText appends the translation of JSON text; nil of what is absent or malformed, as msgpack-lite of undefined.
func packText(dst, text []byte) []byte {
	if !Valid(text) {
		return append(dst, packNil)
	}
	p := packer{text: text, i: space(text, 0)}
	if c := text[p.i]; c == '{' || c == '[' {
		var room [64]uint32
		p.counts = appendCounts(room[:0], text)
	}
	return p.value(dst, maxDepth)
}

// appendCounts appends the lengths of all containers of valid text, which MessagePack wants before their content. To
// look for each one when it begins would read the innermost as often as it is deep.
func appendCounts(counts []uint32, text []byte) []uint32 {
	var room [64]int
	open := room[:0] // indices of the containers around i, but for those that are too deep to be translated
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end, _ := str(text, i)
			i = end - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				continue
			}
			open = append(open, len(counts))
			length := uint32(1)
			if c := text[space(text, i+1)]; c == '}' || c == ']' {
				length = 0
			}
			counts = append(counts, length)
		case ',':
			if depth <= maxDepth {
				counts[open[depth-1]]++
			}
		case '}', ']':
			depth--
			open = open[:min(depth, len(open))]
		}
	}
	return counts
}

// packer translates valid JSON text into MessagePack, with the widths that msgpack-lite chooses. Its methods translate
// what is at i and go behind it; they hand the output through rather than keep it, so that counts stays on the stack.
type packer struct {
	text   []byte
	i      int
	counts []uint32 // lengths of the text's containers, in their order
	next   int      // the first container still to come
}

// value appends a value. Containers more than depth levels deep become nil: no MessagePack reader would follow so far.
func (p *packer) value(dst []byte, depth int) []byte {
	switch p.text[p.i] {
	case '"':
		return p.string(dst)
	case '{':
		if out, ok := p.octets(dst); ok {
			if depth > 0 {
				p.next++
			}
			return out
		}
		return p.container(dst, depth)
	case '[':
		return p.container(dst, depth)
	case 't':
		p.i += len("true")
		return append(dst, packYes)
	case 'f':
		p.i += len("false")
		return append(dst, packNo)
	case 'n':
		p.i += len("null")
		return append(dst, packNil)
	}
	start := p.i
	p.i = number(p.text, start)
	// Out of range is infinite, as in JavaScript.
	f, _ := strconv.ParseFloat(string(p.text[start:p.i]), 64)
	return packFloat(dst, f)
}

func (p *packer) container(dst []byte, depth int) []byte {
	if depth == 0 {
		p.i = container(p.text, p.i, anyDepth)
		return append(dst, packNil)
	}
	n := int(p.counts[p.next])
	p.next++
	isObject := p.text[p.i] == '{'
	if isObject {
		dst = packLength(dst, fixMap, map16, n)
	} else {
		dst = packLength(dst, fixArray, array16, n)
	}
	p.i = space(p.text, p.i+1)
	for range n {
		if isObject {
			dst = p.string(dst)
			p.i = colon(p.text, p.i)
		}
		dst = p.value(dst, depth-1)
		if p.i = space(p.text, p.i); p.text[p.i] == ',' {
			p.i = space(p.text, p.i+1)
		}
	}
	p.i++
	return dst
}

func (p *packer) string(dst []byte) []byte {
	start := p.i
	end, plain := str(p.text, start)
	p.i = end
	if plain {
		dst = packStringHead(dst, end-start-2)
		return append(dst, p.text[start+1:end-1]...)
	}
	begin := len(dst)
	dst = appendUnquoted(dst, p.text[start:end])
	var room [5]byte
	return slices.Insert(dst, begin, packStringHead(room[:0], len(dst)-begin)...)
}

// octets appends as binary what is exactly the protocol's way to say octets in JSON, with base64 as an encoder writes
// it. It reports false, and has done nothing, when the object is another one.
func (p *packer) octets(dst []byte) ([]byte, bool) {
	i := p.i
	for _, token := range [...]string{"{", `"base64"`, ":", "true", ",", `"data"`, ":"} {
		if !bytes.HasPrefix(p.text[i:], []byte(token)) {
			return dst, false
		}
		i = space(p.text, i+len(token))
	}
	end, plain := str(p.text, i)
	behind := space(p.text, max(end, 0))
	if !plain || p.text[behind] != '}' {
		return dst, false
	}
	digits := p.text[i+1 : end-1]
	out := packSized(dst, bin8, base64.RawStdEncoding.DecodedLen(len(bytes.TrimRight(digits, "="))))
	out, err := base64.StdEncoding.Strict().AppendDecode(out, digits)
	if err != nil {
		return dst, false
	}
	p.i = behind + 1
	return out, true
}

// packFloat appends a number as msgpack-lite does: what fits in 32 bits with sign as the shortest integer, all else
// as a double.
func packFloat(dst []byte, f float64) []byte {
	if f != math.Trunc(f) || f < math.MinInt32 || f > math.MaxInt32 {
		dst = append(dst, float64s)
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
	}
	n := int32(f)
	switch {
	case n >= -32 && n < fixMap:
		return append(dst, byte(n)) //nolint:gosec // the two's complement is meant
	case n >= 0:
		return packSized(dst, uint8s, int(n))
	case n >= math.MinInt8:
		return append(dst, int8s, byte(n)) //nolint:gosec // the two's complement is meant
	case n >= math.MinInt16:
		dst = append(dst, int8s+1)
		return binary.BigEndian.AppendUint16(dst, uint16(n)) //nolint:gosec // the two's complement is meant
	}
	dst = append(dst, int8s+2)
	return binary.BigEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // the two's complement is meant
}

func packString(dst []byte, s string) []byte {
	s = strings.ToValidUTF8(s, "\uFFFD")
	dst = packStringHead(dst, len(s))
	return append(dst, s...)
}

func packStringHead(dst []byte, n int) []byte {
	if n < 32 {
		return append(dst, fixStr|byte(n&31))
	}
	return packSized(dst, str8, n)
}

// packLength begins an array or map of n.
func packLength(dst []byte, fixed, wide byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, fixed|byte(n&15))
	case n <= math.MaxUint16:
		dst = append(dst, wide)
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	dst = append(dst, wide+1)
	return binary.BigEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // no text is so long
}

// packSized appends a non-negative number in the least width. First is the byte for a width of one; those for two and
// four follow it.
func packSized(dst []byte, first byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, first, byte(n&0xff))
	case n <= math.MaxUint16:
		dst = append(dst, first+1)
		return binary.BigEndian.AppendUint16(dst, uint16(n))
	}
	dst = append(dst, first+2)
	return binary.BigEndian.AppendUint32(dst, uint32(n)) //nolint:gosec // no text is so long
}
