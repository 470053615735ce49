package skeincmd

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyInterval = 500 * time.Millisecond
	tidyLeast    = 500 // connections whose coming is worth it

	// Go collects garbage when the heap has grown by its own size, which for a small heap is many times a second under
	// load. It may grow by this much, but at most to four times its size.
	garbageLeast = 16 << 20
	garbageMost  = 300 // percent
)

// tidier finds the moments at which memory is worth giving back to the system. A crowd that connects leaves garbage of a
// multiple of what its idle connections need, and Go would keep it until much more has gathered.
type tidier struct {
	last int // connections at the last look
	then int // connections when it was last tidied
}

// due reports whether their number has changed by a quarter since it was last tidied, and is at rest now.
func (t *tidier) due(conns int) bool {
	moved, changed := distance(conns, t.last), distance(conns, t.then)
	t.last = conns
	if moved > conns/100 || changed < max(tidyLeast, t.then/4) {
		return false
	}
	t.then = conns
	return true
}

func distance(a, b int) int { return max(a-b, b-a) }

// growth is by how many percent a heap with that many bytes alive may grow before garbage is collected.
func growth(live uint64) int {
	return int(min(garbageMost, max(100, garbageLeast*100/max(live, 1))))
}

// tidy looks after the process's memory until ctx is done: garbage is collected as often as growth says, unless somebody
// else has said so, and memory is given back when a crowd has come or gone. It is for the whole process, which is why the
// command does it and not the library.
func tidy(ctx context.Context, ownPace bool, conns func() int) {
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	var t tidier
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 100
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if t.due(conns()) {
			debug.FreeOSMemory()
		}
		if metrics.Read(live); ownPace && distance(growth(live[0].Value.Uint64()), percent) > percent/10 {
			percent = growth(live[0].Value.Uint64())
			debug.SetGCPercent(percent)
		}
	}
}
