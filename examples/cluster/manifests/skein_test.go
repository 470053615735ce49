package manifests_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	root  = "../../.." // of the repository
	limit = 2 * time.Minute
	// rest is what a node takes to stop beside --drain.
	rest = 3 * time.Second
)

// skein is the binary, built of the working tree.
var skein string //nolint:gochecknoglobals // written by TestMain alone

func TestMain(m *testing.M) {
	code, err := build(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func build(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "manifests")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	skein = filepath.Join(dir, "skein")
	c := exec.Command("go", "build", "-o", skein, "./cmd/skein")
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// run runs the binary without the settings that the tests' own environment may have.
func run(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), skein, args...)
	c.Dir, c.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// secrets makes what the README says, as it says, and returns where it is.
func secrets(t *testing.T) string {
	t.Helper()
	const where = "examples/cluster/k8s/secrets"
	var commands []string
	for line := range strings.Lines(read(t, "../README.md")) {
		if command, ok := strings.CutPrefix(line, "    "); ok && strings.Contains(command, where) {
			commands = append(commands, command)
		}
	}
	if len(commands) != 3 {
		t.Fatalf("got the commands %q from the README, want three that make secrets", commands)
	}
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), "sh", "-ec", strings.Join(commands, ""))
	c.Dir, c.Env = dir, []string{"PATH=" + filepath.Dir(skein) + ":" + os.Getenv("PATH")}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", commands, err, out)
	}
	return filepath.Join(dir, where)
}

// check asks the binary what it thinks of the settings of a node.
func check(t *testing.T, env, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] != "serve" {
		t.Fatalf("got the command %q, want serve", args)
	}
	if out, err := run(t, t.TempDir(), env, append([]string{"config", "check"}, args[1:]...)...); err != nil {
		t.Errorf("%q %q: %v\n%s", env, args, err, out)
	}
	help, err := run(t, t.TempDir(), nil, "serve", "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range env {
		// A variable of another name is no error to the binary: it may be somebody else's.
		if name, _, _ := strings.Cut(variable, "="); !strings.Contains(help, "$"+name+")") {
			t.Errorf("%s: no such setting", name)
		}
	}
}

// flag returns the value of a flag among the arguments.
func flag(t *testing.T, args []string, name string) string {
	t.Helper()
	for _, a := range args {
		if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return value
		}
	}
	t.Fatalf("%q: no --%s", args, name)
	return ""
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answers returns what a node that serves answers to a GET of each path.
func answers(t *testing.T, paths ...string) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, skein, "serve", "--addr", "127.0.0.1:0")
	c.Env, c.Dir = []string{}, t.TempDir()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed
	}()
	address := regexp.MustCompile(`ws://(127\.0\.0\.1:\d+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			return get(ctx, t, m[1], paths)
		}
	}
	t.Fatal("the node does not say where it listens")
	return nil
}

func get(ctx context.Context, t *testing.T, address string, paths []string) map[string]int {
	t.Helper()
	codes := map[string]int{}
	for _, path := range paths {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close() // only the status counts
		codes[path] = answer.StatusCode
	}
	return codes
}
