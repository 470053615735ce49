package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// SignOptions are for one token.
type SignOptions struct {
	// Expiry is how long the token lives, from its iat, in whole seconds
	// rounded up. 0 means the DefaultExpiry.
	Expiry time.Duration
}

// Sign returns a token that says claims: anything that encodes to a JSON
// object, its numbers just as they are written. Missing claims are added: iat,
// exp from the expiry, and the issuer and audience of the options. What the
// claims have themselves stays, an exp too.
func (t *Tokens) Sign(claims any, o SignOptions) (string, error) {
	by := t.ring.Load().signer
	if by == nil {
		return "", ErrVerifyOnly
	}
	if o.Expiry < 0 {
		return "", fmt.Errorf("auth: sign: Expiry is %v: it must not be negative", o.Expiry)
	}
	if o.Expiry == 0 {
		o.Expiry = t.options.DefaultExpiry
	}
	payload, err := t.payload(claims, o.Expiry)
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	return by.token(payload)
}

// payload encodes claims and appends those that are missing.
func (t *Tokens) payload(claims any, expiry time.Duration) ([]byte, error) {
	text, err := encode(claims)
	if err != nil {
		return nil, err
	}
	given, err := parseFields(text)
	if err != nil || !utf8.Valid(text) {
		return nil, errors.New("the claims must be a JSON object in UTF-8")
	}
	for _, name := range []string{"iat", "nbf", "exp"} {
		if _, ok := given.date(name); !ok {
			return nil, fmt.Errorf("the claim %s must be a number of seconds, not %s", name, given[name])
		}
	}
	o := object{text: text, empty: len(given) == 0, given: given}
	issued := t.options.Now()
	if _, ok := given["iat"]; ok {
		issued, _ = given.date("iat")
	}
	o.addSeconds("iat", issued.Unix())
	o.addSeconds("exp", issued.Unix()+wholeSeconds(expiry))
	o.addText("iss", t.options.Issuer)
	o.addText("aud", t.options.Audience)
	return o.text, nil
}

// object is an encoded JSON object that members are added to.
type object struct {
	text  []byte
	empty bool
	given fields
}

func (o *object) addSeconds(name string, seconds int64) {
	o.add(name, strconv.AppendInt(nil, seconds, 10))
}

func (o *object) addText(name, s string) {
	if s == "" {
		return
	}
	text, _ := encode(s) // a string always encodes
	o.add(name, text)
}

// add puts a member at the end, unless it was there from the beginning.
func (o *object) add(name string, value []byte) {
	if _, ok := o.given[name]; ok {
		return
	}
	o.text = o.text[:len(o.text)-1]
	if !o.empty {
		o.text = append(o.text, ',')
	}
	o.empty = false
	o.text = fmt.Appendf(o.text, "%q:%s}", name, value)
}

func wholeSeconds(d time.Duration) int64 {
	whole := int64(d / time.Second)
	if d%time.Second != 0 {
		whole++
	}
	return whole
}

// encode is json.Marshal but for the escapes that are meant for web pages.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// signer is the key that signs, made ready.
type signer struct {
	header string // encoded, with the dot
	method jwt.SigningMethod
	key    Key
}

func newSigner(k Key) *signer {
	algorithm := k.algorithms[0]
	header, _ := encode(struct { // strings always encode
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		ID        string `json:"kid,omitempty"`
	}{algorithm, "JWT", k.ID})
	return &signer{
		header: base64.RawURLEncoding.EncodeToString(header) + ".",
		method: method(algorithm),
		key:    k,
	}
}

func (s *signer) token(payload []byte) (string, error) {
	signed := s.header + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.key.sign(s.method, signed)
	if err != nil {
		return "", fmt.Errorf("auth: sign: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
