package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// fault is one way to break a cluster. do breaks it and mends it.
type fault struct {
	name    string
	restart bool // the process of the node ends
	pauses  bool
	do      func(ctx context.Context, f *fleet, n *node) error
}

const (
	short = time.Second
	long  = 5 * time.Second // more than the three seconds after which a silent node counts as dead
)

func allFaults() []fault {
	held := func(d time.Duration, begin, end func(f *fleet, n *node)) func(context.Context, *fleet, *node) error {
		return func(ctx context.Context, f *fleet, n *node) error {
			begin(f, n)
			pause(ctx, d)
			end(f, n)
			return nil
		}
	}
	stop := func(_ *fleet, n *node) { freeze(n.cmd.Process) }
	goOn := func(_ *fleet, n *node) { thaw(n.cmd.Process) }
	return []fault{
		{name: "client-reset", do: held(short, func(_ *fleet, n *node) { n.clients.Reset() }, func(*fleet, *node) {})},
		{name: "client-freeze", do: held(long, func(_ *fleet, n *node) { n.clients.Freeze() }, func(_ *fleet, n *node) { n.clients.Heal() })},
		{name: "link-reset", do: held(short, func(_ *fleet, n *node) { n.links.Reset() }, func(*fleet, *node) {})},
		{name: "link-freeze", do: held(short, func(_ *fleet, n *node) { n.links.Freeze() }, func(_ *fleet, n *node) { n.links.Heal() })},
		{name: "link-freeze-long", do: held(long, func(_ *fleet, n *node) { n.links.Freeze() }, func(_ *fleet, n *node) { n.links.Heal() })},
		{name: "link-cut", do: held(long, func(_ *fleet, n *node) { n.links.Cut() }, func(_ *fleet, n *node) { n.links.Heal() })},
		{name: "link-swallow", do: held(long, func(_ *fleet, n *node) { n.links.Swallow() }, func(_ *fleet, n *node) { n.links.Heal() })},
		{name: "link-swallow-short", do: held(short, func(_ *fleet, n *node) { n.links.Swallow() }, func(_ *fleet, n *node) { n.links.Heal() })},
		{name: "all-links-reset", do: held(short, func(f *fleet, _ *node) { f.links(reset) }, func(*fleet, *node) {})},
		{name: "all-links-freeze", do: held(long, func(f *fleet, _ *node) { f.links(hold) }, func(f *fleet, _ *node) { f.links(heal) })},
		{name: "all-links-cut", do: held(long, func(f *fleet, _ *node) { f.links(cut) }, func(f *fleet, _ *node) { f.links(heal) })},
		{name: "pause", pauses: true, do: held(short, stop, goOn)},
		{name: "pause-long", pauses: true, do: held(long, stop, goOn)},
		{name: "kill", restart: true, do: killed},
		{name: "kill-long", restart: true, do: killedForLong},
		{name: "term", restart: true, do: terminated},
	}
}

func killed(ctx context.Context, _ *fleet, n *node) error {
	n.kill()
	return n.start(ctx)
}

func killedForLong(ctx context.Context, _ *fleet, n *node) error {
	n.kill()
	pause(ctx, long)
	return n.start(ctx)
}

func terminated(ctx context.Context, _ *fleet, n *node) error {
	if err := n.stop(); err != nil {
		return err
	}
	pause(ctx, short)
	return n.start(ctx)
}

// deck deals faults: each once, in random order, before any comes again.
type deck struct {
	all  []fault
	left []fault
	rand *rand.Rand
}

func newDeck(names []string, r *rand.Rand) (*deck, error) {
	d := &deck{rand: r}
	for _, f := range allFaults() {
		if !f.pauses || canPause {
			d.all = append(d.all, f)
		}
	}
	if len(names) == 1 && names[0] == "all" {
		return d, nil
	}
	known := d.all
	d.all = nil
	for _, name := range names {
		i := 0
		for i < len(known) && known[i].name != name {
			i++
		}
		if i == len(known) {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
		d.all = append(d.all, known[i])
	}
	return d, nil
}

// next deals a fault and its victim. The first node is never restarted, so that what it leaks slowly adds up.
func (d *deck) next(f *fleet) (fault, *node, bool) {
	if len(d.all) == 0 {
		return fault{}, nil, false
	}
	if len(d.left) == 0 {
		d.left = append(d.left, d.all...)
		d.rand.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	dealt := d.left[0]
	d.left = d.left[1:]
	victims := f.nodes
	if dealt.restart && len(victims) > 1 {
		victims = victims[1:]
	}
	return dealt, victims[d.rand.IntN(len(victims))], true
}
