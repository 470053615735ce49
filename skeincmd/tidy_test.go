package skeincmd

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackWhenACrowdHasCome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		conns []int // at each look
		want  []int // the looks at which it is time
	}{
		{"nobody", []int{0, 0, 0}, nil},
		{"a few", []int{100, 499, 499, 499}, nil},
		{"a crowd, when it has come", []int{1000, 2000, 3000, 3001, 3001}, []int{3}},
		{"more of them, when they are many more", []int{3000, 3000, 3700, 3700, 3800, 3800}, []int{1, 5}},
		{"a crowd goes", []int{3000, 3000, 1500, 20, 20, 20}, []int{1, 4}},
		{"coming and going", []int{3000, 3000, 3030, 3000, 2980, 3000}, []int{1}},
	} {
		var tidier tidier
		var got []int
		for i, n := range test.conns {
			if tidier.due(n) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got it at the looks %v, want %v", test.name, got, test.want)
		}
	}
}

func TestSmallHeapsMayGrowMore(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 300, 1 << 20: 300, 8 << 20: 200, 16 << 20: 100, 1 << 30: 100} {
		if got := growth(live); got != want {
			t.Errorf("%d bytes: got %d %%, want %d", live, got, want)
		}
	}
}

func TestTidyingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var looks atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			tidy(ctx, false, func() int { return int(1000 * looks.Add(1) / 4) })
		}()
		<-time.After(10 * tidyInterval)
		cancel()
		<-done
		if n := looks.Load(); n < 9 || n > 10 {
			t.Errorf("got %d looks in ten intervals", n)
		}
	})
}
