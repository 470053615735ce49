package skein_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// asking answers questions and keeps the host for asking them.
func asking(hosts map[string]*skein.Host) setup {
	return func(h *skein.Host) {
		hosts[h.Server().Node()] = h
		h.OnAsk("echo", func(_ context.Context, from string, data []byte) ([]byte, error) {
			return fmt.Appendf(nil, "%s to %s: %s", from, h.Server().Node(), data), nil
		})
		h.OnAsk("fail", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("not today") })
		h.OnAsk("panic", func(context.Context, string, []byte) ([]byte, error) { panic("ouch") })
		h.OnAsk("large", func(context.Context, string, []byte) ([]byte, error) { return make([]byte, 1<<20), nil })
		h.OnAsk("wait", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
	}
}

func TestPluginsAskEachOtherOnAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts := map[string]*skein.Host{}
		var log journal
		g := clustered(t, 2, skein.Options{Logger: log.logger()}, asking(hosts))
		for _, test := range []struct{ node, topic, want string }{
			{"b", "echo", "a to b: hi"},
			{"a", "echo", "a to a: hi"},
			{"b", "fail", "node b: not today"},
			{"a", "fail", "node a: not today"},
			{"b", "panic", `node b: PluginError: plugin "test" failed`},
			{"b", "large", "node b: engine: the message is too large"},
			{"a", "large", "node a: engine: the message is too large"},
			{"b", "unknown", `node b: its plugin "test" does not answer "unknown"`},
			{"c", "echo", "engine: no such member"},
		} {
			out, err := hosts["a"].Ask(t.Context(), test.node, test.topic, []byte("hi"))
			got := string(out)
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%s, %s: got %s, want %s", test.node, test.topic, got, test.want)
			}
		}
		wantContains(t, log.String(), "plugin panicked", "panic=ouch")
		if got := g.nodes[1].Stats().Panics; got != 1 {
			t.Errorf("got %d panics, want 1", got)
		}
		_, err := hosts["a"].Ask(t.Context(), "b", "fail", nil)
		if told := new(engine.CallError); !errors.As(err, &told) || told.Member != "b" {
			t.Errorf("got %v, want an error of b", err)
		}
		if _, err := hosts["a"].Ask(t.Context(), "b", "echo", bytes.Repeat([]byte("x"), 1<<20)); !errors.Is(err, engine.ErrTooLarge) {
			t.Errorf("got %v, want %v", err, engine.ErrTooLarge)
		}
	})
}

func TestQuestionsHaveADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts := map[string]*skein.Host{}
		clustered(t, 2, skein.Options{}, asking(hosts))
		for _, node := range []string{"a", "b"} {
			began := time.Now()
			_, err := hosts["a"].Ask(t.Context(), node, "wait", nil)
			if err == nil || !strings.Contains(err.Error(), "there was no answer for 5s") || time.Since(began) != 5*time.Second {
				t.Errorf("%s: got %v after %v, want no answer after 5 s", node, err, time.Since(began))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := hosts["a"].Ask(ctx, "b", "wait", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestTopicsAreThePluginsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts := map[string]*skein.Host{}
		engines := skeintest.Link(2)
		here := skeintest.Start(t, skein.Options{Node: "a", Engine: engines[0]}, plugin("one", asking(hosts)), plugin("two", func(h *skein.Host) { hosts["two"] = h }))
		skeintest.Start(t, skein.Options{Node: "b", Engine: engines[1]}, plugin("one", asking(map[string]*skein.Host{})))
		for node, want := range map[string]string{
			"a": `node a: its plugin "two" does not answer "echo"`,
			"b": `node b: it has no plugin "two"`,
		} {
			if _, err := hosts["two"].Ask(t.Context(), node, "echo", nil); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		if err := here.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := hosts["two"].Ask(t.Context(), "b", "echo", nil); !errors.Is(err, skein.ErrStopped) {
			t.Errorf("got %v, want %v", err, skein.ErrStopped)
		}
	})
}

func TestQuestionsAreRegisteredOnce(t *testing.T) {
	t.Parallel()
	got := startError(t, skein.Options{}, plugin("p", func(h *skein.Host) {
		answer := func(context.Context, string, []byte) ([]byte, error) { return nil, nil }
		h.OnAsk("x", answer)
		h.OnAsk("x", answer)
		h.OnAsk("y", nil)
	}))
	wantContains(t, got, "OnAsk x: the plugin has registered it already", "OnAsk y: the function is nil", "ask_test.go:")
}
