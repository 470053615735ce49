package skeincmd

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// supervise listens as a supervisor does. The path is short: that of a socket may have about 100 octets.
func supervise(t *testing.T) (socket string, heard func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "skein")
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close() // nobody sends any more
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return socket, func() string {
		b := make([]byte, 512)
		if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

func TestASupervisorIsToldThatTheNodeServesAndThatItStops(t *testing.T) {
	t.Parallel()
	socket, heard := supervise(t)
	cmd, log := processIn(t, []string{"NOTIFY_SOCKET=" + socket})
	if got, want := heard(), "READY=1"; got != want {
		t.Errorf("after the start: got %q, want %q", got, want)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got, want := heard(), "STOPPING=1"; got != want {
		t.Errorf("after SIGTERM: got %q, want %q", got, want)
	}
	rest, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, rest)
	}
}

func TestANodeWhoseSupervisorIsGoneServesAllTheSame(t *testing.T) {
	t.Parallel()
	cmd, log := processIn(t, []string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "none")})
	waitFor(t, log, "the supervisor could not be told")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), "stopping") {
		t.Errorf("got %v and %q, want a gentle end", err, rest)
	}
}

func TestNobodyIsToldWhereThereIsNoSupervisor(t *testing.T) {
	t.Parallel()
	if err := inDir(t, nil, nil).supervisor().tell(t.Context(), isServing); err != nil {
		t.Errorf("got %v, want nothing", err)
	}
}
