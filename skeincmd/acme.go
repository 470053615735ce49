package skeincmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// acme gets certificates from an authority (RFC 8555) and renews them. The authority asks for a proof that the domains lead
// here: on the listener for clients, which it reaches as port 443, or on one for HTTP, which it reaches as port 80.
type acme struct {
	settings *tlsSettings
	dir      string
	roots    *x509.CertPool
	log      *slog.Logger

	// Since start.
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
	cache  *certmagic.Cache
	web    *http.Server // nil: there is no listener for HTTP
	addr   net.Addr     // of web
	cancel context.CancelFunc
	served chan error
}

// acme makes ready what the settings ask for, and starts nothing.
func (c *config) newACME(a *app, log *slog.Logger) (*acme, error) {
	made := &acme{settings: &c.TLS, dir: a.path(c.TLS.AcmeStorage), log: log}
	if c.TLS.AcmeCA == "" {
		return made, nil
	}
	roots, err := a.authority(c.TLS.AcmeCA)
	made.roots = roots
	return made, c.blame("acmeCA", err)
}

// checkACME finds what no authority would sign.
func (c *config) checkACME() error {
	var errs []error
	if len(c.TLS.Acme) > 0 && len(c.TLS.TLSCert) > 0 {
		errs = append(errs, c.blame("acme", errors.New("there is --tls-cert too: give one of them")))
	}
	for _, domain := range c.TLS.Acme {
		_, bad := netip.ParseAddr(domain)
		if bad == nil || strings.ContainsAny(domain, "*:/ ") || !strings.Contains(domain, ".") {
			errs = append(errs, c.blame("acme", fmt.Errorf("%q is not the name of a host, as in chat.example.com", domain)))
		}
	}
	if u, err := url.Parse(c.TLS.AcmeDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
		errs = append(errs, c.blame("acmeDirectory", fmt.Errorf("%q is not a URL that begins with https://", c.TLS.AcmeDirectory)))
	}
	if addr := c.TLS.AcmeHTTP; addr != "" {
		errs = append(errs, c.blame("acmeHTTP", checkAddress(addr)))
	}
	return errors.Join(errs...)
}

// get returns the certificate for a handshake, or what an authority wants to see in it.
func (m *acme) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.config.GetCertificate(hello)
}

// start makes get answer. It must have been called before the listener is served, and stop afterwards.
func (m *acme) start(ctx context.Context, clients net.Listener) error {
	if m == nil {
		return nil
	}
	quiet := zap.NewNop() // what operators must know comes as an event
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil }, Logger: quiet,
	})
	m.config = certmagic.New(m.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: m.dir}, DefaultServerName: m.settings.Acme[0], OnEvent: m.tell,
		OCSP: certmagic.OCSPConfig{DisableStapling: true}, Logger: quiet,
	})
	host, port := hostPort(clients)
	template := certmagic.ACMEIssuer{
		CA: m.settings.AcmeDirectory, Email: m.settings.AcmeEmail, Agreed: true, TrustedRoots: m.roots, Logger: quiet,
		ListenHost: host, AltTLSALPNPort: port, // where this node listens: then nothing else is started
	}
	err := m.listenHTTP(ctx, &template)
	m.issuer = certmagic.NewACMEIssuer(m.config, template)
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	return err
}

func (m *acme) listenHTTP(ctx context.Context, template *certmagic.ACMEIssuer) error {
	if m.settings.AcmeHTTP == "" {
		template.DisableHTTPChallenge = true
		return nil
	}
	l, err := listen(ctx, "acme-http", m.settings.AcmeHTTP)
	if err != nil {
		return err
	}
	_, template.AltHTTPPort = hostPort(l)
	m.addr = l.Addr()
	m.served = make(chan error, 1)
	m.web = &http.Server{
		Handler: http.HandlerFunc(m.serveHTTP), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	go func() { m.served <- m.web.Serve(l) }()
	return nil
}

// serveHTTP answers the authority, and sends all others on to https.
func (m *acme) serveHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	switch {
	case m.issuer.HandleHTTPChallenge(w, r):
	case !slices.Contains(m.settings.Acme, strings.ToLower(host)) || r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.NotFound(w, r)
	default:
		http.Redirect(w, r, "https://"+strings.ToLower(host)+r.URL.RequestURI(), http.StatusMovedPermanently) //nolint:gosec // one of the node's own domains
	}
}

// manage loads the certificates, gets those that are missing and renews them until stop. The listener must be served.
func (m *acme) manage(ctx context.Context) {
	if m == nil {
		return
	}
	ctx, m.cancel = context.WithCancel(ctx)
	if err := m.config.ManageAsync(ctx, m.settings.Acme); err != nil {
		m.log.LogAttrs(ctx, slog.LevelError, "certificates are not looked after", slog.Any("error", err))
	}
}

func (m *acme) stop() {
	if m == nil || m.cache == nil {
		return
	}
	if m.cancel != nil {
		m.cancel()
	}
	m.cache.Stop()
	if m.web != nil {
		_ = m.web.Close() // what it serves is nobody's loss
		if err := <-m.served; !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("the authority's questions were not answered to the end", slog.Any("error", err))
		}
	}
}

// tell logs what becomes of certificates.
func (m *acme) tell(ctx context.Context, event string, data map[string]any) error {
	domain := slog.Any("domain", data["identifier"])
	switch event {
	case "cert_obtaining":
		m.log.LogAttrs(ctx, slog.LevelInfo, "asking for a certificate", domain, slog.String("directory", m.settings.AcmeDirectory))
	case "cert_obtained":
		m.log.LogAttrs(ctx, slog.LevelInfo, "certificate obtained", domain)
	case "cert_failed":
		m.log.LogAttrs(ctx, slog.LevelError, "there is no certificate; it is tried again", domain, slog.Any("error", data["error"]))
	}
	return nil
}

func hostPort(l net.Listener) (host string, port int) {
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return "", 0
	}
	if !tcp.IP.IsUnspecified() {
		host = tcp.IP.String()
	}
	return host, tcp.Port
}
