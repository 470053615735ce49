package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func TestEveryDurationIsInABucketThatIsLittleLonger(t *testing.T) {
	t.Parallel()
	check := func(d time.Duration) {
		t.Helper()
		i := bucketOf(d)
		if i < 0 || i >= buckets {
			t.Fatalf("%d: got bucket %d of %d", d, i, buckets)
		}
		if top := longest(i); top < d || float64(top) > float64(d)*(1+1.0/fine) {
			t.Fatalf("%d: got the bucket up to %d", d, top)
		}
	}
	for d := range time.Duration(5000) {
		check(d)
	}
	for shift := range 63 {
		for _, near := range []time.Duration{-1, 0, 1} {
			check(max(0, time.Duration(1)<<shift+near))
		}
	}
	check(math.MaxInt64)
	for range 10_000 {
		check(time.Duration(rand.Int64N(math.MaxInt64) >> rand.IntN(63)))
	}
}

func TestBucketsFollowEachOtherWithoutGaps(t *testing.T) {
	t.Parallel()
	for i := range buckets - 1 {
		if got := bucketOf(longest(i) + 1); got != i+1 {
			t.Fatalf("behind bucket %d, which ends with %d: got bucket %d", i, longest(i), got)
		}
		if got := bucketOf(longest(i)); got != i {
			t.Fatalf("the longest of bucket %d is in bucket %d", i, got)
		}
	}
}

func TestQuantilesAreThoseOfASortedList(t *testing.T) {
	t.Parallel()
	var h histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(math.Exp(rand.NormFloat64()*2+13) + 1)
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.95, 0.99, 0.999, 1} {
		want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
		if got := h.quantile(q); got < want || float64(got) > float64(want)*(1+1.0/fine) {
			t.Errorf("%v: got %v, want %v or little more", q, got, want)
		}
	}
	if got, want := h.quantile(1), all[len(all)-1]; got != want {
		t.Errorf("the longest: got %v, want exactly %v", got, want)
	}
}

func TestHistogramKnowsMeanAndNothing(t *testing.T) {
	t.Parallel()
	var h histogram
	if h.mean() != 0 || h.quantile(0.5) != 0 || h.octaves() != nil {
		t.Errorf("empty: got %v, %v, %v, want nothing", h.mean(), h.quantile(0.5), h.octaves())
	}
	for _, d := range []time.Duration{time.Second, 3 * time.Second, -time.Hour} {
		h.add(d)
	}
	if got, want := h.mean(), 4*time.Second/3; got != want {
		t.Errorf("mean: got %v, want %v: what is negative counts as nothing", got, want)
	}
	if got := h.quantile(0.01); got != 0 {
		t.Errorf("shortest: got %v, want 0", got)
	}
}

func TestMergedHistogramsAreOne(t *testing.T) {
	t.Parallel()
	var a, b, both histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		both.add(d)
		if i%3 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(&b)
	if a != both {
		t.Errorf("got %v of %v, want %v of %v", a.total, a.sum, both.total, both.sum)
	}
}

// Not parallel: it counts what the process allocates.
func TestHistogramHasOneSize(t *testing.T) {
	if got := unsafe.Sizeof(histogram{}); got > 16<<10 {
		t.Errorf("got %d bytes, want 16 KiB at most", got)
	}
	h := new(histogram)
	if got := testing.AllocsPerRun(100, func() { h.add(time.Duration(rand.Int64())) }); got != 0 {
		t.Errorf("adding allocates %v times, want never", got)
	}
}

func TestOctavesAreWithoutGapsFromFirstToLast(t *testing.T) {
	t.Parallel()
	var h histogram
	for _, d := range []time.Duration{3, 1023, 1024, 30_000, 31_000} {
		h.add(d)
	}
	want := []Octave{{1 << 10, 2}, {1 << 11, 1}, {1 << 12, 0}, {1 << 13, 0}, {1 << 14, 0}, {1 << 15, 2}}
	if diff := cmp.Diff(want, h.octaves()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h = histogram{}
	h.add(math.MaxInt64)
	if got := h.octaves(); len(got) != 1 || got[0].Count != 1 {
		t.Errorf("the longest there is: got %v, want one octave", got)
	}
}

func BenchmarkHistogram(b *testing.B) {
	b.ReportAllocs()
	h := new(histogram)
	for i := range b.N {
		h.add(time.Duration(i) * 997)
	}
}
