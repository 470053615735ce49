package skein

import (
	"runtime"
	"sync"
	"time"
)

const (
	turnsEach = 16                   // new connections that are being let in, for each processor
	turnTime  = 5 * time.Millisecond // after which one no longer counts: it waits for its client, not for this server
)

// turnstile paces the accepting of connections. Of thousands that come at once each would become a goroutine that is
// ready to run, and established connections would wait for all of them; those who wait outside instead, in the listener's
// backlog, cost nothing. Whoever is slow to say what he wants does not keep others waiting for longer than a turn.
type turnstile struct{ free chan struct{} }

func newTurnstile() turnstile {
	return turnstile{make(chan struct{}, turnsEach*runtime.GOMAXPROCS(0))}
}

// pass waits for a turn, which ends by itself or when the caller calls end.
func (t turnstile) pass() (end func()) {
	t.free <- struct{}{}
	leave := sync.OnceFunc(func() { <-t.free })
	timer := time.AfterFunc(turnTime, leave)
	return func() {
		timer.Stop()
		leave()
	}
}
