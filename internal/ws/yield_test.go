package ws

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// hand is a link that takes only what it is told to.
type hand struct {
	stream

	takes  int    // octets of the next send
	during func() // while it is under way
	taken  bytes.Buffer
}

func (h *hand) wake()        {}
func (h *hand) await([]byte) {}

func (h *hand) send(s *sender) (int, error) {
	if h.during != nil {
		h.during()
	}
	n := min(h.takes, len(s.batch))
	h.taken.Write(s.batch[:n])
	if n < len(s.batch) {
		return n, errWouldBlock
	}
	return n, nil
}

// handConn is a connection whose sends are made by hand.
type handConn struct {
	*Conn

	hand    *hand
	with    *sender
	dropped [4]int
}

func newHandConn(tb testing.TB, outbox int) *handConn {
	tb.Helper()
	h := &handConn{with: newSender()}
	r := NewRuntime(Config{Shards: 1, Driver: DriverPark, Dropped: func(p Policy, n int) { h.dropped[p] += n }})
	tb.Cleanup(r.Close)
	ours, theirs := net.Pipe()
	tb.Cleanup(func() { _ = theirs.Close() })
	c, err := r.adopt(ours, terms{}, Options{Outbox: outbox})
	if err != nil {
		tb.Fatal(err)
	}
	h.Conn, h.hand = c, &hand{stream: stream{conn: c, nc: ours}}
	c.link = h.hand
	return h
}

// take makes sends until the peer has taken n octets or nothing is pending.
func (h *handConn) take(n int) {
	if h.out.has(stateBlocked) && !h.sent(0, nil) {
		return
	}
	for h.out.has(stateQueued) {
		before := h.hand.taken.Len()
		h.hand.takes = n
		if !h.flush(h.with) {
			return
		}
		n -= h.hand.taken.Len() - before
	}
}

// block makes the peer take nothing of a first frame, so that it is behind.
func (h *handConn) block(t *testing.T) {
	t.Helper()
	if err := h.Send(NewFrame(false, []byte("first"))); err != nil {
		t.Fatal(err)
	}
	h.take(0)
	if !h.Behind() {
		t.Fatal("the peer is not behind")
	}
}

// rest takes all that is pending, and gives the payloads of all that was taken.
func (h *handConn) rest(t *testing.T) []string {
	t.Helper()
	h.take(1 << 30)
	if n := h.Pending(); n > 0 {
		t.Fatalf("%d octets are left", n)
	}
	var list []string
	for {
		g, err := readFrame(&h.hand.taken)
		if err == io.EOF { //nolint:errorlint // of a buffer
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(g.payload, ":")
		list = append(list, name)
	}
}

func noticeOf(name string) *Frame { return NewFrame(false, []byte("gap "+name)) }

func topicOf(name string, p Policy) *Topic { return &Topic{Name: name, Policy: p, Gap: noticeOf} }

// padded is a frame of size octets that begins with the text.
func padded(text string, size int) *Frame {
	return NewFrame(false, []byte(text+":"+strings.Repeat(".", max(0, size-len(text)-5))))
}

// Each script is for a peer that has blocked at its first frame, with an outbox for 8 messages of 1,000 octets, of which the
// reserve leaves 6 to those that may be dropped. o, n, l and c are topics of the four policies, as is O another one; a
// digit after it tells messages apart.
func TestWhatASlowPeerMisses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, sent, want, dropped string }{
		{"nothing while there is room", "o1 n1 l1 c1", "first o1 n1 l1 c1", "0 0 0"},
		{"the oldest, told in its place", "o1 o2 o3 o4 o5 o6 o7 o8 o9", "first gap-o o4 o5 o6 o7 o8 o9", "3 0 0"},
		{"the oldest of all that may be dropped", "n1 n2 l1 o1 o2 o3 o4", "first n2 l1 o1 o2 o3 gap-n o4", "0 1 0"},
		{"the oldest of several topics", "o1 O1 o2 O2 o3 O3 o4 O4", "first gap-o gap-O o2 O2 o3 O3 o4 O4", "2 0 0"},
		{"the newest, told at the end", "n1 n2 n3 n4 n5 n6 n7 n8", "first n1 n2 n3 n4 n5 n6 gap-n", "0 2 0"},
		{"all but the latest, in the place of the oldest", "l1 o1 l2 c1 l3 o2", "first l3 o1 c1 o2", "0 0 2"},
		{"the latest only for those who come later", "l1 o1 o2 o3 o4 o5 o6", "first gap-l o1 o2 o3 o4 o5 o6", "0 0 1"},
		{"never what may not be dropped", "c1 o1 c2 o2 c3 o3 c4 o4 c5", "first c1 gap-o c2 c3 o3 c4 o4 c5", "2 0 0"},
		{"what is dropped makes room for what may not be", "n1 n2 n3 n4 n5 n6 c1 c2 n7", "first n2 n3 n4 n5 n6 c1 gap-n c2", "0 2 0"},
		{"everything where that alone is too much", "c1 c2 c3 c4 c5 c6 c7 c8 c9", "closed", "0 0 0"},
		{"a new message where only others wait", "c1 c2 c3 c4 c5 c6 c7 o1 o2 l1", "first c1 c2 c3 c4 c5 c6 c7 gap-o gap-l", "2 0 1"},
		{"the order among all others stays", "c1 o1 n1 c2 o2 n2 c3", "first c1 o1 n1 c2 o2 n2 c3", "0 0 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHandConn(t, 8*1000)
			h.block(t)
			got := ""
			for word := range strings.FieldsSeq(tc.sent) {
				if err := h.SendTopic(padded(word, 1000), 0, map[byte]*Topic{
					'c': nil, 'o': topicOf("o", DropOldest), 'O': topicOf("O", DropOldest),
					'n': topicOf("n", DropNewest), 'l': topicOf("l", KeepLatest),
				}[word[0]]); err != nil {
					got = "closed"
				}
			}
			if got == "" {
				got = strings.ReplaceAll(strings.Join(h.rest(t), ","), " ", "-")
				got = strings.ReplaceAll(got, ",", " ")
			}
			if got != tc.want {
				t.Errorf("sent %s:\n got %s\nwant %s", tc.sent, got, tc.want)
			}
			if got := strings.Trim(fmt.Sprint(h.dropped[1:]), "[]"); got != tc.dropped {
				t.Errorf("got %s dropped by policy, want %s", got, tc.dropped)
			}
			if h.dropped[KeepAll] != 0 {
				t.Errorf("got %d dropped that may not be", h.dropped[KeepAll])
			}
		})
	}
}

func TestFrameThatHasBegunToLeaveIsNeverDropped(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 4*1000)
	o, l := topicOf("o", DropOldest), topicOf("l", KeepLatest)
	for _, f := range []string{"l1", "o1"} {
		_ = h.SendTopic(padded(f, 1000), 0, map[byte]*Topic{'o': o, 'l': l}[f[0]])
	}
	h.take(1500) // l1 and a part of o1
	for i := range 20 {
		_ = h.SendTopic(padded(fmt.Sprint("o", i+2), 1000), 0, o)
		_ = h.SendTopic(padded(fmt.Sprint("l", i+2), 1000), 0, l)
	}
	got := h.rest(t)
	if len(got) < 4 || got[0] != "l1" || got[1] != "o1" || !slices.Contains(got, "l21") || got[len(got)-1] != "o21" && got[len(got)-1] != "l21" {
		t.Errorf("got %q, want l1 and o1 whole, and the newest of both", got)
	}
}

// What is in a send under way may leave whole, in parts or not at all.
func TestFramesOfASendUnderWayAreNotTouched(t *testing.T) {
	t.Parallel()
	for takes := range 40 {
		h := newHandConn(t, 1500)
		h.block(t)
		l, o := topicOf("l", KeepLatest), topicOf("o", DropOldest)
		_ = h.SendTopic(padded("l1", 100), 0, l)
		_ = h.SendTopic(padded("o1", 100), 0, o)
		h.hand.during = func() {
			h.hand.during = nil
			for i := range 9 {
				_ = h.SendTopic(padded(fmt.Sprint("l", i+2), 100), 0, l)
			}
			for i := range 9 {
				_ = h.SendTopic(padded(fmt.Sprint("o", i+2), 100), 0, o)
			}
		}
		h.take(takes * 10)
		got := h.rest(t)
		want := []string{"first", "l1", "o1", "gap l", "gap o", "o9", "o10"} // l10 was the oldest that was not under way
		if !slices.Equal(got, want) {
			t.Errorf("%d octets taken: got %q, want %q", takes*10, got, want)
		}
	}
}

func TestMessageThatCameDuringASendReplacesWhatThatHasNotTaken(t *testing.T) {
	t.Parallel()
	for takes, want := range map[int][]string{
		3:   {"first", "l3", "o1"}, // nothing but a part of the first
		50:  {"first", "l1", "o1", "l3"},
		150: {"first", "l1", "o1", "l3"},
	} {
		h := newHandConn(t, 4000)
		h.block(t)
		l := topicOf("l", KeepLatest)
		_ = h.SendTopic(padded("l1", 100), 0, l)
		_ = h.SendTopic(padded("o1", 100), 0, topicOf("o", DropOldest))
		h.hand.during = func() {
			h.hand.during = nil
			_ = h.SendTopic(padded("l2", 100), 0, l)
			_ = h.SendTopic(padded("l3", 120), 0, l)
		}
		h.take(takes)
		if got := h.rest(t); !slices.Equal(got, want) {
			t.Errorf("%d octets taken: got %q, want %q", takes, got, want)
		}
	}
}

func TestFastPeerMissesNothingInABurst(t *testing.T) {
	t.Parallel()
	for p := DropOldest; p <= KeepLatest; p++ {
		h := newHandConn(t, 10_000)
		var want []string
		for i := range 100 {
			text := fmt.Sprint("m", i)
			want = append(want, text)
			_ = h.SendTopic(padded(text, 200), 0, topicOf("x", p))
		}
		if got := h.rest(t); !slices.Equal(got, want) {
			t.Errorf("policy %d: got %q, want all", p, got)
		}
		if h.dropped != [4]int{} {
			t.Errorf("policy %d: got %v dropped, want none", p, h.dropped)
		}
	}
}

func TestBurstThatBlocksIsConflated(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 10_000)
	for i := range 50 {
		_ = h.SendTopic(padded(fmt.Sprint("m", i), 100), 0, topicOf(fmt.Sprint(i%2), KeepLatest))
	}
	h.take(150)
	if got, want := h.rest(t), []string{"m0", "m1", "m48", "m49"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: one of each waits", got, want)
	}
	if h.dropped[KeepLatest] != 46 {
		t.Errorf("got %d dropped, want 46", h.dropped[KeepLatest])
	}
}

func TestPeerThatHasTakenAllIsNotBehindAnyMore(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 10_000)
	l := topicOf("l", KeepLatest)
	h.block(t)
	_ = h.SendTopic(padded("l1", 100), 0, l)
	_ = h.SendTopic(padded("l2", 100), 0, l)
	if got, want := h.rest(t), []string{"first", "l2"}; !slices.Equal(got, want) || h.Behind() {
		t.Fatalf("got %q and behind %v, want %q", got, h.Behind(), want)
	}
	_ = h.SendTopic(padded("l3", 100), 0, l)
	_ = h.SendTopic(padded("l4", 100), 0, l)
	if got, want := h.rest(t), []string{"l3", "l4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTopicWithoutANoticeIsDroppedInSilence(t *testing.T) {
	t.Parallel()
	for _, gap := range []func(string) *Frame{nil, func(string) *Frame { return nil }} {
		h := newHandConn(t, 2000)
		h.block(t)
		for i := range 9 {
			_ = h.SendTopic(padded(fmt.Sprint("m", i), 500), 0, &Topic{Name: "x", Policy: DropNewest, Gap: gap})
			_ = h.SendTopic(padded(fmt.Sprint("M", i), 500), 0, &Topic{Name: "X", Policy: DropOldest, Gap: gap})
		}
		if got := h.rest(t); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "gap") }) || !slices.Contains(got, "M8") {
			t.Errorf("got %q, want no notice and the newest", got)
		}
	}
}

// Names are octets of the outbox too: where the notices alone are too many, the peer is as slow as one that takes no
// answers.
func TestNoticesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 10_000)
	h.block(t)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = h.SendTopic(padded("m", 3000), 0, topicOf(fmt.Sprint(i, strings.Repeat("x", 300)), DropOldest))
		if w := h.out.weight(); w > 10_000 {
			t.Fatalf("got %d octets pending, want at most 10,000", w)
		}
	}
	if err == nil {
		t.Error("got notices without a bound")
	}
}

func TestFrameAsLongAsTheOutboxLeavesRoomForANotice(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 10_000)
	_ = h.SendTopic(padded("long", 50_000), 0, topicOf("x", DropOldest))
	h.take(10)
	for i := range 5 {
		if err := h.SendTopic(padded(fmt.Sprint(i), 1000), 0, topicOf("x", DropOldest)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := h.rest(t), []string{"long", "gap x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The compressed form is shared, and what counts is its length.
func TestCompressedFramesAreDroppedTheSame(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 3000)
	h.window = maxWindow
	h.block(t)
	n := 0
	for o := topicOf("o", DropOldest); h.dropped[DropOldest] == 0 && n < 100; n++ {
		_ = h.SendTopic(padded("o", 900), 0, o)
	}
	if n < 10 || n == 100 {
		t.Errorf("got %d frames of 900 octets into 3,000, want their compressed length to count, and a bound", n)
	}
	h.take(1 << 30)
	if got := h.hand.taken.String(); strings.Count(got, "gap o") != 1 || h.Pending() != 0 {
		t.Errorf("got %d octets with %d notices, want one", len(got), strings.Count(got, "gap o"))
	}
}

// What may wait for others is dropped the same.
func TestFramesThatMayWaitAreDroppedTheSame(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 3000)
	h.block(t)
	for i := range 10 {
		_ = h.SendTopic(padded(fmt.Sprint("o", i), 1000), time.Hour, topicOf("o", DropOldest))
	}
	if got, want := h.rest(t), []string{"first", "gap o", "o8", "o9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSlowPeerIsStillClosedWithALooseBacklog(t *testing.T) {
	t.Parallel()
	h := newHandConn(t, 4000)
	h.block(t)
	for i := range 3 {
		_ = h.SendTopic(padded(fmt.Sprint("o", i), 500), 0, topicOf("o", DropOldest))
	}
	h.take(3)
	h.tooSlow()
	if err := h.SendTopic(padded("late", 10), 0, topicOf("o", DropOldest)); err == nil {
		t.Error("a closed connection took a frame")
	}
	if got := h.rest(t); len(got) != 2 || got[0] != "first" {
		t.Errorf("got %q, want the first and the close frame", got)
	}
}

// Serial, because it counts allocations.
func TestQueueingAFrameThatMayBeDroppedAllocatesNothing(t *testing.T) {
	h := newHandConn(t, 1<<20)
	f, o := padded("x", 100), topicOf("o", DropOldest)
	got := testing.AllocsPerRun(200, func() {
		for range 20 {
			_ = h.SendTopic(f, 0, o)
		}
		h.take(1 << 30)
		h.hand.taken.Reset()
	})
	if got > 5 { // the race detector makes pools forget now and then
		t.Errorf("got %v allocations for 20 frames, want none", got)
	}
}

// What a full outbox of a peer that takes nothing costs whoever sends.
func BenchmarkSlowPeer(b *testing.B) {
	for p := DropOldest; p <= KeepLatest; p++ {
		b.Run(fmt.Sprint(p), func(b *testing.B) {
			h := newHandConn(b, 1<<20)
			f := padded("x", 100)
			var topics []*Topic
			for i := range 100 {
				topics = append(topics, topicOf(fmt.Sprint(rand.Int(), i), p))
			}
			_ = h.Send(f)
			h.take(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_ = h.SendTopic(f, 0, topics[i%100])
			}
		})
	}
}
