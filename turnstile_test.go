package skein

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnstileLetsFewInAtOnceAndWaitsForNobodyLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurnstile()
		n := turnsEach * runtime.GOMAXPROCS(0)
		began := time.Now()
		var ends []func()
		for range n {
			ends = append(ends, turns.pass())
		}
		if got := time.Since(began); got != 0 {
			t.Errorf("the first %d waited %v", n, got)
		}
		ends[0]()
		ends[0]() // counts once
		turns.pass()
		if got := time.Since(began); got != 0 {
			t.Errorf("one who came when another was through waited %v", got)
		}
		end := turns.pass()
		if got := time.Since(began); got != turnTime {
			t.Errorf("one too many waited %v, want %v", got, turnTime)
		}
		end()
		<-time.After(2 * turnTime)
		if got := len(turns.free); got != 0 {
			t.Errorf("%d turns have not ended", got)
		}
	})
}
