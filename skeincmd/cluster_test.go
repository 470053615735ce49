package skeincmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/skeinrt/skein"
)

// startNATS runs a NATS as an operator would have one: with a certificate, a key and an authority it asks for those of
// clients, too.
func startNATS(ts *testscript.TestScript, _ bool, args []string) {
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: args[1], Password: args[2], NoSigs: true, NoLog: true}
	if files := args[3:]; len(files) > 0 {
		made, err := tls.LoadX509KeyPair(ts.MkAbs(files[0]), ts.MkAbs(files[1]))
		ts.Check(err)
		clients, err := (&app{}).authority(ts.MkAbs(files[2]))
		ts.Check(err)
		o.TLS, o.TLSTimeout = true, 20
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{made}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert}
	}
	s, err := server.NewServer(o)
	ts.Check(err)
	s.Start()
	ts.Defer(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		ts.Fatalf("NATS does not start")
	}
	ts.Setenv(args[0], s.Addr().String())
}

// certified is a directory with an authority and the certificates of nodes.
func certified(t *testing.T, nodes ...string) *app {
	t.Helper()
	a := inDir(t, nil, nil)
	if _, errs, code := outcome(t, a, append([]string{"cluster", "init", "--host", "10.0.0.1,a.example"}, nodes...)...); code != exitOK {
		t.Fatal(errs)
	}
	return a
}

func TestNobodyElseReadsTheKeys(t *testing.T) {
	t.Parallel()
	a := certified(t, "a", "b")
	var names []string
	err := filepath.WalkDir(a.path("certs"), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if got := info.Mode().Perm() & 0o077; err == nil && got != 0 {
			t.Errorf("%s: others may %o", name, got)
		}
		names = append(names, d.Name())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"certs", "a.crt", "a.key", "b.crt", "b.key", "ca.crt", "ca.key", "secret"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestCertificatesAreThoseOfTheNodes(t *testing.T) {
	t.Parallel()
	a := certified(t, "a")
	roots, err := a.authority("certs/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	made, err := tls.LoadX509KeyPair(a.path("certs/a.crt"), a.path("certs/a.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"a", "localhost", "127.0.0.1", "::1", "10.0.0.1", "a.example", ""} {
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			_, err := made.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}})
			if err != nil {
				t.Errorf("for %q, usage %v: %v", host, usage, err)
			}
		}
	}
	if _, err := made.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "b"}); err == nil {
		t.Error("the certificate of a is good for b")
	}
	if life := time.Until(made.Leaf.NotAfter).Round(time.Hour); made.Leaf.IsCA || life != nodeLife {
		t.Errorf("got an authority: %v, good for %v, want a certificate for %v", made.Leaf.IsCA, life, nodeLife)
	}
}

func TestTheLifeOfCertificatesIsAFlag(t *testing.T) {
	t.Parallel()
	a := certified(t, "a")
	if _, errs, code := outcome(t, a, "cluster", "cert", "--replace", "--expires", "1h", "a"); code != exitOK {
		t.Fatal(errs)
	}
	made, err := tls.LoadX509KeyPair(a.path("certs/a.crt"), a.path("certs/a.key"))
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Until(made.Leaf.NotAfter).Round(time.Minute); got != time.Hour {
		t.Errorf("good for %v, want 1h", got)
	}
	if _, errs, code := outcome(t, a, "cluster", "cert", "--expires=-1h", "x"); code != exitUsage || !strings.Contains(errs, "--expires") {
		t.Errorf("a negative life: got %d and %s", code, errs)
	}
}

func TestOnlyAnAuthoritySigns(t *testing.T) {
	t.Parallel()
	a := certified(t, "a")
	for _, end := range []string{".crt", ".key"} {
		if err := os.Rename(a.path("certs/a"+end), a.path("certs/ca"+end)); err != nil {
			t.Fatal(err)
		}
	}
	_, errs, code := outcome(t, a, "cluster", "cert", "b")
	if code != exitFailed || !strings.Contains(errs, "certs/ca.crt is no authority with an ECDSA key") {
		t.Errorf("got %d and %s, want the certificate of a node to be refused as an authority", code, errs)
	}
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	a := certified(t, "a", "b")
	var log bytes.Buffer
	p, err := a.pair("certs/a.crt", "certs/a.key", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		c, err := p.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.Subject.CommonName
	}
	put := func(from, to string) {
		text, err := a.read("certs/" + from)
		if err != nil {
			t.Fatal(err)
		}
		if err := replace(a.path("certs/"+to), text); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Duration(log.Len()+1) * time.Second) // for file systems with coarse times
		if err := os.Chtimes(a.path("certs/"+to), later, later); err != nil {
			t.Fatal(err)
		}
	}
	if got := shown(); got != "a" {
		t.Fatalf("got the certificate of %s, want that of a", got)
	}
	put("b.crt", "a.crt")
	if got := shown(); got != "a" || !strings.Contains(log.String(), "stays in force") {
		t.Errorf("with another's key: got the certificate of %s, want that of a, and a warning\n%s", got, &log)
	}
	put("b.key", "a.key")
	if got := shown(); got != "b" || !strings.Contains(log.String(), "read again") {
		t.Errorf("with its key: got the certificate of %s, want that of b\n%s", got, &log)
	}
	if err := os.Remove(a.path("certs/a.key")); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "b" {
		t.Errorf("without a file: got the certificate of %s, want that of b", got)
	}
}

// clusterOptions are those of a program that has the flags.
func clusterOptions(t *testing.T, args ...string) (skein.Options, error) {
	t.Helper()
	set := flag.NewFlagSet("test", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	f := NewClusterFlags(set, "usual")
	if err := set.Parse(args); err != nil {
		return skein.Options{}, err
	}
	o := skein.Options{Logger: slog.New(slog.DiscardHandler)}
	return o, f.Apply(&o)
}

func TestAProgramTakesTheFlagsOfAClusterAsServeDoes(t *testing.T) {
	t.Parallel()
	o, err := clusterOptions(t)
	if err != nil || o.Node != "usual" || o.Engine != nil {
		t.Errorf("without flags: got %v, node %q, engine %v", err, o.Node, o.Engine)
	}
	o, err = clusterOptions(t, "--node", "x", "--cluster-listen", "127.0.0.1:0", "--cluster-join=127.0.0.1:1,b:2", "--cluster-min", "2", "--cluster-alone", "close")
	if err != nil || o.Node != "x" || o.Engine == nil || o.MinNodes != 2 || o.CutOff != skein.CloseSessions {
		t.Errorf("got %v, node %q, engine %v, %d nodes, %v", err, o.Node, o.Engine, o.MinNodes, o.CutOff)
	}
	if o, err = clusterOptions(t, "--nats", "nats://127.0.0.1:1", "--cluster-insecure=false"); err != nil || o.Engine == nil {
		t.Errorf("over NATS: got %v, engine %v", err, o.Engine)
	}
	for _, c := range []struct{ args, want string }{
		{"--cluster-join a:1", "the cluster's flags: --cluster-join: it needs --cluster-listen"},
		{"--cluster-min=-1", "--cluster-min: it must not be negative"},
		{"--join-timeout soon", "-join-timeout"},
		{"--cluster-alone hide", "-cluster-alone"},
		{"--no-such-flag", "no-such-flag"},
	} {
		if _, err := clusterOptions(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.args, err, c.want)
		}
	}
}

// answering is the command line with an API that always gives this answer.
func answering(t *testing.T, status int, body string) (a *app, url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client's loss
	}))
	t.Cleanup(s.Close)
	return inDir(t, nil, nil), s.URL
}

func TestWhatOtherNodesHaveDoneIsToldBesideTheError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, body, out string
	}{
		{"disconnect --user ann", `"sessions":2`, "disconnected: 2\n"},
		{"count", `"sessions":2`, "2\n"},
		{"count hall", `"channels":[{"name":"hall","subscribers":4}]`, "4\n"},
		{"channels", `"channels":[{"name":"","subscribers":1},{"name":"a\u001b[2J","subscribers":4}]`, "CHANNEL     SUBSCRIBERS\n\"\"          1\n\"a\\x1b[2J\"  4\n"},
		{"count --json", `"sessions":2`, `"sessions": 2,`},
	} {
		body := "{" + c.body + `,"failed":{"c":{"message":"node c: gone"},"b":{"message":"node b: \u001b"}},"error":{"message":"node b"}}`
		a, url := answering(t, http.StatusServiceUnavailable, body)
		out, errs, code := outcome(t, a, append(strings.Fields(c.args), "--url", url)...)
		if want := "skein: \"node b: \\x1b\"\nskein: node c: gone\n"; code != exitFailed || errs != want {
			t.Errorf("%s: got %d and %q, want %q", c.args, code, errs, want)
		}
		if out != c.out && (!strings.Contains(c.args, "json") || !strings.Contains(out, c.out)) {
			t.Errorf("%s: got %q, want %q", c.args, out, c.out)
		}
	}
}

func TestWhatIsNoAnswerIsToldAsSuch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status           int
		body, args, want string
	}{
		{200, "<html>", "nodes", "answers with 200 OK: is it the API of a node"},
		{502, "<html>", "nodes", "answers with 502 Bad Gateway: is it the API of a node"},
		{200, `{"nodes":5}`, "nodes", "the answer: json:"},
		{200, `{"channels":5}`, "channels", "the answer: json:"},
		{200, `{"channels":5}`, "count a", "the answer: json:"},
		{200, `{"sessions":"x"}`, "count", "the answer: json:"},
		{403, `{"error":{"name":"AuthError","message":"no \u0007"}}`, "nodes", `: "no \a"`},
	} {
		a, url := answering(t, c.status, c.body)
		_, errs, code := outcome(t, a, append(strings.Fields(c.args), "--url", url)...)
		if code != exitFailed || !strings.Contains(errs, c.want) {
			t.Errorf("%s, %d %s: got %d and %q, want %q", c.args, c.status, c.body, code, errs, c.want)
		}
	}
}

func TestANodeThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody has come
	_, errs, code := outcome(t, inDir(t, nil, nil), "nodes", "--url", "http://"+l.Addr().String(), "--timeout", "50ms")
	if code != exitFailed || !strings.Contains(errs, "no answer within 50ms") {
		t.Errorf("got %d and %q, want it to say how long it has waited", code, errs)
	}
}

func TestAURLOfANodeLeadsToItsAPI(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://a:1": "http://a:1/api", "http://a:1/": "http://a:1/api", "https://a/v1/": "https://a/v1", "http://a/api?x#y": "http://a/api",
		"ws://a:1/socketcluster/": "http://a:1/api", "wss://a/ws?x=1": "https://a/api",
	} {
		if got, err := (&apiFlags{URL: url}).base(); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", url, got, err, want)
		}
	}
	for _, url := range []string{"", "a:1", "ftp://a", "http://", "://"} {
		if _, err := (&apiFlags{URL: url}).base(); err == nil {
			t.Errorf("%q: got no error", url)
		}
	}
}

func TestAStartThatIsCutShortIsNoFailure(t *testing.T) {
	t.Parallel()
	n := &node{log: slog.New(slog.DiscardHandler)}
	running, cancel := context.WithCancel(t.Context())
	failure := errors.New("failure")
	if err := n.unstarted(running, failure); !errors.Is(err, failure) {
		t.Errorf("got %v, want what has failed", err)
	}
	cancel()
	if err := n.unstarted(running, failure); !errors.Is(err, failure) {
		t.Errorf("after the signal: got %v, want what has failed", err)
	}
	if err := n.unstarted(running, context.Cause(running)); err != nil {
		t.Errorf("because of the signal: got %v, want none", err)
	}
}

// TestASignalEndsANodeThatLooksForOthers sends it when the node knocks again at its seed, which never answers.
func TestASignalEndsANodeThatLooksForOthers(t *testing.T) {
	t.Parallel()
	seed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, signal := context.WithCancel(t.Context())
	go func() {
		defer signal()
		for range 2 {
			if conn, err := seed.Accept(); err == nil {
				_ = conn.Close() // that is the answer
			}
		}
	}()
	t.Cleanup(func() { _ = seed.Close() })
	a := inDir(t, nil, nil)
	var out, errs bytes.Buffer
	a.Streams = Streams{In: strings.NewReader(""), Out: &out, Err: &errs}
	code := a.run(ctx, []string{
		"serve", "--addr", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0", "--join-timeout", "1m", "--cluster-join", seed.Addr().String(),
	})
	if code != exitOK || !strings.Contains(errs.String(), "stopped before it served") {
		t.Errorf("got exit code %d and %s, want a good end", code, &errs)
	}
}
