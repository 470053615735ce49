package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	startup  = 15 * time.Second // until a server says where it is
	farewell = 3 * time.Second  // from SIGTERM to SIGKILL
	mostSaid = 4 << 10          // of what a program says on its standard error
)

// program is how a process is started.
type program struct {
	args []string
	dir  string
	env  []string // besides ours
}

// name is what errors call it, on every machine alike.
func (p program) name() string { return filepath.Base(p.args[0]) }

// command is the program's, which ends with ctx, and with us, whatever ends us.
func (p program) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...) //nolint:gosec // of the table in this package
	cmd.Dir = p.dir
	cmd.Env = append(environment(os.Environ()), p.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = farewell
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// environment leaves out what would change the servers' defaults.
func environment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "SKEIN_") || slices.Contains([]string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "NODE_OPTIONS", "DEBUG"}, name)
	})
}

// server is one that runs.
type server struct {
	url  string
	pid  int
	stop func()
}

// serve starts a server and waits until it has told its address.
func (p program) serve(ctx context.Context) (*server, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := p.command(ctx)
	said := &tail{most: mostSaid}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	address, reading := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(reading)
		defer close(address)
		findAddress(out, address)
	}()
	stop := func() {
		cancel()
		<-reading
		_ = cmd.Wait() // it was ended
	}
	late := time.NewTimer(startup)
	defer late.Stop()
	why := "it ended"
	select {
	case url, ok := <-address:
		if ok {
			return &server{url: url, pid: cmd.Process.Pid, stop: stop}, nil
		}
	case <-late.C:
		why = fmt.Sprintf("it has told no address within %v", startup)
	case <-ctx.Done():
		why = context.Cause(ctx).Error()
	}
	stop() // said is complete then
	return nil, fmt.Errorf("%s: %s: %s", p.name(), why, said)
}

// findAddress reads all that a server says and passes on its first address.
func findAddress(out io.Reader, found chan<- string) {
	address := regexp.MustCompile(`ws://\S+`)
	first := true
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url := address.FindString(lines.Text()); url != "" && first {
			first = false
			found <- url
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line too long to be one
}

// run runs a program to its end and gives what it has printed.
func (p program) run(ctx context.Context) ([]byte, error) {
	cmd := p.command(ctx)
	said := &tail{most: mostSaid}
	cmd.Stderr = said
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", p.name(), err, said)
	}
	return out, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.most; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is the last line.
func (t *tail) String() string {
	lines := bytes.Split(bytes.TrimSpace(t.kept), []byte("\n"))
	return string(lines[len(lines)-1])
}
