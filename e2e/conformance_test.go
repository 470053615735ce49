package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
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
	two := newTwins(t, dir)
	failed := conform(t, dir, two.flags()...)
	if len(failed) == 0 {
		return
	}
	// The cases' time limits measure the machine too, which runs other tests: who fails gets the machine to itself once.
	for _, id := range failed {
		t.Logf("again, alone: %s", id)
	}
	for _, id := range conform(t, dir, append(two.flags(), "--jobs", "1", "--only", "^("+quoteAll(failed)+")$")...) {
		t.Errorf("fails: %s", id)
	}
}

// twins are two nodes of the fixture. The harness kills and starts the second one.
type twins struct {
	dir, binary  string
	addr, routes string // of the second
	seed         string // the first
	urls         [2]string
	hooks        *httptest.Server
	second       *program
}

// hookScript is what the harness runs to ask for something.
const hookScript = "const r = await fetch(process.argv[2]); process.exit(r.ok ? 0 : 1)\n"

func newTwins(t *testing.T, dir string) *twins {
	t.Helper()
	w := &twins{dir: dir, binary: build(t, "./e2e/fixture"), addr: freeAddr(t), routes: freeAddr(t), seed: freeAddr(t)}
	if err := os.WriteFile(filepath.Join(dir, "hook.mjs"), []byte(hookScript), 0o600); err != nil {
		t.Fatal(err)
	}
	w.urls[0] = serve(t, fixtureURL, w.binary, "--addr", "127.0.0.1:0", "--node", "A", "--cluster-listen", w.seed)
	w.start(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/stop", func(http.ResponseWriter, *http.Request) { w.second.kill() })
	mux.HandleFunc("/start", func(http.ResponseWriter, *http.Request) { w.start(t) })
	w.hooks = httptest.NewServer(mux)
	t.Cleanup(w.hooks.Close)
	return w
}

func (w *twins) start(t *testing.T) {
	t.Helper()
	w.second = launch(t, fixtureURL, w.binary, "--addr", w.addr, "--node", "B", "--cluster-listen", w.routes, "--cluster-join", w.seed)
	w.urls[1] = w.second.found(t)
}

// flags tell the harness of both.
func (w *twins) flags() []string {
	return []string{
		"--url", w.urls[0], "--url2", w.urls[1],
		"--hook-stop-b", "node hook.mjs " + w.hooks.URL + "/stop", "--hook-start-b", "node hook.mjs " + w.hooks.URL + "/start",
	}
}

// conform runs the harness and returns the cases that fail.
func conform(t *testing.T, dir string, args ...string) (failed []string) {
	t.Helper()
	report := filepath.Join(dir, "report.json")
	out, _ := node(t, dir, append([]string{"run.mjs", "--strict", "--json", report}, args...)...)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("run.mjs: %v\n%s", err, out)
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("read %s: %v", report, err)
	}
	for _, c := range r.Results {
		if c.Status != "pass" {
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
