package wire

import (
	"errors"
	"math"
	"strconv"
)

// First bytes of MessagePack values that have a name here. In the fixed forms the low bits are the length.
const (
	fixMap   = 0x80
	fixArray = 0x90
	fixStr   = 0xa0
	packNil  = 0xc0
	packNo   = 0xc2
	packYes  = 0xc3
	bin8     = 0xc4
	float64s = 0xcb
	uint8s   = 0xcc
	int8s    = 0xd0
	fixExt   = 0xd4
	str8     = 0xd9
	array16  = 0xdc
	array32  = 0xdd
	map16    = 0xde
)

// fixStr2 begins a string of two bytes.
const fixStr2 = "\xa2"

// Heads of packets: a map of one short key.
const (
	eventHead    = "\x81\xa1e"
	publishHead  = "\x81\xa1p"
	responseHead = "\x81\xa1r"
)

// The first bytes from 0xc0 to 0xdf: what each begins, and how many bytes of number follow it. The letters stand for
// nil, truth, binary, extension (X: of fixed length), float, unsigned, integer, string, array and map.
const (
	formats = "n.ttbbbxxxffuuuuiiiiXXXXXsssaamm"
	widths  = "00001241244812481248000001242424"
)

// maxDepth bounds the nesting of what is translated between the codecs: reading and writing MessagePack recurse.
const maxDepth = 1024

// unpacker translates MessagePack into JSON text. Whatever it writes is valid JSON, unless it reports false. No length
// that it reads makes it allocate: out grows by what is there, at most sixfold (a control character's escape).
type unpacker struct {
	in  []byte // what is left
	out []byte

	deep bool // it has been given up for its depth
}

// unpackMessage translates a MinBin message into the JSON message that says the same.
func unpackMessage(data []byte) (text []byte, err error) {
	u := unpacker{in: data, out: make([]byte, 0, len(data)+len(data)/2+overhead)}
	if u.message() && len(u.in) == 0 {
		return u.out, nil
	}
	if u.deep {
		return nil, errDeep
	}
	return nil, errMalformed
}

var (
	errDeep      = errors.New("deeper than it is followed")
	errMalformed = errors.New("malformed")
)

func (u *unpacker) message() bool {
	if kind := u.next(); kind != 'a' {
		return kind == 'm' && u.packet()
	}
	_, n, ok := u.head()
	u.out = append(u.out, '[')
	for ; ok && n > 0; n-- {
		u.separate()
		ok = u.element()
	}
	u.out = append(u.out, ']')
	return ok
}

// element translates an element of a batch. What is no packet becomes null, which is none either.
func (u *unpacker) element() bool {
	if u.next() == 'm' {
		return u.packet()
	}
	ok := u.skip()
	u.out = append(u.out, "null"...)
	return ok
}

// packet translates a packet, and its short keys into the members for which they stand.
func (u *unpacker) packet() bool {
	_, n, ok := u.head()
	u.out = append(u.out, '{')
	for ; ok && n > 0; n-- {
		if len(u.in) > 2 && u.in[0] == fixStr|1 {
			name := u.in[1]
			rest := unpacker{in: u.in[2:]}
			if rest.next() == 'a' && (name == 'e' || name == 'p' || name == 'r') {
				u.in = rest.in
				ok = u.short(name)
				continue
			}
		}
		u.separate()
		ok = u.member(maxDepth)
	}
	u.out = append(u.out, '}')
	return ok
}

// short translates the array behind a short key.
func (u *unpacker) short(name byte) bool {
	_, n, ok := u.head()
	if !ok {
		return false
	}
	switch name {
	case 'e':
		return u.members(n, "event", "data", "cid")
	case 'r':
		return u.members(n, "rid", "error", "data")
	}
	u.separate()
	u.out = append(u.out, `"event":"#publish","data":{`...)
	inner := min(n, 2)
	ok = u.members(inner, "channel", "data")
	u.out = append(u.out, '}')
	return ok && u.members(n-inner, "cid")
}

// members translates n elements of an array into members with these names, and drops what is beyond them.
func (u *unpacker) members(n uint64, names ...string) bool {
	ok := true
	for i := 0; ok && n > 0; n-- {
		if i == len(names) {
			ok = u.skip()
			continue
		}
		u.separate()
		u.out = append(u.out, '"')
		u.out = append(u.out, names[i]...)
		u.out = append(u.out, '"', ':')
		ok = u.value(maxDepth)
		i++
	}
	return ok
}

// separate writes a comma, unless the container has only begun: nothing else ends with its bracket.
func (u *unpacker) separate() {
	if c := u.out[len(u.out)-1]; c != '{' && c != '[' {
		u.out = append(u.out, ',')
	}
}

// skip reads a value and writes nothing.
func (u *unpacker) skip() bool {
	end := len(u.out)
	ok := u.value(maxDepth)
	u.out = u.out[:end]
	return ok
}

// value translates one value, with at most depth levels of containers.
func (u *unpacker) value(depth int) bool {
	kind, n, ok := u.head()
	if !ok {
		return false
	}
	switch kind {
	case 'n':
		u.out = append(u.out, "null"...)
	case 't':
		u.out = strconv.AppendBool(u.out, n == 1)
	case 'u':
		u.out = strconv.AppendUint(u.out, n, 10)
	case 'i':
		u.out = strconv.AppendInt(u.out, int64(n), 10) //nolint:gosec // n is the two's complement
	case 'f':
		u.out = appendFloat(u.out, math.Float64frombits(n))
	case 's':
		u.out = appendQuoted(u.out, u.take(n))
	case 'b':
		u.out = appendBinary(u.out, u.take(n))
	case 'x':
		u.out = appendBinary(u.out, u.take(n + 1)[1:]) // without its type
	case 'a', 'm':
		u.deep = depth == 0
		return depth > 0 && u.nested(kind, n, depth-1)
	}
	return true
}

func (u *unpacker) nested(kind byte, n uint64, depth int) bool {
	if kind == 'a' {
		return u.array(n, depth)
	}
	return u.object(n, depth)
}

func (u *unpacker) array(n uint64, depth int) bool {
	u.out = append(u.out, '[')
	for ; n > 0; n-- {
		u.separate()
		if !u.value(depth) {
			return false
		}
	}
	u.out = append(u.out, ']')
	return true
}

func (u *unpacker) object(n uint64, depth int) bool {
	u.out = append(u.out, '{')
	for ; n > 0; n-- {
		u.separate()
		if !u.member(depth) {
			return false
		}
	}
	u.out = append(u.out, '}')
	return true
}

// member translates a key and its value. Keys that are no strings but scalars become strings, as in JavaScript.
func (u *unpacker) member(depth int) bool {
	switch u.next() {
	case 's':
		if !u.value(0) {
			return false
		}
	case 'n', 't', 'u', 'i', 'f':
		u.out = append(u.out, '"')
		if !u.value(0) {
			return false
		}
		u.out = append(u.out, '"')
	default:
		return false
	}
	u.out = append(u.out, ':')
	return u.value(depth)
}

// next returns what comes next, as a letter of formats; 0: nothing.
func (u *unpacker) next() byte {
	if len(u.in) == 0 {
		return 0
	}
	switch c := u.in[0]; {
	case c < fixMap:
		return 'u'
	case c < fixArray:
		return 'm'
	case c < fixStr:
		return 'a'
	case c < packNil:
		return 's'
	case c < packNil+byte(len(formats)):
		return formats[c-packNil]
	}
	return 'i'
}

// head reads a value's first byte and the number behind it: the value itself (of a float its bits, of an integer the
// two's complement), or a length, which is at most what is left.
func (u *unpacker) head() (kind byte, n uint64, ok bool) {
	kind = u.next()
	if kind == 0 || kind == '.' {
		return 0, 0, false
	}
	c := u.in[0]
	u.in = u.in[1:]
	switch {
	case c < fixMap:
		return kind, uint64(c), true
	case c < fixStr:
		n = uint64(c & 0x0f)
	case c < packNil:
		n = uint64(c & 0x1f)
	case c >= packNil+byte(len(formats)):
		return kind, uint64(int64(int8(c))), true //nolint:gosec // the two's complement is meant
	default:
		if n, ok = u.number(c, kind); !ok {
			return 0, 0, false
		}
	}
	return u.fit(kind, n)
}

// number reads the number behind a first byte that is in formats.
func (u *unpacker) number(c, kind byte) (n uint64, ok bool) {
	width := int(widths[c-packNil] - '0')
	if width > len(u.in) {
		return 0, false
	}
	for _, d := range u.in[:width] {
		n = n<<8 | uint64(d)
	}
	u.in = u.in[width:]
	switch {
	case kind == 't':
		n = uint64(c & 1)
	case kind == 'X':
		n = 1 << (c - fixExt)
	case kind == 'i':
		unused := 64 - 8*width
		n = uint64(int64(n<<unused) >> unused) //nolint:gosec // the sign is spread over the two's complement
	case kind == 'f' && width == 4:
		n = math.Float64bits(float64(math.Float32frombits(uint32(n))))
	}
	return n, true
}

// fit holds a length against what is left: an element takes at least one byte, a member two, an extension has a type.
func (u *unpacker) fit(kind byte, n uint64) (byte, uint64, bool) {
	left := uint64(len(u.in))
	switch kind {
	case 's', 'b', 'a':
		return kind, n, n <= left
	case 'm':
		return kind, n, n <= left/2
	case 'x', 'X':
		return 'x', n, n < left
	}
	return kind, n, true
}

// take returns the next n bytes, which are there.
func (u *unpacker) take(n uint64) []byte {
	taken := u.in[:n]
	u.in = u.in[n:]
	return taken
}

// appendFloat appends a number as JavaScript would write it, or null for what JSON cannot say.
func appendFloat(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case abs != 0 && abs < 1e-6 || abs >= 1e21:
		dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
		if n := len(dst); string(dst[n-4:n-1]) == "e-0" {
			dst = append(dst[:n-2], dst[n-1])
		}
		return dst
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}
