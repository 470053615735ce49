package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-nodes", "0"}, {"-nodes", "10"}, {"-load", "0"}, {"-cycle", "0s"}, {"argument"}, {"-unknown"}, {"-faults", "flood"},
	} {
		var out bytes.Buffer
		if got := run(t.Context(), args, &out); got != 2 {
			t.Errorf("%q: got exit code %d, want 2\n%s", args, got, out.String())
		}
	}
	var out bytes.Buffer
	if got := run(t.Context(), []string{"-help"}, &out); got != 0 || !strings.Contains(out.String(), "-seed") {
		t.Errorf("-help: got exit code %d and %q", got, out.String())
	}
}

// fleetOf is a fleet of nodes that are not there.
func fleetOf(names ...string) *fleet {
	f := &fleet{}
	for _, name := range names {
		f.nodes = append(f.nodes, &node{name: name})
	}
	return f
}

func TestEveryFaultComesOnceBeforeAnyComesAgainAndTheFirstNodeIsSpared(t *testing.T) {
	t.Parallel()
	f := fleetOf("a", "b", "c")
	for seed := range uint64(20) {
		d, err := newDeck([]string{"all"}, random(seed, 0))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var dealt []string
			for range d.all {
				fault, victim, _ := d.next(f)
				dealt = append(dealt, fault.name)
				if fault.restart && victim.name == "a" {
					t.Fatalf("seed %d: %s strikes the first node", seed, fault.name)
				}
			}
			want := faultNames()
			slices.Sort(dealt)
			slices.Sort(want)
			if !slices.Equal(dealt, want) && canPause {
				t.Fatalf("seed %d: got %q, want each of %q", seed, dealt, want)
			}
		}
	}
}

func TestTheSameSeedDealsTheSameFaults(t *testing.T) {
	t.Parallel()
	deal := func() (dealt []string) {
		d, err := newDeck([]string{"kill", "link-cut", "term"}, random(7, 1))
		if err != nil {
			t.Fatal(err)
		}
		f := fleetOf("a", "b", "c")
		for range 12 {
			fault, victim, _ := d.next(f)
			dealt = append(dealt, fault.name+victim.name)
		}
		return dealt
	}
	if a, b := deal(), deal(); !slices.Equal(a, b) {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestWithoutFaultsNothingIsDealt(t *testing.T) {
	t.Parallel()
	d, err := newDeck(nil, random(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if f, _, dealt := d.next(fleetOf("a")); dealt {
		t.Errorf("got %q", f.name)
	}
}

func TestAnswersAreComparedAsJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, want string
		same      bool
	}{
		{`{"a": 1, "b": [true]}`, `{"b":[true],"a":1}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{``, `null`, false},
		{`"\u00e9"`, "\"\u00e9\"", true},
	} {
		if got := same([]byte(c.got), c.want); got != c.same {
			t.Errorf("same(%s, %s) is %v", c.got, c.want, got)
		}
	}
}

func TestComplaintsAreFoundOnce(t *testing.T) {
	t.Parallel()
	n := &node{name: "a", log: t.TempDir() + "/a.log"}
	if _, _, err := n.complaints(); err == nil {
		t.Error("a missing log is no error")
	}
	write(t, n.log, "level=INFO msg=fine\nlevel=ERROR msg=\"panic in a hook\"\nWARNING: DATA RACE\n")
	bad, lines, err := n.complaints()
	if err != nil || len(bad) != 2 || lines != 3 {
		t.Errorf("got %q, %d lines, %v", bad, lines, err)
	}
	if bad, lines, err = n.complaints(); err != nil || len(bad) != 0 || lines != 0 {
		t.Errorf("again: got %q, %d lines, %v", bad, lines, err)
	}
}

func TestTheReportNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &soak{out: &out, fleet: fleetOf("a"), tally: newTally(), strikes: map[string]int{"kill": 2}}
	s.tally.add("calls", 5)
	s.tally.violation("node %s is wrong", "a")
	s.tally.violation("node %s is wrong", "a")
	s.sum.Lost, s.sum.Findings = 1, []string{"number 7 is lost"}
	s.quiet = []quiet{{cycle: 1, node: "a"}}
	s.report()
	for _, want := range []string{"calls", "fault kill", "LOST", "(2 times): node a is wrong", "number 7 is lost"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
