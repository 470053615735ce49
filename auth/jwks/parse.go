package jwks

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skeinrt/skein/auth"
)

// Bounds of an answer.
const (
	maxAnswer = 512 << 10
	maxKeys   = 100
	maxID     = 1 << 10
	maxNumber = 1 << 10 // octets of a number in a key
)

// get asks for the set. passed says which of its keys were not taken, and fresh how
// long it is good.
func (s *Set) get(ctx context.Context) (keys []auth.Key, passed string, fresh time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, shown(s.options.URL), http.NoBody)
	if err != nil {
		return nil, "", 0, fmt.Errorf("jwks: %w", err)
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := s.client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // it has the whole URL
		}
		return nil, "", 0, fmt.Errorf("jwks: %s: %w", shown(s.options.URL), err)
	}
	defer res.Body.Close() //nolint:errcheck // it has been read, or its error told
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, "", 0, fmt.Errorf("jwks: %s: %w", shown(s.options.URL), err)
	case res.StatusCode != http.StatusOK:
		return nil, "", 0, fmt.Errorf("jwks: %s answers with %s", shown(s.options.URL), res.Status)
	case len(body) > maxAnswer:
		return nil, "", 0, fmt.Errorf("jwks: %s answers with more than %d bytes", shown(s.options.URL), maxAnswer)
	}
	keys, passed, err = parse(body)
	if err != nil {
		return nil, "", 0, fmt.Errorf("jwks: %s: %w", shown(s.options.URL), err)
	}
	return keys, passed, s.freshness(res.Header.Get("Cache-Control")), nil
}

// shown is a URL without what may be secret in it.
func shown(text string) string {
	text, _, _ = strings.Cut(text, "?")
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		text = "…" + text[i:]
	}
	return text
}

// freshness is how long an answer is good.
func (s *Set) freshness(control string) time.Duration {
	for directive := range strings.SplitSeq(control, ",") {
		text, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(directive)), "max-age=")
		if !ok {
			continue
		}
		if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
			return max(soonest, min(time.Duration(seconds)*time.Second, latest))
		}
	}
	return s.options.Refresh
}

// webKey is a key of a set. What is private in it is only looked for.
type webKey struct {
	Type       string   `json:"kty"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
	ID         string   `json:"kid"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	Curve      string   `json:"crv"`
	X          string   `json:"x"`
	Y          string   `json:"y"`

	Private json.RawMessage `json:"d"`
}

var (
	errOther = errors.New("it is not for signatures")
	errNone  = errors.New("it has no key that could be taken")
)

// parse returns the keys that can be taken, and why others cannot.
func parse(body []byte) (keys []auth.Key, passed string, err error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, "", fmt.Errorf("it is no JSON Web Key Set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, "", fmt.Errorf("it has %d keys: at most %d are taken", len(set.Keys), maxKeys)
	}
	var why []string
	for i, raw := range set.Keys {
		var w webKey
		key, err := auth.Key{}, json.Unmarshal(raw, &w)
		if err == nil {
			key, err = w.key()
		}
		switch {
		case err == nil:
			keys = append(keys, key)
		case !errors.Is(err, errOther):
			why = append(why, fmt.Sprintf("key %d (%.64q): %v", i+1, w.ID, err))
		}
	}
	passed = strings.Join(why, "; ")
	if len(keys) == 0 {
		return nil, "", errors.Join(errNone, errors.New(passed))
	}
	return keys, passed, nil
}

// key makes a key for one algorithm.
func (w *webKey) key() (auth.Key, error) {
	switch {
	case w.Use != "" && w.Use != "sig", len(w.Operations) > 0 && !slices.Contains(w.Operations, "verify"), isEncryption(w.Algorithm):
		return auth.Key{}, errOther
	case w.Type == "oct":
		return auth.Key{}, errors.New("it is a secret, which everybody can read here")
	case w.Private != nil:
		return auth.Key{}, errors.New("it is a private key, which everybody can read here")
	case len(w.ID) > maxID:
		return auth.Key{}, fmt.Errorf("its kid has %d bytes: at most %d are taken", len(w.ID), maxID)
	}
	public, err := w.public()
	if err != nil {
		return auth.Key{}, err
	}
	var algorithms []string
	if w.Algorithm != "" {
		algorithms = []string{w.Algorithm}
	}
	key, err := auth.NewPublic(public, algorithms...)
	key.ID = w.ID
	return key, err
}

// isEncryption reports whether an algorithm is one of RFC 7518, section 4.
func isEncryption(algorithm string) bool {
	return strings.HasPrefix(algorithm, "RSA-OAEP") || strings.HasPrefix(algorithm, "ECDH-ES") || algorithm == "RSA1_5"
}

func (w *webKey) public() (crypto.PublicKey, error) {
	switch w.Type {
	case "RSA":
		n, err := number("n", w.N)
		if err != nil {
			return nil, err
		}
		e, err := number("e", w.E)
		if err != nil {
			return nil, err
		}
		exponent := new(big.Int).SetBytes(e)
		if exponent.BitLen() > 31 {
			return nil, errors.New("its e is larger than any that is used")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	case "EC":
		return w.point()
	case "OKP":
		x, err := number("x", w.X)
		if w.Curve != "Ed25519" {
			return nil, fmt.Errorf("its curve is %.16q: of this type Ed25519 is taken", w.Curve)
		}
		return ed25519.PublicKey(x), err
	default:
		return nil, fmt.Errorf("its kty is %.16q: RSA, EC and OKP are taken", w.Type)
	}
}

func (w *webKey) point() (crypto.PublicKey, error) {
	var curve elliptic.Curve
	switch w.Curve {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, fmt.Errorf("its curve is %.16q: P-256, P-384 and P-521 are taken", w.Curve)
	}
	x, err := number("x", w.X)
	if err != nil {
		return nil, err
	}
	y, err := number("y", w.Y)
	if err != nil {
		return nil, err
	}
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return nil, fmt.Errorf("its x and y have %d and %d octets: they have %d on %s", len(x), len(y), size, w.Curve)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

// number decodes a member.
func number(name, text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its %s is not base64url", name)
	case len(b) == 0 || len(b) > maxNumber+1:
		return nil, fmt.Errorf("its %s has %d octets: 1 to %d are taken", name, len(b), maxNumber)
	default:
		return b, nil
	}
}
