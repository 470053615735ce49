package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 20 * time.Second

// backend answers /readyz, and says its name to everything else.
type backend struct {
	addr  string
	ready atomic.Bool
	asked chan struct{} // holds one when the node has been asked after the last look
	stop  func()
}

func newBackend(t *testing.T, name string, ready bool) *backend {
	t.Helper()
	b := &backend{asked: make(chan struct{}, 1)}
	b.ready.Store(ready)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !b.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		select {
		case b.asked <- struct{}{}:
		default:
		}
	})
	mux.HandleFunc("GET /name", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		all, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(bytes.ToUpper(all))
		}
	})
	l := listen(t)
	b.addr = l.Addr().String()
	server := &http.Server{Handler: mux, ReadHeaderTimeout: limit}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	b.stop = sync.OnceFunc(func() { _ = server.Close(); served.Wait() })
	t.Cleanup(b.stop)
	return b
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start balances over the nodes. It returns the address, and what ends it and waits for the end.
func start(t *testing.T, nodes ...*backend) (b *balancer, addr string, end func()) {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.addr)
	}
	b = newBalancer(addrs, 2*time.Millisecond, slog.New(slog.DiscardHandler))
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- b.serve(ctx, l) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: got %v, want nil", err)
		}
	})
	t.Cleanup(end)
	return b, l.Addr().String(), end
}

// until waits for what the health checks find out.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	for tick := time.Tick(time.Millisecond); !ok(); {
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("it did not come to this: %s", what)
		}
	}
}

func (b *balancer) readyNodes() (n int) {
	for _, node := range b.nodes {
		if node.ready.Load() {
			n++
		}
	}
	return n
}

// ask sends a request over a connection of its own.
func ask(t *testing.T, method, url, body string) (string, error) {
	t.Helper()
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	return string(all), err
}

// names asks for the names behind n connections and counts them.
func names(t *testing.T, addr string, n int) map[string]int {
	t.Helper()
	seen := make(map[string]int)
	for range n {
		name, err := ask(t, http.MethodGet, "http://"+addr+"/name", "")
		if err != nil {
			t.Fatal(err)
		}
		seen[name]++
	}
	return seen
}

func TestReadyNodesTakeTurns(t *testing.T) {
	t.Parallel()
	b, addr, _ := start(t, newBackend(t, "a", true), newBackend(t, "b", true), newBackend(t, "c", true))
	until(t, "three nodes are ready", func() bool { return b.readyNodes() == 3 })
	if got, want := fmt.Sprint(names(t, addr, 9)), "map[a:3 b:3 c:3]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNodeThatIsNotReadyGetsNothing(t *testing.T) {
	t.Parallel()
	late := newBackend(t, "late", false)
	b, addr, _ := start(t, newBackend(t, "a", true), late)
	until(t, "one node is ready", func() bool { return b.readyNodes() == 1 })
	if got, want := fmt.Sprint(names(t, addr, 4)), "map[a:4]"; got != want {
		t.Errorf("before: got %s, want %s", got, want)
	}
	late.ready.Store(true)
	until(t, "both nodes are ready", func() bool { return b.readyNodes() == 2 })
	if got, want := fmt.Sprint(names(t, addr, 4)), "map[a:2 late:2]"; got != want {
		t.Errorf("after: got %s, want %s", got, want)
	}
}

func TestNodeThatRefusesIsPassedOverAtOnce(t *testing.T) {
	t.Parallel()
	dead := newBackend(t, "dead", true)
	dead.stop()
	living := newBackend(t, "living", true)
	b := newBalancer([]string{dead.addr, living.addr}, time.Hour, slog.New(slog.DiscardHandler))
	for _, n := range b.nodes {
		n.ready.Store(true) // as the last check has found them
	}
	for range 4 {
		conn, err := b.dial(t.Context())
		if err != nil {
			t.Fatalf("got %v, want a connection to the living node", err)
		}
		if got := conn.RemoteAddr().String(); got != living.addr {
			t.Errorf("got a connection to %s, want %s", got, living.addr)
		}
		_ = conn.Close()
	}
	if b.nodes[0].ready.Load() {
		t.Error("the node that refused counts as ready still")
	}
}

func TestWithoutAReadyNodeClientsAreSentAway(t *testing.T) {
	t.Parallel()
	ill := newBackend(t, "ill", false)
	_, addr, _ := start(t, ill)
	select {
	case <-ill.asked:
	case <-time.After(limit):
		t.Fatal("the node is not asked")
	}
	if answer, err := ask(t, http.MethodGet, "http://"+addr+"/name", ""); err == nil {
		t.Errorf("got %q, want a closed connection", answer)
	}
}

func TestEndOfOneSideIsPassedOn(t *testing.T) {
	t.Parallel()
	b, addr, _ := start(t, newBackend(t, "a", true))
	until(t, "the node is ready", func() bool { return b.readyNodes() == 1 })
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	all, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil || !strings.HasSuffix(string(all), "HELLO") {
		t.Errorf("got %q and %v, want an answer that ends in HELLO, and the end", all, err)
	}
}

func TestEndOfTheBalancerEndsItsConnections(t *testing.T) {
	t.Parallel()
	b, addr, end := start(t, newBackend(t, "a", true))
	until(t, "the node is ready", func() bool { return b.readyNodes() == 1 })
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET /name HTTP/1.1\r\nHost: x\r\n\r\n")
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := io.ReadAll(answer.Body); string(name) != "a" {
		t.Fatalf("got %q and %v, want a connection that is carried", name, err)
	}
	_ = answer.Body.Close()
	end()
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	if _, err := r.ReadByte(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("got %v, want a connection that has ended", err)
	}
}

func TestCommandSaysWhereItListensAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-listen", "127.0.0.1:0"}, "say at which addresses"},
		{[]string{"-every", "0s", "x:1"}, "a time above 0"},
		{[]string{"-listen", "nowhere", "x:1"}, "missing port"},
		{[]string{"-frob"}, "not defined"},
		{[]string{"-help"}, "<nil>"},
	} {
		if err := run(t.Context(), c.args, io.Discard, io.Discard); !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%q: got %v, want %q", c.args, err, c.want)
		}
	}
	node := newBackend(t, "a", true)
	ctx, cancel := context.WithCancel(t.Context())
	said, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-listen", "127.0.0.1:0", node.addr}, out, io.Discard) }()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "balancer on 127.0.0.1:") {
		t.Errorf("got %q and %v, want where it listens", line, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v, want nil", err)
	}
}
