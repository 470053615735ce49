package natsengine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/skeinrt/skein/engine"
)

// The accepting side alone asks for it, so that whoever has one joined one that
// has none.
func TestNodeWithASecretDoesNotJoinOneWithout(t *testing.T) {
	t.Parallel()
	log := &logged{}
	a := newNode(t, Embed(Embedded{Options: Options{Node: "a", Logger: log.logger()}, Listen: "127.0.0.1:0"})).start()
	b := newNode(t, Embed(Embedded{
		Options: Options{Node: "b"}, Listen: "127.0.0.1:0", Seeds: []string{a.Members()[0].Address}, Secret: "horse", JoinTimeout: patient,
	}))
	err := b.Start(t.Context(), b.sink)
	if err == nil || !strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("Start: got %v, want that node a has no secret", err)
	}
	until(t, "the other side logs it", func() bool {
		return strings.Contains(log.text(), `node \"b\" has a cluster secret, and node \"a\" has none`)
	})
	if got := a.names(); len(got) != 1 {
		t.Errorf("members are %q, want a alone", got)
	}
	a.join("room") // waits for nobody
}

func TestNodesWithOtherSecretsMeetLaterAndStayApart(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 2)
	var logs [2]logged
	b := newNode(t, Embed(Embedded{
		Options: Options{Node: "b", Logger: logs[1].logger()}, Listen: listen[1], Seeds: listen[:1], Secret: "horse", JoinTimeout: 10 * time.Millisecond,
	})).start()
	a := newNode(t, Embed(Embedded{Options: Options{Node: "a", Logger: logs[0].logger()}, Listen: listen[0]})).start()
	for i := range logs {
		until(t, "it is logged", func() bool { return strings.Contains(logs[i].text(), "cluster secret") })
	}
	nodes := []*node{a, b}
	for i, n := range nodes {
		n.join("room")
		other := nodes[1-i]
		other.join("room")
		other.publish("room", "for itself")
		before := n.Stats().Malformed
		if err := other.carrier.publish(other.subjects.everyone, []byte("mark")); err != nil { // behind the message
			t.Fatal(err)
		}
		until(t, "what was published before has been handled", func() bool { return n.Stats().Malformed > before })
		if got := n.names(); len(got) != 1 {
			t.Errorf("members are %q, want %s alone", got, n.options.Node)
		}
	}
	for _, n := range nodes {
		if got := n.heard("room"); len(got) != 1 {
			t.Errorf("%s has heard %q, want its own message alone", n.options.Node, got)
		}
	}
}

// In-process servers ask for the secret as well; on one NATS only proofs tell.
func TestProofsOfSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want string // in the error of b; empty: they join
	}{
		{"", "", ""},
		{"horse", "horse", ""},
		{"horse", "mare", "another cluster secret"},
		{"horse", "", "has none"},
		{"", "horse", "has one"},
	} {
		t.Run(fmt.Sprintf("%q and %q", c.a, c.b), func(t *testing.T) {
			t.Parallel()
			url := startNATS(t, server.Options{}).ClientURL()
			a, b := openNode(t, "a", url), openNode(t, "b", url)
			a.secret, b.secret = c.a, c.b
			a.start()
			err := b.Start(t.Context(), b.sink)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "cluster secret") {
				t.Fatalf("Start: got %v, want an error with %q", err, c.want)
			}
			if err != nil {
				return
			}
			know(t, a, b)
			b.join("room")
			a.publish("room", "x")
			until(t, "the message arrives", func() bool { return len(b.heard("room")) == 1 })
		})
	}
}

func TestOnlyNodesThatHaveProvenTheSecretCount(t *testing.T) {
	t.Parallel()
	for secret, c := range map[string]struct{ unknown, met, proven bool }{
		"":      {true, true, true},
		"horse": {false, false, true},
	} {
		e, it, p := tracked(t)
		e.secret = secret
		check := func(who string, b boot, want bool) {
			t.Helper()
			for _, k := range []kind{kindBarrier, kindPassed, kindAsk, kindAnswer, kindAbandon, kindEcho, kindMark} {
				if got := e.trusts(packet{preamble: preamble{protocol, k, b}}, time.Now()); got != want {
					t.Errorf("with the secret %q a packet of kind %d of a node that is %s counts: %v, want %v", secret, k, who, got, want)
				}
			}
			if got := e.vouched(b); got != want {
				t.Errorf("with the secret %q messages of a node that is %s count: %v, want %v", secret, who, got, want)
			}
		}
		check("unknown", 99, c.unknown)
		check("met", p.boot, c.met)
		hello := packet{preamble: preamble{protocol, kindHello, p.boot}, name: "b", status: status{seq: 1}}
		hello.proof = e.proof(p.boot, 0)
		e.obey(t.Context(), hello, time.Now())
		check("proven", p.boot, c.proven)

		hello.proof = []byte("guess")
		e.obey(t.Context(), hello, time.Now())
		check("wrong", p.boot, false)
		if len(e.members.peers) != 0 || len(e.members.view()) != 0 {
			t.Errorf("with the secret %q a node with another one is a member", secret)
		}
		e.obey(t.Context(), packet{preamble: preamble{protocol, kindBeat, p.boot}, name: "b", status: status{seq: 20, beat: 9}}, time.Now())
		if len(e.members.peers) != 0 {
			t.Errorf("with the secret %q a beat makes a node with another one a member", secret)
		}
		if got := told(e); len(got) != 0 {
			t.Errorf("gaps on %q are told of %v, which is no member", got, it.channel)
		}
	}
}

func TestProofsAreForOneNodeAndOneSecret(t *testing.T) {
	t.Parallel()
	horse, mare := identity{secret: "horse"}, identity{secret: "mare"}
	seen := make(map[string]string)
	for name, proof := range map[string][]byte{
		"of 1 to all": horse.proof(1, 0), "of 2 to all": horse.proof(2, 0), "of 1 to 2": horse.proof(1, 2),
		"of 2 to 1": horse.proof(2, 1), "with another secret": mare.proof(1, 2), "without": (&identity{}).proof(1, 2),
	} {
		if other, double := seen[string(proof)]; double {
			t.Errorf("the proofs %s and %s are the same", name, other)
		}
		seen[string(proof)] = name
	}
}

func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	e, _, _ := tracked(t)
	e.sink = func(engine.Message) {}
	for b := range boot(10 * maxStrangers) {
		hello := packet{preamble: preamble{protocol, kindHello, b + 100}, name: "x", proof: []byte("guess")}
		e.obey(t.Context(), hello, time.Now())
	}
	if got := len(e.strangers); got > maxStrangers {
		t.Errorf("%d strangers are remembered, want at most %d", got, maxStrangers)
	}
}
