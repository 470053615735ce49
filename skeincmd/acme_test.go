package skeincmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// pebble is Let's Encrypt's authority for tests. All names lead to this machine.
type pebble struct {
	directory string
	storage   string // of the node
	rootFile  string // of the directory's own certificate
	resolver  string
	open      chan http.Handler // what it answers with, once the ports are known that it asks at
	roots     *x509.CertPool    // of the certificates that it issues, once it is open
}

func newPebble(t *testing.T, dir string) *pebble {
	t.Helper()
	p := &pebble{open: make(chan http.Handler, 1), roots: x509.NewCertPool(), rootFile: dir + "/directory.pem"}
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := <-p.open
		p.open <- h
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	p.directory = web.URL + wfe.DirectoryPath
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	if err := os.WriteFile(p.rootFile, root, 0o600); err != nil {
		t.Fatal(err)
	}
	p.resolver = resolver(t)
	storage, err := os.MkdirTemp("", "acme") //nolint:usetesting // what an attempt leaves behind may come late
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(storage) })
	p.storage = storage + "/acme"
	return p
}

// resolver is a name server that knows one address for all names.
func resolver(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			a.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(a) // whoever asked has gone
	})}
	ended := make(chan struct{})
	go func() {
		_ = server.ActivateAndServe() // that it is closed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = l.Close() // that ends it
		<-ended
	})
	return l.Addr().String()
}

// ask makes it answer, and ask for proofs at the ports of these addresses.
func (p *pebble) ask(t *testing.T, httpAddr, tlsAddr string) {
	t.Helper()
	port := func(addr string) int {
		_, text, _ := net.SplitHostPort(addr)
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	silent := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(silent, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "for tests"}})
	questions := va.New(silent, port(httpAddr), port(tlsAddr), true, p.resolver, store)
	front := wfe.New(silent, store, questions, authority, []string{"pebble.example"}, true, false, 1, 1)
	p.roots.AppendCertsFromPEM(authority.GetRootCert(0).PEM())
	p.open <- front.Handler()
}

// flags are those that ask it for a certificate.
func (p *pebble) flags() []string {
	return []string{"--acme", "chat.example.com,raw.example.com", "--acme-email", "ann@example.com", "--acme-directory", p.directory, "--acme-ca", p.rootFile, "--acme-storage", p.storage}
}

// obtained waits until the log has that many certificates.
func obtained(t *testing.T, j *job, n int) {
	t.Helper()
	if j.err.match(regexp.MustCompile(`(?s)`+strings.Repeat(`msg="certificate obtained".*`, n)), j.code) == nil {
		text, _ := j.err.text()
		t.Fatalf("no certificate was obtained:\n%s", text)
	}
}

// certificateAt waits for the certificate of a host, which must be of the authority. Without a host it is the one for those
// who name none.
func (p *pebble) certificateAt(t *testing.T, addr, host string) *x509.Certificate {
	t.Helper()
	deadline, again := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for {
		nc, err := (&tls.Dialer{Config: &tls.Config{ServerName: host, RootCAs: p.roots, InsecureSkipVerify: host == ""}}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			secure, _ := nc.(*tls.Conn)
			_ = nc.Close() // it has shown what was asked for
			return secure.ConnectionState().PeerCertificates[0]
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", host, err)
		case <-again.C:
		}
	}
}

// nowhere is an address at which nobody listens: it is kept from others until the test ends.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close() // nobody is here
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestCertificatesComeFromAnAuthority(t *testing.T) { //nolint:paralleltest // the authority takes its pauses from the environment
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	a := inDir(t, nil, nil)
	p := newPebble(t, a.dir)
	addr, _, j := serving(t, a, p.flags()...)
	p.ask(t, nowhere(t), addr)
	obtained(t, j, 2)
	first := p.certificateAt(t, addr, "chat.example.com")
	p.certificateAt(t, addr, "raw.example.com")
	if got := p.certificateAt(t, addr, ""); got.DNSNames[0] != "chat.example.com" {
		t.Errorf("without a name: got the certificate of %q, want that of the first domain", got.DNSNames)
	}
	if _, err := (&tls.Dialer{Config: &tls.Config{ServerName: "stranger.example.com", RootCAs: p.roots}}).DialContext(t.Context(), "tcp", addr); err == nil {
		t.Error("a stranger's name has a certificate")
	}
	info, err := os.Stat(p.storage)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the directory of the keys: got %v, %v, want that nobody else reads it", info, err)
	}
	again := *a // what is stored is used again
	second, _, log := serving(t, &again, p.flags()...)
	if got := p.certificateAt(t, second, "chat.example.com"); !got.Equal(first) {
		text, _ := log.err.text()
		t.Errorf("got another certificate after a new start\n%s", text)
	}
}

func TestAuthoritiesMayAskByHTTP(t *testing.T) { //nolint:paralleltest // as above
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	a := inDir(t, nil, nil)
	p := newPebble(t, a.dir)
	addr, _, j := serving(t, a, append(p.flags(), "--acme-http", "127.0.0.1:0")...)
	at := j.out.match(regexp.MustCompile(`ACME +http://([0-9.:]+)/`), j.code)
	p.ask(t, at[1], nowhere(t))
	obtained(t, j, 2)
	p.certificateAt(t, addr, "chat.example.com")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: time.Minute}
	for host, want := range map[string]string{"chat.example.com": "https://chat.example.com/x?y=1", "CHAT.example.com:80": "https://chat.example.com/x?y=1", "evil.example": ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at[1]+"/x?y=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := res.Header.Get("Location"); got != want || (res.StatusCode == http.StatusNotFound) != (want == "") {
			t.Errorf("%s: got %d to %q, want %q", host, res.StatusCode, got, want)
		}
	}
	client.CloseIdleConnections()
}

// A refusal is told, and the node serves on.
func TestAnAuthorityThatRefusesIsTold(t *testing.T) { //nolint:paralleltest // as above
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	a := inDir(t, nil, nil)
	p := newPebble(t, a.dir)
	_, _, j := serving(t, a, p.flags()...)
	p.ask(t, nowhere(t), nowhere(t))
	if j.err.match(regexp.MustCompile(`level=ERROR msg="there is no certificate; it is tried again" domain=chat.example.com error=`), j.code) == nil {
		text, _ := j.err.text()
		t.Errorf("it is not told:\n%s", text)
	}
}

func TestWhatNoAuthoritySignsIsRefused(t *testing.T) {
	t.Parallel()
	a := inDir(t, nil, map[string]string{"empty.pem": ""})
	_, got, code := outcome(t, a, "config", "check", "--acme", "*.example.com,192.0.2.1,localhost,a.example.com", "--acme-directory", "http://ca.example", "--acme-http", "x", "--tls-cert", "a", "--tls-key", "b")
	for _, want := range []string{
		`--acme: there is --tls-cert too`, `--acme: "*.example.com" is not`, `--acme: "192.0.2.1" is not`, `--acme: "localhost" is not`,
		`--acme-directory: "http://ca.example" is not a URL`, `--acme-http: "x" is not HOST:PORT`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if code != exitFailed || strings.Contains(got, `"a.example.com"`) {
		t.Errorf("got %d and %s", code, got)
	}
	if _, got, _ := outcome(t, a, "config", "check", "--acme", "a.example.com", "--acme-ca", "empty.pem"); !strings.Contains(got, "--acme-ca: empty.pem has no certificate") {
		t.Errorf("got %s, want what is wrong with the file", got)
	}
	taken := nowhere(t)
	a = inDir(t, nil, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out shared
	a.In, a.Out, a.Err = strings.NewReader(""), &out, &out
	if code := a.run(ctx, []string{"serve", "--addr", "127.0.0.1:0", "--acme", "a.example.com", "--acme-http", taken}); code != exitFailed {
		t.Errorf("got exit code %d with a taken address, want %d", code, exitFailed)
	}
	if text, _ := out.text(); !strings.Contains(text, "--acme-http") {
		t.Errorf("got %s, want the flag of the taken address", text)
	}
}
