package skeincmd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/skeinrt/skein"
)

// asCommand makes the test binary the command itself, as signals are a process's.
const asCommand = "SKEINCMD_TEST_AS_COMMAND"

func runAsCommand() {
	if os.Getenv(asCommand) != "" {
		Main(testCatalog().With("stubborn", func() skein.Plugin { return skein.Func("stubborn", stubborn) }))
	}
}

// stubborn does not stop before the stop time-out.
func stubborn(_ context.Context, h *skein.Host) error {
	h.OnDrain(func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	return nil
}

// process starts the command and waits until it serves. log is what it writes to standard error from then on.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, log *bufio.Reader) {
	t.Helper()
	return processIn(t, nil, args...)
}

// processIn is process with more variables in its environment.
func processIn(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, log *bufio.Reader) {
	t.Helper()
	cmd = exec.Command(os.Args[0], append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(append(os.Environ(), asCommand+"=1"), env...)
	cmd.Dir = t.TempDir()
	for name, text := range map[string]string{"stubborn": "plugins: [{use: stubborn}]\n", "keyed": "authKey: 0123456789abcdef0123456789abcdef\n"} {
		if err := os.WriteFile(cmd.Dir+"/"+name+".yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // where a check has failed before its end
	out := bufio.NewReader(stdout)
	waitFor(t, out, "SocketCluster")
	return cmd, bufio.NewReader(stderr)
}

func waitFor(t *testing.T, r *bufio.Reader, text string) {
	t.Helper()
	var seen bytes.Buffer
	for {
		line, err := r.ReadString('\n')
		seen.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("%q is not in the output: %v\n%s", text, err, &seen)
		}
	}
}

func TestASignalStopsTheNodeGently(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, log := process(t)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		waitFor(t, log, "stopping; another signal ends it at once")
		rest, err := io.ReadAll(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v, want exit code 0\n%s", signal, err, rest)
		}
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	cmd, log := process(t, "--config", "stubborn.yaml", "--stop-timeout", "1h")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	waitFor(t, log, "stopping")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("got %v, want exit code %d", err, exitFailed)
	}
}

func TestRunReturnsExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, exitOK},
		{[]string{"token", "inspect", "x"}, exitFailed},
		{[]string{"frob"}, exitUsage},
	} {
		var out, errs bytes.Buffer
		got := Run(t.Context(), c.args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, testCatalog())
		if got != c.want {
			t.Errorf("%q: got %d, want %d\n%s%s", c.args, got, c.want, &out, &errs)
		}
		if (errs.Len() > 0) != (c.want != exitOK) {
			t.Errorf("%q: wrote %q to standard error", c.args, &errs)
		}
	}
}
