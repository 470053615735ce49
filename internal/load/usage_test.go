package load

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestUsageIsReadBehindTheName(t *testing.T) {
	t.Parallel()
	const rest = " S 1 1 1 0 -1 4194560 9 0 0 0 250 150 7 7 20 0 1 0 12 1 1 1 0"
	for _, name := range []string{"(skein)", "(a b)", "(evil) S 9 9 9 9)"} {
		u, err := parseUsage([]byte("42 "+name+rest), []byte("9000 100 5 1 0 1 0"))
		if err != nil || u.cpu != 4*time.Second || u.memory != int64(100*os.Getpagesize()) {
			t.Errorf("%s: got %v, %v, want 4s and 100 pages", name, u, err)
		}
	}
	for _, c := range [][2]string{{"", ""}, {"42 (a)" + rest, "1"}, {"42 (a) S 1", "1 2"}, {"42 (a)" + strings.ReplaceAll(rest, "250", "x"), "1 2"}} {
		if u, err := parseUsage([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%q: got %v, want an error", c, u)
		}
	}
}

func TestUsageOfProcessesAddsUp(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		if _, err := usageOf(os.Getpid()); err == nil || !strings.Contains(err.Error(), "needs Linux") {
			t.Errorf("got %v, want that it needs Linux", err)
		}
		return
	}
	one, err := usageOf(ownPID)
	if err != nil || one.memory < 1<<20 {
		t.Errorf("got %v, %v, want some MiB", one, err)
	}
	two, err := usageOf(os.Getpid(), os.Getpid())
	if err != nil || two.memory < one.memory*3/2 {
		t.Errorf("twice: got %v, %v, want about the double of %v", two, err, one)
	}
	if got, err := usageOf(); err != nil || got != (usage{}) {
		t.Errorf("of none: got %v, %v, want nothing", got, err)
	}
	if _, err := readUsage("/proc/self/fd"); err == nil {
		t.Error("of no process: got no error")
	}
}
