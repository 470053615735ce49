package natsengine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// model is what must arrive, as plain maps. Moments are numbered, so that what
// was acknowledged before something else began can be told.
type model struct {
	t    *testing.T
	seed uint64

	mu     sync.Mutex
	moment int
	// joined has, by node and channel, since when it is joined.
	joined map[*node]map[string]int
	// said has, by channel, what was published there.
	said map[string][]utterance
}

// utterance is a message that was published.
type utterance struct {
	text  string
	began int
}

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	return &model{t: t, seed: seed, joined: make(map[*node]map[string]int), said: make(map[string][]utterance)}
}

func (m *model) tick() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moment++
	return m.moment
}

func (m *model) dice(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(m.seed, stream)) }

const modelChannels = 12

func room(i int) string { return fmt.Sprint("room ", i) }

// join makes everything that begins from now on due.
func (m *model) join(n *node, channel string) {
	n.join(channel)
	at := m.tick()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.joined[n] == nil {
		m.joined[n] = make(map[string]int)
	}
	if _, already := m.joined[n][channel]; !already {
		m.joined[n][channel] = at
	}
}

// leave makes nothing due any more, what is on its way included.
func (m *model) leave(n *node, channel string) {
	m.mu.Lock()
	delete(m.joined[n], channel)
	m.mu.Unlock()
	n.Leave(channel)
}

// publish sends what names its publisher and its number on the channel.
func (m *model) publish(n *node, publisher string, number int, channel string) {
	u := utterance{fmt.Sprintf("%s %d", publisher, number), m.tick()}
	n.publish(channel, u.text)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[channel] = append(m.said[channel], u)
}

// wander joins and leaves at random.
func (m *model) wander(n *node, dice *rand.Rand, steps int) {
	for range steps {
		if channel := room(dice.IntN(modelChannels)); dice.IntN(3) > 0 {
			m.join(n, channel)
		} else {
			m.leave(n, channel)
		}
	}
}

// speak publishes at random.
func (m *model) speak(n *node, publisher string, dice *rand.Rand, count int) {
	for i := range count {
		m.publish(n, publisher, i, room(dice.IntN(modelChannels)))
	}
}

// settle returns when everything that was published has been handled by the
// nodes: what comes behind it has.
func (m *model) settle(nodes []*node, round int) {
	m.t.Helper()
	for i, from := range nodes {
		for _, to := range nodes {
			to.join("settled")
		}
		mark := fmt.Sprintf("round %d, node %d", round, i)
		from.publish("settled", mark)
		for _, to := range nodes {
			until(m.t, "the mark arrives", func() bool {
				heard := to.heard("settled")
				return len(heard) > 0 && heard[len(heard)-1] == mark
			})
		}
	}
}

// check compares what a node has heard with what it must have.
func (m *model) check(n *node) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range modelChannels {
		channel := room(i)
		heard := n.heard(channel)
		seen := make(map[string]bool)
		last := make(map[string]int)
		for _, text := range heard {
			var publisher string
			var number int
			if _, err := fmt.Sscan(text, &publisher, &number); err != nil {
				m.t.Fatalf("%q: %v", text, err)
			}
			if seen[text] {
				m.t.Errorf("seed %d: %s has heard %q twice on %q", m.seed, n.options.Node, text, channel)
			}
			if before, some := last[publisher]; some && number <= before {
				m.t.Errorf("seed %d: %s has heard number %d of %s behind %d on %q", m.seed, n.options.Node, number, publisher, before, channel)
			}
			seen[text], last[publisher] = true, number
		}
		since, joined := m.joined[n][channel]
		for _, u := range m.said[channel] {
			if joined && u.began > since && !seen[u.text] {
				m.t.Errorf("seed %d: %s has not heard %q on %q, which it had joined before", m.seed, n.options.Node, u.text, channel)
			}
		}
		if got := n.gap(channel); got != 0 {
			m.t.Errorf("seed %d: %s was told of %d gaps on %q, want none", m.seed, n.options.Node, got, channel)
		}
	}
}

// round has everybody wander and speak at the same time, while a guest comes,
// takes part and leaves.
func (m *model) round(nodes []*node, guest *node, round int) {
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { m.wander(n, m.dice(uint64(100*round+i)), 120) })
		for p := range 2 {
			name := fmt.Sprintf("publisher.%d.%d.%d", round, i, p)
			all.Go(func() { m.speak(n, name, m.dice(uint64(100*round+10*i+p+50)), 600) })
		}
	}
	all.Go(func() {
		guest.start()
		m.wander(guest, m.dice(uint64(100*round+98)), 15)
		m.speak(guest, fmt.Sprint("guest.", round), m.dice(uint64(100*round+99)), 100)
	})
	all.Wait()
	m.settle(append([]*node{guest}, nodes...), round)
	m.check(guest)
	guest.close() // and everything that it has said is there
	for _, n := range nodes {
		m.check(n)
	}
}

// linger is so short that channels end while others join them again.
const shortLinger = 5 * time.Millisecond

func TestDeliveryIsAsInAPlainMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("embedded, seed ", seed), func(t *testing.T) {
			t.Parallel()
			listen := freeAddresses(t, 2)
			walk(t, seed, func(name string, i int) *node {
				address := "127.0.0.1:0"
				if i < len(listen) {
					address = listen[i]
				}
				return newNode(t, Embed(Embedded{Options: Options{Node: name, Linger: shortLinger}, Listen: address, Seeds: listen, JoinTimeout: patient}))
			})
		})
		t.Run(fmt.Sprint("external, seed ", seed), func(t *testing.T) {
			t.Parallel()
			first, second := startNATSCluster(t)
			walk(t, seed, func(name string, i int) *node {
				url := []string{first.ClientURL(), second.ClientURL()}[i%2]
				return newNode(t, Open(External{Options: Options{Node: name, Linger: shortLinger}, URLs: []string{url}}))
			})
		})
	}
}

// walk plays rounds with three nodes and guests.
func walk(t *testing.T, seed uint64, begin func(name string, i int) *node) {
	t.Helper()
	m := newModel(t, seed)
	var nodes []*node
	for i := range 3 {
		nodes = append(nodes, begin(fmt.Sprint("node ", i), i))
	}
	startAll(t, nodes)
	for round := range 4 {
		m.round(nodes, begin("guest", round+3), round)
		know(t, nodes...)
	}
}

// Joins are acknowledged while the members change: by those who stay, those who
// have just come, and without those who are gone.
func TestJoinsAreTrueWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	a, b := openNode(t, "a", url), openNode(t, "b", url)
	startAll(t, []*node{a, b})
	done := make(chan struct{})
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				channel := fmt.Sprintf("worker %d, trial %d", w, i)
				a.join(channel)
				b.publish(channel, "now")
				b.publish(channel, "later")
				until(t, "the later message arrives", func() bool {
					heard := a.heard(channel)
					return len(heard) > 0 && heard[len(heard)-1] == "later"
				})
				if got := a.heard(channel); len(got) != 2 {
					t.Errorf("on %q %q arrived, want what was published after the join", channel, got)
				}
				a.Leave(channel)
			}
		})
	}
	a.join("guests")
	for i := range 60 {
		guest := openNode(t, fmt.Sprint("guest ", i%2), url).start()
		guest.publish("guests", fmt.Sprint(i)) // after a's join, on a node that did not exist then
		if i%3 == 2 {
			guest.publish("guests", "last words")
		}
		guest.close()
	}
	close(done)
	all.Wait()
	until(t, "all guests were heard", func() bool { return len(a.heard("guests")) == 80 })
	for i, got := range a.heard("guests") {
		if want := fmt.Sprint(i - i/4); got != want && got != "last words" {
			t.Errorf("guest %d said %q, want %q", i, got, want)
		}
	}
	if got := a.gap("guests"); got != 0 {
		t.Errorf("a was told of %d gaps, want none: all have taken their leave", got)
	}
	know(t, a, b)
}
