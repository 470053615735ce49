package skein_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

func tens() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }

// introduced connects as a proxy does that speaks the PROXY protocol.
func introduced(t *testing.T, srv *skeintest.Server, from, header string) net.Conn {
	t.Helper()
	nc, err := srv.Listener.DialFrom(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if header == "" {
		return nc
	}
	if _, err := io.WriteString(nc, header); err != nil {
		t.Fatal(err)
	}
	return nc
}

func TestProxyProtocolTellsWhoseConnectionItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		o := skein.Options{Door: skein.Door{Proxies: tens(), ProxyProtocol: true}, Conns: skein.ConnLimits{PerAddress: 2}}
		srv := start(t, o, func(h *skein.Host) {
			h.OnUpgrade(func(_ context.Context, e *skein.Event) error {
				asked = append(asked, h.Server().ClientAddr(e.Request).String())
				return nil
			})
			h.HandleWS("/ws", func(c *skein.RawConn) error {
				_ = c.Send([]byte(c.RemoteAddr()))
				return echo(c)
			})
		})
		first, err := skeintest.Upgrade(t.Context(), introduced(t, srv, "10.0.0.1:1", "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"), "/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := next(t, first); got != "203.0.113.7:4711" {
			t.Errorf("got the address %s, want the client's", got)
		}
		if got := ask(t, first, "x"); got != "x" {
			t.Errorf("got %q, want x back", got)
		}
		c, err := skeintest.Upgrade(t.Context(), introduced(t, srv, "10.0.0.1:2", "PROXY TCP4 203.0.113.7 192.0.2.1 4712 443\r\n"), "/socketcluster/", nil)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c, `{"event":"#handshake","data":{},"cid":1}`)
		for s := range srv.Sessions() {
			if got := s.RemoteAddr(); got != "203.0.113.7:4712" {
				t.Errorf("got the address %s, want the client's", got)
			}
		}
		_, err = skeintest.Upgrade(t.Context(), introduced(t, srv, "10.0.0.1:3", "PROXY TCP4 203.0.113.7 192.0.2.1 4713 443\r\n"), "/ws", nil)
		if err == nil {
			t.Error("a third connection of the address came in")
		}
		// What the client writes into its headers is not the proxy's word.
		other := http.Header{"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Host": {"evil.example"}}
		if _, err := skeintest.Upgrade(t.Context(), introduced(t, srv, "10.0.0.1:4", "PROXY TCP4 203.0.113.8 192.0.2.1 1 443\r\n"), "/ws", other); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(asked); got != "[203.0.113.7 203.0.113.7 203.0.113.7 203.0.113.8]" {
			t.Errorf("got %s, want the clients' addresses", got)
		}
		first.Terminate()
		pass(time.Second)
	})
}

func TestStrangersHeaderOfTheProxyProtocolIsNotBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		asked := false
		o := skein.Options{Door: skein.Door{Proxies: tens(), ProxyProtocol: true}, Logger: log.logger()}
		srv := start(t, o, func(h *skein.Host) {
			h.HandleFunc("GET /{$}", func(http.ResponseWriter, *http.Request) { asked = true })
		})
		const request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		for _, header := range []string{"PROXY TCP4 6.6.6.6 192.0.2.1 1 443\r\n", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
			nc := introduced(t, srv, "192.0.2.66:1", header+request)
			answer, err := io.ReadAll(nc)
			if err != nil || asked || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
				t.Errorf("%q: got %q, %v, want 400", header, answer, err)
			}
		}
		nc := introduced(t, srv, "10.0.0.1:1", request) // a proxy must not leave it out
		if answer, err := io.ReadAll(nc); len(answer) > 0 || asked {
			t.Errorf("got %q, %v, want nothing", answer, err)
		}
		wantContains(t, log.String(), "a proxy has sent no good header of the PROXY protocol", "proxy=10.0.0.1:1")
		if answer, err := io.ReadAll(introduced(t, srv, "192.0.2.66:1", request)); err != nil || !asked || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
			t.Errorf("got %q, %v, want 200 for who comes without a proxy", answer, err)
		}
	})
}

// selfSigned is a certificate for this machine.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"memory"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// The header goes before TLS, and beneath each driver.
func TestProxyProtocolWorksBeneathEverything(t *testing.T) {
	t.Parallel()
	cert, pool := selfSigned(t)
	for name, o := range map[string]skein.Options{
		"the usual driver": {},
		"park":             {Driver: "park"},
		"TLS":              {TLS: &tls.Config{Certificates: []tls.Certificate{cert}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Door = skein.Door{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, ProxyProtocol: true}
			o.Timeouts.Drain = -1
			srv := skein.New(o)
			if err := srv.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(l) }()
			scheme := "ws"
			if o.TLS != nil {
				scheme = "wss"
			}
			c, err := client.Dial(t.Context(), client.Options{
				URL: scheme + "://" + l.Addr().String(), TLS: &tls.Config{RootCAs: pool},
				NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := new(net.Dialer).DialContext(ctx, network, addr)
					if err == nil {
						_, err = io.WriteString(nc, "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n")
					}
					return nc, err
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			stream, err := c.Subscribe(t.Context(), "news")
			if err != nil {
				t.Fatal(err)
			}
			if err := srv.Publish(t.Context(), "news", json.RawMessage(`"hello"`)); err != nil {
				t.Fatal(err)
			}
			if m, err := stream.Next(t.Context()); err != nil || string(m.Data) != `"hello"` {
				t.Errorf("got %s, %v, want hello", m.Data, err)
			}
			for s := range srv.Sessions() {
				if got := s.RemoteAddr(); got != "[2001:db8::7]:4711" {
					t.Errorf("got the address %s, want the client's", got)
				}
			}
			_ = c.Close() // it has served
			if err := errors.Join(srv.Shutdown(t.Context()), <-served); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTLSIsModern(t *testing.T) {
	t.Parallel()
	cert, pool := selfSigned(t)
	srv := skeintest.Start(t, skein.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}})
	shake := func(c *tls.Config) (tls.ConnectionState, error) {
		nc, err := srv.Listener.DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		c.RootCAs, c.ServerName = pool, "memory"
		secure := tls.Client(nc, c)
		err = secure.HandshakeContext(t.Context())
		return secure.ConnectionState(), err
	}
	if state, err := shake(&tls.Config{NextProtos: []string{"h2", "http/1.1"}}); err != nil || state.NegotiatedProtocol != "http/1.1" || state.Version != tls.VersionTLS13 {
		t.Errorf("got %q in version %x, %v, want http/1.1 in TLS 1.3", state.NegotiatedProtocol, state.Version, err)
	}
	if _, err := shake(&tls.Config{MaxVersion: tls.VersionTLS12}); err != nil {
		t.Errorf("TLS 1.2: %v", err)
	}
	if _, err := shake(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if _, err := shake(&tls.Config{NextProtos: []string{"h2"}}); err == nil {
		t.Error("HTTP/2 is agreed on")
	}
}

// Who connects and says nothing is let go after the time for a handshake.
func TestSilentClientsOfTLSAreLetGo(t *testing.T) {
	t.Parallel()
	cert, _ := selfSigned(t)
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
		began := time.Now()
		if _, err := io.ReadAll(introduced(t, srv, "192.0.2.1:1", "")); err != nil {
			t.Error(err)
		}
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("the connection ended after %v, want 5s", got)
		}
	})
}

func TestBrowsersAreToldToStayWithHTTPS(t *testing.T) {
	t.Parallel()
	cert, _ := selfSigned(t)
	for name, test := range map[string]struct {
		o      skein.Options
		header string
		want   string
	}{
		"TLS":               {skein.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Door: skein.Door{HSTS: time.Hour}}, "", "max-age=3600"},
		"a proxy's TLS":     {skein.Options{Door: skein.Door{HSTS: time.Hour, Proxies: tens()}}, "https", "max-age=3600"},
		"a stranger's word": {skein.Options{Door: skein.Door{HSTS: time.Hour}}, "https", ""},
		"no TLS":            {skein.Options{Door: skein.Door{HSTS: time.Hour}}, "", ""},
		"not asked for":     {skein.Options{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}, "", ""},
	} {
		srv := skeintest.Start(t, test.o)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/nothing", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = "10.0.0.1:1"
		if test.o.TLS != nil {
			r.TLS = &tls.ConnectionState{}
		}
		r.Header.Set("X-Forwarded-Proto", test.header)
		answer := srv.Inject(r)
		_ = answer.Body.Close()
		if got := answer.Header.Get("Strict-Transport-Security"); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// ops registers a route for each audience.
func ops(h *skein.Host) {
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") } // the test reads it
	h.HandleFunc("GET /theirs", answer)
	h.HandleFunc("GET /ours", answer, skein.Operators)
	h.Handle("GET /all", http.HandlerFunc(answer), skein.Everybody)
}

func TestOperatorsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Door: skein.Door{Operators: "127.0.0.1:9000", Proxies: tens(), ProxyProtocol: true}}
		srv := start(t, o, ops)
		inside := skeintest.NewListener()
		served := make(chan error, 1)
		go func() { served <- srv.ServeOperators(inside) }()
		for _, at := range []struct {
			name    string
			l       *skeintest.Listener
			answers map[string]int
		}{
			{"clients", srv.Listener, map[string]int{"/theirs": 200, "/ours": 404, "/all": 200, "/socketcluster/": 426}},
			{"operators", inside, map[string]int{"/theirs": 404, "/ours": 200, "/all": 200, "/socketcluster/": 404}},
		} {
			for path, want := range at.answers {
				if got := statusAt(t, at.l, path); got != want {
					t.Errorf("%s: GET %s: got %d, want %d", at.name, path, got, want)
				}
			}
		}
		audiences := map[string]skein.Audience{}
		for _, r := range srv.Routes() {
			audiences[r.Path] = r.Audience
		}
		if audiences["/ours"] != skein.Operators || audiences["/all"] != skein.Everybody || audiences["/theirs"] != skein.Clients {
			t.Errorf("got the audiences %v", audiences)
		}
		if err := errors.Join(srv.Shutdown(t.Context()), <-served); err != nil {
			t.Error(err)
		}
	})
}

// statusAt asks without a proxy.
func statusAt(t *testing.T, l *skeintest.Listener, path string) int {
	t.Helper()
	nc, err := l.DialFrom(t.Context(), "192.0.2.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

func TestWithoutTheirListenerOperatorsAreAmongAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, ops)
		for _, path := range []string{"/theirs", "/ours", "/all"} {
			if got := statusAt(t, srv.Listener, path); got != http.StatusOK {
				t.Errorf("GET %s: got %d, want 200", path, got)
			}
		}
	})
}

// Operators see to the end what a node does that goes, and a crowd of clients does not lock them out.
func TestOperatorsAreServedToTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{
			Door: skein.Door{Operators: "127.0.0.1:9000"}, Conns: skein.ConnLimits{Total: 1},
			Timeouts: skein.Timeouts{Drain: 20 * time.Second},
		}
		srv := start(t, o, ops)
		inside := skeintest.NewListener()
		served := make(chan error, 1)
		go func() { served <- srv.ServeOperators(inside) }()
		srv.Conn(t, "/socketcluster/", nil)
		for range 40 {
			introduced(t, srv, "192.0.2.1:1", "")
		}
		if got := statusAt(t, inside, "/ours"); got != http.StatusOK {
			t.Errorf("got %d while clients crowd, want 200", got)
		}
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		pass(time.Second)
		if got := statusAt(t, inside, "/ours"); got != http.StatusOK {
			t.Errorf("got %d while the server drains, want 200", got)
		}
		if err := errors.Join(<-down, <-served); err != nil {
			t.Error(err)
		}
	})
}

func TestAudiencesAreChecked(t *testing.T) {
	t.Parallel()
	for name, audience := range map[string][]skein.Audience{"unknown": {"friends"}, "two": {skein.Operators, skein.Everybody}} {
		got := startError(t, skein.Options{}, plugin("test", func(h *skein.Host) {
			h.HandleFunc("GET /x", func(http.ResponseWriter, *http.Request) {}, audience...)
		}))
		if !strings.Contains(got, "the audience") {
			t.Errorf("%s: got %q, want an error about the audience", name, got)
		}
	}
}
