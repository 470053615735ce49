package load

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTallyTellsLateFromRepeated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		numbers []uint64
		want    []verdict
	}{
		"in order":             {[]uint64{1, 2, 3}, []verdict{inOrder, inOrder, inOrder}},
		"a gap":                {[]uint64{1, 5, 6}, []verdict{inOrder, inOrder, inOrder}},
		"two change places":    {[]uint64{2, 1, 3}, []verdict{inOrder, late, inOrder}},
		"again at once":        {[]uint64{1, 1, 2}, []verdict{inOrder, repeated, inOrder}},
		"again later":          {[]uint64{1, 2, 3, 1}, []verdict{inOrder, inOrder, inOrder, repeated}},
		"late, and again":      {[]uint64{1, 3, 2, 2}, []verdict{inOrder, inOrder, late, repeated}},
		"as far as remembered": {[]uint64{1, 64, 1}, []verdict{inOrder, inOrder, repeated}},
		"forgotten":            {[]uint64{1, 65, 1}, []verdict{inOrder, inOrder, late}},
		"a leap":               {[]uint64{1, 1 << 40, 1<<40 - 1, 2}, []verdict{inOrder, inOrder, late, late}},
	} {
		var tl tally
		var got []verdict
		for _, n := range c.numbers {
			got = append(got, tl.see(n))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, %v: got %v, want %v", name, c.numbers, got, c.want)
		}
	}
}

// The reference remembers everything.
func TestTallyCountsAsIfItRememberedEverything(t *testing.T) {
	t.Parallel()
	for range 50 {
		var tl tally
		seen := map[uint64]bool{}
		newest := uint64(0)
		for i := range uint64(1000) {
			n := i + rand.Uint64N(30) + 1
			want := inOrder
			switch {
			case seen[n]:
				want = repeated
			case n < newest:
				want = late
			}
			seen[n], newest = true, max(newest, n)
			if got := tl.see(n); got != want {
				t.Fatalf("%d with %d as the newest: got %v, want %v", n, newest, got, want)
			}
		}
	}
}
