package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/skeinrt/skein/auth"
)

// pemOf encodes a key of either kind.
func pemOf(f *testing.F, kind string, der []byte, err error) []byte {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// FuzzKeys reads key files. A key that is taken signs what it verifies, and what is private is never taken for public.
func FuzzKeys(f *testing.F) {
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	for _, key := range []any{curve, edwards, long} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		f.Add(pemOf(f, "PRIVATE KEY", der, err))
	}
	der, err := x509.MarshalECPrivateKey(curve)
	f.Add(pemOf(f, "EC PRIVATE KEY", der, err))
	f.Add(pemOf(f, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(long), nil))
	for _, key := range []any{curve.Public(), edwards.Public(), long.Public()} {
		der, err := x509.MarshalPKIXPublicKey(key)
		f.Add(pemOf(f, "PUBLIC KEY", der, err))
	}
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		public, err := auth.ParsePublicKey(text)
		if err == nil {
			if tokens, err := auth.New(auth.Options{Keys: []auth.Key{public}}); err == nil {
				if token, err := tokens.Sign(map[string]any{"a": 1}, auth.SignOptions{}); err == nil {
					t.Fatalf("a public key has signed %q", token)
				}
			}
		}
		private, err := auth.ParsePrivateKey(text)
		if err != nil {
			return
		}
		tokens, err := auth.New(auth.Options{Keys: []auth.Key{private}})
		if err != nil {
			return
		}
		token, err := tokens.Sign(map[string]any{"a": 1}, auth.SignOptions{})
		if err != nil {
			return // such as an RSA key whose numbers do not fit together
		}
		if _, err := tokens.Verify(token); err != nil {
			t.Fatalf("%s: it does not verify what it has signed: %v", text, err)
		}
	})
}
