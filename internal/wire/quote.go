package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendString appends s as a JSON string, with no more escapes than JSON needs. Bytes that are not UTF-8 become
// U+FFFD, so the result is valid for any s. The conversion copies nothing, as s stays as it is.
func AppendString(dst []byte, s string) []byte { return appendQuoted(dst, []byte(s)) }

func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := ordinary(s, 0); i < len(s); i = ordinary(s, i) {
		if s[i] >= utf8.RuneSelf {
			if r, size := utf8.DecodeRune(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, s[i])
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscape appends what stands for a byte that may not stand for itself.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if c >= utf8.RuneSelf {
		return append(dst, "\uFFFD"...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

// content returns what a valid JSON string says: a part of it when it is plain, memory of its own when it is not.
func content(quoted []byte, plain bool) []byte {
	if plain {
		return quoted[1 : len(quoted)-1]
	}
	return appendUnquoted(nil, quoted)
}

// appendUnquoted appends what a valid JSON string says. Half a surrogate pair, which UTF-8 cannot say, becomes
// U+FFFD.
func appendUnquoted(dst, quoted []byte) []byte {
	s := quoted[1 : len(quoted)-1]
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, size := escapedRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[size:]
			continue
		}
		dst = append(dst, c)
	}
}

// escapedRune reads the four hexadecimal digits that begin s and, when they are the first half of a pair, the other
// half. It returns how much it has read.
func escapedRune(s []byte) (r rune, size int) {
	r, _ = hex4(s, 0)
	if utf16.IsSurrogate(r) && peek(s, 4) == '\\' && peek(s, 5) == 'u' {
		low, _ := hex4(s, 6)
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, 10
		}
	}
	return r, 4
}

// Binary returns raw octets as the protocol says them in JSON: {"base64":true,"data":"…"}.
func Binary(raw []byte) json.RawMessage {
	dst := make([]byte, 0, len(base64Head)+base64.StdEncoding.EncodedLen(len(raw))+len(base64Tail))
	return appendBinary(dst, raw)
}

// What stands around the base64 text of octets.
const (
	base64Head = `{"base64":true,"data":"`
	base64Tail = `"}`
)

func appendBinary(dst, raw []byte) []byte {
	dst = append(dst, base64Head...)
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	return append(dst, base64Tail...)
}
