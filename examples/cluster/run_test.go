//go:build unix

package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skeinrt/skein/client"
)

const (
	limit   = 90 * time.Second // for what should be a matter of seconds
	channel = "news"
	crowd   = 6 // two on each node
)

// script is run.sh as it runs.
type script struct {
	cmd   *exec.Cmd
	port  int
	pids  map[string]int // of the nodes
	log   *os.File
	ended chan error
}

// start runs the script, and returns when it says that the cluster is ready.
func start(ctx context.Context, t *testing.T) *script {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() }) // only read
	s := &script{cmd: exec.Command("./run.sh"), port: freePorts(t), pids: map[string]int{}, log: log, ended: make(chan error, 1)}
	s.cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(s.port))
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	defer context.AfterFunc(ctx, s.stop)() // which ends the reading
	text := new(strings.Builder)
	lines := bufio.NewScanner(io.TeeReader(out, text))
	started := regexp.MustCompile(`^node (\w+) on .*, process (\d+)$`)
	for lines.Scan() {
		if m := started.FindStringSubmatch(lines.Text()); m != nil {
			s.pids[m[1]], _ = strconv.Atoi(m[2])
		}
		if strings.HasPrefix(lines.Text(), "ready:") {
			go s.wait(out)
			if list := strings.Count(text.String(), "serving"); list != 3 || len(s.pids) != 3 {
				t.Errorf("got %d nodes that serve and %d processes, want 3 of both:\n%s", list, len(s.pids), text)
			}
			return s
		}
	}
	go s.wait(out)
	t.Fatalf("the script does not say that it is ready: %v\n%s\n%s", <-s.ended, text, s.said())
	return nil
}

func (s *script) wait(out io.Reader) {
	_, _ = io.Copy(io.Discard, out) // Wait may come only after the last reading
	s.ended <- s.cmd.Wait()
}

// stop ends the script as Ctrl-C does. Nothing stays of it.
func (s *script) stop() { _ = s.cmd.Process.Signal(os.Interrupt) } // it may have ended

// said is what the nodes have logged.
func (s *script) said() string {
	text, err := os.ReadFile(s.log.Name())
	return fmt.Sprint(string(text), err)
}

// freePorts returns the first of a row of ports that are free, as the script takes them. They are below those that systems
// give to outgoing connections, which could take one meanwhile.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		first, free := 10_000+rand.IntN(20_000), true
		for _, p := range []int{0, 1, 2, 3, 11, 12, 13} {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", first+p))
			if free = free && err == nil; err == nil {
				_ = l.Close() // it was a trial
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("there is no row of free ports")
	return 0
}

// ask sends a request to what listens that many ports above the first: 0 is the balancer, the others are nodes.
func (s *script) ask(ctx context.Context, above int, method, path, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", s.port+above, path), strings.NewReader(body))
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}

// until asks again until the answer is right, whatever has been answered before.
func (s *script) until(ctx context.Context, t *testing.T, above int, path string, right func(answer string) bool) {
	t.Helper()
	for tick := time.Tick(50 * time.Millisecond); ; {
		last, err := s.ask(ctx, above, http.MethodGet, path, "")
		if err == nil && right(last) {
			return
		}
		select {
		case <-tick:
		case <-ctx.Done():
			t.Fatalf("GET %s: the last answer is %s, %v\n%s", path, last, err, s.said())
		}
	}
}

// sessions returns how many each node says that it has.
func sessions(t *testing.T, answer string) map[string]int {
	t.Helper()
	var list struct {
		Nodes []struct {
			Name     string
			Sessions int
		}
	}
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, n := range list.Nodes {
		counts[n.Name] = n.Sessions
	}
	return counts
}

// subscribe connects the crowd through the balancer.
func (s *script) subscribe(ctx context.Context, t *testing.T) (all []*client.Subscription) {
	t.Helper()
	for range crowd {
		c, err := client.Dial(ctx, client.Options{
			URL:       fmt.Sprintf("ws://127.0.0.1:%d", s.port),
			Reconnect: client.Backoff{Initial: 100 * time.Millisecond, Max: time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() }) // the server may have gone before
		sub, err := c.Subscribe(ctx, channel)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sub)
	}
	return all
}

func (s *script) publish(ctx context.Context, t *testing.T, above int, data string) {
	t.Helper()
	if _, err := s.ask(ctx, above, http.MethodPost, "/api/publish", fmt.Sprintf(`{"channel":%q,"data":%s}`, channel, data)); err != nil {
		t.Fatal(err)
	}
}

// receive takes the next message, behind what may be missing. It returns how many times the client has come back.
func receive(ctx context.Context, t *testing.T, sub *client.Subscription, want string) (returns int) {
	t.Helper()
	for {
		m, err := sub.Next(ctx)
		switch {
		case err != nil:
			t.Fatalf("got %v, want %s", err, want)
		case m.Gap == client.GapReconnect:
			returns++
		case m.Gap != client.NoGap: // the dead node may have said something
		case string(m.Data) != want:
			t.Fatalf("got %s, want %s", m.Data, want)
		default:
			return returns
		}
	}
}

// gone reports whether no process has the id.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestScriptRunsAClusterThatSurvivesTheDeathOfANode(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s := start(ctx, t)
	subs := s.subscribe(ctx, t)
	s.until(ctx, t, 0, "/api/nodes", func(answer string) bool {
		n := sessions(t, answer)
		return n["a"] == 2 && n["b"] == 2 && n["c"] == 2
	})

	for node := 1; node <= 3; node++ {
		data := fmt.Sprintf(`"from node %d"`, node)
		s.publish(ctx, t, node, data)
		for _, sub := range subs {
			if back := receive(ctx, t, sub, data); back != 0 {
				t.Errorf("a client has come back %d times before anything has happened", back)
			}
		}
	}

	if err := syscall.Kill(s.pids["b"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until(ctx, t, 1, "/api/channels/"+channel, func(answer string) bool {
		return strings.Contains(answer, fmt.Sprintf(`"subscribers":%d`, crowd))
	})
	s.publish(ctx, t, 3, `"after the death of b"`)
	back := 0
	for _, sub := range subs {
		back += receive(ctx, t, sub, `"after the death of b"`)
	}
	if back != 2 {
		t.Errorf("got %d clients that have come back, want the 2 of node b", back)
	}
}

func TestInterruptedScriptLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s := start(ctx, t)
	s.stop()
	select {
	case err := <-s.ended:
		if err != nil {
			t.Errorf("got %v, want exit code 0\n%s", err, s.said())
		}
	case <-ctx.Done():
		t.Fatalf("it does not end\n%s", s.said())
	}
	for name, pid := range s.pids {
		if !gone(pid) {
			t.Errorf("node %s, process %d, is still there", name, pid)
		}
	}
	if _, err := s.ask(ctx, 0, http.MethodGet, "/", ""); err == nil {
		t.Error("the balancer is still there")
	}
}
