package auth_test

import (
	"crypto/dsa" //nolint:staticcheck // a kind of key that is refused
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/skeinrt/skein/auth"
)

func TestEveryAlgorithmSignsAndVerifiesAndIsRefusedByAllOthers(t *testing.T) {
	t.Parallel()
	rsa := rsaKey(t, 2048)
	keys := map[string]auth.Key{
		"ES256": newPrivate(t, ecdsaKey(t, elliptic.P256())),
		"ES384": newPrivate(t, ecdsaKey(t, elliptic.P384())),
		"ES512": newPrivate(t, ecdsaKey(t, elliptic.P521())),
		"EdDSA": newPrivate(t, ed25519Key(t)),
	}
	for _, a := range []string{"HS256", "HS384", "HS512"} {
		keys[a] = newHMAC(t, secret, a)
	}
	for _, a := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		keys[a] = newPrivate(t, rsa, a)
	}
	tokens := make(map[string]string)
	for a, k := range keys {
		tokens[a] = sign(t, newTokens(t, auth.Options{Keys: []auth.Key{k}}), map[string]any{"by": a})
		if got, want := strings.Split(tokens[a], ".")[0], encode(`{"alg":"`+a+`","typ":"JWT"}`); got != want {
			t.Errorf("%s: got header %s, want %s", a, got, want)
		}
	}
	for a, k := range keys {
		if got := k.Algorithms(); !slices.Equal(got, []string{a}) {
			t.Errorf("%s: Algorithms: got %v", a, got)
		}
		verifier := newTokens(t, auth.Options{Keys: []auth.Key{k}})
		for by, token := range tokens {
			want := ""
			if by != a {
				want = "invalid algorithm"
			}
			checkMessage(t, verifier, token, want)
		}
	}
}

func TestOneKeyMayHaveSeveralAlgorithmsAndSignsWithTheFirst(t *testing.T) {
	t.Parallel()
	one := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	several := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret, "HS512", "HS256")}})
	token := sign(t, several, map[string]any{})
	if !strings.HasPrefix(token, encode(`{"alg":"HS512","typ":"JWT"}`)+".") {
		t.Errorf("got %s, want a token with HS512", token)
	}
	checkMessage(t, several, token, "")
	checkMessage(t, several, sign(t, one, map[string]any{}), "")
	checkMessage(t, one, token, "invalid algorithm")
}

func TestAlgorithmMustFitTheKey(t *testing.T) {
	t.Parallel()
	rsa := rsaKey(t, 2048)
	for _, c := range []struct {
		make func() (auth.Key, error)
		want string
	}{
		{func() (auth.Key, error) { return auth.NewHMAC([]byte(secret), "RS256") }, `algorithm "RS256" does not fit an HMAC secret: allowed are HS256, HS384, HS512`},
		{func() (auth.Key, error) { return auth.NewHMAC([]byte(secret), "HS256", "none") }, `algorithm "none" does not fit`},
		{func() (auth.Key, error) { return auth.NewHMAC([]byte(secret), "") }, `algorithm "" does not fit`},
		{func() (auth.Key, error) { return auth.NewHMAC([]byte(secret), "hs256") }, `algorithm "hs256" does not fit`},
		{func() (auth.Key, error) { return auth.NewPrivate(rsa, "HS256") }, `algorithm "HS256" does not fit an RSA key: allowed are RS256, RS384, RS512, PS256, PS384, PS512`},
		{func() (auth.Key, error) { return auth.NewPublic(&rsa.PublicKey, "ES256") }, `algorithm "ES256" does not fit an RSA key`},
		{func() (auth.Key, error) { return auth.NewPrivate(ecdsaKey(t, elliptic.P256()), "ES384") }, `algorithm "ES384" does not fit an ECDSA key on P-256: allowed are ES256`},
		{func() (auth.Key, error) { return auth.NewPrivate(ed25519Key(t), "ES256") }, `algorithm "ES256" does not fit an Ed25519 key: allowed are EdDSA`},
	} {
		k, err := c.make()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
		if k.CanSign() || k.Algorithms() != nil {
			t.Errorf("%s: got a key with its error", c.want)
		}
	}
}

func TestBadMaterialIsRefused(t *testing.T) {
	t.Parallel()
	weak := rsaKey(t, 1024)
	curve := ecdsaKey(t, elliptic.P224())
	for _, c := range []struct {
		make func() (auth.Key, error)
		want string
	}{
		{func() (auth.Key, error) { return auth.NewHMAC(nil) }, "empty HMAC secret"},
		{func() (auth.Key, error) { return auth.NewHMAC([]byte("\n-----BEGIN PUBLIC KEY-----\n")) }, "is a PEM file: use ParsePrivateKey or ParsePublicKey"},
		{func() (auth.Key, error) { return auth.NewPrivate(weak) }, "RSA key of 1024 bits is too weak: at least 2048"},
		{func() (auth.Key, error) { return auth.NewPublic(&weak.PublicKey) }, "RSA key of 1024 bits is too weak: at least 2048"},
		{func() (auth.Key, error) { return auth.NewPrivate(curve) }, "ECDSA key on P-224: allowed are P-256, P-384 and P-521"},
		{func() (auth.Key, error) { return auth.NewPublic(ed25519.PublicKey("short")) }, "Ed25519 key of 5 octets: it must have 32"},
		{func() (auth.Key, error) { return auth.NewPrivate(ed25519.PrivateKey("short")) }, "private Ed25519 key of 5 octets: it must have 64"},
		{func() (auth.Key, error) { return auth.NewPublic("text") }, "public key of type string"},
		{func() (auth.Key, error) { return auth.NewPublic(&dsa.PublicKey{Y: big.NewInt(1)}) }, "public key of type *dsa.PublicKey"},
		{func() (auth.Key, error) { return auth.NewPrivate(&weak.PublicKey) }, "private key of type *rsa.PublicKey"},
		{func() (auth.Key, error) { return auth.NewPublic(curve) }, "public key of type *ecdsa.PrivateKey"},
	} {
		if _, err := c.make(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
}

func TestSecretIsCopied(t *testing.T) {
	t.Parallel()
	text := []byte(secret)
	k, err := auth.NewHMAC(text)
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}}), map[string]any{})
	clear(text)
	checkMessage(t, newTokens(t, auth.Options{Keys: []auth.Key{k}}), token, "")
}

func TestKeyDoesNotShowItsMaterial(t *testing.T) {
	t.Parallel()
	k := newHMAC(t, secret)
	k.ID = "visible"
	o := auth.Options{Keys: []auth.Key{k}}
	tokens := newTokens(t, o)
	text, err := json.Marshal(o.Keys)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(text)}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(format, k), fmt.Sprintf(format, &k), fmt.Sprintf(format, o), fmt.Sprintf(format, tokens))
	}
	for _, form := range []string{secret[:4], fmt.Sprintf("%x", secret[:4]), strings.Trim(fmt.Sprintf("%d", []byte(secret[:4])), "[]")} {
		for _, s := range shown {
			if strings.Contains(s, form) {
				t.Errorf("%q shows the secret", s)
			}
		}
	}
}

// encodePEM returns blocks that x509 has made.
func encodePEM(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestPrivateKeysAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	rsa, p256, ed := rsaKey(t, 2048), ecdsaKey(t, elliptic.P256()), ed25519Key(t)
	pkcs8 := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		return encodePEM(t, "PRIVATE KEY", der, err)
	}
	der, err := x509.MarshalECPrivateKey(p256)
	sec1 := encodePEM(t, "EC PRIVATE KEY", der, err)
	parameters := encodePEM(t, "EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}, nil)
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"RSA in PKCS #8":             {pkcs8(rsa), "RS256"},
		"RSA in PKCS #1":             {encodePEM(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsa), nil), "RS256"},
		"ECDSA in PKCS #8":           {pkcs8(p256), "ES256"},
		"ECDSA in SEC 1":             {sec1, "ES256"},
		"ECDSA behind parameters":    {append(parameters, sec1...), "ES256"},
		"Ed25519 in PKCS #8":         {pkcs8(ed), "EdDSA"},
		"with text in front of it":   {append([]byte("a comment\n\n"), pkcs8(ed)...), "EdDSA"},
		"with more keys, not looked": {append(pkcs8(ed), pkcs8(rsa)...), "EdDSA"},
	} {
		k, err := auth.ParsePrivateKey(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := k.Algorithms(); !slices.Equal(got, []string{c.want}) || !k.CanSign() {
			t.Errorf("%s: got algorithms %v, can sign %v, want %s, true", name, got, k.CanSign(), c.want)
		}
		tokens := newTokens(t, auth.Options{Keys: []auth.Key{k}})
		checkMessage(t, tokens, sign(t, tokens, map[string]any{}), "")
	}
}

func TestPublicKeysAreReadInEveryFormAndOnlyVerify(t *testing.T) {
	t.Parallel()
	rsa, ed := rsaKey(t, 2048), ed25519Key(t)
	pkix := func(k any) []byte {
		der, err := x509.MarshalPKIXPublicKey(k)
		return encodePEM(t, "PUBLIC KEY", der, err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rsa.Public(), rsa)
	certificate := encodePEM(t, "CERTIFICATE", der, err)
	for name, c := range map[string]struct {
		text   []byte
		signer auth.Key
	}{
		"RSA in PKIX":          {pkix(rsa.Public()), newPrivate(t, rsa)},
		"RSA in PKCS #1":       {encodePEM(t, "RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsa.PublicKey), nil), newPrivate(t, rsa)},
		"RSA in a certificate": {certificate, newPrivate(t, rsa)},
		"Ed25519 in PKIX":      {pkix(ed.Public()), newPrivate(t, ed)},
	} {
		k, err := auth.ParsePublicKey(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if k.CanSign() {
			t.Errorf("%s: it claims that it can sign", name)
		}
		token := sign(t, newTokens(t, auth.Options{Keys: []auth.Key{c.signer}}), map[string]any{})
		checkMessage(t, newTokens(t, auth.Options{Keys: []auth.Key{k}}), token, "")
	}
}

func TestBadPEMIsExplained(t *testing.T) {
	t.Parallel()
	block := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("no key")}) }
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "x"}, Bytes: []byte("x")})
	for _, c := range []struct {
		parse func([]byte, ...string) (auth.Key, error)
		text  []byte
		want  string
	}{
		{auth.ParsePrivateKey, nil, "no PEM block"},
		{auth.ParsePrivateKey, []byte("secret"), "no PEM block"},
		{auth.ParsePrivateKey, block("EC PARAMETERS"), "no PEM block"},
		{auth.ParsePrivateKey, block("PUBLIC KEY"), `PEM block "PUBLIC KEY" is public, a private key was expected`},
		{auth.ParsePrivateKey, block("DH PRIVATE KEY"), `PEM block "DH PRIVATE KEY": allowed are`},
		{auth.ParsePrivateKey, block("ENCRYPTED PRIVATE KEY"), "is encrypted"},
		{auth.ParsePrivateKey, encrypted, "is encrypted"},
		{auth.ParsePrivateKey, block("PRIVATE KEY"), "read private key"},
		{auth.ParsePrivateKey, block("RSA PRIVATE KEY"), "read private key"},
		{auth.ParsePrivateKey, block("EC PRIVATE KEY"), "read private key"},
		{auth.ParsePublicKey, nil, "no PEM block"},
		{auth.ParsePublicKey, block("EC PRIVATE KEY"), `PEM block "EC PRIVATE KEY" is private, a public key was expected`},
		{auth.ParsePublicKey, block("X509 CRL"), `PEM block "X509 CRL": allowed are`},
		{auth.ParsePublicKey, block("PUBLIC KEY"), "read public key"},
		{auth.ParsePublicKey, block("RSA PUBLIC KEY"), "read public key"},
		{auth.ParsePublicKey, block("CERTIFICATE"), "read public key"},
	} {
		if _, err := c.parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want an error with %q", c.text, err, c.want)
		}
	}
}
