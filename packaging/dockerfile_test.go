package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stages reads the Dockerfile as Docker does, with its lint.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	text := file(t, "../Dockerfile")
	tree, err := parser.Parse(bytes.NewReader([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range tree.Warnings {
		t.Errorf("%s", w.Short)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		t.Errorf("%s: %s", rule, message)
	}})
	list, _, err := instructions.Parse(tree.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// of are the commands of a kind.
func of[T instructions.Command](s instructions.Stage) []T {
	var list []T
	for _, c := range s.Commands {
		if typed, ok := c.(T); ok {
			list = append(list, typed)
		}
	}
	return list
}

func TestTheImageIsTheBinaryAloneAndNotRoot(t *testing.T) {
	t.Parallel()
	all := stages(t)
	last := all[len(all)-1]
	if last.BaseName != "scratch" {
		t.Errorf("got an image on %q, want scratch", last.BaseName)
	}
	if users := of[*instructions.UserCommand](last); len(users) != 1 || users[0].User != "65532:65532" {
		t.Errorf("got the users %v, want one by number, as scratch has no names", users)
	}
	if runs := of[*instructions.RunCommand](last); len(runs) > 0 {
		t.Errorf("got %v, which nothing on scratch can run", runs)
	}
	entry := of[*instructions.EntrypointCommand](last)
	if len(entry) != 1 || entry[0].PrependShell || !slices.Equal(entry[0].CmdLine, []string{"/skein"}) {
		t.Errorf("got %v, want /skein without a shell", entry)
	}
	var copied []string
	for _, c := range of[*instructions.CopyCommand](last) {
		if c.From != "build" {
			t.Errorf("got %v, want only what has been built", c)
		}
		copied = append(copied, c.SourcePaths...)
	}
	for _, want := range []string{"/out/skein", "/out/LICENSE", "/out/" + noticesFile, "/etc/ssl/certs/ca-certificates.crt"} {
		if !slices.Contains(copied, want) {
			t.Errorf("got %q, want %s among them", copied, want)
		}
	}
}

func TestTheImageChecksItselfWithTheBinary(t *testing.T) {
	t.Parallel()
	all := stages(t)
	checks := of[*instructions.HealthCheckCommand](all[len(all)-1])
	if len(checks) != 1 {
		t.Fatalf("got %d checks, want one", len(checks))
	}
	h := checks[0].Health
	if want := []string{"CMD", "/skein", "health", "http://127.0.0.1:8000/healthz"}; !slices.Equal(h.Test, want) {
		t.Errorf("got %q, want %q", h.Test, want)
	}
	if h.Timeout <= 5*time.Second {
		t.Errorf("got %v, want more than skein health takes at most", h.Timeout)
	}
}

func TestTheImageIsBuiltAsMakeBuilds(t *testing.T) {
	t.Parallel()
	build := stages(t)[0]
	version, ok := strings.CutPrefix(build.BaseName, "golang:")
	if !ok || !strings.Contains(file(t, "../go.mod"), "\ngo "+version) {
		t.Errorf("got the base %q, want the Go of go.mod", build.BaseName)
	}
	var script string
	for _, r := range of[*instructions.RunCommand](build) {
		script += strings.Join(r.CmdLine, " ") + "\n"
	}
	_, recipe, _ := strings.Cut(file(t, "../Makefile"), "\nBUILD   := ")
	recipe, _, _ = strings.Cut(recipe, "\n")
	_, options, _ := strings.Cut(recipe, "build ")
	if options == "" || !strings.Contains(script, "go build "+options) || !strings.Contains(script, "CGO_ENABLED=0 ") || !strings.HasPrefix(recipe, "CGO_ENABLED=0 ") {
		t.Errorf("got\n%s\nwant the options of make build: %s", script, recipe)
	}
	for _, f := range flags()[:2] {
		if !strings.Contains(strings.ReplaceAll(options, `"`, ""), f) {
			t.Errorf("make build has %s, make dist %s", options, f)
		}
	}
}

// What is a secret or made on this machine stays out of the image, and what is committed is in it: the version says otherwise
// that it has been changed.
func TestTheContextLeavesOutOnlyWhatGitIgnores(t *testing.T) {
	t.Parallel()
	ignored := file(t, "../.gitignore") + file(t, "../examples/cluster/.gitignore")
	for line := range strings.Lines(file(t, "../.dockerignore")) {
		name := strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "**/"), "/")
		name = strings.TrimPrefix(name, "examples/cluster/")
		if !strings.Contains(ignored, name) {
			t.Errorf("%q is not in .gitignore", name)
		}
	}
}
