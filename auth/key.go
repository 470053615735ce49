package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const (
	minSecret  = 32   // octets, the size of HS256's hash
	minRSABits = 2048 // RFC 7518, 3.3
	maxRSABits = 8192 // each verification costs
	minRSAExp  = 65537
)

// Key is key material and the algorithms that it may be used with; the first of
// them signs. The material shows neither in print nor in JSON.
type Key struct {
	// ID goes into the header of signed tokens as kid, and picks the key for
	// tokens that name it. A key without ID is tried for tokens of any kid.
	ID string

	*material
}

// material has the key itself in its functions only, where no Print finds it.
type material struct {
	kind       string // what it is, for messages
	algorithms []string
	octets     int // of an HMAC secret
	verify     func(m jwt.SigningMethod, signed string, signature []byte) error
	sign       func(m jwt.SigningMethod, signed string) ([]byte, error) // nil: verifies only
}

func newMaterial(verify any) *material {
	return &material{verify: func(m jwt.SigningMethod, signed string, signature []byte) error {
		return m.Verify(signed, signature, verify)
	}}
}

func (m *material) signWith(key any) {
	m.sign = func(m jwt.SigningMethod, signed string) ([]byte, error) { return m.Sign(signed, key) }
}

// NewHMAC returns a key of a secret that signer and verifier share. Without
// algorithms it is for HS256 only; HS384 and HS512 must be named.
func NewHMAC(secret []byte, algorithms ...string) (Key, error) {
	if len(secret) == 0 {
		return Key{}, errors.New("auth: empty HMAC secret")
	}
	// Whoever verifies with the text of a public key accepts tokens from all who have it.
	if bytes.HasPrefix(bytes.TrimSpace(secret), []byte("-----BEGIN ")) {
		return Key{}, errors.New("auth: HMAC secret is a PEM file: use ParsePrivateKey or ParsePublicKey")
	}
	if _, err := x509.ParsePKIXPublicKey(secret); err == nil {
		return Key{}, errors.New("auth: HMAC secret is a public key: use NewPublic")
	}
	secret = bytes.Clone(secret)
	m := newMaterial(secret)
	m.signWith(secret)
	m.kind, m.octets = "an HMAC secret", len(secret)
	return m.pin(algorithms, "HS256", "HS384", "HS512")
}

// NewPublic returns a key that only verifies, of an *rsa.PublicKey,
// *ecdsa.PublicKey or ed25519.PublicKey. Without algorithms it is for RS256, for
// the one that belongs to the curve, or for EdDSA.
func NewPublic(key crypto.PublicKey, algorithms ...string) (Key, error) {
	m := newMaterial(key)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(k); err != nil {
			return Key{}, err
		}
		m.kind = "an RSA key"
		return m.pin(algorithms, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
	case *ecdsa.PublicKey:
		curve := k.Params().Name
		algorithm := ecdsaAlgorithm(curve)
		if algorithm == "" {
			return Key{}, fmt.Errorf("auth: ECDSA key on %s: allowed are P-256, P-384 and P-521", curve)
		}
		if _, err := k.ECDH(); err != nil {
			return Key{}, fmt.Errorf("auth: ECDSA key that is no point of %s: %w", curve, err)
		}
		m.kind = "an ECDSA key on " + curve
		return m.pin(algorithms, algorithm)
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("auth: Ed25519 key of %d octets: it must have %d", len(k), ed25519.PublicKeySize)
		}
		m.kind = "an Ed25519 key"
		return m.pin(algorithms, "EdDSA")
	default:
		return Key{}, fmt.Errorf("auth: public key of type %T: allowed are *rsa.PublicKey, *ecdsa.PublicKey and ed25519.PublicKey", key)
	}
}

func checkRSA(k *rsa.PublicKey) error {
	switch bits := k.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("auth: RSA key of %d bits is too weak: at least %d are required", bits, minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("auth: RSA key of %d bits is too large: at most %d are allowed", bits, maxRSABits)
	case k.E < minRSAExp || k.E%2 == 0:
		return fmt.Errorf("auth: RSA key with the exponent %d: it must be odd and at least %d", k.E, minRSAExp)
	default:
		return nil
	}
}

// NewPrivate returns a key that signs and verifies, of an *rsa.PrivateKey,
// *ecdsa.PrivateKey or ed25519.PrivateKey. Algorithms are as in [NewPublic].
func NewPrivate(key crypto.PrivateKey, algorithms ...string) (Key, error) {
	var public crypto.PublicKey
	switch k := key.(type) {
	case *rsa.PrivateKey:
		public = &k.PublicKey
	case *ecdsa.PrivateKey:
		public = &k.PublicKey
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize {
			return Key{}, fmt.Errorf("auth: private Ed25519 key of %d octets: it must have %d", len(k), ed25519.PrivateKeySize)
		}
		public = k.Public()
	default:
		return Key{}, fmt.Errorf("auth: private key of type %T: allowed are *rsa.PrivateKey, *ecdsa.PrivateKey and ed25519.PrivateKey", key)
	}
	k, err := NewPublic(public, algorithms...)
	if err != nil {
		return Key{}, err
	}
	k.signWith(key)
	return k, nil
}

// CanSign reports whether the key can sign: whether it is a secret or a private
// key.
func (k Key) CanSign() bool { return k.material != nil && k.sign != nil }

// Algorithms returns the names of the algorithms that the key is used with.
func (k Key) Algorithms() []string {
	if k.material == nil {
		return nil
	}
	return slices.Clone(k.algorithms)
}

// pin completes the material: it is for the algorithms asked for, which must be
// among those that fit it, or for the first that fits.
func (m *material) pin(asked []string, fit ...string) (Key, error) {
	if len(asked) == 0 {
		asked = fit[:1]
	}
	for _, a := range asked {
		if !slices.Contains(fit, a) {
			return Key{}, fmt.Errorf("auth: algorithm %q does not fit %s: allowed are %s", a, m.kind, strings.Join(fit, ", "))
		}
	}
	m.algorithms = slices.Clone(asked)
	return Key{material: m}, nil
}

// check makes the tests that depend on the options.
func (k Key) check(allowWeak bool) error {
	if k.material == nil {
		return errors.New("empty: make it with NewHMAC, NewPrivate, NewPublic, ParsePrivateKey or ParsePublicKey")
	}
	if k.octets > 0 && k.octets < minSecret && !allowWeak {
		return fmt.Errorf("HMAC secret of %d octets is too weak: at least %d are required unless weak keys are allowed (AllowWeak, --auth-allow-weak)", k.octets, minSecret)
	}
	return nil
}

func (k Key) label() string {
	if k.ID == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", k.ID)
}

// tries reports whether the key is to be tried for a token of this algorithm
// and kid.
func (k Key) tries(algorithm, kid string) bool {
	return slices.Contains(k.algorithms, algorithm) && (kid == "" || k.ID == "" || k.ID == kid)
}

// isPublic reports whether an algorithm is one of public keys.
func isPublic(algorithm string) bool {
	switch algorithm {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA":
		return true
	default:
		return false
	}
}

func ecdsaAlgorithm(curve string) string {
	switch curve {
	case "P-256":
		return "ES256"
	case "P-384":
		return "ES384"
	case "P-521":
		return "ES512"
	default:
		return ""
	}
}

// method returns what computes an algorithm. Every name that a key can be
// pinned to is here, so that no registry can lend a name another meaning.
func method(algorithm string) jwt.SigningMethod {
	switch algorithm {
	case "HS256":
		return jwt.SigningMethodHS256
	case "HS384":
		return jwt.SigningMethodHS384
	case "HS512":
		return jwt.SigningMethodHS512
	case "RS256":
		return jwt.SigningMethodRS256
	case "RS384":
		return jwt.SigningMethodRS384
	case "RS512":
		return jwt.SigningMethodRS512
	case "PS256":
		return jwt.SigningMethodPS256
	case "PS384":
		return jwt.SigningMethodPS384
	case "PS512":
		return jwt.SigningMethodPS512
	case "ES256":
		return jwt.SigningMethodES256
	case "ES384":
		return jwt.SigningMethodES384
	case "ES512":
		return jwt.SigningMethodES512
	default:
		return jwt.SigningMethodEdDSA
	}
}
