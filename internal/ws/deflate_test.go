package ws

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

// prose gives n compressible octets.
func prose(n int) []byte {
	words := strings.Fields("alpha channel node publish subscribe frame token window cluster message delay order replay epoch")
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, `{"%s":%d},`, words[rng.IntN(len(words))], rng.IntN(1000))
	}
	return b.Bytes()[:n]
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(b)
	return b
}

// flatten compresses with the standard library, as a peer would.
func flatten(tb testing.TB, p []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := stdflate.NewWriter(&b, stdflate.BestCompression)
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = w.Write(p)
	_ = w.Flush()
	return b.Bytes()[:b.Len()-syncTail]
}

func TestCompressedFrameIsReadByTheStandardLibrary(t *testing.T) {
	t.Parallel()
	var pools flatePools
	for _, n := range []int{minDeflate, 1000, 40000, 200000} {
		f := NewFrame(false, prose(n))
		flat := f.compressed(&pools, maxWindow)
		if flat == f || flat.Len() >= f.Len() || f.compressed(&pools, maxWindow) != flat {
			t.Fatalf("%d octets: got %d compressed, want fewer and only once", n, flat.Len())
		}
		g, err := readFrame(bytes.NewReader(flat.data))
		if err != nil || g.first != bitFin|bitRsv1|opText {
			t.Fatalf("%d octets: got frame %#x, %v", n, g.first, err)
		}
		plain, err := io.ReadAll(stdflate.NewReader(strings.NewReader(g.payload + deflateTail)))
		if err != nil || !bytes.Equal(plain, prose(n)) {
			t.Errorf("%d octets: got %d back, %v", n, len(plain), err)
		}
	}
}

func TestFrameThatWouldNotGetSmallerStaysPlain(t *testing.T) {
	t.Parallel()
	var pools flatePools
	for name, f := range map[string]*Frame{
		"short": NewFrame(false, prose(minDeflate-1)),
		"noise": NewFrame(true, noise(4096)),
	} {
		if f.compressed(&pools, maxWindow) != f {
			t.Errorf("%s: got another frame, want the same", name)
		}
	}
}

func TestInflatingIsBounded(t *testing.T) {
	t.Parallel()
	var pools flatePools
	bomb := flatten(t, make([]byte, 16<<20))
	if len(bomb) > 32<<10 {
		t.Fatalf("the bomb has %d octets", len(bomb))
	}
	for _, tc := range []struct {
		name string
		flat []byte
		most int
		want int // octets, or a close code
	}{
		{"nothing", []byte{0}, 10, 0},
		{"no block at all", nil, 10, -CodeInvalidData},
		{"below the limit", flatten(t, prose(1000)), 1001, 1000},
		{"at the limit", flatten(t, prose(1000)), 1000, 1000},
		{"over the limit", flatten(t, prose(1000)), 999, -CodeTooBig},
		{"a bomb", bomb, 1 << 20, -CodeTooBig},
		{"all of the bomb", bomb, 16 << 20, 16 << 20},
		{"not deflate", []byte{0xff, 0xff, 0xff, 0xff, 0x00}, 100, -CodeInvalidData},
		{"not deflate behind the limit", append(flatten(t, prose(1000)), 0xff, 0xff, 0xff), 1000, -CodeInvalidData},
		{"cut", flatten(t, prose(1000))[:20], 1000, -CodeInvalidData},
		{"a final block (RFC 7692 §7.2.3.4)", []byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00}, 10, 5},
		{"two blocks (RFC 7692 §7.2.3.5)", []byte{0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00}, 10, 5},
	} {
		for range 2 { // a pooled inflater must forget the failure before
			got, err := pools.inflate(bytes.Clone(tc.flat), tc.most)
			switch {
			case tc.want < 0 && (err == nil || closeCode(t, err) != -tc.want):
				t.Errorf("%s: got %d octets, %v, want close code %d", tc.name, len(got), err, -tc.want)
			case tc.want >= 0 && (err != nil || len(got) != tc.want || cap(got) > max(tc.most, 64)):
				t.Errorf("%s: got %d of %d octets, %v, want %d", tc.name, len(got), cap(got), err, tc.want)
			}
		}
	}
}

func TestCompressedMessagesFollowTheirOwnRules(t *testing.T) {
	t.Parallel()
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	flat := func(first byte, s string) raw { return raw{first: first | bitRsv1, payload: s} }
	surrogate := string(flatten(t, []byte("<\xed\xa0\x80>")))
	big := string(flatten(t, make([]byte, 5000)))
	stored := string(flatten(t, noise(4096)))
	for _, tc := range []decodeCase{
		{"one frame", []raw{flat(bitFin|opText, hello)}, "1:Hello;", 0},
		{"plain between", []raw{text("a"), flat(bitFin|opText, hello), text("b")}, "1:a;1:Hello;1:b;", 0},
		{"fragments and a ping", []raw{flat(opText, hello[:3]), ping("p"), last(hello[3:])}, "9:p;1:Hello;", 0},
		{"rsv1 on a continuation", []raw{flat(opText, hello[:3]), flat(bitFin, hello[3:])}, "", CodeProtocol},
		{"rsv1 on a ping", []raw{flat(bitFin|opPing, "x")}, "", CodeProtocol},
		{"rsv1 on a close", []raw{flat(bitFin|opClose, "")}, "", CodeProtocol},
		{"rsv2", []raw{{first: bitFin | 0x20 | opText}}, "", CodeProtocol},
		{"rsv1 and rsv2", []raw{{first: bitFin | 0x60 | opText}}, "", CodeProtocol},
		{"hidden surrogate", []raw{flat(bitFin|opText, surrogate)}, "", CodeInvalidData},
		{"binary may hide anything", []raw{flat(bitFin|opBinary, surrogate)}, "2:<\xed\xa0\x80>;", 0},
		{"too big once inflated", []raw{flat(bitFin|opBinary, big)}, "", CodeTooBig},
		{"what does not shrink may be a little longer than the limit", []raw{flat(bitFin|opBinary, stored)}, "2:" + string(noise(4096)) + ";", 0},
		{"but not much", []raw{{first: bitFin | bitRsv1 | opBinary, payload: "x", declare: 4200}}, "", CodeTooBig},
	} {
		octets := wire(tc.frames...)
		for _, piece := range []int{1, 5, len(octets)} {
			r := rules{max: 4096, deflate: true, pools: new(flatePools)}
			if got, want := decodeIn(t, r, octets, piece), (said{tc.want, tc.code}); got != want {
				t.Errorf("%s, in pieces of %d: got %.60q %d, want %.60q %d", tc.name, piece, got.events, got.code, want.events, want.code)
			}
		}
	}
}

func TestTooBigHasItsCause(t *testing.T) {
	t.Parallel()
	for want, frames := range map[error][]raw{
		ErrMessage:   {text(strings.Repeat("x", 101))},
		ErrInflated:  {{first: bitFin | bitRsv1 | opText, payload: string(flatten(t, make([]byte, 1000)))}},
		ErrFragments: append([]raw{frag(opText, "")}, slices.Repeat([]raw{frag(0, "")}, maxEmptyFragments)...),
	} {
		var d decoder
		d.reset(rules{max: 100, deflate: true, pools: new(flatePools)})
		var err error
		for b := wire(frames...); len(b) > 0 && err == nil; {
			_, b, err = d.next(b)
		}
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func FuzzInflateNeverExceedsItsBound(f *testing.F) {
	f.Add([]byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, uint16(5))
	f.Add(flatten(f, make([]byte, 100000)), uint16(1000))
	var pools flatePools
	f.Fuzz(func(t *testing.T, flat []byte, most uint16) {
		limit := int(most) + 1
		plain, err := pools.inflate(bytes.Clone(flat), limit)
		if len(plain) > limit {
			t.Fatalf("got %d octets, want at most %d", len(plain), limit)
		}
		if err != nil {
			if code := closeCode(t, err); code != CodeTooBig && code != CodeInvalidData {
				t.Fatalf("got code %d", code)
			}
			return
		}
		if again, err := pools.inflate(flatten(t, plain), limit); err != nil || !bytes.Equal(again, plain) {
			t.Fatalf("got %d octets back, %v, want %d", len(again), err, len(plain))
		}
	})
}

func BenchmarkDeflate(b *testing.B) {
	for _, n := range []int{1024, 16384} {
		p := prose(n)
		b.Run(fmt.Sprintf("klauspost/%d", n), func(b *testing.B) {
			var pools flatePools
			b.SetBytes(int64(n))
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = pools.deflate(0xc1, p, maxWindow).Len()
			}
			b.ReportMetric(float64(size), "octets")
		})
		for _, level := range []int{1, 6} {
			b.Run(fmt.Sprintf("std/%d/level%d", n, level), func(b *testing.B) {
				var out bytes.Buffer
				w, _ := stdflate.NewWriter(&out, level)
				b.SetBytes(int64(n))
				for b.Loop() {
					out.Reset()
					w.Reset(&out)
					_, _ = w.Write(p)
					_ = w.Flush()
				}
				b.ReportMetric(float64(out.Len()), "octets")
			})
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	flat := flatten(b, prose(16384))
	b.Run("klauspost", func(b *testing.B) {
		r := flate.NewReader(nil)
		b.SetBytes(16384)
		for b.Loop() {
			_ = r.(flate.Resetter).Reset(bytes.NewReader(flat), nil)
			_, _ = io.Copy(io.Discard, r)
		}
	})
	b.Run("std", func(b *testing.B) {
		r := stdflate.NewReader(nil)
		b.SetBytes(16384)
		for b.Loop() {
			_ = r.(stdflate.Resetter).Reset(bytes.NewReader(flat), nil)
			_, _ = io.Copy(io.Discard, r)
		}
	})
}
