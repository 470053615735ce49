package auth

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Claims are what a good token says.
type Claims struct {
	// Raw is the payload, a JSON object, octet for octet as in the token.
	Raw json.RawMessage
	// Expiry is exp: from then on the token is good no more. The zero time
	// means that there is none.
	Expiry time.Time
	// NotBefore is nbf, and zero when there is none.
	NotBefore time.Time
	// IssuedAt is iat, and zero when there is none.
	IssuedAt time.Time
}

// Decode stores the payload in v as json.Unmarshal does.
func (c Claims) Decode(v any) error {
	if err := json.Unmarshal(c.Raw, v); err != nil {
		return fmt.Errorf("decode claims: %w", err)
	}
	return nil
}

// fields are the members of a JSON object. Unlike a struct they keep names
// apart that differ in case only, which in a token is a difference.
type fields map[string]json.RawMessage

func parseFields(object []byte) (fields, error) {
	var f fields
	if err := json.Unmarshal(object, &f); err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("null is no object")
	}
	return f, nil
}

// shape returns how many members a JSON object has, those of one name counted
// each, and how deep it is. The text must be valid.
func shape(object []byte) (members, depth int) {
	level, inText := 0, false
	for i := 0; i < len(object); i++ {
		switch c := object[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			level++
			depth = max(depth, level)
		case c == '}' || c == ']':
			level--
		case c == ':' && level == 1:
			members++
		}
	}
	return members, depth
}

// text returns the string called name; ok is false when it is something else,
// and true when it is absent.
func (f fields) text(name string) (s string, ok bool) {
	raw, present := f[name]
	if !present {
		return "", true
	}
	// null decodes into a string without an error.
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	return s, true
}

// farAway bounds times, in seconds, so that adding to them cannot overflow.
// It is as far from 1970 as the integers that JavaScript has exactly.
const farAway = 1 << 53

// date returns the time called name in seconds since 1970; ok is false when it
// is no number, and true when it is absent. A number of any size is a time,
// since JavaScript's is: the farthest stand for all beyond.
func (f fields) date(name string) (t time.Time, ok bool) {
	raw, present := f[name]
	if !present {
		return time.Time{}, true
	}
	if c := raw[0]; c != '-' && (c < '0' || c > '9') {
		return time.Time{}, false
	}
	seconds, _ := strconv.ParseFloat(string(raw), 64) // out of range is infinity
	seconds = max(-farAway, min(seconds, farAway))
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
