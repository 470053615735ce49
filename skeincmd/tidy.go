package skeincmd

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	tidyInterval = 500 * time.Millisecond
	tidyLeast    = 500 // connections whose coming is worth it
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

// tidy looks after the number of connections until ctx is done. What it does is for the whole process, which is why the
// command does it and not the library.
func tidy(ctx context.Context, conns func() int) {
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	var t tidier
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if t.due(conns()) {
			debug.FreeOSMemory()
		}
	}
}
