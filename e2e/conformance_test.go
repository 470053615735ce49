package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// conformanceHarness stands beside the project where it is developed; it is not a part of it.
const conformanceHarness = "../../shared/conformance"

// results is what the harness writes with --json.
type results struct {
	Passed  int
	Results []struct{ Set, ID, Status, Message string }
}

func TestTheFixtureConformsToSocketCluster(t *testing.T) {
	if _, err := os.Stat(conformanceHarness); err != nil {
		t.Logf("there is no conformance harness at %s: the tests with the clients from npm stand in for it", conformanceHarness)
		return
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(conformanceHarness)); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, dir, "npm", "ci", "--omit=dev", "--no-audit", "--no-fund"); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	url := serve(t, fixtureURL, build(t, "./e2e/fixture"), "--addr", "127.0.0.1:0")
	failed := conform(t, dir, url)
	if len(failed) == 0 {
		return
	}
	// The cases' time limits measure the machine too, which runs other tests: who fails gets the machine to itself once.
	for _, id := range failed {
		t.Logf("again, alone: %s", id)
	}
	for _, id := range conform(t, dir, url, "--jobs", "1", "--only", "^("+quoteAll(failed)+")$") {
		t.Errorf("fails: %s", id)
	}
}

// conform runs the harness and returns the cases that fail. Those that need a second node are not asked for.
func conform(t *testing.T, dir, url string, args ...string) (failed []string) {
	t.Helper()
	report := filepath.Join(dir, "report.json")
	out, _ := node(t, dir, append([]string{"run.mjs", "--url", url, "--strict", "--json", report}, args...)...)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("run.mjs: %v\n%s", err, out)
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("read %s: %v", report, err)
	}
	for _, c := range r.Results {
		if c.Status != "pass" && !strings.HasPrefix(c.Message, "server does not offer: two") {
			failed = append(failed, c.Set+"/"+c.ID)
			t.Logf("%s %s/%s: %s", c.Status, c.Set, c.ID, c.Message)
		}
	}
	if r.Passed == 0 {
		t.Fatalf("run.mjs passed no case\n%s", out)
	}
	t.Logf("%d cases passed", r.Passed)
	return failed
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = regexp.QuoteMeta(n)
	}
	return strings.Join(quoted, "|")
}
