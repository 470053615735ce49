package auth

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"
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

// Bounds of what is taken apart before it is believed.
const (
	maxToken = 64 << 10 // octets
	maxDepth = 64
)

func parse(token string) (*parsed, *Error) {
	switch {
	case token == "":
		return nil, invalid(ReasonMissing, "jwt must be provided")
	case len(token) > maxToken:
		return nil, invalid(ReasonLength, "jwt malformed")
	case strings.Count(token, ".") != 2:
		return nil, invalid(ReasonParts, "jwt malformed")
	}
	dot := strings.LastIndexByte(token, '.')
	p := &parsed{signed: token[:dot], signature: token[dot+1:]}
	header, payload, _ := strings.Cut(p.signed, ".")
	why := p.readHeader(header)
	if why == "" {
		why = p.readPayload(payload)
	}
	if why == "" && !isBase64URL(p.signature) {
		why = ReasonEncoding
	}
	if why != "" {
		return nil, invalid(why, "invalid token")
	}
	return p, nil
}

// readHeader takes alg and kid, or says what is wrong with the header. An alg
// that is missing or no string stays empty, which no key is pinned to.
func (p *parsed) readHeader(segment string) Reason {
	_, header, why := readObject(segment, ReasonHeader)
	if why != "" {
		return why
	}
	if b64, there := header["b64"]; header["crit"] != nil || there && string(b64) != "true" {
		return ReasonCritical
	}
	_, named := header.text("typ")
	kid, identified := header.text("kid")
	if !named || !identified {
		return ReasonHeader
	}
	p.algorithm, _ = header.text("alg")
	p.kid = kid
	return ""
}

func (p *parsed) readPayload(segment string) (why Reason) {
	p.payload, p.claims, why = readObject(segment, ReasonPayload)
	return why
}

// readObject decodes base64url, which must have been written in the one way that
// there is, and hold a JSON object in UTF-8. why is what to call it where it does
// not.
func readObject(segment string, why Reason) ([]byte, fields, Reason) {
	if !isBase64URL(segment) {
		return nil, nil, ReasonEncoding
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return nil, nil, ReasonEncoding
	}
	object, err := parseFields(text)
	if err != nil || !utf8.Valid(text) {
		return nil, nil, why
	}
	switch members, depth := shape(text); {
	case depth > maxDepth:
		return nil, nil, why
	case members != len(object):
		return nil, nil, ReasonDuplicate
	}
	return text, object, ""
}

// checkSignature tries the keys that the token may have been signed with.
func (t *Tokens) checkSignature(p *parsed) *Error {
	if p.signature == "" {
		return invalid(ReasonUnsigned, "jwt signature is required")
	}
	keys := t.ring.Load().keys
	published, unknown := t.published(p)
	suits := func(k Key) bool { return k.tries(p.algorithm, "") }
	if unknown == nil && !slices.ContainsFunc(keys, suits) && !slices.ContainsFunc(published, suits) {
		return invalid(ReasonAlgorithm, "invalid algorithm")
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(p.signature)
	if err != nil {
		return invalid(ReasonEncoding, "invalid signature")
	}
	if p.signedByOne(keys, signature) || p.signedByOne(published, signature) {
		return nil
	}
	if unknown != nil {
		return &Error{Name: nameOther, Message: "the key of the token is not known yet", Reason: ReasonKeys}
	}
	return invalid(ReasonSignature, "invalid signature")
}

// published asks the source, unless a key of ours has the token's id, or none of
// an issuer could have its algorithm.
func (t *Tokens) published(p *parsed) ([]Key, error) {
	ours := func(k Key) bool { return k.ID != "" && k.ID == p.kid && k.tries(p.algorithm, p.kid) }
	if t.options.Source == nil || !isPublic(p.algorithm) || slices.ContainsFunc(t.ring.Load().keys, ours) {
		return nil, nil
	}
	return t.options.Source.Keys(p.kid)
}

func (p *parsed) signedByOne(keys []Key, signature []byte) bool {
	m := method(p.algorithm)
	return slices.ContainsFunc(keys, func(k Key) bool {
		return k.tries(p.algorithm, p.kid) && k.verify(m, p.signed, signature) == nil
	})
}

// clockSkew is by how much the iat of a token may be ahead of this clock.
const clockSkew = 5 * time.Minute

func (t *Tokens) checkClaims(p *parsed) (Claims, *Error) {
	c := Claims{Raw: p.payload}
	now := t.options.Now()
	var ok bool
	if c.NotBefore, ok = p.claims.date("nbf"); !ok {
		return c, invalid(ReasonDate, "invalid nbf value")
	}
	if c.NotBefore.After(now.Add(t.options.Leeway)) {
		return c, early(ReasonNotBefore, c.NotBefore)
	}
	if c.Expiry, ok = p.claims.date("exp"); !ok {
		return c, invalid(ReasonDate, "invalid exp value")
	}
	_, expires := p.claims["exp"]
	if err := t.checkExpiry(c.Expiry, expires, now); err != nil {
		return c, err
	}
	if c.IssuedAt, ok = p.claims.date("iat"); !ok {
		return c, invalid(ReasonDate, "invalid iat value")
	}
	if c.IssuedAt.After(now.Add(t.options.Leeway + clockSkew)) {
		return c, early(ReasonFuture, c.IssuedAt)
	}
	_, dated := p.claims["iat"]
	if err := t.checkLifetime(c, dated); err != nil {
		return c, err
	}
	return c, t.checkParties(p.claims)
}

func early(why Reason, date time.Time) *Error {
	return &Error{Name: nameNotBefore, Message: "jwt not active", Reason: why, Date: date}
}

func (t *Tokens) checkExpiry(expiry time.Time, expires bool, now time.Time) *Error {
	switch {
	case expires && !now.Before(expiry.Add(t.options.Leeway)):
		return &Error{Name: nameExpired, Message: "jwt expired", Reason: ReasonExpired, Expiry: expiry, Bad: true}
	case !expires && (t.options.RequireExpiry || t.options.MaxLifetime > 0):
		return invalid(ReasonNoExpiry, "jwt expiry is required")
	default:
		return nil
	}
}

// checkLifetime counts from iat, so that a token that is refused stays so: from
// now it would be good in its last MaxLifetime, when nobody knows any more that
// it has been revoked.
func (t *Tokens) checkLifetime(c Claims, dated bool) *Error {
	longest := t.options.MaxLifetime
	switch {
	case longest == 0:
		return nil
	case !dated:
		return invalid(ReasonUndated, "jwt iat is required")
	case c.Expiry.After(c.IssuedAt.Add(longest).Add(t.options.Leeway)):
		return invalid(ReasonLifetime, "jwt lifetime is too long")
	default:
		return nil
	}
}

func (t *Tokens) checkParties(claims fields) *Error {
	if want := t.options.Audience; want != "" && !slices.Contains(audience(claims), want) {
		return invalid(ReasonAudience, "jwt audience invalid. expected: "+want)
	}
	if want := t.options.Issuer; want != "" {
		if got, _ := claims.text("iss"); got != want {
			return invalid(ReasonIssuer, "jwt issuer invalid. expected: "+want)
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
