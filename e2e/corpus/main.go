// Command corpus chooses, among what the fuzzer has found for one target, the few short inputs that together run most of
// the package, and puts them into its testdata:
//
//	go test -fuzz '^FuzzDecoder$' -fuzztime 60s ./internal/ws && go run ./e2e/corpus ./internal/ws FuzzDecoder
//
// What is there already stays: crashers are kept for ever.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// longest is the largest file that is kept, in octets.
const longest = 2 << 10

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	most := flag.Int("n", 16, "most inputs to keep")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "corpus: give a folder and the name of a target")
		os.Exit(2)
	}
	if err := run(ctx, flag.Arg(0), flag.Arg(1), *most); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

// target is one fuzz target and where its inputs are.
type target struct {
	dir, name string
	binary    string // of the package's tests, with coverage
	stage     string // a folder like the package's, with one input
	found     string // what the fuzzer has found
}

func run(ctx context.Context, dir, name string, most int) error {
	stage, err := os.MkdirTemp("", "corpus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage) //nolint:errcheck // a temporary folder
	t := &target{dir: dir, name: name, binary: filepath.Join(stage, "tests"), stage: filepath.Join(stage, "stage")}
	if t.found, err = output(ctx, "go", "env", "GOCACHE"); err != nil {
		return err
	}
	path, err := output(ctx, "go", "list", dir)
	if err != nil {
		return err
	}
	t.found = filepath.Join(t.found, "fuzz", path, name)
	if _, err := output(ctx, "go", "test", "-c", "-cover", "-o", t.binary, dir); err != nil {
		return err
	}
	return t.choose(ctx, most)
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // the go command, with the caller's words
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// choose takes the shortest inputs first, and of them those that run what none before has run.
func (t *target) choose(ctx context.Context, most int) error {
	files, err := t.inputs()
	if err != nil {
		return err
	}
	seen, kept := map[string]bool{}, 0
	for _, file := range files {
		blocks, err := t.covered(ctx, file)
		if err != nil {
			return err
		}
		isNew := false
		for _, b := range blocks {
			isNew = isNew || !seen[b]
			seen[b] = true
		}
		if !isNew || kept >= most {
			continue
		}
		kept++
		if err := t.keep(file); err != nil {
			return err
		}
	}
	_, err = fmt.Printf("%s: kept %d of %d, which run %d blocks\n", t.name, kept, len(files), len(seen))
	return err
}

// inputs lists what the fuzzer has found, the shortest first.
func (t *target) inputs() ([]string, error) {
	entries, err := os.ReadDir(t.found)
	if err != nil {
		return nil, err
	}
	sizes := map[string]int64{}
	var files []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Size() <= longest {
			file := filepath.Join(t.found, e.Name())
			files, sizes[file] = append(files, file), info.Size()
		}
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(sizes[a], sizes[b]), strings.Compare(a, b)) })
	return files, nil
}

// covered runs one input in a folder that is like the package's, and returns the blocks that it runs.
func (t *target) covered(ctx context.Context, file string) ([]string, error) {
	if err := t.prepare(file); err != nil {
		return nil, err
	}
	profile := filepath.Join(t.stage, "profile")
	c := exec.CommandContext(ctx, t.binary, "-test.run", "^"+t.name+"$/^"+filepath.Base(file)+"$", "-test.coverprofile", profile) //nolint:gosec // built above
	c.Dir = t.stage
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", file, err, out)
	}
	text, err := os.ReadFile(profile) //nolint:gosec // of our own folder
	if err != nil {
		return nil, err
	}
	var blocks []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if line := lines.Text(); !strings.HasSuffix(line, " 0") {
			blocks = append(blocks, line[:max(0, strings.LastIndexByte(line, ' '))])
		}
	}
	return blocks, nil
}

// prepare makes the folder: all that the package has in testdata, and one input.
func (t *target) prepare(file string) error {
	inputs := filepath.Join(t.stage, "testdata", "fuzz", t.name)
	if err := errors.Join(os.RemoveAll(t.stage), os.MkdirAll(inputs, 0o700)); err != nil {
		return err
	}
	whole, err := filepath.Abs(filepath.Join(t.dir, "testdata"))
	if err != nil {
		return err
	}
	entries, _ := os.ReadDir(whole) // there need be none
	for _, e := range entries {
		if e.Name() != "fuzz" {
			err = errors.Join(err, os.Symlink(filepath.Join(whole, e.Name()), filepath.Join(t.stage, "testdata", e.Name())))
		}
	}
	return errors.Join(err, os.Symlink(file, filepath.Join(inputs, filepath.Base(file))))
}

// keep copies an input to the package's own.
func (t *target) keep(file string) error {
	text, err := os.ReadFile(file) //nolint:gosec // what the fuzzer has written
	if err != nil {
		return err
	}
	dir := filepath.Join(t.dir, "testdata", "fuzz", t.name)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a part of the source
		return err
	}
	return os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o644) //nolint:gosec // a part of the source
}
