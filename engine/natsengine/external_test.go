package natsengine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/skeinrt/skein/engine"
)

func openNode(t *testing.T, name, url string) *node {
	t.Helper()
	return newNode(t, Open(External{Options: Options{Node: name}, URLs: []string{url}}))
}

// stranger is a client of NATS that is no node of ours.
type stranger struct {
	t *testing.T
	*nats.Conn
}

func newStranger(t *testing.T, url string) *stranger {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &stranger{t, nc}
}

func (s *stranger) say(subject string, data []byte) {
	s.t.Helper()
	if err := s.Publish(subject, data); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		s.t.Fatal(err)
	}
}

// foreign returns a packet of another protocol.
func foreign(k kind) []byte {
	p := packet{preamble: preamble{protocol, k, 77}, name: "foreigner", text: "because"}
	data := p.encode()
	data[1] = protocol + 1
	return data
}

func TestNodesOfAnotherProtocolAreRefusedByName(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	s := newStranger(t, url)
	inbox, err := s.SubscribeSync("sk.n." + boot(77).String())
	if err != nil {
		t.Fatal(err)
	}
	log := &logged{}
	n := newNode(t, Open(External{Options: Options{Node: "a", Logger: log.logger()}, URLs: []string{url}})).start()
	s.say("sk.ctl.all", foreign(kindHello))
	m, err := inbox.NextMsg(patient)
	if err != nil {
		t.Fatal(err)
	}
	pre, body, err := readPreamble(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPacket(pre, body)
	if err != nil || p.kind != kindRefuse || !strings.Contains(p.text, `"a"`) || !strings.Contains(p.text, "protocol 1") {
		t.Errorf("the answer is %+v, %v, want a refusal that names the node and its protocol", p, err)
	}
	s.say("sk.ctl.all", foreign(kindBeat))
	s.say("sk.n."+n.boot.String(), foreign(kindRefuse))
	if got := n.names(); len(got) != 1 {
		t.Errorf("members are %q, want the node alone", got)
	}
	until(t, "it is logged by name", func() bool { return strings.Contains(log.text(), "foreigner") })
}

func TestNodeThatMeetsAnotherProtocolDoesNotStart(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]kind{"a beat": kindBeat, "a refusal": kindRefuse} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startNATS(t, server.Options{}).ClientURL()
			s := newStranger(t, url)
			answer := func(*nats.Msg) { _ = s.Publish("sk.ctl.all", foreign(k)) } // the test fails without
			if _, err := s.Subscribe("sk.ctl.all", answer); err != nil {
				t.Fatal(err)
			}
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
			n := openNode(t, "a", url)
			if err := n.Start(t.Context(), n.sink); err == nil || !strings.Contains(err.Error(), "foreigner") {
				t.Errorf("Start: got %v, want an error that names the foreigner", err)
			}
		})
	}
}

func TestStrangersDoNoHarm(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	s := newStranger(t, url)
	n := openNode(t, "a", url).start()
	long := strings.Repeat("x", 300)
	n.join("room", "other", long)
	message := func(h header, data string) []byte {
		return append(appendHeader(appendPreamble(nil, kindMessage, 99), h), data...)
	}
	token, _ := channelToken(long)
	bad := [][]byte{nil, {1}, []byte("hello"), {magic, protocol, 99, 0, 0, 0, 0, 0, 0, 0, 1}, message(header{}, "x"), appendPreamble(nil, kindMessage, 99)}
	for _, data := range bad {
		s.say("sk.c.room", data)
		s.say("sk.ctl.all", data)
	}
	s.say("sk.c."+token, message(header{seq: 1, channel: "other name"}, `"for nobody"`))
	s.say("sk.c."+token, message(header{seq: 2, channel: long}, `"for the long name"`))
	s.say("sk.c.room", message(header{seq: 3}, `"good"`))
	until(t, "the good message arrives", func() bool { return len(n.heard("room")) == 1 })
	if got := n.heard(long); len(got) != 1 || got[0] != `"for the long name"` {
		t.Errorf("%q arrived on the long name, want what was for it", got)
	}
	if got := n.Stats().Malformed; got < uint64(len(bad)) {
		t.Errorf("%d malformed packets were counted, want at least %d", got, len(bad))
	}
}

func TestMessageThatNATSDoesNotTakeIsTooLarge(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{MaxPayload: 10_000}).ClientURL()
	a, b := openNode(t, "a", url), openNode(t, "b", url)
	startAll(t, []*node{a, b})
	a.join("room")
	b.join("room")
	if err := a.Publish(t.Context(), engine.Message{Channel: "room", Data: make([]byte, 10_000)}); !errors.Is(err, engine.ErrTooLarge) {
		t.Errorf("Publish: got %v, want ErrTooLarge", err)
	}
	if _, err := a.Call(t.Context(), "b", "x", make([]byte, 10_000)); !errors.Is(err, engine.ErrTooLarge) {
		t.Errorf("Call: got %v, want ErrTooLarge", err)
	}
	a.publish("room", string(bytes.Repeat([]byte("1"), 9_900)))
	until(t, "the largest message arrives", func() bool { return len(b.heard("room")) == 1 })
	if got := a.heard("room"); len(got) != 1 {
		t.Errorf("%d messages arrived at home, want the one that was taken", len(got))
	}
}

func TestWaysToGetIn(t *testing.T) {
	t.Parallel()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := key.Seed()
	public, _ := key.PublicKey()
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		server server.Options
		right  External
		wrong  External
	}{
		{"user", server.Options{Username: "u", Password: "p"}, External{User: "u", Password: "p"}, External{User: "u", Password: "x"}},
		{"token", server.Options{Authorization: "t"}, External{Token: "t"}, External{Token: "x"}},
		{"key", server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}}, External{NKeyFile: file}, External{Token: "x"}},
		{"credentials", server.Options{}, External{}, External{CredentialsFile: "no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := startNATS(t, c.server).ClientURL()
			c.right.Node, c.right.URLs = "a", []string{url}
			newNode(t, Open(c.right)).start()
			c.wrong.Node, c.wrong.URLs = "b", []string{url}
			n := newNode(t, Open(c.wrong))
			if err := n.Start(t.Context(), n.sink); err == nil {
				t.Error("Start with what is wrong: got nil, want an error")
			}
		})
	}
}

func TestNodeWithoutPermissionsDoesNotStart(t *testing.T) {
	t.Parallel()
	some := &server.SubjectPermission{Allow: []string{"sk.ctl.>", "sk.n.>"}}
	for name, permissions := range map[string]server.Permissions{"subscribe": {Subscribe: some}, "publish": {Publish: some}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := startNATS(t, server.Options{Users: []*server.User{{Username: "u", Password: "p", Permissions: &permissions}}}).ClientURL()
			n := newNode(t, Open(External{Options: Options{Node: "a"}, URLs: []string{url}, User: "u", Password: "p"}))
			if err := n.Start(t.Context(), n.sink); err == nil || !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("Start: got %v, want that it may not", err)
			}
		})
	}
}

func TestClustersWithDifferentPrefixesShareNATS(t *testing.T) {
	t.Parallel()
	url := startNATS(t, server.Options{}).ClientURL()
	var nodes []*node
	for _, prefix := range []string{"one", "two.deep"} {
		nodes = append(nodes, newNode(t, Open(External{Options: Options{Node: "same", Prefix: prefix}, URLs: []string{url}})).start())
	}
	for i, n := range nodes {
		n.join("room")
		n.publish("room", fmt.Sprint(i))
	}
	for i, n := range nodes {
		n.join("settled")
		if got := n.heard("room"); len(got) != 1 || got[0] != fmt.Sprint(i) || len(n.names()) != 1 {
			t.Errorf("node %d has heard %q and knows %q, want only itself", i, got, n.names())
		}
	}
}

func TestCallEndsWhenItsNodeDoes(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	asked := make(chan struct{}, 1)
	ended := make(chan error, 1)
	nodes[1].serves(func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	})
	answered := make(chan error, 1)
	go func() {
		_, err := nodes[0].Call(context.WithoutCancel(t.Context()), "node 1", "x", nil)
		answered <- err
	}()
	<-asked
	nodes[1].close()
	if err := <-answered; err == nil {
		t.Error("Call of a node that closes: got nil, want an error")
	}
	if err := <-ended; err == nil {
		t.Error("Serve's context has not ended")
	}
}

func TestAbandonedCallEndsThere(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	asked, ended := make(chan struct{}, 1), make(chan struct{})
	nodes[1].serves(func(ctx context.Context) error {
		asked <- struct{}{}
		<-ctx.Done()
		close(ended)
		return context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := nodes[0].Call(ctx, "node 1", "x", nil)
		answered <- err
	}()
	<-asked
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("Call: got %v, want context.Canceled", err)
	}
	<-ended
}

func TestTooManyQuestionsAreRefused(t *testing.T) {
	t.Parallel()
	nodes := startNodes(t, 2)
	nodes[1].serves(func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	refused := make(chan error, 1)
	for range maxServing + 1 {
		all.Go(func() {
			_, err := nodes[0].Call(ctx, "node 1", "x", nil)
			if told, ok := errors.AsType[*engine.CallError](err); ok {
				refused <- told
			}
		})
	}
	if err := <-refused; !strings.Contains(err.Error(), "questions at a time") {
		t.Errorf("Call: got %v, want that there are too many questions", err)
	}
}
