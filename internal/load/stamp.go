package load

import (
	"bytes"
	"time"
)

// A stamp begins each payload: a mark and four numbers of fixed width in hexadecimal, so that it is written and found
// without encoding anything, whatever is around it.
const (
	mark            = "@@"
	publisherDigits = 4
	channelDigits   = 5
	numberDigits    = 9
	timeDigits      = 12
	stampSize       = len(mark) + publisherDigits + channelDigits + numberDigits + timeDigits
	leastSize       = stampSize
)

// stamp says which message of which publisher it is, and when it was due.
type stamp struct {
	publisher uint64
	channel   uint64
	number    uint64 // on its channel, from 1
	at        time.Duration
}

func (s stamp) put(dst []byte) {
	dst = dst[copy(dst, mark):]
	dst = putHex(dst, s.publisher, publisherDigits)
	dst = putHex(dst, s.channel, channelDigits)
	dst = putHex(dst, s.number, numberDigits)
	putHex(dst, uint64(s.at), timeDigits) //nolint:gosec // since the beginning: not negative
}

// findStamp gives the first stamp and what is behind it.
func findStamp(b []byte) (s stamp, rest []byte, ok bool) {
	for {
		i := bytes.Index(b, []byte(mark))
		if i < 0 || len(b)-i < stampSize {
			return stamp{}, nil, false
		}
		digits := b[i+len(mark) : i+stampSize]
		publisher, digits, ok1 := takeHex(digits, publisherDigits)
		channel, digits, ok2 := takeHex(digits, channelDigits)
		number, digits, ok3 := takeHex(digits, numberDigits)
		at, _, ok4 := takeHex(digits, timeDigits)
		if ok1 && ok2 && ok3 && ok4 {
			return stamp{publisher, channel, number, time.Duration(at)}, b[i+stampSize:], true //nolint:gosec // 48 bits
		}
		b = b[i+1:]
	}
}

// putHex writes so many digits and gives what is behind them.
func putHex(dst []byte, n uint64, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[n&15]
		n >>= 4
	}
	return dst[digits:]
}

// takeHex reads so many digits and gives what is behind them.
func takeHex(b []byte, digits int) (n uint64, rest []byte, ok bool) {
	for _, c := range b[:digits] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, b[digits:], false
		}
		n = n<<4 | uint64(c)
	}
	return n, b[digits:], true
}
