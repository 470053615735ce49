package natsengine

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// tracked is an engine, not started, that has joined a channel and knows one
// member, which had published 10 messages when it answered the barrier.
func tracked(t *testing.T) (*Engine, *interest, *peer) {
	t.Helper()
	e := newEngine(Options{Node: "a"}, &external{})
	e.interests.join("room", e.barrier.queue)
	it, _ := e.interests.find("room")
	e.interests.acknowledged(it, &baseline{7: 10})
	p := e.members.meet(7, "b", time.Now())
	e.admit(p, status{seq: 5, beat: 1, joining: true})
	return e, it, p
}

// told returns the channels of the gaps that wait to be told.
func told(e *Engine) []string {
	gaps, _, _ := e.teller.take()
	return gaps
}

func TestGapsAreFoundByNumbers(t *testing.T) {
	t.Parallel()
	type step struct {
		seq, prev  uint64
		fresh, gap bool
	}
	for name, steps := range map[string][]step{
		"all arrive":                     {{11, 0, true, false}, {15, 11, true, false}, {16, 15, true, false}},
		"the first is missing":           {{12, 11, true, true}, {13, 12, true, false}},
		"one in between is missing":      {{11, 0, true, false}, {13, 12, true, true}},
		"before the base line none is":   {{12, 9, true, false}},
		"the base line itself is not":    {{12, 10, true, false}},
		"late ones have been told":       {{11, 0, true, false}, {13, 12, true, true}, {12, 11, false, false}},
		"duplicates are dropped":         {{11, 0, true, false}, {11, 0, false, false}},
		"numbers that are not kept":      {{11, 0, true, false}, {20, 0, true, false}},
		"sent before the base line late": {{9, 8, true, false}, {10, 9, true, false}, {11, 10, true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, it, p := tracked(t)
			for _, s := range steps {
				if fresh, gap := e.track(it, p.boot, header{seq: s.seq, prev: s.prev}); fresh != s.fresh || gap != s.gap {
					t.Errorf("message %d behind %d: got fresh %v and gap %v, want %v and %v", s.seq, s.prev, fresh, gap, s.fresh, s.gap)
				}
			}
		})
	}
}

func TestNothingIsExpectedWhileTheBarrierIsOut(t *testing.T) {
	t.Parallel()
	e, it, p := tracked(t)
	it.base.Store(nil)
	if fresh, gap := e.track(it, p.boot, header{seq: 13, prev: 12}); !fresh || gap {
		t.Errorf("got fresh %v and gap %v, want a message and no gap", fresh, gap)
	}
	if fresh, gap := e.track(it, 99, header{seq: 13, prev: 12}); !fresh || gap {
		t.Errorf("of a node not met yet: got fresh %v and gap %v, want a message and no gap", fresh, gap)
	}
}

func TestBeatsTellOfMissingMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		beat status
		want []string
	}{
		{"nothing was published", status{beat: 2, seq: 10}, nil},
		{"what was heard", status{beat: 2, seq: 11, notes: []note{{"room", 11}}}, nil},
		{"what was not heard", status{beat: 2, seq: 12, notes: []note{{"room", 12}}}, []string{"room"}},
		{"another channel", status{beat: 2, seq: 12, notes: []note{{"other", 12}}}, nil},
		{"a beat is missing", status{beat: 3, seq: 12}, []string{"room"}},
		{"a beat without news is missing", status{beat: 3, seq: 5}, nil},
		{"an old beat", status{beat: 1, seq: 12, notes: []note{{"room", 12}}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, it, p := tracked(t)
			e.track(it, p.boot, header{seq: 11})
			e.follow(p, c.beat)
			if got := told(e); !slices.Equal(got, c.want) {
				t.Errorf("gaps on %q are told, want %q", got, c.want)
			}
			e.follow(p, c.beat)
			if fresh, gap := e.track(it, p.boot, header{seq: 13, prev: max(c.beat.seq, 11)}); !fresh || gap && len(c.want) > 0 {
				t.Errorf("the next message: got fresh %v and gap %v, want that nothing is told twice", fresh, gap)
			}
		})
	}
}

func TestLingeringChannelsAreNotTold(t *testing.T) {
	t.Parallel()
	e, it, p := tracked(t)
	e.track(it, p.boot, header{seq: 11})
	e.interests.leave("room")
	e.check(p, []note{{"room", 12}})
	e.gapFrom(p)
	e.gapEverywhere()
	if got := told(e); len(got) != 0 {
		t.Errorf("gaps on %q are told, want none", got)
	}
}

func TestNumbersAreKeptUntilTheyAreOld(t *testing.T) {
	t.Parallel()
	n := newNumbers()
	send := func(channel string) (seq, prev uint64) {
		_, err := n.send(channel, func(s, p uint64) error { seq, prev = s, p; return nil })
		if err != nil {
			t.Error(err)
		}
		return seq, prev
	}
	check := func(channel string, wantSeq, wantPrev uint64) {
		t.Helper()
		if seq, prev := send(channel); seq != wantSeq || prev != wantPrev {
			t.Errorf("%q: got number %d behind %d, want %d behind %d", channel, seq, prev, wantSeq, wantPrev)
		}
	}
	check("a", 1, 0)
	check("b", 2, 0)
	check("a", 3, 1)
	if got := n.untold(); len(got) != 2 {
		t.Errorf("%v have not been told, want a and b", got)
	}
	check("a", 4, 3)
	n.age()
	n.age()
	check("b", 5, 0) // forgotten
	check("a", 6, 4) // untold, and so not forgotten
	_, err := n.send("a", func(uint64, uint64) error { return errEnough })
	if err == nil {
		t.Error("send: got nil, want the error of what sends")
	}
	check("a", 8, 6)
}

func TestNumbersAreBounded(t *testing.T) {
	t.Parallel()
	n := newNumbers()
	full := 0
	for i := range 400_000 {
		channel := fmt.Sprint(i)
		now, err := n.send(channel, func(uint64, uint64) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if now {
			full++
			n.shard(channel).tell(nil)
		}
	}
	kept := 0
	for i := range n.shards {
		sh := &n.shards[i]
		kept += len(sh.fresh) + len(sh.told) + len(sh.older)
	}
	if most := numberShards * (freshPerShard + 2*keptPerShard); full == 0 || kept > most {
		t.Errorf("%d numbers are kept, want at most %d", kept, most)
	}
}

func TestManyNotesGoInSeveralBeats(t *testing.T) {
	t.Parallel()
	var notes []note
	for i := range 5_000 {
		notes = append(notes, note{fmt.Sprintf("%040d", i), 1})
	}
	beats := 0
	for rest := notes; len(rest) > 0; beats++ {
		n := chunk(rest)
		if n == 0 {
			t.Fatal("a beat without notes")
		}
		rest = rest[n:]
	}
	if beats < 5 || beats > 10 {
		t.Errorf("%d beats for 250 KB of notes, want about 8", beats)
	}
	if got := chunk([]note{{string(make([]byte, 2*maxNotes)), 1}}); got != 1 {
		t.Errorf("%d notes go into a beat whose first is too long, want it alone", got)
	}
}

func TestDeadPeersAreForgotten(t *testing.T) {
	t.Parallel()
	ms := newMembers()
	now := time.Now()
	for b := range boot(2 * maxDead) {
		p := ms.meet(b+1, "x", now.Add(time.Duration(b)))
		p.state = dead
	}
	ms.remove(ms.meet(9999, "left", now), now)
	ms.prune(now)
	if len(ms.peers) != maxDead || ms.peers[2*maxDead] == nil || len(ms.left) != 1 {
		t.Errorf("%d dead peers and %d that left are kept, want %d, the youngest, and 1", len(ms.peers), len(ms.left), maxDead)
	}
	ms.prune(now.Add(2 * deadKept))
	if len(ms.peers) != 0 || len(ms.left) != 0 {
		t.Errorf("%d dead peers and %d that left are kept for ever, want none", len(ms.peers), len(ms.left))
	}
}

func TestCutsAreToldInPairs(t *testing.T) {
	t.Parallel()
	tl := newTeller()
	for range 100 {
		tl.cut(true)
		tl.cut(true)
		tl.cut(false)
	}
	tl.cut(true)
	_, _, cuts := tl.take()
	if len(cuts) > maxCuts || len(cuts)%2 != 1 || !cuts[0] || !cuts[len(cuts)-1] {
		t.Errorf("%v is told, want a few changes that end with a cut", cuts)
	}
}
