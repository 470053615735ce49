package natsengine

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/skeinrt/skein/engine"
)

// maxCuts bounds the changes that wait to be told; two that follow each other
// undo each other.
const maxCuts = 8

// teller calls the node's functions, from a goroutine that holds no lock and
// that nobody waits for. What has not been told yet is merged.
type teller struct {
	news chan struct{} // holds one when there is something

	mu      sync.Mutex
	gaps    map[string]struct{}
	changed bool
	cuts    []bool
	lost    bool // what the last cut said
}

func newTeller() *teller {
	return &teller{news: make(chan struct{}, 1), gaps: make(map[string]struct{})}
}

func (t *teller) gap(channels ...string) {
	if len(channels) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, channel := range channels {
		t.gaps[channel] = struct{}{}
	}
	t.wake()
}

func (t *teller) change() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = true
	t.wake()
}

// cut tells whether the others are lost, if that is different.
func (t *teller) cut(lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if lost == t.lost {
		return
	}
	t.lost = lost
	if t.cuts = append(t.cuts, lost); len(t.cuts) > maxCuts {
		t.cuts = t.cuts[2:]
	}
	t.wake()
}

func (t *teller) wake() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

func (t *teller) take() (gaps []string, changed bool, cuts []bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.gaps) > 0 {
		gaps = slices.Sorted(maps.Keys(t.gaps))
		clear(t.gaps)
	}
	changed, cuts = t.changed, t.cuts
	t.changed, t.cuts = false, nil
	return gaps, changed, cuts
}

func (t *teller) run(ctx context.Context, node engine.Node) {
	for {
		select {
		case <-t.news:
		case <-ctx.Done():
			return
		}
		gaps, changed, cuts := t.take()
		if changed {
			node.Changed()
		}
		for _, lost := range cuts {
			node.Cut(lost)
		}
		if len(gaps) > 0 {
			node.Gap(gaps)
		}
	}
}
