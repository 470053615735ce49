package enginetest

import (
	"context"
	"sync"
	"testing"

	"github.com/skeinrt/skein/engine"
)

// record is a sink that keeps what it is given.
type record struct {
	name string

	mu       sync.Mutex
	messages map[string][]engine.Message // by channel, in order of arrival
	joined   map[string]bool             // whether Join was ever called
	late     []engine.Message            // arrived after Close
	sealed   bool
	changed  chan struct{} // closed and replaced at each arrival
	after    func(engine.Message)
}

func newRecord(name string) *record {
	return &record{
		name:     name,
		messages: make(map[string][]engine.Message),
		joined:   make(map[string]bool),
		changed:  make(chan struct{}),
	}
}

func (r *record) sink(m engine.Message) {
	if f := r.keep(m); f != nil {
		f(m)
	}
}

func (r *record) keep(m engine.Message) func(engine.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		r.late = append(r.late, m)
		return nil
	}
	r.messages[m.Channel] = append(r.messages[m.Channel], m)
	close(r.changed)
	r.changed = make(chan struct{})
	return r.after
}

// then has f called behind each arrival.
func (r *record) then(f func(engine.Message)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = f
}

// joining notes that messages of the channel are right from now on.
func (r *record) joining(channel string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joined[channel] = true
}

// note has f change what goes with the record, and tells those who wait.
func (r *record) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// news returns what is closed at the next change.
func (r *record) news() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// seal says that nothing may arrive any more.
func (r *record) seal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sealed = true
}

// on returns what has arrived on channel.
func (r *record) on(channel string) []engine.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages[channel]
}

// count returns how many times data has arrived on channel, and how many
// messages have if data is empty.
func (r *record) count(channel, data string) int {
	n, _ := r.look(channel, data)
	return n
}

func (r *record) look(channel, data string) (int, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if data == "" {
		return len(r.messages[channel]), r.changed
	}
	n := 0
	for _, m := range r.messages[channel] {
		if string(m.Data) == data {
			n++
		}
	}
	return n, r.changed
}

// wait returns as soon as count has reached want, or at the end of ctx, and
// what count is then.
func (r *record) wait(ctx context.Context, channel, data string, want int) int {
	for {
		n, changed := r.look(channel, data)
		if n >= want {
			return n
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return n
		}
	}
}

// audit finds what no engine may do in any test. The tests never send the same
// data twice on a channel.
func (r *record) audit(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.late {
		t.Errorf("%s: %.40q arrived on %.40q after Close had returned", r.name, m.Data, m.Channel)
	}
	for channel, messages := range r.messages {
		if !r.joined[channel] {
			t.Errorf("%s: %d messages arrived on %.40q, which was never joined", r.name, len(messages), channel)
		}
		seen := make(map[string]bool)
		for _, m := range messages {
			if seen[string(m.Data)] {
				t.Errorf("%s: %.40q arrived twice on %.40q", r.name, m.Data, channel)
			}
			seen[string(m.Data)] = true
		}
	}
}
