package natsengine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
)

func TestAddressesThatLeadHome(t *testing.T) {
	t.Parallel()
	var others []net.IP
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok {
			others = append(others, network.IP)
		}
	}
	for _, c := range []struct {
		address, listen string
		want            bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:2", "127.0.0.1:1", false},
		{"127.0.0.2:1", "127.0.0.1:1", false},
		{"127.0.0.2:1", "0.0.0.0:1", true},
		{"127.0.0.1:1", "localhost:1", true},
		{"192.0.2.1:1", "0.0.0.0:1", false},
		{"192.0.2.1:1", "192.0.2.1:1", true},
		{net.JoinHostPort(others[0].String(), "1"), ":1", true},
		{"x", ":1", false},
		{"x:1", "", false},
	} {
		if got := leads(c.address, c.listen); got != c.want {
			t.Errorf("leads(%q, %q): got %v, want %v", c.address, c.listen, got, c.want)
		}
	}
}

func TestNamesOfCertificatesCountWhenOneIsAskedFor(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	good := ca.config(t)
	leaf, err := x509.ParseCertificate(good.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, ca.cert}}
	for name, want := range map[string]bool{"": true, "node.test": true, "other.test": false} {
		c := good.Clone()
		c.ServerName = name
		if err := clusterTLS(c).VerifyConnection(state); (err == nil) != want {
			t.Errorf("with the name %q: got %v, want that it is right: %v", name, err, want)
		}
	}
	if err := clusterTLS(good).VerifyConnection(tls.ConnectionState{}); err == nil {
		t.Error("without a certificate: got nil, want an error")
	}
	c := good.Clone()
	c.VerifyConnection = func(tls.ConnectionState) error { return errEnough }
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &good.Certificates[0], nil }
	own := clusterTLS(c)
	if err := own.VerifyConnection(state); !errors.Is(err, errEnough) {
		t.Errorf("with a check of the user's: got %v, want its error", err)
	}
	if got, err := own.GetClientCertificate(nil); err != nil || got != &good.Certificates[0] {
		t.Errorf("the client's certificate is %v, %v, want the server's", got, err)
	}
}
