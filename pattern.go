package skein

import (
	"errors"
	"strings"
)

// pattern matches channel, procedure or event names: an exact name, or a prefix ended by one "*". `\*` is a literal star.
type pattern struct {
	text   string // without the star and the escapes
	prefix bool
}

var errPattern = errors.New(`a pattern is a name, or a prefix ended by one "*" (a literal star is \*)`)

func parsePattern(s string) (pattern, error) {
	var p pattern
	var text strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '*':
			text.WriteByte('*')
			i++
		case s[i] == '*' && i == len(s)-1:
			p.prefix = true
		case s[i] == '*':
			return pattern{}, errPattern
		default:
			text.WriteByte(s[i])
		}
	}
	p.text = text.String()
	return p, nil
}

func (p pattern) matches(name string) bool {
	if p.prefix {
		return strings.HasPrefix(name, p.text)
	}
	return name == p.text
}

// all reports whether the pattern matches every name.
func (p pattern) all() bool { return p.prefix && p.text == "" }
