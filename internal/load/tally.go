package load

// verdict is what a subscriber says about a message.
type verdict uint8

const (
	inOrder  verdict = iota // newer than all before, though some in between may be missing
	late                    // one in between that was missing
	repeated                // one that has come already
)

// tally is what a subscriber knows of the numbers of one publisher.
type tally struct {
	last   uint64
	recent uint64 // bit i: last-i has come
}

// see takes down a number. What is further back than the tally remembers counts as late.
func (t *tally) see(number uint64) verdict {
	if number > t.last {
		t.recent = t.recent<<(number-t.last) | 1
		t.last = number
		return inOrder
	}
	bit := uint64(1) << (t.last - number) // 0 beyond what is remembered
	if t.recent&bit != 0 {
		return repeated
	}
	t.recent |= bit
	return late
}
