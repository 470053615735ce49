package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long anything may take that has no limit of its own.
const patience = 30 * time.Second

// process is a running program and what it has said.
type process struct {
	name  string
	stdin io.WriteCloser
	cmd   *exec.Cmd
	ended chan struct{} // closed at its end

	mu      sync.Mutex
	said    []string
	changed chan struct{} // closed when a line is added
}

// spawn starts a program. hear is called with each line that it prints, in order.
func spawn(ctx context.Context, dir string, env []string, hear func(line string), command ...string) (*process, error) {
	p := &process{name: filepath.Base(command[0]), ended: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the programs of this scenario
	p.cmd.Dir, p.cmd.Env = dir, env
	ownGroup(p.cmd)
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	p.stdin, err = p.cmd.StdinPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	_ = in.Close() // it is the program's now
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	go p.listen(out, hear)
	return p, nil
}

// listen reads until the program, and all that it has started, has ended.
func (p *process) listen(out *os.File, hear func(string)) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.said = append(p.said, lines.Text())
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		hear(lines.Text())
	}
	_ = out.Close()  // nothing more comes
	_ = p.cmd.Wait() // how it ended is for the step to judge by what it said
	close(p.ended)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.said, "\n")
}

// find waits until the expression is found in what the program says, and returns its first group.
func (p *process) find(ctx context.Context, expression string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wanted := regexp.MustCompile(expression)
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if found := wanted.FindStringSubmatch(p.text()); found != nil {
			return found[len(found)-1], nil
		}
		select {
		case <-changed:
		case <-p.ended:
			return "", fmt.Errorf("%s has ended without saying %s:\n%s", p.name, expression, p.text())
		case <-ctx.Done():
			return "", fmt.Errorf("%s has not said %s:\n%s", p.name, expression, p.text())
		}
	}
}

// stop ends the program gently, and by force where it does not go.
func (p *process) stop() {
	_ = p.stdin.Close()
	signalGroup(p.cmd.Process, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
	}
}

// kill ends the program at once.
func (p *process) kill() {
	signalGroup(p.cmd.Process, syscall.SIGKILL)
	<-p.ended
}
