package auth

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Verify returns what the token says, if it is good. Every error is an *[Error].
func (t *Tokens) Verify(token string) (Claims, error) {
	// The order of the checks is that of the jsonwebtoken module, since it
	// decides about the message of a token with several faults. The parser of
	// golang-jwt has another one, so only its algorithms are used.
	p, err := parse(token)
	if err != nil {
		return Claims{}, err
	}
	if err := t.checkSignature(p); err != nil {
		return Claims{}, err
	}
	c, err := t.checkClaims(p)
	if err != nil {
		return Claims{}, err
	}
	return c, nil
}

// parsed is a token that has been taken apart but not been believed.
type parsed struct {
	signed    string // header and payload, as they were signed
	signature string // base64url
	algorithm string
	kid       string
	payload   []byte
	claims    fields
}

func parse(token string) (*parsed, *Error) {
	if token == "" {
		return nil, invalid("jwt must be provided")
	}
	if strings.Count(token, ".") != 2 {
		return nil, invalid("jwt malformed")
	}
	dot := strings.LastIndexByte(token, '.')
	p := &parsed{signed: token[:dot], signature: token[dot+1:]}
	header, payload, _ := strings.Cut(p.signed, ".")
	if !isBase64URL(p.signature) || !p.readHeader(header) || !p.readPayload(payload) {
		return nil, invalid("invalid token")
	}
	return p, nil
}

// readHeader reports whether the header is one. It takes alg and kid; an alg
// that is missing or no string stays empty, which no key is pinned to.
func (p *parsed) readHeader(segment string) bool {
	text, ok := decodeSegment(segment)
	if !ok {
		return false
	}
	header, err := parseFields(text)
	if err != nil || header["crit"] != nil {
		return false
	}
	p.algorithm, _ = header.text("alg")
	p.kid, ok = header.text("kid")
	return ok
}

func (p *parsed) readPayload(segment string) bool {
	text, ok := decodeSegment(segment)
	if !ok {
		return false
	}
	claims, err := parseFields(text)
	p.payload, p.claims = text, claims
	return err == nil
}

// checkSignature tries the keys that the token may have been signed with.
func (t *Tokens) checkSignature(p *parsed) *Error {
	if p.signature == "" {
		return invalid("jwt signature is required")
	}
	if !slices.ContainsFunc(t.options.Keys, func(k Key) bool { return k.tries(p.algorithm, "") }) {
		return invalid("invalid algorithm")
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(p.signature)
	if err != nil {
		return invalid("invalid signature")
	}
	m := method(p.algorithm)
	for _, k := range t.options.Keys {
		if k.tries(p.algorithm, p.kid) && k.verify(m, p.signed, signature) == nil {
			return nil
		}
	}
	return invalid("invalid signature")
}

func (t *Tokens) checkClaims(p *parsed) (Claims, *Error) {
	c := Claims{Raw: p.payload}
	now := t.options.Now()
	var ok bool
	if c.NotBefore, ok = p.claims.date("nbf"); !ok {
		return c, invalid("invalid nbf value")
	}
	if c.NotBefore.After(now.Add(t.options.Leeway)) {
		return c, &Error{Name: nameNotBefore, Message: "jwt not active", Date: c.NotBefore}
	}
	if c.Expiry, ok = p.claims.date("exp"); !ok {
		return c, invalid("invalid exp value")
	}
	_, expires := p.claims["exp"]
	if expires && !now.Before(c.Expiry.Add(t.options.Leeway)) {
		return c, &Error{Name: nameExpired, Message: "jwt expired", Expiry: c.Expiry, Bad: true}
	}
	if !expires && t.options.RequireExpiry {
		return c, invalid("jwt expiry is required")
	}
	if c.IssuedAt, ok = p.claims.date("iat"); !ok {
		return c, invalid("invalid iat value")
	}
	return c, t.checkParties(p.claims)
}

func (t *Tokens) checkParties(claims fields) *Error {
	if want := t.options.Audience; want != "" && !slices.Contains(audience(claims), want) {
		return invalid("jwt audience invalid. expected: " + want)
	}
	if want := t.options.Issuer; want != "" {
		if got, _ := claims.text("iss"); got != want {
			return invalid("jwt issuer invalid. expected: " + want)
		}
	}
	return nil
}

// audience returns the members of aud, which may be one string or several.
func audience(claims fields) []string {
	raw := claims["aud"]
	if raw == nil {
		return nil
	}
	var several []string
	if json.Unmarshal(raw, &several) == nil {
		return several
	}
	one, _ := claims.text("aud")
	return []string{one}
}

// decodeSegment decodes base64url, which must have been written in the one way
// that there is, and hold UTF-8.
func decodeSegment(segment string) ([]byte, bool) {
	if !isBase64URL(segment) {
		return nil, false
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	return text, err == nil && utf8.Valid(text)
}

// isBase64URL reports whether s has digits of base64url only; the decoder
// would pass over line ends.
func isBase64URL(s string) bool {
	for i := range len(s) {
		c := s[i]
		digit := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
		if !digit {
			return false
		}
	}
	return true
}
