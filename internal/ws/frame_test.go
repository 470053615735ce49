package ws

import (
	"bytes"
	"strings"
	"testing"

	gobwas "github.com/gobwas/ws"
)

func TestFrameIsEncodedTheSameBothWays(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 127, 200, 65535, 65536, 100000} {
		for _, binary := range []bool{false, true} {
			payload := strings.Repeat("p", n)
			f := NewFrame(binary, []byte(payload))
			g, err := readFrame(bytes.NewReader(f.data))
			if err != nil || g.payload != payload || g.masked || g.first != bitFin|dataOpcode(binary) {
				t.Errorf("%d octets, binary %v: got %#x, masked %v, %d octets, %v", n, binary, g.first, g.masked, len(g.payload), err)
			}
			if f.Len() != n+headSize(n) {
				t.Errorf("%d octets: got length %d", n, f.Len())
			}
			for _, hint := range []int{-1, 0, n, n + 100} {
				h := NewFrameFunc(binary, hint, func(dst []byte) []byte { return append(dst, payload...) })
				if !bytes.Equal(h.data, f.data) || h.head != f.head {
					t.Errorf("%d octets, hint %d: the frames differ", n, hint)
				}
			}
		}
	}
}

func TestFrameKeepsItsOctetsWhenThePayloadChanges(t *testing.T) {
	t.Parallel()
	payload := []byte("before")
	f := NewFrame(false, payload)
	copy(payload, "behind")
	if got := string(f.data[f.head:]); got != "before" {
		t.Errorf("got %q, want the octets of the call", got)
	}
}

func TestMaskingLeavesTheSharedFrameUntouched(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 3, 40, 126, 70000} {
		payload := strings.Repeat("q", n)
		f := NewFrame(true, []byte(payload))
		before := bytes.Clone(f.data)
		m := f.masked()
		if !bytes.Equal(f.data, before) {
			t.Fatalf("%d octets: the shared frame changed", n)
		}
		g, err := readFrame(bytes.NewReader(m.data))
		if err != nil || !g.masked || g.payload != payload {
			t.Errorf("%d octets: got masked %v, %d octets, %v", n, g.masked, len(g.payload), err)
		}
		if n > 8 && bytes.Contains(m.data, []byte(payload)) {
			t.Errorf("%d octets: the payload is legible", n)
		}
	}
}

func TestSmallFrameIsOneAllocation(t *testing.T) {
	payload := make([]byte, 120)
	if got := testing.AllocsPerRun(100, func() { NewFrame(false, payload) }); got > 1 {
		t.Errorf("got %v allocations for 120 octets, want 1", got)
	}
	encode := func(dst []byte) []byte { return append(dst, payload...) }
	if got := testing.AllocsPerRun(100, func() { NewFrameFunc(false, 120, encode) }); got > 2 {
		t.Errorf("got %v allocations for 120 octets in place, want 2", got)
	}
}

func FuzzMaskAtAnyOffset(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef-tail"), uint32(0xdeadbeef), uint8(3))
	f.Fuzz(func(t *testing.T, payload []byte, key uint32, offset uint8) {
		mask := [4]byte{byte(key), byte(key >> 8), byte(key >> 16), byte(key >> 24)}
		want := bytes.Clone(payload)
		for i := range want {
			want[i] ^= mask[(i+int(offset))%4]
		}
		gobwas.Cipher(payload, mask, int(offset))
		if !bytes.Equal(payload, want) {
			t.Fatalf("offset %d: got %x, want %x", offset, payload, want)
		}
	})
}

func BenchmarkNewFrame(b *testing.B) {
	payload := make([]byte, 120)
	b.ReportAllocs()
	for b.Loop() {
		NewFrame(false, payload)
	}
}
