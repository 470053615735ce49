package main

import (
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
)

func TestTheWorkflowsAreGood(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %q and %v, want workflows", files, err)
	}
	for _, name := range files {
		lint, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wrong, err := lint.Lint(name, []byte(file(t, name)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Error(w)
		}
	}
}

func TestCIRunsWhatDevelopersRun(t *testing.T) {
	t.Parallel()
	text, makefile := file(t, "../.github/workflows/ci.yml"), file(t, "../Makefile")
	run := map[string]bool{}
	for _, m := range regexp.MustCompile(`run: make ([a-z]+)`).FindAllStringSubmatch(text, -1) {
		run[m[1]] = true
	}
	for target := range run {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("CI runs make %s, which there is not", target)
		}
	}
	for target := range strings.FieldsSeq("lint test cross vuln licenses sbom reproducible dist build") {
		if !run[target] {
			t.Errorf("CI does not run make %s", target)
		}
	}
}

// A tag can be moved to other code; a workflow that may write could spread it.
func TestCIRunsNothingThatCanChange(t *testing.T) {
	t.Parallel()
	w, errs := actionlint.Parse([]byte(file(t, "../.github/workflows/ci.yml")))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if w.Permissions == nil || len(w.Permissions.Scopes) != 1 || w.Permissions.Scopes["contents"].Value.Value != "read" {
		t.Errorf("got the permissions %+v, want to read contents alone", w.Permissions)
	}
	pinned := regexp.MustCompile(`^actions/[a-z-]+@[0-9a-f]{40}$`)
	for name, job := range w.Jobs {
		if job.Permissions != nil {
			t.Errorf("%s: got permissions of its own", name)
		}
		if job.TimeoutMinutes == nil {
			t.Errorf("%s: got no limit of its time", name)
		}
		for _, step := range job.Steps {
			action, ok := step.Exec.(*actionlint.ExecAction)
			if !ok {
				continue
			}
			if !pinned.MatchString(action.Uses.Value) {
				t.Errorf("%s: got %q, want the hash of a commit", name, action.Uses.Value)
			}
			if keep := action.Inputs["persist-credentials"]; strings.Contains(action.Uses.Value, "/checkout@") && (keep == nil || keep.Value.Value != "false") {
				t.Errorf("%s: the token stays where tests could read it", name)
			}
		}
	}
}
