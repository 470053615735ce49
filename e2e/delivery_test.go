package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skeinrt/skein/client"
)

// deliveryChecker stands beside the project where it is developed; it is not a part of it. It numbers what it publishes
// on three nodes, breaks them one after the other, and judges what has arrived where.
const deliveryChecker = "../../shared/abuse"

// TestNothingIsLostInSilenceBetweenThreeNodes is not parallel: what the checker waits for is measured in time.
func TestNothingIsLostInSilenceBetweenThreeNodes(t *testing.T) {
	if _, err := os.Stat(deliveryChecker); err != nil {
		t.Logf("there is no delivery checker at %s: the tests of natsengine stand in for it", deliveryChecker)
		return
	}
	dir := t.TempDir()
	checker := filepath.Join(dir, "checker")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", checker, ".")
	build.Dir = deliveryChecker
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if out, err := command(t, dir, checker, deliverArgs(t, dir)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Log(lastLine(out))
	}
}

// deliverArgs are three nodes for the checker, and what it does to them.
func deliverArgs(t *testing.T, dir string) []string {
	t.Helper()
	binary := build(t, "./cmd/skein")
	var names, seeds []string
	for _, name := range []string{"a", "b", "c"} {
		names = append(names, name)
		seeds = append(seeds, freeAddr(t))
	}
	args := []string{"deliver", "-adapter", "sc", "-logdir", dir, "-faults", "none,pause,kill,all/term"}
	for i, name := range names {
		addr := freeAddr(t)
		start := fmt.Sprintf("%s serve --addr %s --node %s --cluster-listen %s --cluster-join %s --join-timeout 3s --drain 2s",
			binary, addr, name, seeds[i], strings.Join(seeds, ","))
		args = append(args, "-node", "url=ws://"+addr+"/socketcluster/,start="+start)
	}
	return args
}

func TestAFullDiskForLogsStopsNothing(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Log("this system has no /dev/full")
		return
	}
	shell := []string{"-c", `exec "$@" 2>/dev/full`, "sh", build(t, "./cmd/skein"), "serve", "--addr", "127.0.0.1:0", "--log-level", "debug"}
	url := serve(t, fixtureURL, "/bin/sh", shell...)
	c, err := client.Dial(t.Context(), client.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // the test is over
	sub, err := c.Subscribe(t.Context(), "news")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := c.Publish(t.Context(), "news", i); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("got %s, %v, want %d", m.Data, err, i)
		}
	}
}
