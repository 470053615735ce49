package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// lab is where the scenario is played: the built programs, and what the steps leave to those behind them.
type lab struct {
	root     string // of the module
	dir      string // for binaries and files of this run
	binaries map[string]string
	main     *stage   // of steps 3 to 8
	nodes    *cluster // of steps 9 to 11
}

func newLab() (*lab, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "e2e/clients/node_modules/scc20")); err != nil {
		return nil, fmt.Errorf("the clients from npm are missing: run `make deps` (%w)", err)
	}
	dir, err := os.MkdirTemp("", "skein-acceptance-")
	return &lab{root: root, dir: dir, binaries: map[string]string{}}, err
}

func (l *lab) close() {
	if l.main != nil {
		l.main.close()
	}
	if l.nodes != nil {
		l.nodes.close()
	}
	_ = os.RemoveAll(l.dir) // it is a temporary one
}

// moduleRoot is the nearest folder upwards that has a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no go.mod here or above: run this within the module")
		}
		dir = filepath.Dir(dir)
	}
}

// build compiles a program once and returns where it is.
func (l *lab) build(ctx context.Context, program string) (string, error) {
	if binary, ok := l.binaries[program]; ok {
		return binary, nil
	}
	binary := filepath.Join(l.dir, strings.ReplaceAll(strings.TrimPrefix(program, "./"), "/", "-")+".exe")
	if _, err := l.output(ctx, "go", "build", "-o", binary, program); err != nil {
		return "", err
	}
	l.binaries[program] = binary
	return binary, nil
}

// output runs a program to its end, in the module's root. The error has all that it said.
func (l *lab) output(ctx context.Context, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // the programs of this scenario
	c.Dir, c.Env = l.root, environment()
	out, err := c.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// write makes a file of this run and returns where it is.
func (l *lab) write(name, text string) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// environment is this process's, but for what would configure skein.
func environment(more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "SKEIN_") {
			env = append(env, e)
		}
	}
	return append(env, more...)
}

// freeAddr is an address that was free a moment ago, for programs that do not say where they listen.
func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
