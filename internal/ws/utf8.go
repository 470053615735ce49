package ws

import "unicode/utf8"

// utf8Stream checks text that comes in pieces cut anywhere, and finds a wrong octet in the piece that brings it.
type utf8Stream struct {
	tail [utf8.UTFMax]byte // an unfinished sequence that can still become valid
	n    int
}

// accepts reports whether all text so far is valid or can still become so.
func (u *utf8Stream) accepts(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.tail[u.n] = p[0]
		u.n++
		p = p[1:]
		seq := u.tail[:u.n]
		if !utf8.FullRune(seq) {
			continue
		}
		if r, size := utf8.DecodeRune(seq); r == utf8.RuneError && size <= 1 {
			return false
		}
		u.n = 0
	}
	whole := len(p) - unfinished(p)
	if !utf8.Valid(p[:whole]) {
		return false
	}
	u.n += copy(u.tail[u.n:], p[whole:])
	return true
}

// complete reports whether the text ends between two characters.
func (u *utf8Stream) complete() bool { return u.n == 0 }

// unfinished is the length of a sequence at the end of p that lacks octets.
func unfinished(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		last := p[len(p)-i:]
		if !utf8.RuneStart(last[0]) {
			continue
		}
		if utf8.FullRune(last) {
			return 0
		}
		return i
	}
	return 0
}
