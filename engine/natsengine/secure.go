package natsengine

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
)

// check returns all that is wrong, joined.
func (s *embedded) check() error {
	wrong := []error{s.checkAddresses(), s.checkTLS()}
	if s.JoinTimeout < 0 {
		wrong = append(wrong, errors.New("the join time-out must not be negative"))
	}
	return errors.Join(wrong...)
}

func (s *embedded) checkAddresses() error {
	host, _, err := hostPort(s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	wrong := s.checkSeeds(host)
	if s.Advertise == "" {
		if wildcard(host) {
			wrong = append(wrong, fmt.Errorf("listen on %q: say which address to advertise", s.Listen))
		}
		return errors.Join(wrong...)
	}
	advertised, port, err := hostPort(s.Advertise)
	switch {
	case err != nil:
		wrong = append(wrong, fmt.Errorf("advertise: %w", err))
	case wildcard(advertised) || port == 0:
		wrong = append(wrong, fmt.Errorf("advertise %q: nobody can connect to it", s.Advertise))
	case loopback(advertised) && !loopback(host):
		wrong = append(wrong, fmt.Errorf("advertise %q: other hosts cannot connect to a loopback address", s.Advertise))
	}
	return errors.Join(wrong...)
}

// checkSeeds looks at the seeds of a node that listens on host.
func (s *embedded) checkSeeds(host string) (wrong []error) {
	for _, seed := range s.Seeds {
		if seedHost, port, err := hostPort(seed); err != nil || seedHost == "" || port == 0 {
			wrong = append(wrong, fmt.Errorf("seed %q: want host:port", seed))
		} else if loopback(host) && ip(seedHost) && !loopback(seedHost) {
			wrong = append(wrong, fmt.Errorf("seed %q: cannot reach this node at %q, which is on loopback", seed, s.Listen))
		}
	}
	return wrong
}

// checkTLS refuses what is open to strangers.
func (s *embedded) checkTLS() error {
	var wrong []error
	host, _, err := hostPort(s.Listen)
	if err == nil && !loopback(host) && !s.Insecure {
		if s.TLS == nil {
			wrong = append(wrong, fmt.Errorf("listen on %q, off loopback: needs TLS, or an explicit insecure", s.Listen))
		}
		if s.Secret == "" {
			wrong = append(wrong, fmt.Errorf("listen on %q, off loopback: needs a secret, or an explicit insecure", s.Listen))
		}
	}
	if t := s.TLS; t != nil {
		if t.RootCAs == nil || t.ClientCAs == nil {
			wrong = append(wrong, errors.New("TLS: needs the cluster's own authority as RootCAs and ClientCAs"))
		}
		if len(t.Certificates) == 0 && t.GetCertificate == nil {
			wrong = append(wrong, errors.New("TLS: needs the certificate of this node"))
		}
	}
	return errors.Join(wrong...)
}

// clusterTLS makes a configuration mutual. Nodes reach each other by addresses
// that certificates do not know, such as those of pods, so that the authority
// decides, and not the host name.
func clusterTLS(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	mutual := c.Clone()
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	mutual.MinVersion = max(mutual.MinVersion, tls.VersionTLS12)
	mutual.InsecureSkipVerify = true // VerifyConnection does it
	if get := c.GetCertificate; get != nil && c.GetClientCertificate == nil {
		mutual.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return get(&tls.ClientHelloInfo{})
		}
	}
	roots, name, verify := c.RootCAs, c.ServerName, c.VerifyConnection
	mutual.VerifyConnection = func(state tls.ConnectionState) error {
		if err := verifyNode(state, roots, name); err != nil {
			return err
		}
		if verify != nil {
			return verify(state)
		}
		return nil
	}
	return mutual
}

// verifyNode verifies the other side's certificate, for both directions.
func verifyNode(state tls.ConnectionState, roots *x509.CertPool, name string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the other node has no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, DNSName: name,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return err
}

func ip(host string) bool { return net.ParseIP(host) != nil }

func loopback(host string) bool {
	return host == "localhost" || ip(host) && net.ParseIP(host).IsLoopback()
}

func wildcard(host string) bool {
	return host == "" || ip(host) && net.ParseIP(host).IsUnspecified()
}

// leads reports whether an address is the one listened on.
func leads(address, listen string) bool {
	host, port, err := hostPort(address)
	selfHost, selfPort, selfErr := hostPort(listen)
	switch {
	case err != nil || selfErr != nil || port != selfPort:
		return false
	case !wildcard(selfHost):
		return host == selfHost || selfHost == "localhost" && loopback(host)
	case loopback(host):
		return true
	}
	addresses, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addresses, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		return ok && network.IP.Equal(net.ParseIP(host))
	})
}
