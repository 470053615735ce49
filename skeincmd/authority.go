package skeincmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"time"
)

// authority signs the certificates of a cluster's nodes.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

const (
	authorityYears = 10
	organisation   = "skein cluster"
)

// newAuthority makes one, and the texts of its files.
func newAuthority(now time.Time) (a *authority, cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	template := certificateOf("authority", now.AddDate(authorityYears, 0, 0))
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, nil, err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, nil, err
	}
	cert, key, err = texts(der, private)
	return &authority{made, private}, cert, key, err
}

// readAuthority reads one that newAuthority has made, or one like it.
func (a *app) readAuthority(certFile, keyFile string) (*authority, error) {
	cert, err := a.read(certFile)
	if err != nil {
		return nil, err
	}
	key, err := a.read(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, errors.New(certFile + " is no authority with an ECDSA key")
	}
	return &authority{pair.Leaf, private}, nil
}

// issue makes a certificate of a node, good for both directions, and its key.
func (a *authority) issue(node string, hosts []string, until time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := certificateOf(node, until)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, host := range append([]string{node, "localhost", "127.0.0.1", "::1"}, hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	return texts(der, private)
}

// certificateOf is what both kinds have. It is good from an hour ago, for clocks that differ.
func certificateOf(name string, until time.Time) *x509.Certificate {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] &= 0x7f        // positive
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{CommonName: name, Organization: []string{organisation}},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: until,
	}
}

func texts(der []byte, private *ecdsa.PrivateKey) (cert, key []byte, err error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}
