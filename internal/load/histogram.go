package load

import (
	"math"
	"math/bits"
	"time"
)

// Buckets are as wide as 1/32 of a power of two, so that a quantile is at most 3 % too large.
const (
	fineBits = 5
	fine     = 1 << fineBits
	buckets  = (64 - fineBits) * fine
)

// histogram counts durations. Its size does not depend on them.
type histogram struct {
	counts [buckets]int64
	total  int64
	sum    time.Duration
	most   time.Duration
}

// bucketOf is exact below 2·fine; above, it keeps the leading fineBits+1 bits.
func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < fine {
		return int(v)
	}
	shift := bits.Len64(v) - fineBits - 1
	return shift*fine + int(v>>shift) //nolint:gosec // below 2·fine
}

// longest is the longest duration of a bucket.
func longest(bucket int) time.Duration {
	if bucket < fine {
		return time.Duration(bucket)
	}
	shift := bucket/fine - 1
	return time.Duration((uint64(bucket-shift*fine)+1)<<shift - 1) //nolint:gosec // fits for every bucket there is
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
	h.sum += max(d, 0)
	h.most = max(h.most, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// quantile is the duration that a share q of what was counted does not exceed, 0 where nothing was.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(1, int64(math.Ceil(q*float64(h.total))))
	var seen int64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(longest(i), h.most)
		}
	}
	return 0
}

func (h *histogram) mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return h.sum / time.Duration(h.total)
}

func (h *histogram) summary() Latency {
	return Latency{
		Mean: Millis(h.mean()), P50: Millis(h.quantile(0.5)), P95: Millis(h.quantile(0.95)),
		P99: Millis(h.quantile(0.99)), P999: Millis(h.quantile(0.999)), Max: Millis(h.most),
	}
}

// octaves gives the counts by powers of two, which are edges of buckets, from the first one that has any to the last.
// What is shorter than a microsecond is one of them.
func (h *histogram) octaves() []Octave {
	var all []Octave
	for i, n := range h.counts {
		if n == 0 {
			continue
		}
		upTo := time.Duration(1 << 10)
		for upTo <= longest(i) && upTo < 1<<62 {
			upTo *= 2
		}
		if len(all) == 0 {
			all = []Octave{{UpTo: Millis(upTo)}}
		}
		for all[len(all)-1].UpTo < Millis(upTo) {
			all = append(all, Octave{UpTo: all[len(all)-1].UpTo * 2})
		}
		all[len(all)-1].Count += n
	}
	return all
}
