package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/bench/report"
)

// quickLab has servers that only tell an address, a load generator that only prints a report, and one server that ends
// at once.
func quickLab(t *testing.T, log io.Writer) *lab {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{skein: self, self: self, dir: t.TempDir(), log: log}
	for name, args := range map[string][]string{"a": {"say", "ws://a", "stay"}, "b": {"say", "ws://b", "stay"}, "c": {"say", "fail"}} {
		l.contenders = append(l.contenders, contender{Server: report.Server{Name: name, Title: "server-" + name}, program: child(t, args...)})
	}
	slices.SortFunc(l.contenders, func(x, y contender) int { return strings.Compare(x.Name, y.Name) })
	return l
}

func quickSteps() []step {
	s := scale{time: 1, conns: 1}
	return []step{
		s.step("first", []string{"a", "b", "c"}, report.Load{Mode: "fanout"}),
		s.step("second", []string{"b"}, report.Load{Mode: "idle"}),
	}
}

func TestServersTakeTurns(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	steps := quickSteps()
	if err := quickLab(t, &log).rounds(t.Context(), 2, steps); err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(log.String()) {
		f := strings.Fields(line)
		order = append(order, strings.Join(f[:3], " "))
	}
	want := []string{
		"1/2 first server-a", "1/2 first server-b", "1/2 first server-c", "1/2 second server-b",
		"2/2 first server-a", "2/2 first server-b", "2/2 first server-c", "2/2 second server-b",
	}
	if !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
	for server, samples := range map[string][]report.Sample{"a": {{Done: 5, CPU: 7}, {Done: 5, CPU: 7}}, "b": {{Done: 5, CPU: 7}, {Done: 5, CPU: 7}}} {
		if got := steps[0].Samples[server]; !slices.Equal(got, samples) {
			t.Errorf("%s: got %+v, want %+v", server, got, samples)
		}
	}
	if got := steps[1].Samples; len(got) != 1 || len(got["b"]) != 2 {
		t.Errorf("got %+v, want those of the one who takes part", got)
	}
}

// A server that does not bear the load is a result like others.
func TestAServerThatFailsDoesNotEndTheComparison(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	steps := quickSteps()[:1]
	if err := quickLab(t, &log).rounds(t.Context(), 1, steps); err != nil {
		t.Fatal(err)
	}
	got := steps[0].Samples["c"]
	if len(got) != 1 || !strings.HasSuffix(got[0].Error, ": it ended: last words") || strings.Contains(got[0].Error, "/") {
		t.Errorf("got %+v, want its last words, without a path", got)
	}
	if !strings.Contains(log.String(), "last words") {
		t.Errorf("got the log\n%swant its last words", &log)
	}
}

func TestTheEndOfTheContextEndsTheRounds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	log := &watched{word: "server-a", seen: func() { cancel(reason) }}
	steps := quickSteps()
	if err := quickLab(t, log).rounds(ctx, 100, steps); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	if n := len(steps[0].Samples["a"]); n != 1 || len(steps[0].Samples["b"]) != 0 {
		t.Errorf("got %d samples of a, and some of b: %v; want one, and none", n, steps[0].Samples["b"])
	}
}

func TestAGeneratorThatFailsIsAFaultOfTheSample(t *testing.T) {
	t.Parallel()
	l := quickLab(t, io.Discard)
	l.skein = filepath.Join(t.TempDir(), "nothing")
	if got := l.sample(t.Context(), l.contenders[0], report.Load{Mode: "idle"}); !strings.Contains(got.Error, "no such file") {
		t.Errorf("got %+v, want that there is no generator", got)
	}
}

func TestProgressTellsWhatIsLost(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	l := &lab{log: &log}
	s, c := quickSteps()[0], contender{Server: report.Server{Title: "x"}}
	l.tell(0, 3, s, c, report.Sample{CPU: 12.345, Cores: 0.5, Done: 99, P99: 1.5})
	l.tell(2, 3, s, c, report.Sample{Lost: 4, Disorder: 2})
	for _, want := range []string{"1/3 first", "12.3 CPU-s/million, 50% of a core, 99/s, p99 1.5 ms\n", "3/3 first", "LOST 4, DISORDER 2"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("got\n%swant %q in it", &log, want)
		}
	}
}

func TestEverybodyIsOfADifferentKind(t *testing.T) {
	t.Parallel()
	l := &lab{skein: "/x/skein", self: "/x/bench", dir: "/x"}
	var names []string
	for _, c := range l.everybody() {
		names = append(names, c.Name)
		if line := strings.Join(c.program.args, " "); strings.Count(line, "--driver") != strings.Count(c.Name, "skein") {
			t.Errorf("%s: got %s", c.Name, line)
		}
	}
	if !slices.Equal(names, everybody()) {
		t.Errorf("got %q, want %q: the names of the plan, in its order", names, everybody())
	}
}

func TestEstimatesGrowWithTheLoad(t *testing.T) {
	t.Parallel()
	s := scale{time: 1, conns: 1}
	base := report.Load{Mode: "fanout", Conns: 10, Duration: time.Second}
	short := lasts([]step{s.step("x", []string{"a"}, base)})
	for name, change := range map[string]func(*report.Load){
		"conns": func(l *report.Load) { l.Conns = 10_000 }, "channels": func(l *report.Load) { l.Channels = 100_000 },
		"burst": func(l *report.Load) { l.Burst = 10_000 }, "time": func(l *report.Load) { l.Duration *= 5 },
	} {
		l := base
		change(&l)
		if got := lasts([]step{s.step("x", []string{"a"}, l)}); got < short+time.Second {
			t.Errorf("more %s: got %v after %v, want longer", name, got, short)
		}
	}
	if got := lasts([]step{s.step("x", []string{"a", "b"}, base)}); got != 2*short {
		t.Errorf("two servers: got %v, want twice %v", got, short)
	}
	half := scale{time: 0.5, conns: 1}.step("x", nil, report.Load{Duration: 4 * time.Second, Warmup: 2 * time.Second}).Load
	if half.Duration != 2*time.Second || half.Warmup != time.Second {
		t.Errorf("got %v after %v, want half of each", half.Duration, half.Warmup)
	}
}

func TestFewerConnectionsAreStillSome(t *testing.T) {
	t.Parallel()
	few := scale{time: 1, conns: 1_000_000}
	for _, s := range slices.Concat(few.compared(), few.aimed(), few.grown()) {
		if s.Load.Conns < 1 || s.Load.Channels < 0 || s.Load.Mode == "burst" && (s.Load.Burst < 1 || s.Load.Parallel < 1) {
			t.Errorf("%s: got %+v, want one of each at least", s.Name, s.Load)
		}
	}
}
