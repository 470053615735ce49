package ws

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// entry is a frame of the model.
type entry struct {
	text   string
	topic  *Topic
	size   int
	notice bool
	begun  bool // a notice that was in a send
}

// model is what a peer is sent, as a plain slice that is searched from its beginning each time: the semantics in the
// simplest form.
type model struct {
	entries []entry // the first has begun to leave
	left    int     // octets of the first
	outbox  int
	behind  bool
	closed  bool
	dropped [4]int
	out     []string
}

func (m *model) bound() int {
	if m.behind {
		return m.outbox
	}
	return burst * m.outbox
}

func (m *model) octets() int {
	n := 0
	for _, e := range m.entries {
		n += e.size
	}
	return n - m.entries[0].size + m.left
}

func (m *model) weight() int {
	n, latest := m.octets(), map[string]bool{}
	for _, e := range m.entries[1:] {
		switch {
		case e.topic == nil:
			n += slotCost
		case e.notice && !e.begun:
			n += pieceCost + keyCost
		default:
			n += pieceCost
			if m.behind && !e.notice && e.topic.Policy == KeepLatest {
				latest[e.topic.Name] = true
			}
		}
	}
	return n + keyCost*len(latest)
}

func (m *model) fits(n int) bool { return m.weight()+n <= m.bound()-m.bound()/reserve }

func (m *model) fitsNotice(n int) bool {
	n += m.weight()
	return n <= m.bound() || n-m.left <= m.bound()/reserve
}

// waiting gives the place of what is behind the first and is so, or -1.
func (m *model) waiting(is func(e entry) bool) int {
	if i := slices.IndexFunc(m.entries[1:], is); i >= 0 {
		return i + 1
	}
	return -1
}

func (m *model) told(t *Topic) bool {
	return m.waiting(func(e entry) bool { return e.notice && !e.begun && e.topic.Name == t.Name }) > 0
}

func (m *model) evict() bool {
	i := m.waiting(func(e entry) bool { return e.topic != nil && !e.notice })
	if i < 0 {
		return false
	}
	t := m.entries[i].topic
	m.dropped[t.Policy]++
	notice := entry{"gap " + t.Name, t, noticeOf(t.Name).Len(), true, false}
	switch {
	case m.told(t):
		m.entries = slices.Delete(m.entries, i, i+1)
	case t.Policy == DropNewest:
		m.entries = append(slices.Delete(m.entries, i, i+1), notice)
	default:
		m.entries[i] = notice
	}
	return true
}

func (m *model) send(e entry, blocked bool) {
	switch {
	case m.closed:
	case len(m.entries) == 0:
		m.entries, m.left = append(m.entries, e), e.size
	case e.topic == nil:
		bound := m.outbox
		if !blocked {
			bound *= burst
		}
		for m.octets()+e.size > bound || len(m.entries) >= outboxLow {
			if !m.evict() {
				m.closed = true
				return
			}
		}
		m.entries = append(m.entries, e)
	default:
		m.closed = !m.sendLoose(e)
	}
}

func (m *model) sendLoose(e entry) bool {
	t := e.topic
	if t.Policy == DropNewest && m.told(t) {
		m.dropped[t.Policy]++
		return true
	}
	if i := m.waiting(func(w entry) bool { return !w.notice && w.topic != nil && w.topic.Name == t.Name }); t.Policy == KeepLatest && m.behind && i > 0 {
		m.dropped[t.Policy]++
		if more := e.size - m.entries[i].size; more <= 0 || m.fits(more) {
			m.entries[i] = e
			return true
		}
		m.entries = slices.Delete(m.entries, i, i+1)
	}
	for !m.fits(e.size + pieceCost + keyCost) {
		if t.Policy == DropNewest || !m.evict() {
			m.dropped[t.Policy]++
			return m.tell(t)
		}
	}
	m.entries = append(m.entries, e)
	return true
}

func (m *model) tell(t *Topic) bool {
	notice := entry{"gap " + t.Name, t, noticeOf(t.Name).Len(), true, false}
	for !m.told(t) {
		if m.fitsNotice(notice.size + pieceCost + keyCost) {
			m.entries = append(m.entries, notice)
		} else if !m.evict() {
			return false
		}
	}
	return m.fitsNotice(0)
}

// take is what the peer does; blocked tells that it has not taken all that it was sent.
func (m *model) take(n int, blocked bool) {
	for len(m.entries) > 0 && n >= m.left {
		n -= m.left
		m.out = append(m.out, m.entries[0].text)
		if m.entries = m.entries[1:]; len(m.entries) > 0 {
			m.left = m.entries[0].size
		}
	}
	m.left -= n
	for i := range m.entries {
		if t := m.entries[i].topic; t != nil && t.Policy == DropNewest { // all are in the send: see follow
			m.entries[i].begun = m.entries[i].notice
		}
	}
	switch {
	case len(m.entries) == 0:
		m.behind = false
	case blocked && !m.behind:
		m.behind = true
		m.conflate()
	}
}

func (m *model) conflate() {
	for i := 1; i < len(m.entries); i++ {
		e := m.entries[i]
		if e.topic == nil || e.notice || e.topic.Policy != KeepLatest {
			continue
		}
		older := m.waiting(func(w entry) bool { return w.topic != nil && !w.notice && w.topic.Name == e.topic.Name })
		if older < i {
			m.dropped[KeepLatest]++
			m.entries[older] = e
			m.entries = slices.Delete(m.entries, i, i+1)
			i--
		}
	}
}

func modelTopics() []*Topic {
	return []*Topic{
		nil, topicOf("o", DropOldest), topicOf("O", DropOldest), topicOf("n", DropNewest), topicOf("N", DropNewest),
		topicOf("l", KeepLatest), topicOf("L", KeepLatest), topicOf("a topic with a long name", KeepLatest),
	}
}

// follow does what the octets say to a connection and to the model, and compares. With an outbox of at most 3,500 octets all
// that is pending is in each send.
func follow(t *testing.T, outbox int, script []byte) {
	t.Helper()
	h, m := newHandConn(t, outbox), &model{outbox: outbox}
	topics := modelTopics()
	for i := 0; i+1 < len(script) && !m.closed; i += 2 {
		op, arg := script[i], int(script[i+1])
		if op >= 200 {
			n := arg * outbox / 512
			before := h.hand.taken.Len()
			h.take(n)
			m.take(h.hand.taken.Len()-before, h.out.has(stateBlocked))
		} else {
			topic := topics[int(op)%len(topics)]
			f := padded(fmt.Sprint(i), 8+arg*outbox/1024)
			m.send(entry{fmt.Sprint(i), topic, f.Len(), false, false}, h.out.has(stateBlocked))
			if err := h.SendTopic(f, 0, topic); (err != nil) != m.closed {
				t.Fatalf("step %d: got %v, want closed %v", i/2, err, m.closed)
			}
		}
		if m.closed {
			return
		}
		compare(t, i/2, h, m)
	}
	got := h.rest(t)
	m.take(1<<40, false)
	if !slices.Equal(got, m.out) {
		t.Fatalf("got  %q\nwant %q", got, m.out)
	}
}

func compare(t *testing.T, step int, h *handConn, m *model) {
	t.Helper()
	if len(m.entries) == 0 {
		if h.Pending() != 0 || h.out.rest != nil {
			t.Fatalf("step %d: got %d octets pending, want none", step, h.Pending())
		}
		return
	}
	if h.Pending() != m.octets() || h.out.weight() != m.weight() {
		t.Fatalf("step %d: got %d octets pending and a weight of %d, want %d and %d", step, h.Pending(), h.out.weight(), m.octets(), m.weight())
	}
	if h.dropped != m.dropped {
		t.Fatalf("step %d: got %v dropped, want %v", step, h.dropped, m.dropped)
	}
	if most := max(burst*m.outbox, m.left+burst*m.outbox/reserve); h.Pending() > most {
		t.Fatalf("step %d: got %d octets pending, more than %d", step, h.Pending(), most)
	}
}

func TestSlowPeerFollowsTheModel(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(14, 15))
	for range 600 {
		script := make([]byte, 400)
		for i := range script {
			script[i] = byte(rng.IntN(256))
		}
		if rng.IntN(2) == 0 { // a peer that takes little
			for i := 1; i < len(script); i += 2 {
				if script[i-1] >= 200 {
					script[i] %= 8
				}
			}
		}
		follow(t, 500+rng.IntN(3000), script)
	}
}

func FuzzSlowPeer(f *testing.F) {
	f.Add(uint16(3000), []byte{0, 9, 200, 0, 1, 200, 1, 200, 3, 90, 5, 80, 5, 90, 200, 40, 0, 3})
	f.Fuzz(func(t *testing.T, outbox uint16, script []byte) { follow(t, 500+int(outbox)%3000, script) })
}

// However sends and messages interleave: what is missing is told behind it, no topic is told twice at a time, a topic's
// order stays, and what may not be dropped arrives.
func TestNoGapIsSilentWhateverComesDuringASend(t *testing.T) {
	t.Parallel()
	for seed := range 100 {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		h := newHandConn(t, 30_000+rng.IntN(10_000)) // of which 16 KiB are in a send
		sent := map[string][]string{}
		topics := modelTopics()
		post := func() {
			for range rng.IntN(8) {
				topic := topics[rng.IntN(len(topics))]
				name := "c"
				if topic != nil {
					name = topic.Name
				} else if h.Pending() > 20_000 {
					continue
				}
				text := fmt.Sprint(name, len(sent[name]))
				sent[name] = append(sent[name], text)
				if h.SendTopic(padded(text, 20+rng.IntN(200)), 0, topic) != nil {
					t.Fatal("closed")
				}
			}
		}
		h.hand.during = post
		for range 200 {
			post()
			h.take(rng.IntN(1000))
			wantLatestOnce(t, h)
		}
		h.hand.during = nil
		wantTold(t, sent, h.rest(t))
	}
}

func wantLatestOnce(t *testing.T, h *handConn) {
	t.Helper()
	if h.out.rest == nil || h.out.rest.loose == nil || h.out.state&stateBehind == 0 {
		return
	}
	waiting := map[string]bool{}
	for _, p := range h.out.rest.loose.queue.all() {
		if p.topic.Policy == KeepLatest && waiting[p.topic.Name] {
			t.Fatalf("got two of %q waiting", p.topic.Name)
		}
		waiting[p.topic.Name] = waiting[p.topic.Name] || p.topic.Policy == KeepLatest
	}
}

// wantTold looks for the notice of each topic behind what was sent before the first loss that it is about.
func wantTold(t *testing.T, sent map[string][]string, got []string) {
	t.Helper()
	for name, all := range sent {
		next, told, owed := 0, false, false
		for _, text := range got {
			if text == "gap "+name {
				told, owed = true, false
			}
			i := slices.Index(all, text)
			switch {
			case i < 0:
				continue
			case i < next:
				t.Fatalf("%s: got %s behind a later one: %q", name, text, got)
			case i > next && topicPolicy(name) != KeepLatest:
				owed = owed || !told
			}
			next, told = i+1, false
		}
		if owed || next < len(all) && !told {
			t.Fatalf("%s: something is missing in silence: %q", name, got)
		}
	}
}

func topicPolicy(name string) Policy {
	for _, t := range modelTopics()[1:] {
		if t.Name == name {
			return t.Policy
		}
	}
	return KeepAll
}
