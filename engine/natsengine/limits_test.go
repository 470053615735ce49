package natsengine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/skeinrt/skein/engine"
)

// bound returns how much data a message may have.
func (n *node) bound(m engine.Message) int {
	most := n.carrier.limit() - preambleSize - 4*maxVarint - len(m.Origin)
	if _, hashed := channelToken(m.Channel); hashed {
		most -= len(m.Channel)
	}
	return most
}

func TestLargestMessageArrivesAndOneMoreOctetIsTooMuch(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{MaxPayload: 10_000}).ClientURL()
	external := []*node{openNode(t, "node 0", url), openNode(t, "node 1", url)}
	startAll(t, external)
	for name, nodes := range map[string][]*node{"embedded": startNodes(t, 2), "external": external} {
		for what, m := range map[string]engine.Message{
			"plain":       {Channel: "room"},
			"with origin": {Channel: "room of sessions", Origin: strings.Repeat("o", 100)},
			"long name":   {Channel: strings.Repeat("long name ", 500)},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				for _, n := range nodes {
					n.join(m.Channel)
				}
				m.Data = bytes.Repeat([]byte("1"), nodes[0].bound(m)+1)
				if err := nodes[0].Publish(t.Context(), m); !errors.Is(err, engine.ErrTooLarge) {
					t.Errorf("Publish of %d octets: got %v, want ErrTooLarge", len(m.Data), err)
				}
				if got := nodes[0].heard(m.Channel); len(got) != 0 {
					t.Errorf("%d messages arrived at home that were not taken", len(got))
				}
				m.Data = m.Data[1:]
				if err := nodes[0].Publish(t.Context(), m); err != nil {
					t.Fatalf("Publish of %d octets: got %v, want nil", len(m.Data), err)
				}
				for _, n := range nodes {
					until(t, "the largest message arrives", func() bool { return len(n.heard(m.Channel)) == 1 })
					if got := n.heard(m.Channel)[0]; got != string(m.Data) {
						t.Errorf("%d octets have arrived, want %d and the same", len(got), len(m.Data))
					}
				}
			})
		}
	}
	t.Cleanup(func() {
		for _, n := range external {
			if n.Stats().Losses != 0 {
				t.Errorf("%s has lost its connection", n.options.Node)
			}
		}
	})
}

func TestLargestQuestionAndAnswer(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	answer := make([]byte, maxCall)
	nodes[1].mu.Lock()
	nodes[1].serve = func(_ context.Context, _, topic string, data []byte) ([]byte, error) {
		switch {
		case topic == "long":
			return make([]byte, maxCall+1), nil
		case topic == "fails":
			return nil, errors.New(strings.Repeat("x", 1<<20))
		case len(data) != maxCall || len(topic) != maxTopic:
			return nil, fmt.Errorf("%d octets about %d", len(data), len(topic))
		}
		return answer, nil
	}
	nodes[1].mu.Unlock()
	topic := strings.Repeat("t", maxTopic)
	got, err := nodes[0].Call(t.Context(), "node 1", topic, make([]byte, maxCall))
	if err != nil || len(got) != maxCall {
		t.Errorf("Call with the largest question: got %d octets, %v, want %d", len(got), err, maxCall)
	}
	for _, c := range []struct {
		topic string
		size  int
	}{{topic + "t", maxCall}, {topic, maxCall + 1}} {
		if _, err := nodes[0].Call(t.Context(), "node 1", c.topic, make([]byte, c.size)); !errors.Is(err, engine.ErrTooLarge) {
			t.Errorf("Call with %d octets about %d: got %v, want ErrTooLarge", c.size, len(c.topic), err)
		}
	}
	for topic, want := range map[string]string{"long": "an answer of 524289 octets", "fails": "xxx"} {
		_, err := nodes[0].Call(t.Context(), "node 1", topic, nil)
		if told, ok := errors.AsType[*engine.CallError](err); !ok || told.Member != "node 1" || !strings.Contains(told.Message, want) || len(told.Message) > 4<<10 {
			t.Errorf("Call(%q): got %.100v, want a CallError with %q, cut", topic, err, want)
		}
	}
}

// joinMany joins many channels at a time, so that they share barriers.
func (n *node) joinMany(count int, name func(int) string) {
	n.t.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 256 {
		all.Go(func() {
			for i := int(next.Add(1)); i <= count; i = int(next.Add(1)) {
				n.join(name(i))
			}
		})
	}
	all.Wait()
}

func (n *node) remembered() (channels, slots int) {
	for i := range n.interests.shards {
		sh := &n.interests.shards[i]
		sh.mu.RLock()
		channels += len(sh.channels)
		sh.mu.RUnlock()
	}
	n.sweeper.mu.Lock()
	defer n.sweeper.mu.Unlock()
	for _, slot := range n.sweeper.slots {
		slots += len(slot)
	}
	return channels, slots
}

func TestManyChannelsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	const many = 20_000
	listen := freeAddresses(t, 2)
	var nodes []*node
	for i := range listen {
		nodes = append(nodes, newNode(t, Embed(Embedded{
			Options: Options{Node: fmt.Sprint("node ", i), Linger: 50 * time.Millisecond}, Listen: listen[i], Seeds: listen, JoinTimeout: patient,
		})))
	}
	startAll(t, nodes)
	subscriptions := func(n *node) uint32 { return n.source.(*embedded).server.NumSubscriptions() }
	until(t, "the servers know of each other's subscriptions", func() bool { return subscriptions(nodes[0]) == subscriptions(nodes[1]) })
	before := subscriptions(nodes[0])
	name := func(i int) string { return fmt.Sprint("channel ", i) }
	for i, n := range nodes {
		n.joinMany(many, name)
		if got := n.Stats(); got.Joined != many {
			t.Errorf("%d channels are joined, want %d", got.Joined, many)
		}
		nodes[1-i].publish(name(1), "x")
	}
	for i := 1; i <= many; i++ {
		for _, n := range nodes {
			n.Leave(name(i))
		}
	}
	for _, n := range nodes {
		until(t, "no channel lingers", func() bool { s := n.Stats(); return s.Joined == 0 && s.Lingering == 0 })
		until(t, "no subscription is left", func() bool { return subscriptions(n) == before })
		if channels, slots := n.remembered(); channels != 0 || slots != 0 {
			t.Errorf("%d channels and %d leavings are remembered, want none", channels, slots)
		}
	}
	nodes[1].join(name(1))
	nodes[0].publish(name(1), "again")
	until(t, "a channel that is joined again works", func() bool {
		heard := nodes[1].heard(name(1))
		return len(heard) > 0 && heard[len(heard)-1] == "again"
	})
}

func TestOnlySoManyChannelsLinger(t *testing.T) {
	t.Parallel()
	n := newNode(t, Embed(Embedded{Options: Options{Node: "a", Linger: time.Hour}, Listen: "127.0.0.1:0"})).start()
	const over = 100
	name := func(i int) string { return fmt.Sprint(i) }
	n.joinMany(maxLingering+over, name)
	for i := 1; i <= maxLingering+over; i++ {
		n.Leave(name(i))
	}
	if got := n.Stats(); got.Lingering != maxLingering || got.Joined != 0 {
		t.Errorf("%d channels linger and %d are joined, want %d and 0", got.Lingering, got.Joined, maxLingering)
	}
	server := n.source.(*embedded).server
	until(t, "those over the bound are not subscribed", func() bool { return server.NumSubscriptions() == maxLingering+3 })
	n.join(name(maxLingering + over)) // ended
	n.join(name(1))                   // lingers
	n.publish(name(1), "1")
	n.publish(name(maxLingering+over), "2")
	if len(n.heard(name(1))) != 1 || len(n.heard(name(maxLingering+over))) != 1 {
		t.Error("a channel that was left and joined again does not work")
	}
}

func TestChannelsLingerForHalfATurnAtLeastAndAWholeOneAtMost(t *testing.T) {
	t.Parallel()
	var s sweeper
	const many = 1_000
	for i := range many {
		for range i % sweepSlots {
			s.turn()
		}
		s.add(leaving{lease: 1})
		turns := 1
		for len(s.turn()) == 0 {
			turns++
		}
		if turns <= sweepSlots/2 || turns >= sweepSlots {
			t.Fatalf("a channel ends after %d turns of %d, want more than half and less than all", turns, sweepSlots)
		}
	}
}

func TestCallsUnderLoadAreAllAnswered(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 3)
	for _, n := range nodes {
		n.join("flood")
	}
	stop := nodes[0].talk("flood")
	defer stop()
	var all sync.WaitGroup
	for i, from := range nodes {
		for w := range 20 {
			all.Go(func() {
				for q := range 25 {
					to := nodes[(i+w+q)%len(nodes)].options.Node
					data := fmt.Sprintf("%d.%d.%d", i, w, q)
					got, err := from.Call(t.Context(), to, "topic", []byte(data))
					if want := from.options.Node + " topic " + data; err != nil || string(got) != want {
						t.Errorf("%s asks %s: got %q, %v, want %q", from.options.Node, to, got, err, want)
					}
				}
			})
		}
	}
	all.Wait()
	count := stop()
	for _, n := range nodes[1:] {
		n.checkNumbers("flood", 0, count)
	}
	for _, n := range nodes {
		n.calls.mu.Lock()
		if len(n.calls.asked) != 0 || len(n.calls.serving) != 0 {
			t.Errorf("%s: %d questions are open and %d are served, want none", n.options.Node, len(n.calls.asked), len(n.calls.serving))
		}
		n.calls.mu.Unlock()
	}
}

func TestCallsOfAMemberThatDiesFail(t *testing.T) {
	t.Parallel()
	nodes, cut := apart(t, true)
	asked := make(chan struct{}, 10)
	nodes[1].serves(func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	answers := make(chan error, cap(asked))
	call := func() {
		_, err := nodes[0].Call(t.Context(), "node 1", "x", nil)
		answers <- err
	}
	for range cap(asked) - 1 {
		go call() // answered below
	}
	for range cap(asked) - 1 {
		<-asked
	}
	cut(true)
	go call() // on its way while nobody knows of the death; answered below
	for range cap(answers) {
		if err := <-answers; !errors.Is(err, engine.ErrNoMember) {
			t.Errorf("Call: got %v, want ErrNoMember", err)
		}
	}
	if _, err := nodes[0].Call(t.Context(), "node 1", "x", nil); !errors.Is(err, engine.ErrNoMember) {
		t.Errorf("Call of a dead node: got %v, want ErrNoMember", err)
	}
	until(t, "what was asked by a node that is gone is served no more", func() bool {
		nodes[1].calls.mu.Lock()
		defer nodes[1].calls.mu.Unlock()
		return len(nodes[1].calls.serving) == 0
	})
}

func TestWhoIsNoNodeCannotFillTheOutbox(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	n := openNode(t, "a", url).start()
	s := newStranger(t, url)
	answers := make(chan *nats.Msg, 100_000)
	if _, err := s.ChanSubscribe("sk.n."+boot(77).String(), answers); err != nil {
		t.Fatal(err)
	}
	p := packet{preamble: preamble{protocol, kindBarrier, 77}, name: "pest", id: 1}
	data := p.encode()
	for range 50_000 {
		if err := s.Publish("sk.n."+n.boot.String(), data); err != nil {
			t.Fatal(err)
		}
	}
	s.say("none", nil)
	n.join("room")
	n.publish("room", "x")
	if got := n.heard("room"); len(got) != 1 {
		t.Errorf("%q arrived under a flood of barriers, want one message", got)
	}
	until(t, "every barrier is answered or counted as dropped", func() bool {
		return uint64(len(answers))+n.Stats().Dropped >= 50_000
	})
}
