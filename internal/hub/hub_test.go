package hub

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// members returns who is visited, sorted, and checks the count with it.
func members(t *testing.T, h *Hub[int], channel string) []int {
	t.Helper()
	var got []int
	n := h.Each(channel, func(s int) { got = append(got, s) })
	if n != len(got) {
		t.Errorf("Each returned %d, want the number of its calls, %d", n, len(got))
	}
	if c := h.Count(channel); c != n {
		t.Errorf("Count is %d, want %d", c, n)
	}
	slices.Sort(got)
	return got
}

func checkMembers(t *testing.T, h *Hub[int], channel string, want ...int) {
	t.Helper()
	if got := members(t, h, channel); !slices.Equal(got, want) {
		t.Errorf("%q: got %v, want %v", channel, got, want)
	}
}

func TestJoiningTwiceIsJoiningOnce(t *testing.T) {
	t.Parallel()
	h := New[int](0)
	for _, s := range []int{1, 1, 2, 1, 2} {
		h.Join("room", s)
	}
	h.Join("", 1)
	checkMembers(t, h, "room", 1, 2)
	checkMembers(t, h, "", 1)
}

// A session that keeps the name that it is given costs no name of its own.
func TestEverybodyGetsTheSameCopyOfTheName(t *testing.T) {
	t.Parallel()
	h := New[int](0)
	first := h.Join(strings.Clone("room"), 1)
	second := h.Join(strings.Clone("room"), 2)
	if first != "room" || unsafe.StringData(first) != unsafe.StringData(second) {
		t.Errorf("got %q and another copy %q", first, second)
	}
}

func TestLeavingIsForThoseWhoAreThere(t *testing.T) {
	t.Parallel()
	h := New[int](0)
	h.Join("room", 1)
	h.Join("room", 2)
	h.Join("other", 1)
	for _, c := range []struct {
		channel string
		session int
		left    []int // in room
	}{
		{"nowhere", 1, []int{1, 2}},
		{"room", 3, []int{1, 2}},
		{"room", 1, []int{2}},
		{"room", 1, []int{2}},
		{"room", 2, nil},
		{"room", 2, nil},
	} {
		h.Leave(c.channel, c.session)
		checkMembers(t, h, "room", c.left...)
	}
	checkMembers(t, h, "other", 1)
	h.Join("room", 2)
	checkMembers(t, h, "room", 2)
}

// The sizes go across the places where a channel's representation changes.
func TestChannelGrowsAndShrinksWithoutLosingAnybody(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, indexAbove, indexAbove + 1, 200, 2000} {
		h := New[int](1)
		var want []int
		for s := range size {
			h.Join("room", s)
			want = append(want, s)
		}
		checkMembers(t, h, "room", want...)
		order := rand.New(rand.NewPCG(1, uint64(size))).Perm(size)
		for i, s := range order {
			h.Leave("room", s)
			if got, want := h.Count("room"), size-1-i; got != want {
				t.Fatalf("size %d: %d are left after %d have gone, want %d", size, got, i+1, want)
			}
			if i%37 == 0 || size-i < 2*indexAbove {
				rest := slices.Clone(order[i+1:])
				slices.Sort(rest)
				checkMembers(t, h, "room", rest...)
			}
		}
		if n := h.Len(); n != 0 {
			t.Errorf("size %d: %d channels are left, want 0", size, n)
		}
	}
}

// Any sequence of calls leaves what a plain set of sets would hold.
func TestHubBehavesLikeASetOfSets(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	h := New[int](4)
	model := make(map[string]map[int]bool)
	for range 50_000 {
		channel, s := fmt.Sprint(random.IntN(5)), random.IntN(3*indexAbove)
		if model[channel] == nil {
			model[channel] = make(map[int]bool)
		}
		set := model[channel]
		if random.IntN(2) == 0 {
			set[s] = true
			if name := h.Join(channel, s); name != channel {
				t.Fatalf("Join: got %q, want %q", name, channel)
			}
		} else {
			delete(set, s)
			h.Leave(channel, s)
		}
		if n := h.Count(channel); n != len(set) {
			t.Fatalf("Count: got %d, want %d", n, len(set))
		}
	}
	for channel, set := range model {
		var want []int
		for s := range set {
			want = append(want, s)
		}
		slices.Sort(want)
		checkMembers(t, h, channel, want...)
	}
}

func TestMemoryIsGivenBackWhenSessionsLeave(t *testing.T) {
	t.Parallel()
	h := New[int](1)
	for s := range 10_000 {
		h.Join("room", s)
	}
	for s := range 9_990 {
		h.Leave("room", s)
	}
	g := h.shard("room").find("room")
	if c := cap(g.members); c > 4*indexAbove {
		t.Errorf("10 sessions of 10,000 have stayed, there is room for %d", c)
	}
	if g.index != nil {
		t.Errorf("10 sessions have an index")
	}
}

// What has left must not be kept from the garbage collector by a slot that is
// not in use.
func TestSlotsOutOfUseAreCleared(t *testing.T) {
	t.Parallel()
	h := New[*int](1)
	sessions := make([]*int, 3)
	for i := range sessions {
		sessions[i] = &i
		h.Join("room", sessions[i])
	}
	g := h.shard("room").find("room")
	if g.inline[0] != nil {
		t.Error("the first session is held twice")
	}
	for _, s := range sessions[:2] {
		h.Leave("room", s)
	}
	for i, s := range g.members[:cap(g.members)] {
		if used := i < len(g.members); used != (s != nil) {
			t.Errorf("slot %d of %d in use: got %v", i, len(g.members), s)
		}
	}
}

func TestChannelsAreSortedAndLimited(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 16} {
		h := New[int](shards)
		var all []string
		for i := range 100 {
			name := fmt.Sprintf("room/%02d", i)
			all = append(all, name)
			h.Join(name, i)
		}
		h.Join("user", 1)
		for _, c := range []struct {
			prefix string
			limit  int
			want   []string
		}{
			{"room/", 0, all},
			{"room/", -1, all},
			{"room/", 1000, all},
			{"room/", 3, all[:3]},
			{"room/4", 0, all[40:50]},
			{"room/4", 2, all[40:42]},
			{"", 0, append(slices.Clone(all), "user")},
			{"z", 0, nil},
		} {
			if got := h.Channels(c.prefix, c.limit); !slices.Equal(got, c.want) {
				t.Errorf("%d shards: Channels(%q, %d): got %q, want %q", shards, c.prefix, c.limit, got, c.want)
			}
		}
		if n := h.Len(); n != 101 {
			t.Errorf("Len: got %d, want 101", n)
		}
	}
}

func TestShardsAreRoundedUpAndBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ asked, want int }{{1, 1}, {2, 2}, {3, 4}, {64, 64}, {65, 128}, {1 << 30, maxShards}} {
		h := New[int](c.asked)
		if got := len(h.shards); got != c.want {
			t.Errorf("New(%d): got %d shards, want %d", c.asked, got, c.want)
		}
		h.Join("room", 1)
		checkMembers(t, h, "room", 1)
	}
}

func TestVisitorsOfOneChannelDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	h := New[int](1)
	h.Join("room", 1)
	h.Join("other", 2)
	h.Each("room", func(int) {
		done := make(chan int)
		go func() { done <- h.Each("room", func(int) {}) + h.Each("other", func(int) {}) }()
		if n := <-done; n != 2 { // a deadlock, if it had to wait
			t.Errorf("visited %d, want 2", n)
		}
	})
}

func TestLongVisitDoesNotDelayOtherChannels(t *testing.T) {
	t.Parallel()
	h := New[int](1)
	h.Join("room", 1)
	h.Each("room", func(int) {
		done := make(chan int)
		go func() {
			h.Join("other", 2)
			defer close(done)
			defer h.Leave("other", 2)
			done <- h.Count("other")
		}()
		if n := <-done; n != 1 {
			t.Error("another channel was disturbed")
		}
		<-done
	})
}

func TestPanicInAVisitLeavesTheChannelUsable(t *testing.T) {
	t.Parallel()
	h := New[int](1)
	h.Join("room", 1)
	func() {
		defer func() { _ = recover() }()
		h.Each("room", func(int) { panic("a bug") })
	}()
	h.Join("room", 2)
	checkMembers(t, h, "room", 1, 2)
}

// A session that is in the channel all the time is visited exactly once by every
// visit, whoever comes and goes meanwhile.
func TestStayingSessionsAreVisitedOnceByEveryVisit(t *testing.T) {
	t.Parallel()
	const staying, moving, visits = 20, 60, 400
	h := New[int](1)
	for s := range staying {
		h.Join("room", s)
	}
	var movers, visitors sync.WaitGroup
	stop := make(chan struct{})
	for m := range moving {
		movers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					h.Join("room", staying+m)
					h.Leave("room", staying+m)
				}
			}
		})
	}
	for range 4 {
		visitors.Go(func() {
			for range visits {
				var seen [staying + moving]int
				h.Each("room", func(s int) { seen[s]++ })
				for s, n := range seen {
					if n > 1 || n == 0 && s < staying {
						t.Errorf("session %d was visited %d times by one visit", s, n)
					}
				}
			}
		})
	}
	visitors.Wait()
	close(stop)
	movers.Wait()
}

func TestNobodyIsVisitedAfterLeaveHasReturned(t *testing.T) {
	t.Parallel()
	h := New[int](1)
	h.Join("room", 0)
	var present atomic.Bool
	stop := make(chan struct{})
	var visitors sync.WaitGroup
	for range 2 {
		visitors.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				h.Each("room", func(s int) {
					if s == 1 && !present.Load() {
						t.Error("a session was visited that had left")
					}
				})
			}
		})
	}
	for range 2000 {
		present.Store(true)
		h.Join("room", 1)
		h.Leave("room", 1)
		present.Store(false)
	}
	close(stop)
	visitors.Wait()
}

// Whoever comes just when the last one goes must not end up in a channel that has been removed.
func TestNobodyIsLostWhenAChannelIsRemoved(t *testing.T) {
	t.Parallel()
	h := New[int](2)
	channels := []string{"a", "b", "c"}
	var all sync.WaitGroup
	for s := range 8 {
		all.Go(func() {
			for i := range 3000 {
				channel := channels[(s+i)%len(channels)]
				h.Join(channel, s)
				found := false
				h.Each(channel, func(x int) { found = found || x == s })
				if !found {
					t.Errorf("session %d is not where it has joined", s)
				}
				h.Leave(channel, s)
			}
		})
	}
	all.Wait()
	if n := h.Len(); n != 0 {
		t.Errorf("%d channels are left, want 0", n)
	}
}
