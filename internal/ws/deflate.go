package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// minDeflate is the shortest payload worth compressing: below it the gain is less than the work.
	minDeflate = 512

	deflateLevel = flate.BestSpeed

	// A compressed message lacks the end of its last block (RFC 7692 §7.2.2); the final empty block ends the stream.
	deflateTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
	syncTail    = 4
)

// flatePools lends compressors, which are too big (a deflater has some 100 KB and more) to belong to a connection. None
// keeps a context from one message to the next.
type flatePools struct {
	deflaters [windows]sync.Pool // by window
	inflaters sync.Pool
}

type deflater struct {
	out bytes.Buffer
	w   *flate.Writer
}

type inflater struct {
	in bytes.Reader
	r  io.ReadCloser
}

// newDeflater makes a compressor that refers back no further than a window of so many bits.
func newDeflater(window int) (d *deflater, err error) {
	d = new(deflater)
	if window == maxWindow {
		d.w, err = flate.NewWriter(&d.out, deflateLevel)
	} else {
		d.w, err = flate.NewWriterWindow(&d.out, 1<<window)
	}
	return d, err
}

// deflate makes a frame of the payload, compressed with a window of so many bits; nil if that cannot be done.
func (p *flatePools) deflate(first byte, payload []byte, window int) *Frame {
	pool := &p.deflaters[window-minWindow]
	d, _ := pool.Get().(*deflater)
	if d == nil {
		var err error
		if d, err = newDeflater(window); err != nil {
			return nil
		}
	}
	defer pool.Put(d)
	d.out.Reset()
	d.w.Reset(&d.out)
	if _, err := d.w.Write(payload); err != nil {
		return nil
	}
	if err := d.w.Flush(); err != nil {
		return nil
	}
	flat := d.out.Bytes()
	return newFrame(first, flat[:len(flat)-syncTail])
}

// inflate gives the plain message, or an error with close code as soon as it is longer than most. It may append to
// flat.
func (p *flatePools) inflate(flat []byte, most int) ([]byte, error) {
	in, _ := p.inflaters.Get().(*inflater)
	if in == nil {
		in = new(inflater)
		in.r = flate.NewReader(&in.in)
	}
	defer p.inflaters.Put(in)
	expect := min(4*len(flat), most)
	in.in.Reset(append(flat, deflateTail...))
	defer in.in.Reset(nil)
	if err := in.r.(flate.Resetter).Reset(&in.in, nil); err != nil {
		return nil, violation(CodeInternal, "cannot inflate")
	}
	return readBounded(in.r, expect, most)
}

// readBounded reads all of r, which must not be more than most.
func readBounded(r io.Reader, expect, most int) ([]byte, error) {
	out := make([]byte, 0, expect)
	for {
		if len(out) == cap(out) {
			if len(out) == most {
				return out, nothingMore(r)
			}
			bigger := make([]byte, len(out), min(max(2*cap(out), 64), most))
			copy(bigger, out)
			out = bigger
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, CloseError{Code: CodeInvalidData, Local: true, Err: fmt.Errorf("cannot inflate: %w", err)}
		}
	}
}

// nothingMore checks that a message which has reached its limit ends there.
func nothingMore(r io.Reader) error {
	var probe [1]byte
	n, err := io.ReadFull(r, probe[:])
	switch {
	case n > 0:
		return broken(CodeTooBig, ErrInflated)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return CloseError{Code: CodeInvalidData, Local: true, Err: fmt.Errorf("cannot inflate: %w", err)}
	}
}
