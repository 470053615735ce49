//go:build unix

package natsengine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/skeinrt/skein/engine"
)

// childVariable makes TestChild a node of its own.
const childVariable = "NATSENGINE_CHILD"

// TestChild is what other tests run in a process that they can stop and kill. It
// answers each line of its input.
func TestChild(t *testing.T) {
	listen, seed, ok := strings.Cut(os.Getenv(childVariable), " ")
	if !ok {
		return
	}
	n := newNode(t, Embed(Embedded{Options: Options{Node: "child"}, Listen: listen, Seeds: []string{seed}, JoinTimeout: patient})).start()
	n.join("room")
	say := func(line string) { _, _ = io.WriteString(os.Stdout, "child: "+line+"\n") }
	say("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch command, rest, _ := strings.Cut(lines.Text(), " "); command {
		case "publish":
			n.publish("room", rest)
			say("published")
		case "heard":
			say(strings.Join(n.heard("room"), " "))
		case "gaps":
			say(fmt.Sprint(n.gap("room")))
		}
	}
}

// child is a node in a process of its own.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func startChild(t *testing.T, listen, seed string) *child {
	t.Helper()
	c := &child{t: t, cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestChild$", "-test.timeout=5m")}
	c.cmd.Env = append(os.Environ(), childVariable+"="+listen+" "+seed)
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.cmd.Wait()         // and was killed
	})
	c.line()
	return c
}

// line returns the next thing that the child says.
func (c *child) line() string {
	c.t.Helper()
	for c.out.Scan() {
		if line, ok := strings.CutPrefix(c.out.Text(), "child: "); ok {
			return line
		}
	}
	c.t.Fatalf("the child has ended: %v", c.out.Err())
	return ""
}

func (c *child) ask(line string) string {
	c.t.Helper()
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

func TestFrozenNodeComesBackWithoutGhostsOrDuplicates(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 2)
	n := newNode(t, Embed(Embedded{Options: Options{Node: "parent", Logger: testLogger(t)}, Listen: listen[0]})).start()
	n.join("room")
	c := startChild(t, listen[1], listen[0])
	until(t, "the child is a member", func() bool { return len(n.names()) == 2 })
	boot := n.Members()[0].Boot
	c.ask("publish 1")
	until(t, "its message arrives", func() bool { return len(n.heard("room")) == 1 })

	c.signal(syscall.SIGSTOP)
	n.join("joined without it")
	know(t, n)
	until(t, "a possible gap is told", func() bool { return n.gap("room") == 1 })
	n.publish("room", "lost?")

	c.signal(syscall.SIGCONT)
	until(t, "the child is a member again", func() bool { return len(n.names()) == 2 })
	if got := n.Members()[0]; got.Boot != boot || got.Name != "child" {
		t.Errorf("%q is back with boot %q, want the child with %q", got.Name, got.Boot, boot)
	}
	c.ask("publish 2")
	until(t, "its message arrives", func() bool { return len(n.heard("room")) >= 3 })
	n.publish("room", "3")
	until(t, "the child hears again", func() bool { return strings.HasSuffix(c.ask("heard"), " 3") })
	if got := fmt.Sprint(n.heard("room")); got != "[1 lost? 2 3]" {
		t.Errorf("heard %s, want each message once, in order", got)
	}
	heard, gaps := c.ask("heard"), c.ask("gaps")
	if heard != "1 lost? 2 3" && (heard != "1 2 3" || gaps == "0") {
		t.Errorf("the child has heard %q and was told of %s gaps, want everything, or a gap", heard, gaps)
	}
}

func TestRestartUnderTheSameNameAfterAKillSucceedsAtOnce(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 2)
	n := newNode(t, Embed(Embedded{Options: Options{Node: "parent", Logger: testLogger(t)}, Listen: listen[0]})).start()
	c := startChild(t, listen[1], listen[0])
	until(t, "the child is a member", func() bool { return len(n.names()) == 2 })
	boot := n.Members()[0].Boot
	c.signal(os.Kill)
	_ = c.cmd.Wait() // it was killed
	again := startChild(t, listen[1], listen[0])
	until(t, "the new run is the only one", func() bool {
		members := n.Members()
		return len(members) == 2 && members[0].Boot != boot
	})
	again.ask("publish 1")
}

func TestSecondNodeOfANameIsRefused(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 2)
	first := newNode(t, Embed(Embedded{Options: Options{Node: "same"}, Listen: listen[0]})).start()
	second := newNode(t, Embed(Embedded{Options: Options{Node: "same"}, Listen: listen[1], Seeds: listen[:1], JoinTimeout: patient}))
	err := second.Start(t.Context(), second.sink)
	if err == nil || !strings.Contains(err.Error(), listen[0]) || !strings.Contains(err.Error(), `"same"`) {
		t.Errorf("Start: got %v, want an error that names %s", err, listen[0])
	}
	if err := second.Publish(t.Context(), engine.Message{Channel: "x"}); err == nil {
		t.Error("Publish after a failed Start: got nil, want an error")
	}
	if got := first.names(); len(got) != 1 {
		t.Errorf("members are %q, want the first alone", got)
	}
}
