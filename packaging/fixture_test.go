package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// here is the platform of the tests.
func here() platform { return platform{runtime.GOOS, runtime.GOARCH} }

// commit copies the working tree, as far as the binary is made of it, to a repository with one commit, the same each time.
func commit(t *testing.T, dir string) repository {
	t.Helper()
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", file)
		switch {
		case err != nil:
			return err
		case d.Name() == ".git": // a file, in a linked tree: it would lead to the repository itself
			return skip(d)
		case d.IsDir() && slices.Contains([]string{"bench", "bin", "dist", "e2e", "examples", "node_modules", "testdata"}, d.Name()):
			return filepath.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return write(filepath.Join(dir, name), content)
	})
	if err != nil {
		t.Fatal(err)
	}
	git(t, dir, "init", "--quiet")
	git(t, dir, "add", "--all", "--force")
	git(t, dir, "commit", "--quiet", "--message", "all")
	git(t, dir, "tag", "v0.9.8")
	return repository{dir}
}

// skip leaves out a folder or a file.
func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return filepath.SkipDir
	}
	return nil
}

// git works on the repository in dir, whatever it finds there.
func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", append([]string{"-c", "commit.gpgsign=false", "-c", "core.autocrlf=false"}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_DIR="+filepath.Join(dir, ".git"), "GIT_WORK_TREE="+dir,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=1700000000 +0000")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// skein is the binary, built of the working tree.
var skein string //nolint:gochecknoglobals // written by TestMain alone

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "packaging")
	if err == nil {
		skein = filepath.Join(dir, "skein")
		c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", skein, command)
		c.Dir, c.Env = "..", here().environment()
		var out []byte
		if out, err = c.CombinedOutput(); err != nil {
			_, _ = os.Stderr.Write(out) // the error is told below
		}
	}
	code := 1
	if err != nil {
		println(err.Error()) //nolint:forbidigo // there is no test yet
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir) // the tests are over
	os.Exit(code)         //nolint:forbidigo // TestMain exits
}
