package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// report prints what was done and found.
func (s *soak) report() {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("\nseed %d, %v, %d cycles of %d nodes\n", s.seed, time.Since(s.began).Round(time.Second), s.cycles, len(s.fleet.nodes))
	line("done\tcount\t")
	for _, what := range sorted(s.tally.counts) {
		line("%s\t%d\t", what, s.tally.counts[what])
	}
	for _, name := range sorted(s.strikes) {
		line("fault %s\t%d\t", name, s.strikes[name])
	}
	line("\ndelivery\tcount\t")
	for _, row := range []struct {
		what  string
		count int
	}{
		{"published and acknowledged", s.sum.Published},
		{"answered with an error", s.sum.Refused},
		{"sent without an answer", s.sum.Unknown},
		{"subscriptions", s.sum.Views},
		{"delivered", s.sum.Delivered},
		{"told of gaps", s.sum.Gaps},
		{"missing and told", s.sum.Told},
		{"of these sent while nothing was broken", s.sum.Surprises},
		{"missing where nobody was left to be told", s.sum.Undecided},
		{"LOST", s.sum.Lost},
		{"REPEATED", s.sum.Repeated},
		{"REORDERED", s.sum.Reordered},
		{"FORGED", s.sum.Forged},
	} {
		line("%s\t%d\t", row.what, row.count)
	}
	line("\nquiet after cycle\tnode\tresident MiB\theap MiB\tdescriptors\tgoroutines\t")
	for _, q := range s.quiet {
		line("%d\t%s\t%.1f\t%.2f\t%d\t%d\t", q.cycle, q.node, float64(q.RSS)/mib, float64(q.Heap)/mib, q.Files, q.Goroutines)
	}
	_ = w.Flush() // there is nobody to tell
	for _, f := range s.sum.Findings {
		_, _ = fmt.Fprintln(s.out, "VIOLATION:", f)
	}
	for _, text := range sorted(s.tally.wrong) {
		_, _ = fmt.Fprintf(s.out, "VIOLATION (%d times): %s\n", s.tally.wrong[text], text)
	}
}
