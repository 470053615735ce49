package hub

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sets is the plain map that a hub must behave like.
type sets map[string]map[int]bool

func (m sets) join(channel string, s int) {
	if m[channel] == nil {
		m[channel] = map[int]bool{}
	}
	m[channel][s] = true
}

func (m sets) leave(channel string, s int) {
	if delete(m[channel], s); len(m[channel]) == 0 {
		delete(m, channel)
	}
}

// FuzzHub has a hub and a plain map do the same: each octet is an operation with one of 16 sessions on one of 4 channels.
func FuzzHub(f *testing.F) {
	f.Add([]byte("\x00\x40\x80\xc0"), uint8(1))
	for seed := range uint64(4) {
		r, ops := rand.New(rand.NewPCG(seed, 0)), make([]byte, 200)
		for i := range ops {
			ops[i] = byte(r.IntN(256))
		}
		f.Add(ops, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, ops []byte, shards uint8) {
		h, m := New[int](int(shards)), sets{}
		for i, op := range ops {
			channel, s := "a/b"[:op&3], int(op>>2&15)
			switch op >> 6 {
			case 0, 1:
				if name := h.Join(channel, s); name != channel {
					t.Fatalf("step %d of %x: Join(%q) returned %q", i, ops, channel, name)
				}
				m.join(channel, s)
			case 2:
				h.Leave(channel, s)
				m.leave(channel, s)
			}
			if got, want := members(t, h, channel), slices.Sorted(maps.Keys(m[channel])); !slices.Equal(got, want) {
				t.Fatalf("step %d of %x: %q has %v, want %v", i, ops, channel, got, want)
			}
		}
		checkNames(t, h, m)
	})
}

// checkNames compares all listings.
func checkNames(t *testing.T, h *Hub[int], m sets) {
	t.Helper()
	if got := h.Len(); got != len(m) {
		t.Fatalf("%d channels, want %d", got, len(m))
	}
	for _, prefix := range []string{"", "a", "a/", "x"} {
		for limit := range 4 {
			want := slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(name string) bool { return !strings.HasPrefix(name, prefix) })
			if limit > 0 {
				want = want[:min(limit, len(want))]
			}
			if got := h.Channels(prefix, limit); !slices.Equal(got, want) {
				t.Fatalf("Channels(%q, %d) is %q, want %q", prefix, limit, got, want)
			}
		}
	}
}

// TestOwnersAtTheSameTimeSeeWhatTheyHaveDone has each owner join and leave its own sessions, as the server does: whatever
// the others do meanwhile, an owner's sessions are where its own map says.
func TestOwnersAtTheSameTimeSeeWhatTheyHaveDone(t *testing.T) {
	t.Parallel()
	const owners, steps, sessions = 8, 2000, 4
	channels := []string{"a", "b", "c"}
	h := New[int](2)
	all := make([]sets, owners)
	var work sync.WaitGroup
	for owner := range owners {
		all[owner] = sets{}
		work.Go(func() {
			r, mine := rand.New(rand.NewPCG(uint64(owner), 7)), all[owner]
			for range steps {
				channel, s := channels[r.IntN(len(channels))], owner*sessions+r.IntN(sessions)
				if r.IntN(2) == 0 {
					h.Join(channel, s)
					mine.join(channel, s)
				} else {
					h.Leave(channel, s)
					mine.leave(channel, s)
				}
				var got []int
				h.Each(channel, func(member int) {
					if member/sessions == owner {
						got = append(got, member)
					}
				})
				slices.Sort(got)
				if want := slices.Sorted(maps.Keys(mine[channel])); !slices.Equal(got, want) {
					t.Errorf("owner %d sees %v in %q, want %v", owner, got, channel, want)
					return
				}
			}
		})
	}
	work.Wait()
	together := sets{}
	for _, mine := range all {
		for channel, members := range mine {
			for s := range members {
				together.join(channel, s)
			}
		}
	}
	for _, channel := range channels {
		checkMembers(t, h, channel, slices.Sorted(maps.Keys(together[channel]))...)
	}
}
