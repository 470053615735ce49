package ws

import (
	"testing"
	"unicode/utf8"
)

func FuzzTextIsCheckedAsItStreams(f *testing.F) {
	f.Add("aé漢𝄞z\xf4\x8f\xbf\xbf", uint8(1))
	f.Add("\xf0\x90", uint8(3))
	f.Add("\xed\xa0\x80", uint8(2))
	f.Add("ab\xc3", uint8(2))
	f.Fuzz(func(t *testing.T, s string, piece uint8) {
		var u utf8Stream
		ok := true
		for rest := s; rest != "" && ok; {
			n := min(int(piece%9)+1, len(rest))
			ok = u.accepts([]byte(rest[:n]))
			rest = rest[n:]
			seen := s[:len(s)-len(rest)]
			if want := canBecomeValid(seen); ok != want {
				t.Fatalf("after %q: got %v, want %v", seen, ok, want)
			}
		}
		if got, want := ok && u.complete(), utf8.ValidString(s); got != want {
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
	})
}

// canBecomeValid is the plain definition: some continuation makes s valid.
func canBecomeValid(s string) bool {
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			return !utf8.FullRuneInString(s)
		}
		s = s[size:]
	}
	return true
}
