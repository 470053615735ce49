package e2e_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The suites stand beside the project where it is developed; they are no parts of it.
const (
	conformanceSuite = "../../shared/wsconf"
	attackSuite      = "../../shared/abuse"
)

// suite builds one of them. Where it is not there, it says so, and what stands in for it.
func suite(t *testing.T, dir, otherwise string) (binary string, found bool) {
	t.Helper()
	if _, err := os.Stat(dir); err != nil {
		t.Logf("there is no suite at %s: %s", dir, otherwise)
		return "", false
	}
	binary = filepath.Join(t.TempDir(), filepath.Base(dir))
	c := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", dir, err, out)
	}
	return binary, true
}

// tally is the last line of a suite.
type tally struct{ passed, failed, skipped int }

var tallyLine = regexp.MustCompile(`(?m)^(\d+) passed, (\d+) failed, (\d+) skipped$`)

func (n tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", n.passed, n.failed, n.skipped)
}

func count(t *testing.T, out string) (n tally) {
	t.Helper()
	m := tallyLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the suite has not come to its end:\n%s", out)
	}
	for i, to := range []*int{&n.passed, &n.failed, &n.skipped} {
		*to, _ = strconv.Atoi(m[i+1]) // digits
	}
	return n
}

// lines gives those of an output that begin with one of the words.
func lines(out string, words ...string) (list []string) {
	for line := range strings.Lines(out) {
		for _, w := range words {
			if strings.HasPrefix(line, w+" ") {
				list = append(list, strings.TrimSpace(line))
			}
		}
	}
	return list
}

// names gives the second words of lines.
func names(list []string) (found []string) {
	for _, line := range list {
		found = append(found, strings.Fields(line)[1])
	}
	return found
}

// hostOf gives the host and the port in a URL.
func hostOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// drivers are those that connections can be carried by; auto is the best that there is here.
func drivers() []string { return []string{"auto", "park"} }
