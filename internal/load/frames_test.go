package load

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// notes takes down frames.
type notes struct {
	frames []string
	err    error // for the frame "stop"
}

func (n *notes) frame(op byte, payload []byte) error {
	n.frames = append(n.frames, fmt.Sprintf("%d:%s", op, payload))
	if string(payload) == "stop" {
		return n.err
	}
	return nil
}

func TestFramesAreFoundHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	stream := []byte(text("a") + text("") + serverFrame(final|opPing, "p") + text(strings.Repeat("b", 125)) +
		text(strings.Repeat("c", 126)) + text(strings.Repeat("d", 70_000)) + serverFrame(final|opClose, ""))
	var whole notes
	if err := new(splitter).feed(stream, &whole); err != nil {
		t.Fatal(err)
	}
	if got := len(whole.frames); got != 7 || whole.frames[0] != "1:a" || whole.frames[2] != "9:p" || len(whole.frames[5]) != 70_002 {
		t.Fatalf("got %d frames: %.80q", got, whole.frames)
	}
	for _, step := range []int{1, 2, 3, 7, 100, 129, 4096, 65_536} {
		var s splitter
		var got notes
		for piece := range slices.Chunk(stream, step) {
			if err := s.feed(bytes.Clone(piece), &got); err != nil {
				t.Fatalf("in pieces of %d: %v", step, err)
			}
		}
		if !slices.Equal(got.frames, whole.frames) {
			t.Errorf("in pieces of %d: got %.80q, want %.80q", step, got.frames, whole.frames)
		}
		if len(s.rest) != 0 {
			t.Errorf("in pieces of %d: %d octets are left", step, len(s.rest))
		}
	}
}

func TestFramesThatCannotBeMeasuredAreErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ frame, want string }{
		"masked":       {"\x81\x81\x00\x00\x00\x00a", "not a frame of a WebSocket server"},
		"compressed":   {serverFrame(final|0x40|opText, "a"), "not a frame of a WebSocket server"},
		"no WebSocket": {"HTTP/1.1 400 Bad Request\r\n", "not a frame of a WebSocket server"},
		"a fragment":   {serverFrame(opText, "a"), "fragments"},
		"a last one":   {serverFrame(final, "a"), "fragments"},
		"endless":      {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", "too large"},
		"large":        {"\x81\x7f\x00\x00\x00\x00\x01\x00\x00\x01", "a frame of 16777217 bytes is too large"},
	} {
		err := new(splitter).feed([]byte(c.frame), new(notes))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestSplitterStopsWithTheReceiver(t *testing.T) {
	t.Parallel()
	n := &notes{err: errors.New("enough")}
	if err := new(splitter).feed([]byte(text("a")+text("stop")+text("b")), n); !errors.Is(err, n.err) {
		t.Errorf("got %v, want %v", err, n.err)
	}
	if got := len(n.frames); got != 2 {
		t.Errorf("got %q, want no frame behind the one that stops", n.frames)
	}
}

func TestFramesOfAllLengthsAreReadBack(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, longest7, longest7 + 1, 1<<16 - 1, 1 << 16} {
		b := newFrame(opText, bytes.Repeat([]byte("x"), n))
		head := len(b) - n
		if b[1]&masked == 0 || !bytes.Equal(b[head-4:head], make([]byte, 4)) {
			t.Errorf("%d octets: got the head % x, want a mask of zeros", n, b[:head])
		}
		b[1] &^= masked // what is left is that of a server
		op, payload, size, err := splitFrame(append(b[:head-4], b[head:]...))
		if op != opText || len(payload) != n || size != head-4+n || err != nil {
			t.Errorf("%d octets: got %d, %d octets, %d in all, %v", n, op, len(payload), size, err)
		}
	}
}

func TestRoutineIsAnsweredAndTheEndIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op      byte
		payload string
		answer  string
		done    bool
		err     string
	}{
		"a message":        {opText, "{}", "", false, ""},
		"WebSocket's ping": {opPing, "x", string(newFrame(opPong, []byte("x"))), true, ""},
		"ping":             {opText, "", string(newFrame(opText, nil)), true, ""},
		"pong":             {opPong, "x", "", true, ""},
		"binary":           {2, "x", "", true, ""},
		"close":            {opClose, "", "", true, "closed by the server"},
		"close, and why":   {opClose, "\x10\x04slow", "", true, "closed by the server: 4100 slow"},
	} {
		answer, done, err := routine(socketCluster{}, c.op, []byte(c.payload))
		if string(answer) != c.answer || done != c.done || fmt.Sprint(err) != c.err && (err != nil || c.err != "") {
			t.Errorf("%s: got %q, %v, %v, want %q, %v, %s", name, answer, done, err, c.answer, c.done, c.err)
		}
	}
	if got, want := string(goodbye()), "\x88\x82\x00\x00\x00\x00\x03\xe8"; got != want {
		t.Errorf("goodbye: got %q, want %q", got, want)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte(text("a")+text(strings.Repeat("b", 200))), uint8(3))
	f.Add([]byte("\x81\x7e\x00\x01a\x89\x00"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		var whole, pieces notes
		err := new(splitter).feed(bytes.Clone(stream), &whole)
		var s splitter
		var errPieces error
		for piece := range slices.Chunk(stream, int(step)+1) {
			if errPieces = s.feed(piece, &pieces); errPieces != nil {
				break
			}
		}
		if fmt.Sprint(err) != fmt.Sprint(errPieces) || !slices.Equal(whole.frames, pieces.frames) {
			t.Fatalf("at once %q, %v; in pieces %q, %v", whole.frames, err, pieces.frames, errPieces)
		}
	})
}
