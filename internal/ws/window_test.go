package ws

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"io"
	"strings"
	"testing"
)

// A compressed message must not refer back further than the window that was agreed. Inflaters hardly notice when one does,
// so this one looks.
func TestCompressedFrameRefersBackNoFurtherThanItsWindow(t *testing.T) {
	t.Parallel()
	var pools flatePools
	for window := minWindow; window <= maxWindow; window++ {
		size := 1 << window
		for name, payload := range map[string][]byte{
			"prose":                        prose(200000),
			"far repetitions":              bytes.Repeat(prose(size+16), 4),
			"repetitions as far as it may": bytes.Repeat(prose(size), 4),
			"zeros":                        make([]byte, 70000),
		} {
			f := NewFrame(true, payload)
			flat := f.compressed(&pools, window)
			if flat == f || flat != f.compressed(&pools, window) {
				t.Fatalf("%d bits, %s: got %d octets of %d, want fewer and only once", window, name, flat.Len(), f.Len())
			}
			body := string(flat.data[flat.head:]) + deflateTail
			plain, err := io.ReadAll(stdflate.NewReader(strings.NewReader(body)))
			if err != nil || !bytes.Equal(plain, payload) {
				t.Errorf("%d bits, %s: got %d octets back, %v", window, name, len(plain), err)
			}
			if far, err := farthest(strings.NewReader(body)); err != nil || far > size || window < maxWindow && far < size/2 && name == "prose" {
				t.Errorf("%d bits, %s: got a reference %d octets back, %v, want at most %d and not far less", window, name, far, err, size)
			}
		}
	}
}

func TestFrameIsSharedByThoseWithTheSameWindow(t *testing.T) {
	t.Parallel()
	var pools flatePools
	f := NewFrame(false, prose(100000))
	small, large := f.compressed(&pools, 9), f.compressed(&pools, 14)
	if small == large || small.Len() <= large.Len() || f.compressed(&pools, 9) != small || f.compressed(&pools, 14) != large {
		t.Errorf("got %d octets with 9 bits and %d with 14, want two frames, the first one longer, and each made once", small.Len(), large.Len())
	}
}

// bitReader reads what DEFLATE (RFC 1951) packs.
type bitReader struct {
	r   io.ByteReader
	b   byte
	n   int
	far int // the farthest reference so far
}

func (r *bitReader) bits(n int) int {
	v := 0
	for i := range n {
		if r.n == 0 {
			var err error
			if r.b, err = r.r.ReadByte(); err != nil {
				panic(err)
			}
			r.n = 8
		}
		v |= int(r.b&1) << i
		r.b >>= 1
		r.n--
	}
	return v
}

// huffman is a canonical code: the symbols by length and code.
type huffman map[[2]int]int

func newHuffman(lengths []int) huffman {
	h := huffman{}
	code := 0
	for length := 1; length <= 15; length++ {
		for symbol, l := range lengths {
			if l == length {
				h[[2]int{length, code}] = symbol
				code++
			}
		}
		code <<= 1
	}
	return h
}

func (r *bitReader) symbol(h huffman) int {
	code := 0
	for length := 1; length <= 15; length++ {
		code = code<<1 | r.bits(1)
		if s, ok := h[[2]int{length, code}]; ok {
			return s
		}
	}
	panic(errors.New("no such code"))
}

// farthest gives the farthest reference of a DEFLATE stream.
func farthest(from io.ByteReader) (far int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err, _ = v.(error)
		}
	}()
	r := &bitReader{r: from}
	for final := 0; final == 0; {
		final = r.bits(1)
		switch r.bits(2) {
		case 0:
			r.n = 0
			n := r.bits(16)
			r.bits(16)
			for range n {
				r.bits(8)
			}
		case 1:
			r.block(newHuffman(slicesOf(144, 8, 112, 9, 24, 7, 8, 8)), newHuffman(slicesOf(30, 5)))
		case 2:
			r.block(r.codes())
		default:
			return 0, errors.New("no such block")
		}
	}
	return r.far, nil
}

// slicesOf gives so many values each, as in (count, value, count, value).
func slicesOf(pairs ...int) (list []int) {
	for i := 0; i < len(pairs); i += 2 {
		for range pairs[i] {
			list = append(list, pairs[i+1])
		}
	}
	return list
}

// codes reads the codes of a block that brings its own.
func (r *bitReader) codes() (literals, distances huffman) {
	nl, nd, nc := r.bits(5)+257, r.bits(5)+1, r.bits(4)+4
	meta := make([]int, 19)
	for _, at := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nc] {
		meta[at] = r.bits(3)
	}
	h := newHuffman(meta)
	var lengths []int
	for len(lengths) < nl+nd {
		switch s := r.symbol(h); s {
		case 16:
			lengths = append(lengths, slicesOf(3+r.bits(2), lengths[len(lengths)-1])...)
		case 17:
			lengths = append(lengths, slicesOf(3+r.bits(3), 0)...)
		case 18:
			lengths = append(lengths, slicesOf(11+r.bits(7), 0)...)
		default:
			lengths = append(lengths, s)
		}
	}
	return newHuffman(lengths[:nl]), newHuffman(lengths[nl:])
}

func (r *bitReader) block(literals, distances huffman) {
	for {
		s := r.symbol(literals)
		switch {
		case s == 256:
			return
		case s > 264 && s < 285:
			r.bits((s - 261) / 4)
		}
		if s < 256 {
			continue
		}
		d := r.symbol(distances)
		distance := d + 1
		if d > 3 {
			extra := d/2 - 1
			distance = (2+d%2)<<extra + r.bits(extra) + 1
		}
		r.far = max(r.far, distance)
	}
}
