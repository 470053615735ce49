package judge_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein/e2e/soak/judge"
)

// history is a book with a clock that moves by a second with every look at it, so that every order is plain.
type history struct {
	*judge.Book

	now time.Duration
}

func newHistory() *history {
	h := &history{}
	h.Book = judge.NewBook(func() time.Duration { h.now += time.Second; return h.now }, 7)
	return h
}

// view opens a view.
func (h *history) view(channel string) *judge.View {
	v := h.View("someone", channel)
	v.Open()
	return v
}

// posts publishes n messages, all acknowledged, and returns their payloads.
func posts(a *judge.Author, channel string, n int) (payloads [][]byte) {
	for range n {
		number, payload := a.Post(channel, 10)
		a.Acked(number)
		payloads = append(payloads, payload)
	}
	return payloads
}

func get(v *judge.View, payloads ...[]byte) {
	for _, p := range payloads {
		v.Got(p)
	}
}

// counts are the figures of a verdict that say that something is wrong.
type counts struct{ Lost, Repeated, Reordered, Forged, Told, Undecided int }

func check(t *testing.T, h *history, want counts) {
	t.Helper()
	v := h.Judge()
	got := counts{v.Lost, v.Repeated, v.Reordered, v.Forged, v.Told, v.Undecided}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("want -, got +:\n%s%q", d, v.Findings)
	}
	want.Told, want.Undecided = 0, 0
	if bad := want != (counts{}); v.Bad() != bad || len(v.Findings) > 0 != bad {
		t.Errorf("Bad is %v with the findings %q, want %v", v.Bad(), v.Findings, bad)
	}
}

func TestAHistoryWithoutFaultIsGood(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v, a := h.view("x"), h.Author()
	get(v, posts(a, "x", 3)...)
	posts(a, "y", 2)
	check(t, h, counts{})
	got := h.Judge()
	if got.Published != 5 || got.Delivered != 3 || got.Views != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestALostMessageIsFound(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]int{"first": 0, "middle": 1, "last": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory()
			v := h.view("x")
			for i, p := range posts(h.Author(), "x", 3) {
				if i != lost {
					v.Got(p)
				}
			}
			check(t, h, counts{Lost: 1})
		})
	}
}

func TestARepeatedMessageIsFound(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v := h.view("x")
	p := posts(h.Author(), "x", 2)
	get(v, p[0], p[1], p[1])
	check(t, h, counts{Repeated: 1})
}

func TestTheOrderOfEachAuthorCounts(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v := h.view("x")
	p, q := posts(h.Author(), "x", 2), posts(h.Author(), "x", 2)
	get(v, q[0], p[0], q[1], p[1])
	check(t, h, counts{})
	w := h.view("y")
	r := posts(h.Author(), "y", 2)
	get(w, r[1], r[0])
	check(t, h, counts{Reordered: 1})
}

func TestForgeriesAreFound(t *testing.T) {
	t.Parallel()
	h := newHistory()
	other := newHistory()
	good := posts(h.Author(), "x", 1)[0]
	unknown := posts(other.Author(), "x", 2)[1]
	for name, payload := range map[string][]byte{
		"changed": bytes.Replace(good, []byte(`"p":"`), []byte(`"p":"z`), 1), "no publication": []byte(`[1]`),
		"of nobody": unknown, "of another channel": posts(h.Author(), "y", 1)[0],
	} {
		before := h.Judge().Forged
		h.view("x").Got(payload)
		if got := h.Judge(); got.Forged != before+1 || !got.Bad() {
			t.Errorf("%s: got %d forged, want %d", name, got.Forged, before+1)
		}
	}
}

// A book continues the numbers of the one before, so that what comes late is nobody's.
func TestWhatComesFromAnEarlierBookIsForged(t *testing.T) {
	t.Parallel()
	old := newHistory()
	late := posts(old.Author(), "x", 1)[0]
	h := &history{}
	h.Book = judge.NewBook(func() time.Duration { return 0 }, old.Next())
	posts(h.Author(), "x", 1)
	v := h.View("someone", "x")
	v.Got(late)
	check(t, h, counts{Forged: 1})
}

func TestAViewIsOwedNothingFromBeforeItOpened(t *testing.T) {
	t.Parallel()
	h := newHistory()
	a := h.Author()
	early := h.View("someone", "x")
	posts(a, "x", 1)
	early.Open()
	get(early, posts(a, "x", 1)...)
	never := h.View("someone", "x")
	posts(h.Author(), "z", 1)
	never.End()
	check(t, h, counts{})
}

func TestAnEndedViewIsOwedOnlyWhatWasOvertaken(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v := h.view("x")
	p := posts(h.Author(), "x", 3)
	get(v, p[0])
	v.End()
	v.End()
	check(t, h, counts{})
	get(v, p[2])
	check(t, h, counts{Lost: 1})
}

// overtaken is a view that has ended and has missed the first of two messages.
func overtaken(h *history) {
	v := h.view("x")
	p := posts(h.Author(), "x", 2)
	get(v, p[1])
	v.End()
}

func TestAViewThatEndsInTroubleIsNotToldInTime(t *testing.T) {
	t.Parallel()
	h := newHistory()
	h.Calm()
	h.Trouble()
	h.Trouble()
	overtaken(h)
	check(t, h, counts{Undecided: 1})
	h.Calm()
	overtaken(h)
	check(t, h, counts{Undecided: 2})
	h.now += time.Minute
	overtaken(h)
	check(t, h, counts{Undecided: 2, Lost: 1})
}

func TestAViewThatOutlivesTroubleMustHaveBeenTold(t *testing.T) {
	t.Parallel()
	h := newHistory()
	h.Trouble()
	v := h.view("x")
	p := posts(h.Author(), "x", 2)
	get(v, p[1])
	check(t, h, counts{Lost: 1})
	h.now += time.Minute
	v.End()
	check(t, h, counts{Lost: 1})
}

func TestWhatWasRefusedOrNeverAnsweredIsNotOwed(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v, a := h.view("x"), h.Author()
	n, _ := a.Post("x", 0)
	a.Refused(n)
	get(v, posts(a, "x", 1)...)
	a.Post("x", 0)
	check(t, h, counts{})
	if got := h.Judge(); got.Refused != 1 || got.Unknown != 1 {
		t.Errorf("got %+v, want one refused and one unknown", got)
	}
	get(v, posts(a, "x", 1)...) // overtakes the one that was never answered
	check(t, h, counts{Lost: 1})
}

func TestAGapThatWasToldExcusesWhatWasSentBefore(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v, a := h.view("x"), h.Author()
	posts(a, "x", 2)
	v.Told()
	check(t, h, counts{Told: 2})
	if got := h.Judge().Surprises; got != 2 {
		t.Errorf("got %d surprises where nothing was broken, want 2", got)
	}
	posts(a, "x", 1)
	check(t, h, counts{Told: 2, Lost: 1})
}

func TestAGapThatWasToldTooLateExcusesNothing(t *testing.T) {
	t.Parallel()
	h := newHistory()
	v := h.view("x")
	posts(h.Author(), "x", 1)
	h.now += time.Hour
	v.Told()
	check(t, h, counts{Lost: 1})
}

func TestVerdictsAddUp(t *testing.T) {
	t.Parallel()
	h := newHistory()
	h.view("x")
	posts(h.Author(), "x", 60)
	var sum judge.Verdict
	sum.Add(h.Judge())
	sum.Add(h.Judge())
	if sum.Lost != 120 || sum.Published != 120 || sum.Views != 2 || len(sum.Findings) != 50 {
		t.Errorf("got %d lost, %d published, %d views, %d findings", sum.Lost, sum.Published, sum.Views, len(sum.Findings))
	}
}

// TestMutationsOfAGoodHistoryAreFound feeds random histories with one mistake each.
func TestMutationsOfAGoodHistoryAreFound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		h := newHistory()
		v := h.view("x")
		p := posts(h.Author(), "x", 2+r.IntN(20))
		i := r.IntN(len(p) - 1)
		want := counts{}
		switch seed % 4 {
		case 0:
			p, want = append(p[:i:i], p[i+1:]...), counts{Lost: 1}
		case 1:
			p, want = append(p, p[i]), counts{Repeated: 1}
		case 2:
			p[i], p[i+1] = p[i+1], p[i]
			want = counts{Reordered: 1}
		}
		get(v, p...)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { check(t, h, want) })
	}
}

func TestALeakIsFound(t *testing.T) {
	t.Parallel()
	base := judge.Reading{RSS: 100, Heap: 10, Files: 20, Goroutines: 30}
	bounds := judge.Bounds{RSS: 50, Heap: 5, Files: 0, Goroutines: 2}
	for name, c := range map[string]struct {
		now  judge.Reading
		want int
	}{
		"nothing":      {base, 0},
		"all at bound": {judge.Reading{150, 15, 20, 32}, 0},
		"less":         {judge.Reading{}, 0},
		"memory":       {judge.Reading{151, 10, 20, 30}, 1},
		"heap":         {judge.Reading{100, 16, 20, 30}, 1},
		"descriptor":   {judge.Reading{100, 10, 21, 30}, 1},
		"goroutines":   {judge.Reading{100, 10, 20, 33}, 1},
		"all":          {judge.Reading{200, 20, 30, 40}, 4},
	} {
		if got := judge.Leaks(base, c.now, bounds); len(got) != c.want {
			t.Errorf("%s: got %q, want %d", name, got, c.want)
		}
	}
}
