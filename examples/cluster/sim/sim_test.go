package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
)

func usual() Load {
	return Load{Sessions: 20_000, Subscriptions: 2, Channels: 2_000, Zipf: 0.8, Publications: 500, Message: 256, Name: 20, Churn: 10}
}

// near compares what has been counted or computed in two ways.
func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s: got %.4g, want %.4g, give or take %g %%", what, got, want, tolerance*100)
	}
}

func TestNodeAloneHasNothingToDoWithOthers(t *testing.T) {
	t.Parallel()
	n := usual().on(1)
	for what, got := range map[string]float64{
		"in": n.In, "out": n.Out, "route": n.Route, "routes": n.Routes, "beats": n.Beats, "joins": n.Joins,
		"own": n.Own, "others": n.Others, "sent": n.Sent,
	} {
		if got != 0 {
			t.Errorf("%s: got %v, want 0", what, got)
		}
	}
	if n.Clients <= 0 || n.Sessions <= 0 {
		t.Errorf("got %v cores and %v octets for clients, want some", n.Clients, n.Sessions)
	}
}

func TestDeliveriesAreSharedOut(t *testing.T) {
	t.Parallel()
	all := usual().on(1).Delivered
	for _, nodes := range []int{2, 7, 50} {
		near(t, fmt.Sprint("delivered by ", nodes), usual().on(nodes).Delivered*float64(nodes), all, 1e-9)
	}
}

// What the sums say about joined channels and copies is what comes out when sessions and publications are dealt out.
func TestExpectationsAreWhatComesOutByChance(t *testing.T) {
	t.Parallel()
	l, random := usual(), rand.New(rand.NewPCG(1, 2))
	for _, nodes := range []int{2, 5, 20} {
		joined, copies, delivered := deal(l, nodes, random)
		e := l.expect(nodes)
		near(t, fmt.Sprint(nodes, " nodes: joined"), e.joined, joined, 0.03)
		near(t, fmt.Sprint(nodes, " nodes: in"), e.in, copies, 0.03)
		near(t, fmt.Sprint(nodes, " nodes: delivered"), e.delivered, delivered, 0.03)
	}
}

// deal plays the model once, with many publications. It returns what one node has on average in a second.
func deal(l Load, nodes int, random *rand.Rand) (joined, in, delivered float64) {
	channels := popularity(l, random)
	members := make([]map[int]int, l.Channels) // channel → node → subscribers
	for range int(l.Sessions * l.Subscriptions) {
		c := channels()
		if members[c] == nil {
			members[c] = map[int]int{}
		}
		members[c][random.IntN(nodes)]++
	}
	for _, m := range members {
		joined += float64(len(m)) / float64(nodes)
	}
	const publications = 200_000
	for range publications {
		author := random.IntN(nodes)
		for node, subscribers := range members[channels()] {
			delivered += float64(subscribers)
			if node != author {
				in++
			}
		}
	}
	scale := l.Publications / publications / float64(nodes)
	return joined, in * scale, delivered * scale
}

// popularity returns what draws a channel.
func popularity(l Load, random *rand.Rand) func() int {
	sums := make([]float64, l.Channels)
	sum := 0.0
	for i := range sums {
		sum += math.Pow(float64(i+1), -l.Zipf)
		sums[i] = sum
	}
	return func() int {
		x := random.Float64() * sum
		low, high := 0, len(sums)-1
		for low < high {
			if middle := (low + high) / 2; sums[middle] < x {
				low = middle + 1
			} else {
				high = middle
			}
		}
		return low
	}
}

func TestAMessageCostsLessInCompany(t *testing.T) {
	t.Parallel()
	for name, cost := range map[string]func(float64) float64{"take": take, "hand over": handOver, "forward": forward, "receive": receive} {
		alone, crowd, before := cost(0.01)/0.01, cost(1e9)/1e9, math.Inf(1)
		for rate := 1.0; rate < 1e6; rate *= 3 {
			each := cost(rate) / rate
			if each > before || each > alone || each < crowd {
				t.Errorf("%s at %v: got %v, want less than %v, and between %v and %v", name, rate, each, before, crowd, alone)
			}
			before = each
		}
	}
}

func TestMoreOfEverythingCostsMore(t *testing.T) {
	t.Parallel()
	before := usual().on(5)
	for what, more := range map[string]func(*Load){
		"sessions":     func(l *Load) { l.Sessions *= 2 },
		"publications": func(l *Load) { l.Publications *= 2 },
		"message":      func(l *Load) { l.Message *= 8 },
		"churn":        func(l *Load) { l.Churn *= 10 },
		"channels":     func(l *Load) { l.Channels *= 4 },
	} {
		l := usual()
		more(&l)
		if n := l.on(5); n.CPU() <= before.CPU() && n.Memory() <= before.Memory() {
			t.Errorf("twice the %s: got %v cores and %v octets, want more than %v and %v", what, n.CPU(), n.Memory(), before.CPU(), before.Memory())
		}
	}
}

func TestCommandPrintsALineForEachNumberOfNodes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run([]string{"-nodes", "1, 50", "-channels", "100"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if len(lines) != 4 || strings.Fields(lines[2])[0] != "1" || strings.Fields(lines[3])[0] != "50" {
		t.Errorf("got this, want two lines of heads, and those of 1 and 50:\n%s", out.String())
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"-nodes 0", "from 1 to 1000"},
		{"-nodes a", "from 1 to 1000"},
		{"-channels 0", "channels"},
		{"-churn -1", "not negative"},
		{"-zipf NaN", "not negative"},
		{"-channels 3 -subscriptions 4", "more channels than there are"},
		{"-frob", "not defined"},
		{"more", "no arguments"},
		{"-help", "<nil>"},
	} {
		if err := run(strings.Fields(c.args), io.Discard, io.Discard); !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: got %v, want %q", c.args, err, c.want)
		}
	}
}

// TestDocumentationQuotesTheCommand runs what docs/scale.md shows.
func TestDocumentationQuotesTheCommand(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	quotes := regexp.MustCompile(`(?m)^    go run ./examples/cluster/sim(.*)\n\n((?:    .*\n)+)`).FindAllStringSubmatch(string(page), -1)
	if len(quotes) < 2 {
		t.Fatalf("got %d quotes, want some", len(quotes))
	}
	for _, q := range quotes {
		var out strings.Builder
		if err := run(strings.Fields(q[1]), &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		want := ""
		for line := range strings.Lines(out.String()) {
			want += "    " + strings.TrimRight(line, " \n") + "\n"
		}
		if got := q[2]; got != want {
			t.Errorf("sim%s: the page says\n%s\nwant\n%s", q[1], got, want)
		}
	}
}
