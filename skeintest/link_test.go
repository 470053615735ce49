package skeintest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/enginetest"
	"github.com/skeinrt/skein/skeintest"
)

func TestLinkKeepsTheContract(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Open: func(_ *testing.T, nodes int) []engine.Engine { return skeintest.Link(nodes) }})
}

// told is what lines have told their nodes.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (n *told) note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// read returns what was told, sorted, and forgets it.
func (n *told) read() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	slices.Sort(n.lines)
	text := strings.Join(n.lines, ", ")
	n.lines = nil
	return text
}

// node makes a node that answers with its name and notes what it is told.
func (n *told) node(name string) engine.Node {
	return engine.Node{
		Name: name,
		Info: func() json.RawMessage { return json.RawMessage(`"` + name + `"`) },
		Serve: func(ctx context.Context, from, topic string, data []byte) ([]byte, error) {
			switch topic {
			case "fail":
				return nil, errors.New("no")
			case "large":
				return make([]byte, 1<<20), nil
			case "wait":
				<-ctx.Done()
				n.note("%s gave up: %v", name, context.Cause(ctx))
				return nil, context.Cause(ctx)
			}
			return fmt.Appendf(nil, "%s asked %s for %s: %s", from, name, topic, data), nil
		},
		Gap:     func(channels []string) { n.note("%s gap %v", name, channels) },
		Changed: func() { n.note("%s changed", name) },
		Cut:     func(lost bool) { n.note("%s cut %v", name, lost) },
	}
}

// linked starts n attached lines, each of which has joined "x" and a channel of its own.
func linked(t *testing.T, n int) ([]*skeintest.Line, *told) {
	t.Helper()
	var lines []*skeintest.Line
	heard := &told{}
	for i, e := range skeintest.Link(n) {
		l := e.(*skeintest.Line)
		name := string(rune('a' + i))
		l.Attach(heard.node(name))
		if err := l.Start(t.Context(), func(m engine.Message) { heard.note("%s got %s", name, m.Data) }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close(context.WithoutCancel(t.Context())) })
		for _, channel := range []string{"x", name} {
			if err := l.Join(t.Context(), channel); err != nil {
				t.Fatal(err)
			}
		}
		lines = append(lines, l)
	}
	heard.read()
	return lines, heard
}

func members(l *skeintest.Line) string {
	var list []string
	for _, m := range l.Members() {
		text := m.Name
		if m.Local {
			text += "!"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func TestLinesSeeEachOtherComeAndGo(t *testing.T) {
	t.Parallel()
	lines, heard := linked(t, 3)
	for i, want := range []string{"a! b c", "a b! c", "a b c!"} {
		if got := members(lines[i]); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	list := lines[0].Members()
	if list[1].Boot == list[2].Boot || string(list[1].Info) != `"b"` || list[0].Lag != 0 || list[1].Lag == 0 || list[1].Started.IsZero() || list[1].Seen.IsZero() {
		t.Errorf("got %+v, want what the nodes say", list)
	}
	if err := lines[2].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := heard.read(); got != "a changed, b changed" {
		t.Errorf("got %s, want that it has gone, without a gap", got)
	}
	if got := lines[2].Members(); len(got) != 0 {
		t.Errorf("got %v, want no members after the end", got)
	}
	if err := lines[1].Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := heard.read(); got != "a changed" {
		t.Errorf("got %s, want that who is left alone by leave is not cut off", got)
	}
}

func TestLinesAreCutAndHealed(t *testing.T) {
	t.Parallel()
	lines, heard := linked(t, 3)
	publish := func(from int, want string) {
		t.Helper()
		if err := lines[from].Publish(t.Context(), engine.Message{Channel: "x", Data: json.RawMessage("1")}); err != nil {
			t.Error(err)
		}
		if got := heard.read(); got != want {
			t.Errorf("published on %d: got %s, want %s", from, got, want)
		}
	}
	publish(0, "a got 1, b got 1, c got 1")
	for _, step := range []struct {
		do         func()
		told, seen string
	}{
		{lines[2].Cut, "a changed, a gap [a x], b changed, b gap [b x], c changed, c cut true, c gap [c x]", "a! b"},
		{lines[2].Cut, "", "a! b"},
		{lines[1].Cut, "a changed, a cut true, a gap [a x], b changed, b cut true, b gap [b x]", "a!"},
		{lines[1].Heal, "a changed, a cut false, a gap [a x], b changed, b cut false, b gap [b x]", "a! b"},
		{lines[2].Heal, "a changed, a gap [a x], b changed, b gap [b x], c changed, c cut false, c gap [c x]", "a! b c"},
	} {
		step.do()
		if got := heard.read(); got != step.told {
			t.Errorf("got %s\nwant %s", got, step.told)
		}
		if got := members(lines[0]); got != step.seen {
			t.Errorf("got members %s, want %s", got, step.seen)
		}
		if step.seen == "a! b" {
			publish(0, "a got 1, b got 1")
			publish(2, "c got 1")
		}
	}
	publish(2, "a got 1, b got 1, c got 1")
}

func TestKilledLineIsSilentForEver(t *testing.T) {
	t.Parallel()
	lines, heard := linked(t, 2)
	lines[1].Leave("b")
	lines[1].Kill()
	if got := heard.read(); got != "a changed, a cut true, a gap [a x]" {
		t.Errorf("got %s, want the other one's view", got)
	}
	lines[1].Heal()
	lines[1].Gap("x")
	if got := heard.read(); got != "b gap [x]" || members(lines[0]) != "a!" {
		t.Errorf("got %s and members %s, want the test's own gap and nobody back", got, members(lines[0]))
	}
	third := skeintest.Link(1)[0].(*skeintest.Line)
	third.Gap("x") // it is not up
	if err := lines[1].Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLinesCarryQuestions(t *testing.T) {
	t.Parallel()
	lines, _ := linked(t, 2)
	for _, test := range []struct{ member, topic, want string }{
		{"b", "news", "a asked b for news: hi"},
		{"a", "news", "a asked a for news: hi"},
		{"b", "fail", "node b: no"},
		{"b", "large", "node b: engine: the message is too large"},
		{"z", "news", "engine: no such member"},
	} {
		out, err := lines[0].Call(t.Context(), test.member, test.topic, []byte("hi"))
		got := string(out)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.topic, got, test.want)
		}
	}
	if _, err := lines[0].Call(t.Context(), "b", "news", bytes.Repeat([]byte("x"), 1<<20)); !errors.Is(err, engine.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, engine.ErrTooLarge)
	}
	lines[1].Cut()
	if _, err := lines[0].Call(t.Context(), "b", "news", nil); !errors.Is(err, engine.ErrNoMember) {
		t.Errorf("got %v, want %v", err, engine.ErrNoMember)
	}
}

func TestQuestionsEndWithTheAskersPatienceAndTheMembersLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines, heard := linked(t, 2)
		for _, stall := range []bool{false, true} {
			if stall {
				lines[1].Stall()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if _, err := lines[0].Call(ctx, "b", "wait", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("stalled %v: got %v after %v, want the deadline", stall, err, time.Since(began))
			}
		}
		synctest.Wait()
		if got := heard.read(); !strings.HasPrefix(got, "b gave up") {
			t.Errorf("got %q, want that the one that serves is told", got)
		}
		lines[1].Heal()
		asked := make(chan error, 1)
		go func() {
			_, err := lines[0].Call(t.Context(), "b", "wait", nil)
			asked <- err
		}()
		synctest.Wait()
		if err := lines[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-asked; !errors.Is(err, engine.ErrNoMember) {
			t.Errorf("got %v, want %v", err, engine.ErrNoMember)
		}
	})
}
