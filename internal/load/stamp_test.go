package load

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func found(b []byte) []stamp {
	var all []stamp
	for s, rest, ok := findStamp(b); ok; s, rest, ok = findStamp(rest) {
		all = append(all, s)
	}
	return all
}

func TestStampsAreFoundInWhateverIsAroundThem(t *testing.T) {
	t.Parallel()
	one := stamp{publisher: 3, channel: 5, number: 77, at: time.Hour + 5}
	two := stamp{publisher: mostPublishers - 1, channel: mostChannels - 1, number: 1<<36 - 1, at: 1<<48 - 1}
	put := func(s stamp) string {
		b := make([]byte, stampSize)
		s.put(b)
		return string(b)
	}
	for name, c := range map[string]struct {
		text string
		want []stamp
	}{
		"nothing":      {"", nil},
		"no stamp":     {`{"event":"#publish"}`, nil},
		"alone":        {put(one), []stamp{one}},
		"in a packet":  {`{"event":"#publish","data":{"channel":"a","data":"` + put(one) + `xxx"}}`, []stamp{one}},
		"in a batch":   {`["` + put(one) + `","` + put(two) + `"]`, []stamp{one, two}},
		"close by":     {put(one) + put(two) + put(one), []stamp{one, two, one}},
		"cut off":      {put(one) + put(two)[:stampSize-1], []stamp{one}},
		"behind marks": {"@@@" + put(one), []stamp{one}},
		"broken":       {"@@" + strings.Repeat("g", stampSize) + put(two), []stamp{two}},
		"in capitals":  {strings.ToUpper(put(two)), nil},
		"an odd digit": {"@@000G" + put(two)[6:] + put(one), []stamp{one}},
	} {
		if diff := cmp.Diff(c.want, found([]byte(c.text)), cmp.AllowUnexported(stamp{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStampIsTextThatJSONNeedNotEscape(t *testing.T) {
	t.Parallel()
	b := bytes.Repeat([]byte{'x'}, leastSize)
	stamp{publisher: 0xabcd, channel: 0x12345, number: 0x6789abcde, at: 0xfedcba987654}.put(b)
	if got, want := string(b), "@@abcd123456789abcdefedcba987654"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Not parallel: it counts what the process allocates.
func TestStampsCostNoMemory(t *testing.T) {
	b := []byte(`{"event":"#publish","data":{"channel":"bench0","data":"` + strings.Repeat("x", 128) + `"}}`)
	got := testing.AllocsPerRun(100, func() {
		stamp{1, 4, 2, 3}.put(b[54:])
		if s, _, ok := findStamp(b); !ok || s.number != 2 {
			t.Errorf("got %v, %v, want number 2", s, ok)
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want none", got)
	}
}

func FuzzFindStamp(f *testing.F) {
	b := make([]byte, stampSize)
	stamp{1, 4, 2, 3}.put(b)
	f.Add(b)
	f.Add(append([]byte("@@@@"), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := b
		for {
			s, behind, ok := findStamp(rest)
			if !ok {
				return
			}
			again := make([]byte, stampSize)
			s.put(again)
			if end := len(b) - len(behind); !bytes.Equal(again, b[end-stampSize:end]) {
				t.Fatalf("got %q, want %q", again, b[end-stampSize:end])
			}
			rest = behind
		}
	})
}

func BenchmarkFindStamp(b *testing.B) {
	b.ReportAllocs()
	frame := newTemplate(socketCluster{}, "bench0", 128, false)
	bytes := frame.stamped(stamp{1, 4, 2, 3})
	for range b.N {
		if _, _, ok := findStamp(bytes); !ok {
			b.Fatal("not found")
		}
	}
}
