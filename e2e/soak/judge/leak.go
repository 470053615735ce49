package judge

import "fmt"

// Reading is what a process holds at a quiet moment.
type Reading struct {
	// RSS is the resident memory in octets.
	RSS int
	// Heap is what lives on the heap after a collection, in octets.
	Heap int
	// Files is how many descriptors are open.
	Files int
	// Goroutines is how many there are.
	Goroutines int
}

// Bounds are how much a process may hold more than at its base.
type Bounds Reading

// Leaks says what of a reading exceeds the base by more than the bounds.
func Leaks(base, now Reading, b Bounds) []string {
	var found []string
	for _, m := range []struct {
		what             string
		base, now, bound int
	}{
		{"octets of resident memory", base.RSS, now.RSS, b.RSS},
		{"octets on the heap", base.Heap, now.Heap, b.Heap},
		{"open descriptors", base.Files, now.Files, b.Files},
		{"goroutines", base.Goroutines, now.Goroutines, b.Goroutines},
	} {
		if m.now > m.base+m.bound {
			found = append(found, fmt.Sprintf("%d %s, want at most %d more than %d", m.now, m.what, m.bound, m.base))
		}
	}
	return found
}
