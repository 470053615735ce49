package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skeinrt/skein/e2e/proxy"
	"github.com/skeinrt/skein/e2e/soak/judge"
)

const (
	// patience is how long anything may take that has no limit of its own: the machine may be busy.
	patience = 60 * time.Second

	drain = time.Second

	// The ports below those that systems give to outgoing connections, one of which could take a node's while it is down.
	lowPort, highPort = 12000, 32000
)

// node is one place in the cluster, which a process fills most of the time.
type node struct {
	name    string
	addr    string // of the process itself, for clients
	route   string // the same for other nodes
	pprof   string
	clients *proxy.Proxy // between clients and addr
	links   *proxy.Proxy // between other nodes and route
	args    []string     // of the process
	log     string       // file
	binary  string

	cmd     *exec.Cmd
	ended   chan struct{}
	failure error // of the process, when it has ended
	looked  int64 // how much of the log has been read

	base judge.Reading // when its first process had started
	warm judge.Reading // after its first cycle; zero before
}

// freeAddr finds a port that nobody else is likely to take.
func freeAddr(r *rand.Rand) (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", lowPort+r.IntN(highPort-lowPort))) //nolint:noctx // it ends at once
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no free port found")
}

// newNode prepares a place.
func newNode(name, dir, binary string, r *rand.Rand) (*node, error) {
	n := &node{name: name, binary: binary, log: filepath.Join(dir, name+".log")}
	for _, addr := range []*string{&n.addr, &n.route, &n.pprof} {
		found, err := freeAddr(r)
		if err != nil {
			return nil, err
		}
		*addr = found
	}
	var err, wrong error
	n.clients, err = proxy.Start(n.addr)
	n.links, wrong = proxy.Start(n.route)
	return n, errors.Join(err, wrong)
}

func (n *node) url() string  { return "ws://" + n.clients.Addr() + "/socketcluster/" }
func (n *node) raw() string  { return "ws://" + n.clients.Addr() + "/ws" }
func (n *node) http() string { return "http://" + n.clients.Addr() }

// start starts the process and waits until it is ready.
func (n *node) start(ctx context.Context) error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                         //nolint:errcheck // the process has its own descriptor
	n.cmd = exec.Command(n.binary, n.args...) //nolint:gosec,noctx // the caller's binary; close ends it
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=0")
	ownGroup(n.cmd)
	if err := n.cmd.Start(); err != nil {
		return err
	}
	cmd, ended := n.cmd, make(chan struct{})
	n.ended, n.warm = ended, judge.Reading{}
	go func() {
		n.failure = cmd.Wait()
		close(ended)
	}()
	return n.await(ctx, "to be ready", func() bool {
		res, err := n.get(ctx, "http://"+n.addr+"/readyz")
		return err == nil && res != nil
	})
}

// await waits until something holds.
func (n *node) await(ctx context.Context, what string, holds func() bool) error {
	for began := time.Now(); !holds(); {
		if n.isDown() {
			return fmt.Errorf("%s has ended: %w", n.name, cmpError(n.failure, errEnded))
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%s takes more than %v %s", n.name, patience, what)
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

func (n *node) isDown() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// kill ends the process at once.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may have ended
	<-n.ended
}

// stop ends the process gently. It is an error when that takes too long, or when it fails.
func (n *node) stop() error {
	terminate(n.cmd.Process)
	select {
	case <-n.ended:
		return n.failure
	case <-time.After(patience):
		n.kill()
		return fmt.Errorf("%s does not end within %v of SIGTERM", n.name, patience)
	}
}

// close ends the process and the proxies.
func (n *node) close() error {
	var err error
	if n.cmd != nil && !n.isDown() {
		err = n.stop()
	}
	return errors.Join(err, n.clients.Close(), n.links.Close())
}

// get fetches a page of the process itself.
func (n *node) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // as below
	if err != nil {
		return nil, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req) //nolint:gosec // the node's own address
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return body, err
}

// metrics are the node's figures by name, summed up over their labels.
func (n *node) metrics(ctx context.Context) (map[string]int, error) {
	body, err := n.get(ctx, "http://"+n.addr+"/metrics")
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			found[name] += int(v)
		}
	}
	return found, lines.Err()
}

// read collects the node's garbage and takes a reading.
func (n *node) read(ctx context.Context) (judge.Reading, map[string]int, error) {
	for range 2 { // the second collection frees what finalizers and pools have held
		if _, err := n.get(ctx, "http://"+n.pprof+"/debug/pprof/heap?gc=1"); err != nil {
			return judge.Reading{}, nil, err
		}
	}
	m, err := n.metrics(ctx)
	return judge.Reading{
		RSS: m["process_resident_memory_bytes"], Heap: m["go_memstats_heap_alloc_bytes"],
		Files: m["process_open_fds"], Goroutines: m["go_goroutines"],
	}, m, err
}

// dump writes what the node's goroutines do, and what is on its heap, beside its log.
func (n *node) dump(ctx context.Context) error {
	var errs []error
	for _, what := range []string{"goroutine", "heap"} {
		text, err := n.get(ctx, "http://"+n.pprof+"/debug/pprof/"+what+"?debug=1")
		errs = append(errs, err, os.WriteFile(strings.TrimSuffix(n.log, "log")+what, text, 0o600)) //nolint:gosec // the soak's own folder
	}
	return errors.Join(errs...)
}

// complaints returns the lines of the log since the last look that tell of a bug, and how many lines there were.
func (n *node) complaints() (bad []string, lines int64, err error) {
	f, err := os.Open(n.log)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() //nolint:errcheck // it was read
	if _, err := f.Seek(n.looked, io.SeekStart); err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(f)
	n.looked += int64(len(text))
	for line := range strings.Lines(string(text)) {
		lines++
		for _, word := range []string{"panic", "recovered", "DATA RACE", "fatal error", "goroutine "} {
			if strings.Contains(line, word) && len(bad) < 20 {
				bad = append(bad, n.name+" logged: "+strings.TrimSpace(line))
				break
			}
		}
	}
	return bad, lines, err
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func cmpError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
