package skein_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// places are where work runs.
type places struct {
	mu   sync.Mutex
	runs map[string][]string // nodes by work
}

// work runs until its context ends.
func (p *places) work(h *skein.Host, name string) {
	h.Once(name, func(ctx context.Context) error {
		node := h.Server().Node()
		p.mu.Lock()
		p.runs[name] = append(p.runs[name], node)
		p.mu.Unlock()
		<-ctx.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.runs[name] = slices.DeleteFunc(p.runs[name], func(n string) bool { return n == node })
		return nil
	})
}

// now returns the node by work; where there are several, all of them.
func (p *places) now() map[string]string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := map[string]string{}
	for name, nodes := range p.runs {
		if len(nodes) > 0 {
			now[name] = strings.Join(slices.Sorted(slices.Values(nodes)), "+")
		}
	}
	return now
}

func works(p *places, n int) setup {
	return func(h *skein.Host) {
		for i := range n {
			p.work(h, fmt.Sprintf("work-%02d", i))
		}
	}
}

func TestWorkRunsOnOneNodeAndMovesWhenThatOneGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 30
		p := &places{runs: map[string][]string{}}
		g := clustered(t, 3, skein.Options{}, works(p, all))
		pass(10 * time.Second)
		before := p.now()
		each := map[string]int{}
		for _, node := range before {
			each[node]++
		}
		if len(before) != all || len(each) != 3 || slices.Min(slices.Collect(maps.Values(each))) < 3 {
			t.Fatalf("got %v, want %d on three nodes, about ten on each", each, all)
		}
		if err := g.nodes[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := p.now()
		for name, node := range before {
			if node != "b" && after[name] != node || after[name] == "b" || after[name] == "" {
				t.Errorf("%s has moved from %s to %q, want only what ran on b to move, to a or c", name, node, after[name])
			}
		}
		g.lines[2].Kill()
		for name, node := range p.now() {
			if node != "a" && node != "a+c" { // c does not know that it is dead
				t.Errorf("%s runs on %s, want a, which alone is left", name, node)
			}
		}
	})
}

func TestWorkMovesToANodeThatComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 30
		p := &places{runs: map[string][]string{}}
		g := &group{}
		for _, e := range skeintest.Link(2) {
			g.lines = append(g.lines, e.(*skeintest.Line))
		}
		g.start(t, 0, skein.Options{}, works(p, all))
		if got := p.now(); len(got) != all {
			t.Fatalf("got %v, want all on the first node", got)
		}
		g.start(t, 1, skein.Options{}, works(p, all))
		pass(10 * time.Second)
		each := map[string]int{}
		for _, node := range p.now() {
			each[node]++
		}
		if each["a"]+each["b"] != all || each["a"] == 0 || each["b"] == 0 {
			t.Errorf("got %v, want all %d, on both", each, all)
		}
	})
}

// In a rolling update that brings a plugin, the first node that has it must not leave its work to one that has not.
func TestWorkRunsWhereItIsRegistered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 20
		p := &places{runs: map[string][]string{}}
		engines := skeintest.Link(2)
		start(t, skein.Options{Node: "old", Engine: engines[0]}, noSetup)
		start(t, skein.Options{Node: "new", Engine: engines[1]}, works(p, all))
		got := p.now()
		if len(got) != all || got["work-00"] != "new" {
			t.Errorf("got %v, want all on the new node", got)
		}
	})
}

func TestWorkWaitsForTheCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &places{runs: map[string][]string{}}
		g := &group{}
		for _, e := range skeintest.Link(2) {
			g.lines = append(g.lines, e.(*skeintest.Line))
		}
		g.start(t, 0, skein.Options{MinNodes: 2}, works(p, 1))
		pass(time.Minute)
		if got := p.now(); len(got) != 0 {
			t.Errorf("got %v, want nothing before two nodes are there", got)
		}
		g.start(t, 1, skein.Options{MinNodes: 2}, works(p, 1))
		if got := p.now(); len(got) != 1 {
			t.Errorf("got %v, want it on one", got)
		}
	})
}

func TestWorkIsRestartedUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs, log journal
		g := clustered(t, 1, skein.Options{Logger: log.logger()}, func(h *skein.Host) {
			n := 0
			h.Once("flaky", func(context.Context) error {
				n++
				runs.note(fmt.Sprint(n))
				switch n {
				case 1:
					return errors.New("out of luck")
				case 2:
					panic("ouch")
				}
				return nil
			})
		})
		pass(time.Minute)
		if got := strings.Join(runs.lines(), " "); got != "1 2 3" {
			t.Errorf("got the runs %s, want 1 2 3", got)
		}
		wantContains(t, log.String(), "background work failed", "task=flaky", "out of luck", "panic: ouch")
		if got := g.nodes[0].Nodes()[0].Tasks; !slices.Equal(got, []string{"test/flaky"}) {
			t.Errorf("got %v, want the work", got)
		}
	})
}

func TestNamesOfWorkAreChecked(t *testing.T) {
	t.Parallel()
	got := startError(t, skein.Options{}, plugin("p", func(h *skein.Host) {
		h.Once("No Name", func(context.Context) error { return nil })
		h.Once("twice", func(context.Context) error { return nil })
		h.Once("twice", func(context.Context) error { return nil })
		h.Once("nil", nil)
	}))
	wantContains(t, got, `Once No Name: the name "No Name"`, "Once twice: the plugin has registered it already", "Once nil: the function is nil", "once_test.go:")
}

// forgetful is an engine that tells of no changes.
type forgetful struct{ *skeintest.Line }

func (f forgetful) Attach(n engine.Node) {
	n.Changed = func() {}
	f.Line.Attach(n)
}

// What a node has registered comes with its heartbeats, which are no change of the members.
func TestWorkMovesWithoutAChangeOfMembersToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 20
		p := &places{runs: map[string][]string{}}
		var engines []engine.Engine
		for _, e := range skeintest.Link(2) {
			engines = append(engines, forgetful{e.(*skeintest.Line)})
		}
		start(t, skein.Options{Node: "a", Engine: engines[0]}, works(p, all))
		there := start(t, skein.Options{Node: "b", Engine: engines[1]}, works(p, all))
		pass(11 * time.Second)
		each := map[string]int{}
		for _, node := range p.now() {
			each[node]++
		}
		if each["a"]+each["b"] != all || each["b"] == 0 || each["a"] == 0 {
			t.Errorf("got %v, want all %d, on both", each, all)
		}
		if err := there.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(11 * time.Second)
		if got := p.now(); len(got) != all {
			t.Errorf("got %d running, want all %d on the node that is left", len(got), all)
		}
	})
}
