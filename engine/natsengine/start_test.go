package natsengine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/skeinrt/skein/engine"
)

// soon is what is at once, on a machine that is busy; every time-out of Start is
// longer.
const soon = 1500 * time.Millisecond

// mute accepts connections and says nothing. accepted holds one when there is one.
func mute(t *testing.T) (address string, accepted <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() }) // silent until then
			select {
			case came <- struct{}{}:
			default:
			}
		}
	}()
	t.Cleanup(func() {
		_ = l.Close() // ends Accept
		<-done
	})
	return l.Addr().String(), came
}

// Start waited for the NATS server's patience, 10 s, or for that of nats.go.
func TestStartThatIsGivenUpEndsAtOnce(t *testing.T) {
	t.Parallel()
	embed := func(t *testing.T, address string) *node {
		t.Helper()
		return newNode(t, Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0", Seeds: []string{address}, JoinTimeout: patient}))
	}
	open := func(t *testing.T, address string) *node {
		t.Helper()
		return openNode(t, "a", "nats://"+address)
	}
	for _, c := range []struct {
		name  string
		node  func(*testing.T, string) *node
		close bool
		want  error
	}{
		{"embedded, cancelled", embed, false, errEnough},
		{"embedded, closed", embed, true, engine.ErrClosed},
		{"external, cancelled", open, false, errEnough},
		{"external, closed", open, true, engine.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address, accepted := mute(t)
			n := c.node(t, address)
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- n.Start(ctx, n.sink) }()
			<-accepted
			began := time.Now()
			if c.close {
				n.close()
			}
			cancel(errEnough)
			if err := <-ended; !errors.Is(err, c.want) {
				t.Errorf("Start: got %v, want %v", err, c.want)
			}
			if took := time.Since(began); took > soon {
				t.Errorf("Start took %v to end", took)
			}
		})
	}
}

func TestOnlyTheFirstConnectionBreaksWithStart(t *testing.T) {
	t.Parallel()
	address, _ := mute(t)
	for _, made := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		d := dialer{newInlet(), &first{ctx: ctx}}
		conn, err := d.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		d.first.made.Store(made)
		read := make(chan error, 1)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			read <- err
		}()
		cancel()
		if made {
			again, err := d.Dial("tcp", address)
			if err != nil {
				t.Fatalf("a connection after Start has returned: %v", err)
			}
			_ = again.Close() // it was a trial
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Errorf("the connection breaks with the context of a Start that has returned: %v", err)
			}
			_ = conn.Close() // ends Read
		}
		if err := <-read; err == nil {
			t.Error("Read: got nil, want an error")
		}
	}
}

func TestStartThatFailsEndsAtOnce(t *testing.T) {
	t.Parallel()
	first := newNode(t, Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0"})).start()
	second := newNode(t, Embed(Embedded{Options: Options{Node: "b"}, Listen: first.Members()[0].Address}))
	began := time.Now()
	if err := second.Start(t.Context(), second.sink); err == nil {
		t.Error("Start at an address that is taken: got nil, want an error")
	}
	if took := time.Since(began); took > soon {
		t.Errorf("Start took %v to fail", took)
	}
}

// witness is a node that watches others come and go.
func witness(t *testing.T, url string) (*node, *logged) {
	t.Helper()
	log := &logged{}
	return newNode(t, Open(External{Options: Options{Node: "witness", Logger: log.logger()}, URLs: []string{url}})).start(), log
}

// sees waits until the witness has met a node and seen it leave; that it was
// missed is wrong.
func sees(t *testing.T, log *logged, name string) {
	t.Helper()
	until(t, name+" has come and left", func() bool {
		text := log.text()
		if strings.Contains(text, `"node has died" node=witness member=`+name) {
			t.Fatalf("%s was missed, want that it says bye:\n%s", name, text)
		}
		return strings.Contains(text, `"node has left" node=witness member=`+name)
	})
}

// failsByName finds its name taken.
func failsByName(t *testing.T, url string) error {
	t.Helper()
	openNode(t, "late", url).start()
	n := openNode(t, "late", url)
	return n.Start(t.Context(), n.sink)
}

// failsByProtocol meets another protocol when it is a member for others.
func failsByProtocol(t *testing.T, url string) error {
	t.Helper()
	s := newStranger(t, url)
	answer := func(m *nats.Msg) { // of the witness, to whom it is a member now
		if pre, _, err := readPreamble(m.Data); err == nil && pre.kind == kindWelcome {
			_ = s.Publish("sk.ctl.all", foreign(kindBeat)) // the test fails without
		}
	}
	if _, err := s.Subscribe("sk.n.>", answer); err != nil {
		t.Fatal(err)
	}
	// The witness tells of this one, which is waited for.
	p := packet{preamble: preamble{protocol, kindBeat, 77}, name: "silent"}
	s.say("sk.ctl.all", p.encode())
	n := openNode(t, "late", url)
	return n.Start(t.Context(), n.sink)
}

// failsByClose is closed while it waits for a node.
func failsByClose(t *testing.T, url string) error {
	t.Helper()
	s := newStranger(t, url)
	n := openNode(t, "late", url)
	said := make(chan *nats.Msg, 1000)
	if _, err := s.ChanSubscribe("sk.ctl.all", said); err != nil {
		t.Fatal(err)
	}
	// The witness tells of this one, which is waited for.
	p := packet{preamble: preamble{protocol, kindBeat, 77}, name: "silent"}
	s.say("sk.ctl.all", p.encode())
	ended := make(chan error, 1)
	go func() { ended <- n.Start(t.Context(), n.sink) }()
	for {
		if pre, _, err := readPreamble((<-said).Data); err == nil && pre.kind == kindHello && pre.boot == n.boot {
			break
		}
	}
	n.close()
	return <-ended
}

// It stayed a member for 3 s, until it was missed.
func TestNodeWhoseStartFailsIsNoGhost(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(t *testing.T, url string) error{
		"its name is taken": failsByName, "it meets another protocol": failsByProtocol, "it is closed": failsByClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startNATS(t, server.Options{}).ClientURL()
			w, log := witness(t, url)
			if err := fail(t, url); err == nil {
				t.Error("Start: got nil, want an error")
			}
			sees(t, log, "late")
			for _, m := range w.Members() {
				if m.Name == "late" && name != "its name is taken" {
					t.Errorf("%+v is a member still", m)
				}
			}
		})
	}
}

// While the second one of a name is refused, the others must not take it for the
// first one.
func TestNodeThatJoinsDoesNotReplaceTheOneOfItsName(t *testing.T) {
	t.Parallel()
	e, _, old := tracked(t)
	add := func(b boot, s status) *peer {
		p := e.members.meet(b, "b", time.Now())
		e.members.update(p, s, time.Now())
		e.admit(p, s)
		return p
	}
	e.members.update(old, status{started: 10}, time.Now())
	late := add(8, status{started: 20, joining: true})
	check := func(when string, want *peer) {
		t.Helper()
		list := e.members.list()
		if len(list) != 1 || list[0].Boot != want.boot.String() {
			t.Errorf("%s the members are %+v, want boot %v alone", when, list, want.boot)
		}
		if got, ok := e.members.named("b"); !ok || got != want.boot {
			t.Errorf("%s calls go to boot %v, want %v", when, got, want.boot)
		}
	}
	check("while the younger one joins", old)
	e.teller.take()
	e.hear(packet{preamble: preamble{protocol, kindBeat, late.boot}, name: "b", status: status{started: 20, beat: 1}}, time.Now())
	check("when it has joined", late)
	if _, changed, _ := e.teller.take(); !changed {
		t.Error("that another node of the name counts was not told")
	}
	add(9, status{started: 15})
	check("with another one in between", late)
}

// Others showed what it had said before it was a member, for one heartbeat.
func TestInfoOfANodeThatStartsIsKnownWithoutAHeartbeat(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	slow := func(name string) *node {
		return newNode(t, Open(External{Options: Options{Node: name, Heartbeat: time.Hour, Death: 3 * time.Hour}, URLs: []string{url}}))
	}
	a, b := slow("a"), slow("b")
	a.start()
	b.Attach(engine.Node{
		Info: func() json.RawMessage { return fmt.Appendf(nil, `{"members":%d}`, len(b.Members())) },
	})
	b.start()
	until(t, "the info of a node that has joined is up to date", func() bool {
		members := a.Members()
		return len(members) == 2 && string(members[1].Info) == `{"members":2}`
	})
	c := slow("c")
	c.start()
	for _, n := range []*node{a, c} {
		until(t, "all know of the change that came with another one", func() bool { return string(n.Members()[1].Info) == `{"members":3}` })
	}
}

func TestChangedIsToldWhenStartIsDone(t *testing.T) {
	t.Parallel()
	n := newNode(t, Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0"}))
	told := make(chan int, 10)
	n.Attach(engine.Node{Changed: func() { told <- len(n.Members()) }})
	n.start()
	if got := <-told; got != 1 {
		t.Errorf("there are %d members when the change is told, want the node itself", got)
	}
}

// A welcome that was on its way when its sender said bye revived it.
func TestNodeThatHasLeftStaysAway(t *testing.T) {
	t.Parallel()
	e, _, p := tracked(t)
	e.obey(t.Context(), packet{preamble: preamble{protocol, kindBye, p.boot}, name: "b"}, time.Now())
	for _, k := range []kind{kindWelcome, kindHello, kindBeat} {
		e.obey(t.Context(), packet{preamble: preamble{protocol, k, p.boot}, name: "b"}, time.Now())
		if len(e.members.peers) != 0 {
			t.Errorf("a packet of kind %d brings a node back that has left", k)
		}
	}
}

func TestCleanRestartUnderTheSameNameWorksAtOnce(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T) func(i int) *node{
		"embedded": func(t *testing.T) func(int) *node {
			t.Helper()
			listen := freeAddresses(t, 2)
			return func(i int) *node {
				return newNode(t, Embed(Embedded{Options: Options{Node: fmt.Sprint(i), Logger: testLogger(t)}, Listen: listen[i], Seeds: listen[:1], JoinTimeout: patient}))
			}
		},
		"external": func(t *testing.T) func(int) *node {
			t.Helper()
			url := startNATS(t, server.Options{}).ClientURL()
			return func(i int) *node { return openNode(t, fmt.Sprint(i), url) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := begin(t)
			stays, again := begin(0).start(), begin(1).start()
			stays.join("room")
			for round := range 5 {
				boot := again.boot
				began := time.Now()
				again.close()
				again = begin(1).start()
				if took := time.Since(began); took > soon {
					t.Errorf("restart %d took %v", round, took)
				}
				again.join("room")
				until(t, "the new run is the only one", func() bool {
					members := stays.Members()
					return len(members) == 2 && members[1].Boot == again.boot.String() && members[1].Boot != boot.String()
				})
				stays.publish("room", fmt.Sprint("to run ", round))
				again.publish("room", fmt.Sprint("from run ", round))
				until(t, "they hear each other", func() bool {
					return len(stays.heard("room")) == 2*(round+1) && len(again.heard("room")) == 2
				})
			}
			if got := stays.gap("room"); got != 0 || len(stays.cut()) != 0 {
				t.Errorf("clean restarts were told as %d gaps and the cuts %v, want neither", got, stays.cut())
			}
		})
	}
}
