package skeincmd

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// serving runs a node until the test ends. It returns the addresses for clients and, with --operator-addr, for operators.
func serving(t *testing.T, a *app, args ...string) (clients, operators string, j *job) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	j = &job{cancel: cancel, code: make(chan int, 2)}
	a.In, a.Out, a.Err = strings.NewReader(""), &j.out, &j.err
	go func() {
		code := a.run(ctx, append([]string{"serve", "--addr", "127.0.0.1:0", "--drain", "0s"}, args...))
		j.code <- code
		j.code <- code
	}()
	t.Cleanup(func() {
		cancel()
		<-j.code
	})
	m := j.out.match(regexp.MustCompile(`SocketCluster +wss?://([0-9.:]+)/`), j.code)
	if m == nil {
		log, _ := j.err.text()
		t.Fatalf("serve %q does not: %s", args, log)
	}
	if slices.Contains(args, "--operator-addr") {
		operators = j.out.match(regexp.MustCompile(`metrics +https?://([0-9.:]+)/`), j.code)[1]
	}
	return m[1], operators, j
}

// answered is an answer that has been read.
type answered struct {
	*http.Response

	text string
}

// fetch asks with a key as a bearer token, if there is one.
func fetch(t *testing.T, url, key string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{res, string(text)}
}

// shown is whose certificate a server shows to who asks for a host.
func shown(t *testing.T, addr, host string, c *tls.Config) string {
	t.Helper()
	c.ServerName, c.InsecureSkipVerify = host, true
	nc, err := (&tls.Dialer{Config: c, NetDialer: &net.Dialer{Timeout: time.Minute}}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = nc.Close() }()
	secure, _ := nc.(*tls.Conn)
	return secure.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestEachHostHasItsCertificate(t *testing.T) {
	t.Parallel()
	a := certified(t, "one.example", "two.example")
	addr, _, _ := serving(t, a, "--tls-cert", "certs/one.example.crt,certs/two.example.crt", "--tls-key", "certs/one.example.key,certs/two.example.key", "--tls-min", "1.3")
	for host, want := range map[string]string{"one.example": "one.example", "two.example": "two.example", "": "one.example", "stranger.example": "one.example"} {
		if got := shown(t, addr, host, &tls.Config{}); got != want {
			t.Errorf("%q: got the certificate of %s, want that of %s", host, got, want)
		}
	}
	if got := shown(t, addr, "one.example", &tls.Config{MaxVersion: tls.VersionTLS12}); !strings.Contains(got, "protocol version") {
		t.Errorf("TLS 1.2: got %s, want it to be refused", got)
	}
}

// Certificates change while the server runs: file by file, by renaming, and by a symbolic link as Kubernetes does it. One
// that is broken changes nothing.
func TestARunningServerTakesNewCertificates(t *testing.T) {
	t.Parallel()
	a := certified(t, "a", "b", "c", "d")
	copied := func(from, to string) {
		t.Helper()
		for _, end := range []string{"crt", "key"} {
			text, err := a.read("certs/" + from + "." + end)
			if err == nil {
				err = os.WriteFile(a.path(to+"/tls."+end), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"1", "2", "live"} {
		check(os.Mkdir(a.path(dir), 0o700))
	}
	copied("a", "1")
	check(os.Symlink("../1", a.path("live/data")))
	check(os.Symlink("data/tls.crt", a.path("live/tls.crt")))
	check(os.Symlink("data/tls.key", a.path("live/tls.key")))
	addr, _, j := serving(t, a, "--tls-cert", "live/tls.crt", "--tls-key", "live/tls.key")
	want := func(who string) {
		t.Helper()
		if got := shown(t, addr, "x", &tls.Config{}); got != who {
			t.Errorf("got the certificate of %s, want that of %s", got, who)
		}
	}
	want("a")
	copied("b", "1") // written over
	want("b")
	copied("c", "2") // a link that is replaced
	check(os.Symlink("../2", a.path("live/new")))
	check(os.Rename(a.path("live/new"), a.path("live/data")))
	want("c")
	check(os.WriteFile(a.path("2/tls.crt"), []byte("-----BEGIN CERT"), 0o600))
	want("c")
	want("c")
	log, _ := j.err.text()
	if n := strings.Count(log, "the one before stays in force"); n != 1 {
		t.Errorf("got %d warnings, want one\n%s", n, log)
	}
	for _, end := range []string{"crt", "key"} { // a file that is replaced
		check(os.Rename(a.path("certs/d."+end), filepath.Join(a.path("2"), "tls."+end)))
	}
	want("d")
}

// Operators have a listener of their own, and what is theirs is not found elsewhere.
func TestOperatorsAreServedApart(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123"
	clients, operators, _ := serving(t, inDir(t, nil, nil), "--operator-addr", "127.0.0.1:0", "--metrics", "--admin", "--operator-key", key, "--operator-api", "--api-key", key)
	if operators == "" || operators == clients {
		t.Fatalf("got the addresses %q and %q, want two", clients, operators)
	}
	for path, want := range map[string][2]int{
		"/healthz": {200, 200}, "/readyz": {200, 200}, "/metrics": {404, 200}, "/admin": {404, 200}, "/api/nodes": {404, 200},
		"/": {200, 404}, "/ws": {426, 404}, "/socketcluster/": {426, 404},
	} {
		for i, addr := range []string{clients, operators} {
			if got := fetch(t, "http://"+addr+path, key); got.StatusCode != want[i] {
				t.Errorf("GET %s at %s: got %d, want %d", path, []string{"clients", "operators"}[i], got.StatusCode, want[i])
			}
		}
	}
}
