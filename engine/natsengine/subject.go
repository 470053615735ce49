package natsengine

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

const (
	// maxToken is the longest token that spells a name out. It keeps every
	// protocol line of NATS far below its limit of 4096 octets.
	maxToken = 240
	// emptyToken stands for the empty name: an escape is never a lone '%'.
	emptyToken = "%"
	// hashMark begins the token of a long name: an escape is never "%%".
	hashMark = "%%"
	hexDigit = "0123456789ABCDEF"
)

// subjects spells the names of NATS under one prefix.
type subjects struct {
	channels string // begins the subjects of channels
	inboxes  string // begins the inboxes of nodes
	everyone string // reaches each node
}

func newSubjects(prefix string) subjects {
	return subjects{channels: prefix + ".c.", inboxes: prefix + ".n.", everyone: prefix + ".ctl.all"}
}

func (s subjects) inbox(b boot) string { return s.inboxes + b.String() }

// flow is where the others answer a node's marks.
func (s subjects) flow(b boot) string { return s.inbox(b) + ".flow" }

// channelToken returns one token of a subject for any string, a different one
// for each, so that no name of a client is ever a wildcard or several tokens.
// hashed reports that the name is not in it and has to travel in the message.
func channelToken(channel string) (token string, hashed bool) {
	if channel == "" {
		return emptyToken, false
	}
	i := plain(channel)
	if i == len(channel) && i <= maxToken {
		return channel, false
	}
	var b strings.Builder
	for b.WriteString(channel[:min(i, maxToken+1)]); i < len(channel) && b.Len() <= maxToken; {
		r, size := utf8.DecodeRuneInString(channel[i:])
		if passes(r, size) {
			b.WriteString(channel[i : i+size])
		} else {
			b.Write([]byte{'%', hexDigit[channel[i]>>4], hexDigit[channel[i]&15]})
		}
		i += size
	}
	if b.Len() > maxToken {
		sum := sha256.Sum256([]byte(channel))
		return hashMark + base64.RawURLEncoding.EncodeToString(sum[:]), true
	}
	return b.String(), false
}

// plain returns how many octets of s, from its beginning, stand for themselves.
func plain(s string) int {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !passes(r, size) {
			return i
		}
		i += size
	}
	return len(s)
}

// passes reports whether the character stands for itself in a token. An octet
// that is not UTF-8 has the size 1 and does not.
func passes(r rune, size int) bool {
	switch {
	case r >= utf8.RuneSelf:
		return size > 1
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	return strings.ContainsRune("_:@/=+,~#!-", r)
}

// channelOf is the inverse of channelToken for tokens that are not hashed. It
// reports false for what channelToken never returns.
func channelOf(token string) (string, bool) {
	if token == emptyToken {
		return "", true
	}
	escape := strings.IndexByte(token, '%')
	if escape < 0 {
		return token, token != ""
	}
	var b strings.Builder
	for ; escape >= 0; escape = strings.IndexByte(token, '%') {
		if len(token) < escape+3 {
			return "", false
		}
		high, low := strings.IndexByte(hexDigit, token[escape+1]), strings.IndexByte(hexDigit, token[escape+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b.WriteString(token[:escape])
		b.WriteByte(byte(high<<4 | low)) //nolint:gosec // both are below 16
		token = token[escape+3:]
	}
	b.WriteString(token)
	return b.String(), true
}
