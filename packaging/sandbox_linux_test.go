package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const nobody = 65532 // the user of the image

// inside runs the binary with nothing but itself to see, nowhere to write, and no rights: as in its image.
func inside(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/skein", args...)
	c.Dir, c.Env = "/", []string{}
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		return c
	}
	// Who is not root may change the root in a user namespace only. The folder is nobody's to write there either.
	c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getuid(), Size: 1}}
	c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getgid(), Size: 1}}
	return c
}

// emptyRoot is a folder that has the binary alone, for everybody to read.
func emptyRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "root") // t.TempDir is for its owner alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	content, err := os.ReadFile(skein)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "skein"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"skein", "."} {
		if err := os.Chmod(filepath.Join(root, name), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		_ = os.Chmod(root, 0o700) // told by RemoveAll, which comes after it
	})
	return root
}

func TestTheBinaryNeedsNothingBesideItself(t *testing.T) {
	t.Parallel()
	root := emptyRoot(t)
	c := inside(t, root, "serve", "--addr=127.0.0.1:0", "--metrics", "--admin", "--node=a", "--cluster-listen=127.0.0.1:0")
	var log strings.Builder
	c.Stderr = &log
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = time.Minute
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatalf("run in a folder as its root: %v", err)
	}
	live := regexp.MustCompile(`^live +(http://\S+)\n$`)
	url := ""
	for r := bufio.NewReader(stdout); url == ""; {
		line, err := r.ReadString('\n')
		if err != nil {
			_ = c.Wait() // its log says why
			t.Fatalf("it does not serve: %v\n%s", err, &log)
		}
		if m := live.FindStringSubmatch(line); m != nil {
			url = m[1]
		}
	}
	if out, err := inside(t, root, "health", "--timeout=30s", url).CombinedOutput(); err != nil || string(out) != "ok\n" {
		t.Errorf("health: got %v and %q, want ok", err, out)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("stop: %v\n%s", err, &log)
	}
	entries, err := os.ReadDir(root)
	if err != nil || !slices.EqualFunc(entries, []string{"skein"}, func(e os.DirEntry, want string) bool { return e.Name() == want }) {
		t.Errorf("got %v and %v, want the binary alone", entries, err)
	}
}
