package auth

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ParsePrivateKey returns the key in a PEM file: PKCS #8, PKCS #1 or SEC 1,
// not encrypted. Algorithms are as in [NewPublic].
func ParsePrivateKey(text []byte, algorithms ...string) (Key, error) {
	block, err := keyBlock(text)
	if err != nil {
		return Key{}, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return Key{}, fmt.Errorf("auth: PEM block %q is public, a private key was expected", block.Type)
	default:
		return Key{}, fmt.Errorf("auth: PEM block %q: allowed are PRIVATE KEY, RSA PRIVATE KEY and EC PRIVATE KEY", block.Type)
	}
	if err != nil {
		return Key{}, fmt.Errorf("auth: read private key: %w", err)
	}
	return NewPrivate(key, algorithms...)
}

// ParsePublicKey returns the key in a PEM file: PKIX, PKCS #1, or that of a
// certificate, whose dates and issuer are not looked at. Algorithms are as in
// [NewPublic].
func ParsePublicKey(text []byte, algorithms ...string) (Key, error) {
	block, err := keyBlock(text)
	if err != nil {
		return Key{}, err
	}
	var key any
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		return Key{}, fmt.Errorf("auth: PEM block %q is private, a public key was expected", block.Type)
	default:
		return Key{}, fmt.Errorf("auth: PEM block %q: allowed are PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE", block.Type)
	}
	if err != nil {
		return Key{}, fmt.Errorf("auth: read public key: %w", err)
	}
	return NewPublic(key, algorithms...)
}

// keyBlock returns the first block that is no parameters of a curve, which
// openssl writes in front of a key.
func keyBlock(text []byte) (*pem.Block, error) {
	for {
		block, rest := pem.Decode(text)
		switch {
		case block == nil:
			return nil, errors.New("auth: no PEM block with a key")
		case strings.HasSuffix(block.Type, " PARAMETERS"):
			text = rest
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			return nil, errors.New("auth: the private key is encrypted: decrypt it first, as with openssl pkey")
		default:
			return block, nil
		}
	}
}
