package skeincmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	runAsCommand()
	goleak.VerifyTestMain(m, // of the modules, which do not end them
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"))
}

// TestCommands runs the scripts, in this process. Beside testscript's own commands they have:
//
//	skein ARG…           runs the command; with ! it must exit with 1
//	usage ARG…           runs the command, which must exit with 2
//	begin NAME ARG…      runs the command in the background until it says that it is ready; serve gets a free port,
//	end NAME             ends it (wait NAME waits for its own end), checks that it exits with 0, and shows what it wrote
//	get STATUS URL [BEARER], post STATUS URL BODY [BEARER]
//	upgrade STATUS URL [BEARER]
//	raw URL MESSAGE…     sends messages to a raw endpoint; the connection stays until the script's end
//	nats VAR USER PASSWORD [CERT KEY CA] starts a NATS, and sets the variable to its address
//	keypair KIND PRIVATE PUBLIC, certificate CERT KEY
//	token VAR ARG…       runs skein token sign and keeps the token in a variable
//	issuer VAR DIR       publishes the RSA keys of a directory, ID.pub, and sets the variable to the URL
//	replace FILE BY      gives a file the content of another one, at once
func TestCommands(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			b := &background{jobs: map[string]*job{}}
			e.Values[backgroundKey{}] = b
			e.Defer(b.endAll)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"skein":       runSkein,
			"usage":       runUsage,
			"begin":       begin,
			"end":         end,
			"await":       await,
			"until":       until,
			"ports":       ports,
			"nats":        startNATS,
			"get":         get,
			"post":        post,
			"raw":         sendRaw,
			"upgrade":     upgrade,
			"keypair":     keypair,
			"certificate": certificate,
			"token":       signInto,
			"issuer":      startIssuer,
			"replace":     replaceWith,
		},
	})
}

// scriptApp is the command line in the script's directory and environment. A last argument <FILE is standard input.
func scriptApp(ts *testscript.TestScript, args []string) (*app, []string) {
	a := &app{
		catalog: testCatalog(), dir: ts.MkAbs("."),
		lookup: func(name string) (string, bool) { v := ts.Getenv(name); return v, v != "" },
	}
	a.In = strings.NewReader("")
	if n := len(args); n > 0 && strings.HasPrefix(args[n-1], "<") {
		a.In = strings.NewReader(ts.ReadFile(args[n-1][1:]))
		args = args[:n-1]
	}
	return a, args
}

func exitOf(ts *testscript.TestScript, args []string) int {
	a, args := scriptApp(ts, args)
	a.Out, a.Err = ts.Stdout(), ts.Stderr()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return a.run(ctx, args)
}

func runSkein(ts *testscript.TestScript, neg bool, args []string) {
	want := exitOK
	if neg {
		want = exitFailed
	}
	if got := exitOf(ts, args); got != want {
		ts.Fatalf("skein %q: got exit code %d, want %d", args, got, want)
	}
}

func runUsage(ts *testscript.TestScript, _ bool, args []string) {
	if got := exitOf(ts, args); got != exitUsage {
		ts.Fatalf("skein %q: got exit code %d, want %d", args, got, exitUsage)
	}
}

// sampleKey is that of RFC 6455.
const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

type backgroundKey struct{}

// background are the commands that run beside a script.
type background struct{ jobs map[string]*job }

type job struct {
	out, err shared
	cancel   context.CancelFunc
	code     chan int
}

func (b *background) endAll() {
	for _, j := range b.jobs {
		j.cancel()
		<-j.code
	}
}

// shared is a buffer that is read while it is written to.
type shared struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	grew chan struct{}
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grew != nil {
		close(s.grew)
		s.grew = nil
	}
	return s.buf.Write(p)
}

func (s *shared) text() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grew == nil {
		s.grew = make(chan struct{})
	}
	return s.buf.String(), s.grew
}

// match waits for the expression to appear.
func (s *shared) match(re *regexp.Regexp, ended <-chan int) []string {
	deadline := time.After(20 * time.Second)
	for {
		text, grew := s.text()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-grew:
		case <-ended:
			return nil
		case <-deadline:
			return nil
		}
	}
}

func begin(ts *testscript.TestScript, _ bool, args []string) {
	name, args := args[0], args[1:]
	b, ok := ts.Value(backgroundKey{}).(*background)
	if !ok || b.jobs[name] != nil {
		ts.Fatalf("there is a %s already", name)
	}
	ready, from := regexp.MustCompile(`(?m)^subscribed to .*\n`), (*job).stderr
	if args[0] == "serve" {
		ready, from = regexp.MustCompile(`SocketCluster +ws(s?)://([0-9.:]+)/`), (*job).stdout
		if !slices.Contains(args, "--addr") {
			args = append(args, "--addr", "127.0.0.1:0")
		}
	}
	a, args := scriptApp(ts, args)
	ctx, cancel := context.WithCancel(context.Background())
	j := &job{cancel: cancel, code: make(chan int, 2)}
	a.Out, a.Err = &j.out, &j.err
	go func() {
		code := a.run(ctx, args)
		j.code <- code
		j.code <- code
	}()
	m := from(j).match(ready, j.code)
	if m == nil {
		cancel()
		out, _ := j.out.text()
		err, _ := j.err.text()
		ts.Fatalf("skein %q is not ready:\n%s%s", args, out, err)
	}
	if len(m) == 3 {
		for _, end := range []string{"", "_" + name} {
			ts.Setenv("ADDR"+end, m[2])
			ts.Setenv("URL"+end, "ws"+m[1]+"://"+m[2]+"/socketcluster/")
		}
	}
	if m := regexp.MustCompile(`(?m)^cluster +(127.*),`).FindStringSubmatch(first(j.out.text())); m != nil {
		ts.Setenv("CLUSTER_"+name, m[1])
	}
	b.jobs[name] = j
}

func first[A, B any](a A, _ B) A { return a }

func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	deadline, again := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for {
		a, rest := scriptApp(ts, args[1:])
		var out bytes.Buffer
		a.Out, a.Err = &out, &out
		a.run(context.Background(), rest)
		if want.Match(out.Bytes()) {
			_, _ = ts.Stdout().Write(out.Bytes()) // into a buffer
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			ts.Fatalf("skein %q never says %q, but\n%s", args[1:], args[0], &out)
		}
	}
}

// ports finds them all at once, so that they differ, and below those that the system gives to connections, one of which
// would take them before the node does.
func ports(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		for {
			addr := "127.0.0.1:" + strconv.Itoa(10_000+rand.IntN(20_000))
			l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
			if errors.Is(err, syscall.EADDRINUSE) {
				continue
			}
			ts.Check(err)
			defer func() { ts.Check(l.Close()) }()
			ts.Setenv(name, addr)
			break
		}
	}
}

func (j *job) stdout() *shared { return &j.out }
func (j *job) stderr() *shared { return &j.err }

func end(ts *testscript.TestScript, neg bool, args []string) {
	b, _ := ts.Value(backgroundKey{}).(*background)
	b.jobs[args[0]].cancel()
	await(ts, neg, args)
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	b, _ := ts.Value(backgroundKey{}).(*background)
	j := b.jobs[args[0]]
	select {
	case code := <-j.code:
		out, _ := j.out.text()
		err, _ := j.err.text()
		_, _ = io.WriteString(ts.Stdout(), out) // into a buffer
		_, _ = io.WriteString(ts.Stderr(), err)
		delete(b.jobs, args[0])
		if (code != exitOK) != neg {
			ts.Fatalf("%s: exit code %d\n%s", args[0], code, err)
		}
	case <-time.After(20 * time.Second):
		ts.Fatalf("%s does not end", args[0])
	}
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	r := request(ts, http.MethodGet, args[1], "", args[2:])
	send(ts, r, args[0])
}

func post(ts *testscript.TestScript, _ bool, args []string) {
	r := request(ts, http.MethodPost, args[1], args[2], args[3:])
	send(ts, r, args[0])
}

func upgrade(ts *testscript.TestScript, _ bool, args []string) {
	r := request(ts, http.MethodGet, args[1], "", args[2:])
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", sampleKey)
	send(ts, r, args[0])
}

func request(ts *testscript.TestScript, method, url, body string, bearer []string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	ts.Check(err)
	if len(bearer) > 0 {
		r.Header.Set("Authorization", "Bearer "+bearer[0])
	}
	return r
}

func send(ts *testscript.TestScript, r *http.Request, status string) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(r)
	ts.Check(err)
	if res.StatusCode != http.StatusSwitchingProtocols {
		_, err = io.Copy(ts.Stdout(), res.Body)
		ts.Check(err)
	}
	ts.Check(res.Body.Close())
	if want, _ := strconv.Atoi(status); res.StatusCode != want {
		ts.Fatalf("%s %s: got %s, want %s", r.Method, r.URL, res.Status, status)
	}
}

func signInto(ts *testscript.TestScript, _ bool, args []string) {
	a, rest := scriptApp(ts, append([]string{"token", "sign"}, args[1:]...))
	var out bytes.Buffer
	a.Out, a.Err = &out, os.Stderr
	if code := a.run(context.Background(), rest); code != exitOK {
		ts.Fatalf("token sign: exit code %d", code)
	}
	ts.Setenv(args[0], strings.TrimSpace(out.String()))
}
