package skein_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// group is a cluster in memory, of nodes a, b, c and so on.
type group struct {
	nodes []*skeintest.Server
	lines []*skeintest.Line
}

// clustered starts n nodes with the same options and plugin.
func clustered(t *testing.T, n int, o skein.Options, fn setup) *group {
	t.Helper()
	g := &group{}
	for _, e := range skeintest.Link(n) {
		g.lines = append(g.lines, e.(*skeintest.Line))
	}
	for i := range n {
		g.start(t, i, o, fn)
	}
	return g
}

// start starts node i.
func (g *group) start(t *testing.T, i int, o skein.Options, fn setup) {
	t.Helper()
	o.Node, o.Engine = string(rune('a'+i)), g.lines[i]
	g.nodes = append(g.nodes, start(t, o, fn))
}

func noSetup(*skein.Host) {}

// seen lists the nodes that a server sees.
func seen(srv *skeintest.Server) string {
	var names []string
	for _, n := range srv.Nodes() {
		names = append(names, n.Name)
	}
	return strings.Join(names, " ")
}

func TestNodesAreListedWithWhatTheySayOfThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 2, skein.Options{Version: "1.2.3"}, noSetup)
		began := time.Now()
		_, _ = open(t, g.nodes[1], "/socketcluster/")
		c, _ := open(t, g.nodes[1], "/socketcluster/")
		ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		g.nodes[1].Conn(t, "/socketcluster/", nil)
		pass(8 * time.Second) // nodes look at each other every 5 s, and so rates are of the last 3 here
		for range 30 {
			if err := g.nodes[1].Publish(t.Context(), "x", nil); err != nil {
				t.Fatal(err)
			}
		}
		list := g.nodes[0].Nodes()
		if len(list) != 2 {
			t.Fatalf("got %+v, want two nodes", list)
		}
		want := skein.NodeInfo{
			Name: "b", Started: began, Uptime: 8 * time.Second, Seen: time.Now(), Lag: time.Millisecond,
			NodeReport: skein.NodeReport{
				Version: "1.2.3", State: skein.StateServing, Conns: 3, Sessions: 2, Channels: 1, Published: 30, Delivered: 30,
				PublishRate: 10, DeliverRate: 10,
			},
		}
		if got := list[1]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if own := list[0]; own.Name != "a" || !own.Local || own.Lag != 0 || own.Sessions != 0 || own.Uptime != 8*time.Second {
			t.Errorf("got %+v, want node a itself", own)
		}
	})
}

func TestRatesAreThoseOfTheLastInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, noSetup)
		for step, publications := range []int{10, 40, 0} {
			for range publications {
				if err := srv.Publish(t.Context(), "x", nil); err != nil {
					t.Fatal(err)
				}
			}
			pass(2 * time.Second)
			for range 2 { // a second reading soon after says the same
				if got, want := srv.Nodes()[0].PublishRate, float64(publications)/2; got != want {
					t.Errorf("step %d: got %v a second, want %v", step, got, want)
				}
			}
		}
	})
}

func TestServerWithoutOthersIsItsOwnCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Node: "lone"}, noSetup)
		list := srv.Nodes()
		if len(list) != 1 || list[0].Name != "lone" || !list[0].Local || list[0].State != skein.StateServing {
			t.Errorf("got %+v, want the node itself", list)
		}
		if err := srv.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := srv.Nodes(); got != nil {
			t.Errorf("after the end: got %+v, want none", got)
		}
	})
}

func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 3, skein.Options{}, noSetup)
		steps := []struct {
			do   func()
			want string
		}{
			{func() {}, "a b c"},
			{func() { g.lines[2].Cut() }, "a b"},
			{func() { g.lines[2].Heal() }, "a b c"},
			{func() { _ = g.nodes[1].Close(t.Context()) }, "a c"},
			{func() { g.lines[2].Kill() }, "a"},
		}
		for i, step := range steps {
			step.do()
			if got := seen(g.nodes[0]); got != step.want {
				t.Errorf("step %d: got %s, want %s", i, got, step.want)
			}
		}
	})
}

// misnamed is an engine that has a name of its own.
type misnamed struct{ *skeintest.Line }

func (m misnamed) Attach(n engine.Node) {
	n.Name = "other"
	m.Line.Attach(n)
}

func TestEngineAndServerMustCallTheNodeTheSame(t *testing.T) {
	t.Parallel()
	e := misnamed{skeintest.Link(1)[0].(*skeintest.Line)}
	wantContains(t, startError(t, skein.Options{Node: "a", Engine: e}), `the engine calls this node "other" and the server "a"`)
}

func TestTwoNodesOfOneNameDoNotLiveTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		start(t, skein.Options{Node: "a", Engine: engines[0]}, noSetup)
		wantContains(t, startError(t, skein.Options{Node: "a", Engine: engines[1]}), `start the engine: a node of the name "a" is there already`)
	})
}

func upgradeStatus(t *testing.T, srv *skeintest.Server) int {
	t.Helper()
	c, err := srv.Upgrade(t.Context(), "/socketcluster/", nil)
	if refused := new(skeintest.RefusedError); errors.As(err, &refused) {
		return refused.Status
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Terminate()
	return http.StatusSwitchingProtocols
}

func TestNodeServesNobodyBeforeItsClusterIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{MinNodes: 3}
		g := clustered(t, 3, o, noSetup)
		lone := clustered(t, 2, o, noSetup).nodes[0]
		err := lone.Ready(t.Context())
		if want := "the node waits for its cluster: 2 of 3 nodes are there"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if got := lone.Nodes()[0].State; got != skein.StateWaiting {
			t.Errorf("got %q, want %q", got, skein.StateWaiting)
		}
		if got := upgradeStatus(t, lone); got != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", got)
		}
		for i, srv := range g.nodes {
			if err := srv.Ready(t.Context()); err != nil {
				t.Errorf("node %d: got %v, want ready", i, err)
			}
			if got := upgradeStatus(t, srv); got != http.StatusSwitchingProtocols {
				t.Errorf("node %d: got %d, want 101", i, got)
			}
		}
		g.lines[0].Cut()
		g.lines[1].Cut()
		synctest.Wait()
		if err := g.nodes[0].Ready(t.Context()); err != nil {
			t.Errorf("once they have been there: got %v, want ready", err)
		}
	})
}

func TestNodeThatIsCutOffServesAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		g := clustered(t, 3, skein.Options{Logger: log.logger()}, noSetup)
		c, _ := open(t, g.nodes[0], "/socketcluster/")
		ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		for _, step := range []struct {
			do    func()
			state skein.NodeState
		}{
			{g.lines[0].Cut, skein.StateCutOff},
			{g.lines[0].Heal, skein.StateServing},
		} {
			step.do()
			if got := next(t, c); got != `{"event":"#gap","data":{"channel":"x"}}` {
				t.Errorf("%s: got %s, want the gap", step.state, got)
			}
			if got := g.nodes[0].Nodes()[0].State; got != step.state {
				t.Errorf("got %q, want %q", got, step.state)
			}
			if err := g.nodes[0].Ready(t.Context()); err != nil {
				t.Errorf("%s: got %v, want ready", step.state, err)
			}
			if got, want := ask(t, c, `{"event":"#publish","data":{"channel":"x","data":1},"cid":3}`), `{"event":"#publish","data":{"channel":"x","data":1}}`; got != want {
				t.Errorf("%s: got %s, want %s", step.state, got, want)
			}
			next(t, c)
			if got := metric(g.nodes[0], "cut_off"); got != map[skein.NodeState]float64{skein.StateCutOff: 1}[step.state] {
				t.Errorf("%s: got cut_off %v", step.state, got)
			}
		}
		if got := g.nodes[1].Nodes()[1].State; got != skein.StateServing {
			t.Errorf("got %q of one who has still somebody, want %q", got, skein.StateServing)
		}
		if got := metric(g.nodes[0], "cuts_total"); got != 1 {
			t.Errorf("got %v cuts, want 1", got)
		}
		wantContains(t, log.String(), "the other nodes are lost", "the other nodes are back")
	})
}

func metric(srv *skeintest.Server, name string) float64 {
	i := slices.IndexFunc(srv.Metrics(), func(m skein.Metric) bool { return m.Name == name })
	if i < 0 {
		return -1
	}
	return srv.Metrics()[i].Value
}

func TestNodeThatIsCutOffSendsItsSessionsAwayWhereItShall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{CutOff: skein.CloseSessions, Timeouts: skein.Timeouts{Drain: time.Second}}
		g := clustered(t, 2, o, noSetup)
		var conns []*skeintest.Conn
		for range 10 {
			c, _ := open(t, g.nodes[0], "/socketcluster/")
			conns = append(conns, c)
		}
		g.lines[0].Cut()
		if err := g.nodes[0].Ready(t.Context()); !errors.Is(err, skein.ErrCutOff) {
			t.Errorf("got %v, want %v", err, skein.ErrCutOff)
		}
		if got := upgradeStatus(t, g.nodes[0]); got != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", got)
		}
		pass(450 * time.Millisecond)
		if got := ends(t, conns)[`closed with 1005 ""`]; got != 5 {
			t.Errorf("got %d ends after half of the time, want 5", got)
		}
		g.lines[0].Heal()
		pass(5 * time.Second)
		if got := ends(t, conns)[`closed with 1005 ""`]; got != 5 {
			t.Errorf("got %d ends after the end of the cut, want those 5", got)
		}
		if err := g.nodes[0].Ready(t.Context()); err != nil {
			t.Errorf("got %v, want ready", err)
		}
		if got := upgradeStatus(t, g.nodes[0]); got != http.StatusSwitchingProtocols {
			t.Errorf("got %d, want 101", got)
		}
		g.lines[0].Cut()
		pass(time.Second)
		if got := ends(t, conns); got[`closed with 1005 ""`] != 10 {
			t.Errorf("got %v, want all 10 closed", got)
		}
	})
}

// ends counts how connections have ended.
func ends(t *testing.T, conns []*skeintest.Conn) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, c := range conns {
		n[last(t, c)]++
	}
	return n
}

// last returns the end of a connection, or the last message.
func last(t *testing.T, c *skeintest.Conn) (text string) {
	t.Helper()
	for {
		got := next(t, c)
		if got == "" || got == text {
			return text
		}
		text = got
	}
}

func TestClusterOptionsAreChecked(t *testing.T) {
	t.Parallel()
	wantContains(t, startError(t, skein.Options{MinNodes: -1, CutOff: 9}), "Options.MinNodes is -1", "the option CutOff is 9: there are ServeAlone and CloseSessions")
	wantContains(t, startError(t, skein.Options{MinNodes: 2}), "Options.MinNodes is 2, and the engine has no other nodes")
}

// deaf is an engine whose members do not say anything that is understood.
type deaf struct{ *skeintest.Line }

func (d deaf) Members() []engine.Member {
	list := d.Line.Members()
	for i := range list {
		list[i].Info = []byte(`{"sessions":"many"`)
	}
	return list
}

func (d deaf) Start(ctx context.Context, sink engine.Sink) error { return d.Line.Start(ctx, sink) }

func TestWhatAnotherVersionSaysOfItselfIsTakenAsFarAsItIsUnderstood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		srv := start(t, skein.Options{Node: "a", Engine: deaf{engines[0].(*skeintest.Line)}}, noSetup)
		start(t, skein.Options{Node: "b", Engine: engines[1]}, noSetup)
		if got := seen(srv); got != "a b" {
			t.Errorf("got %s, want a b", got)
		}
	})
}
