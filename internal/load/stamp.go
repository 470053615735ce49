package load

import (
	"bytes"
	"time"
)

// A stamp begins each payload: a mark and three numbers of fixed width in hexadecimal, so that it is written and found
// without encoding anything, whatever is around it.
const (
	mark            = "@@"
	publisherDigits = 4
	numberDigits    = 10
	timeDigits      = 14
	stampSize       = len(mark) + publisherDigits + numberDigits + timeDigits
	leastSize       = 32
)

// stamp says which message of which publisher it is, and when it was due.
type stamp struct {
	publisher uint64
	number    uint64 // on its channel, from 1
	at        time.Duration
}

func (s stamp) put(dst []byte) {
	dst = dst[copy(dst, mark):]
	putHex(dst[:publisherDigits], s.publisher)
	dst = dst[publisherDigits:]
	putHex(dst[:numberDigits], s.number)
	putHex(dst[numberDigits:numberDigits+timeDigits], uint64(s.at)) //nolint:gosec // since the beginning: not negative
}

// findStamp gives the first stamp and what is behind it.
func findStamp(b []byte) (s stamp, rest []byte, ok bool) {
	for {
		i := bytes.Index(b, []byte(mark))
		if i < 0 || len(b)-i < stampSize {
			return stamp{}, nil, false
		}
		digits := b[i+len(mark) : i+stampSize]
		publisher, ok1 := hex(digits[:publisherDigits])
		number, ok2 := hex(digits[publisherDigits:][:numberDigits])
		at, ok3 := hex(digits[publisherDigits+numberDigits:])
		if ok1 && ok2 && ok3 {
			return stamp{publisher, number, time.Duration(at)}, b[i+stampSize:], true //nolint:gosec // 56 bits
		}
		b = b[i+1:]
	}
}

func putHex(dst []byte, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
}

func hex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint64(c)
	}
	return n, true
}
