package main

import (
	"context"
	"fmt"
	"time"

	"github.com/skeinrt/skein/e2e/soak/judge"
)

const mib = 1 << 20

// idlers are goroutines that a node keeps for the next messages of its clients; it starts with none.
const idlers = 32

// afterStart is what a process may hold more than when it had just started, with all pools empty.
func afterStart() judge.Bounds {
	return judge.Bounds{RSS: 256 * mib, Heap: 48 * mib, Files: 6, Goroutines: idlers + 8}
}

// afterWarmUp is what it may hold more than after its first cycle: what leaks slowly adds up to more.
func afterWarmUp() judge.Bounds {
	return judge.Bounds{RSS: 96 * mib, Heap: 8 * mib, Files: 6, Goroutines: idlers + 4}
}

// mostLines bounds what a node may log in a cycle.
const mostLines = 20_000

// zero are the figures that are 0 when all clients have gone.
func zero() []string {
	return []string{"skein_connections", "skein_sessions", "skein_channels", "skein_engine_joined", "skein_engine_waiting"}
}

// never are the figures that are always 0.
func never() []string {
	return []string{"skein_panics_total", "skein_plugin_panics_total", "skein_engine_malformed_total"}
}

// base takes the reading that holds for all processes of a node: none is there yet but itself and the others.
func (s *soak) base(ctx context.Context, n *node) (err error) {
	n.base, _, err = n.read(ctx)
	return err
}

// measure waits until every node is back at its base, and tells what is not.
func (s *soak) measure(ctx context.Context) error {
	began := time.Now()
	for _, n := range s.fleet.nodes {
		var wrong []string
		var r judge.Reading
		for {
			var err error
			if r, wrong, err = s.excess(ctx, n); err != nil {
				return fmt.Errorf("measure node %s: %w", n.name, err)
			}
			if len(wrong) == 0 || time.Since(began) > patience || !pause(ctx, 500*time.Millisecond) {
				break
			}
		}
		if len(wrong) > 0 {
			if err := n.dump(ctx); err != nil {
				return err
			}
		}
		for _, w := range wrong {
			s.tally.violation("node %s, all clients gone: %s", n.name, w)
		}
		if n.warm == (judge.Reading{}) {
			n.warm = r
		}
		s.quiet = append(s.quiet, quiet{cycle: s.cycles, node: n.name, Reading: r})
	}
	s.readLogs()
	return nil
}

// excess is what a node holds and should not.
func (s *soak) excess(ctx context.Context, n *node) (judge.Reading, []string, error) {
	r, m, err := n.read(ctx)
	if err != nil {
		return r, nil, err
	}
	wrong := judge.Leaks(n.base, r, afterStart())
	if n.warm != (judge.Reading{}) {
		wrong = append(wrong, judge.Leaks(n.warm, r, afterWarmUp())...)
	}
	for _, name := range zero() {
		if m[name] != 0 {
			wrong = append(wrong, fmt.Sprintf("%s is %d, want 0", name, m[name]))
		}
	}
	for _, name := range never() {
		if m[name] != 0 {
			wrong = append(wrong, fmt.Sprintf("%s is %d, want 0", name, m[name]))
		}
	}
	return r, wrong, nil
}

// readLogs looks for traces of bugs.
func (s *soak) readLogs() {
	for _, n := range s.fleet.nodes {
		bad, lines, err := n.complaints()
		if err != nil {
			s.tally.violation("the log of node %s: %v", n.name, err)
		}
		for _, b := range bad {
			s.tally.violation("%s", b)
		}
		if lines > mostLines {
			s.tally.violation("node %s logged %d lines in a cycle, want at most %d", n.name, lines, mostLines)
		}
	}
}
