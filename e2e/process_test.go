// Package e2e_test drives the real programs: it builds them, runs them on free ports of the loopback address, and lets
// the real clients from npm at them.
package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// build compiles a program of the module and returns where it is.
func build(t *testing.T, program string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(program))
	c := exec.CommandContext(t.Context(), "go", "build", "-o", binary, program)
	c.Dir = ".."
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", program, err, out)
	}
	return binary
}

// serve starts a program and returns what the expression finds in its output, which is where it says that it listens.
// The end of the test ends it, and a test that fails shows all that it has said.
func serve(t *testing.T, ready *regexp.Regexp, binary string, args ...string) string {
	t.Helper()
	out := &output{ready: ready, found: make(chan string, 1)}
	// Not t.Context: that ends before the clean-up, which is to be the end of the program.
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c := exec.CommandContext(ctx, binary, args...)
	c.Stdout, c.Stderr = out, out
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 15 * time.Second
	if err := c.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s ended with %v", filepath.Base(binary), err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(binary), out)
		}
	})
	select {
	case url := <-out.found:
		return url
	case err := <-ended:
		ended <- err
		t.Fatalf("%s ended before it served: %v\n%s", binary, err, out)
	case <-time.After(30 * time.Second):
		t.Fatalf("%s has not said within 30 s that it serves\n%s", binary, out)
	}
	return ""
}

// output keeps what a program says, and looks for the line that says that it is ready.
type output struct {
	ready *regexp.Regexp
	found chan string

	mu   sync.Mutex
	text bytes.Buffer
	told bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if found := o.ready.Find(o.text.Bytes()); found != nil && !o.told {
		o.told = true
		o.found <- string(found)
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// node runs a script in a folder and returns what it said.
func node(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	return command(t, dir, "node", args...)
}

func command(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	c.WaitDelay = time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}
