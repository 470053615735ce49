package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"
)

// The functions below walk over JSON text. Each takes the index where its part begins and returns the index behind
// it, or -1 when the text is malformed there. None needs more than its index to be sane: text may end anywhere.

// Valid reports whether data is one JSON value as JSON.parse takes it: any depth, and valid UTF-8 throughout. Space
// around it is allowed, a byte order mark is not.
func Valid(data []byte) bool { return validWithin(data, anyDepth) }

// validWithin is Valid with at most depth levels of objects and arrays.
func validWithin(data []byte, depth int) bool {
	end := value(data, space(data, 0), depth)
	return end >= 0 && space(data, end) == len(data)
}

// anyDepth bounds nothing.
const anyDepth = math.MaxInt

// value walks over one value, which must begin at b[i] and have at most depth levels.
func value(b []byte, i, depth int) int {
	switch peek(b, i) {
	case '{', '[':
		return container(b, i, depth)
	}
	return scalar(b, i)
}

// container walks over an object or array without recursion, so that depth costs a bit a level and no stack.
func container(b []byte, i, depth int) int {
	var open nesting
	for i >= 0 && open.depth <= depth {
		// At the start of a value.
		switch peek(b, i) {
		case '{':
			open.push(1)
			if i = space(b, i+1); peek(b, i) != '}' {
				i = key(b, i)
				continue
			}
		case '[':
			open.push(0)
			if i = space(b, i+1); peek(b, i) != ']' {
				continue
			}
		default:
			i = scalar(b, i)
		}
		if open.depth > depth {
			break
		}
		// Behind a value, or at the bracket of an empty container.
		var more bool
		if i, more = open.close(b, i); !more {
			return i
		}
	}
	return -1
}

// close walks over the brackets that follow a value, and then over a comma and a key, to the next value. It reports
// false when nothing is open any more, or the text is malformed.
func (n *nesting) close(b []byte, i int) (next int, more bool) {
	for i >= 0 {
		i = space(b, i)
		switch c := peek(b, i); {
		case c == ',' && n.top() == 0:
			return space(b, i+1), true
		case c == ',':
			i = key(b, space(b, i+1))
			return i, i >= 0
		case c == ']' && n.top() == 0, c == '}' && n.top() == 1:
			i++
			if n.pop(); n.depth == 0 {
				return i, false
			}
		default:
			return -1, false
		}
	}
	return -1, false
}

// nesting is a stack of bits, one for each open container: 1 is an object. The top 64 or fewer are in one word.
type nesting struct {
	depth int
	word  uint64
	below []uint64
}

func (n *nesting) top() uint64 { return n.word & 1 }

func (n *nesting) push(bit uint64) {
	if n.depth > 0 && n.depth%64 == 0 {
		n.below = append(n.below, n.word)
	}
	n.word = n.word<<1 | bit
	n.depth++
}

func (n *nesting) pop() {
	n.word >>= 1
	n.depth--
	if n.depth > 0 && n.depth%64 == 0 {
		n.word = n.below[len(n.below)-1]
		n.below = n.below[:len(n.below)-1]
	}
}

// key walks over a member's key and colon to its value.
func key(b []byte, i int) int {
	end, _ := str(b, i)
	return colon(b, end)
}

// colon walks from the end of a key, which may be -1, to its value.
func colon(b []byte, i int) int {
	if i < 0 {
		return -1
	}
	if i = space(b, i); peek(b, i) != ':' {
		return -1
	}
	return space(b, i+1)
}

func scalar(b []byte, i int) int {
	switch peek(b, i) {
	case '"':
		end, _ := str(b, i)
		return end
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	}
	return number(b, i)
}

func literal(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return -1
}

func number(b []byte, i int) int {
	if peek(b, i) == '-' {
		i++
	}
	if peek(b, i) == '0' {
		i++
	} else if i = digits(b, i); i < 0 {
		return -1
	}
	if peek(b, i) == '.' {
		if i = digits(b, i+1); i < 0 {
			return -1
		}
	}
	if peek(b, i)|0x20 == 'e' {
		i++
		if c := peek(b, i); c == '+' || c == '-' {
			i++
		}
		i = digits(b, i)
	}
	return i
}

// digits walks over at least one digit.
func digits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// str walks over a string with its quotes. Plain reports that it has no escapes.
func str(b []byte, i int) (end int, plain bool) {
	if peek(b, i) != '"' {
		return -1, false
	}
	plain = true
	for i++; i >= 0; {
		i = ordinary(b, i)
		switch c := peek(b, i); {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			plain = false
			i = escape(b, i+1)
		case c >= utf8.RuneSelf:
			i = runes(b, i)
		default:
			return -1, false
		}
	}
	return -1, false
}

// Masks for looking at eight bytes at once: the lowest and the highest bit of each.
const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// ordinary skips the bytes that need no thought within a string: ASCII but for controls, quote and backslash. A
// borrow of a subtraction can make a byte look special only behind one that is, and the first is what counts.
func ordinary(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^'"'*lows, w^'\\'*lows
		special := (quote-lows)&^quote | (slash-lows)&^slash | (w-' '*lows)&^w | w
		if special &= highs; special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// runes walks over characters beyond ASCII, at least one.
func runes(b []byte, i int) int {
	for i < len(b) && b[i] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return -1
		}
		i += size
	}
	return i
}

// escape walks over an escape behind its backslash. Half a surrogate pair is fine, as in JavaScript.
func escape(b []byte, i int) int {
	switch peek(b, i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if _, ok := hex4(b, i+1); ok {
			return i + 5
		}
	}
	return -1
}

// hex4 reads the four digits of an escaped character.
func hex4(b []byte, i int) (r rune, ok bool) {
	if i+4 > len(b) {
		return 0, false
	}
	for _, c := range b[i : i+4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// space skips white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// peek returns b[i], or behind the end 0, which is malformed wherever it may stand.
func peek(b []byte, i int) byte {
	if i < len(b) {
		return b[i]
	}
	return 0
}
