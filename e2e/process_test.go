// Package e2e_test drives the real programs: it builds them, runs them on free ports of the loopback address, and lets
// the real clients from npm at them.
package e2e_test

import (
	"bytes"
	"context"
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
	return launch(t, ready, binary, args...).found(t)
}

// program is a running one.
type program struct {
	*exec.Cmd
	out    *output
	ended  chan struct{}
	result error // when it has ended
	killed bool
}

// launch starts a program, of which found waits until it is ready. The end of the test ends it.
func launch(t *testing.T, ready *regexp.Regexp, binary string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...), ended: make(chan struct{})}
	p.out = &output{ready: ready, found: make(chan string, 1)}
	p.Stdout, p.Stderr, p.WaitDelay = p.out, p.out, time.Second
	if err := p.Start(); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	go func() {
		defer close(p.ended)
		p.result = p.Wait()
	}()
	t.Cleanup(func() {
		if p.end(t, os.Interrupt); t.Failed() {
			t.Logf("%s %q said:\n%s", filepath.Base(binary), args, p.out)
		}
	})
	return p
}

// found waits until the program is ready.
func (p *program) found(t *testing.T) string {
	t.Helper()
	select {
	case found := <-p.out.found:
		return found
	case <-p.ended:
		t.Fatalf("%s ended before it served: %v\n%s", p.Path, p.result, p.out)
	case <-time.After(30 * time.Second):
		t.Fatalf("%s has not said within 30 s that it serves\n%s", p.Path, p.out)
	}
	return ""
}

// end ends the program with a signal, if it still runs. It must end well.
func (p *program) end(t *testing.T, signal os.Signal) {
	t.Helper()
	_ = p.Process.Signal(signal) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		_ = p.Process.Kill() // its end is awaited below
		<-p.ended
		t.Errorf("%s does not end", p.Path)
	}
	if p.result != nil && !p.killed {
		t.Errorf("%s ended with %v", filepath.Base(p.Path), p.result)
	}
}

// kill ends the program at once.
func (p *program) kill() {
	p.killed = true
	_ = p.Process.Kill() // it may have ended
	<-p.ended
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
