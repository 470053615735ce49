package natsengine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStartSaysAllThatIsWrongAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		engine *Engine
		want   []string
	}{
		{"nothing is set", Embed(Embedded{}), []string{"node name", "listen"}},
		{"bad options", Embed(Embedded{
			Options: Options{Node: "a\n", Prefix: "a.*", Linger: -1, Heartbeat: 1, Death: 1}, Listen: "127.0.0.1:0", JoinTimeout: -1, Seeds: []string{"x", ":1", "h:0"},
		}), []string{"node name", "prefix", "linger", "death", "join time-out", `seed "x"`, `seed ":1"`, `seed "h:0"`}},
		{"open to strangers", Embed(Embedded{Options: Options{Node: "a"}, Listen: "0.0.0.0:0"}), []string{"needs TLS", "needs a secret", "advertise"}},
		{"advertises loopback", Embed(Embedded{Options: Options{Node: "a"}, Listen: "0.0.0.0:0", Advertise: "localhost:1", Insecure: true}), []string{"advertise", "loopback"}},
		{"advertises nothing", Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0", Advertise: "0.0.0.0:0"}), []string{"nobody can connect"}},
		{"advertises nonsense", Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0", Advertise: "x"}), []string{"advertise"}},
		{"loopback with a far seed", Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0", Seeds: []string{"192.0.2.1:1"}}), []string{"192.0.2.1:1", "loopback"}},
		{"half of TLS", Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0", TLS: &tls.Config{}}), []string{"authority", "certificate"}},
		{"no NATS", Open(External{Options: Options{Node: "a"}}), []string{"no URL"}},
		{"bad NATS", Open(External{Options: Options{Node: "a"}, URLs: []string{"http://x", "%"}, User: "a", Token: "b"}), []string{"http://x", "that is no URL", "more than one"}},
		{"no key file", Open(External{Options: Options{Node: "a"}, URLs: []string{"nats://127.0.0.1:1"}, NKeyFile: "none"}), []string{"none"}},
		{"nobody there", Open(External{Options: Options{Node: "a"}, URLs: []string{"nats://127.0.0.1:1"}}), []string{"no servers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, c.engine)
			err := n.Start(t.Context(), n.sink)
			if err == nil {
				t.Fatal("Start: got nil, want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Start: got %v, want something about %q", err, want)
				}
			}
		})
	}
}

func TestAddressThatIsTakenFailsStart(t *testing.T) {
	t.Parallel()
	first := newNode(t, Embed(Embedded{Options: Options{Node: "a"}, Listen: "127.0.0.1:0"})).start()
	second := newNode(t, Embed(Embedded{Options: Options{Node: "b"}, Listen: first.Members()[0].Address}))
	if err := second.Start(t.Context(), second.sink); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Start: got %v, want that the address is in use", err)
	}
}

func TestLoneNodeDoesNotWaitForItself(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 1)[0]
	_, port, _ := strings.Cut(listen, ":")
	e := Embed(Embedded{Options: Options{Node: "a"}, Listen: listen, Seeds: []string{listen, "self.test:" + port}, JoinTimeout: time.Hour})
	e.source.(*embedded).lookup = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	newNode(t, e).start()
}

func TestNodeServesAloneWhenNoSeedAnswersAndMergesLater(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 2)
	log := &logged{}
	a := newNode(t, Embed(Embedded{
		Options: Options{Node: "a", Logger: log.logger()}, Listen: listen[0], Seeds: listen, JoinTimeout: 100 * time.Millisecond,
	})).start()
	if got := log.text(); !strings.Contains(got, "serving without them") || !strings.Contains(got, "dial tcp "+listen[1]) || !strings.Contains(got, "refused") {
		t.Errorf("the log says %q, want why %s does not answer", got, listen[1])
	}
	a.join("room")
	a.publish("room", "alone")
	b := newNode(t, Embed(Embedded{Options: Options{Node: "b"}, Listen: listen[1]})).start()
	know(t, a, b)
	b.join("room")
	a.publish("room", "together")
	until(t, "the message arrives", func() bool { return len(b.heard("room")) == 1 })
}

func TestTwoClustersMerge(t *testing.T) {
	t.Parallel()
	listen := freeAddresses(t, 4)
	var nodes []*node
	for i, seed := range []int{0, 0, 2, 2} { // two and two
		nodes = append(nodes, newNode(t, Embed(Embedded{
			Options: Options{Node: fmt.Sprint("node ", i)}, Listen: listen[i], Seeds: []string{listen[seed]}, JoinTimeout: patient,
		})).start())
	}
	know(t, nodes[:2]...)
	know(t, nodes[2:]...)
	for _, n := range nodes {
		n.join("room")
	}
	for i, n := range nodes {
		n.publish("room", fmt.Sprintf("apart %d", i))
	}
	bridge := newNode(t, Embed(Embedded{
		Options: Options{Node: "bridge"}, Listen: "127.0.0.1:0", Seeds: []string{listen[1], listen[3]}, JoinTimeout: patient,
	})).start()
	know(t, append(nodes, bridge)...)
	for _, n := range nodes {
		until(t, "what the other cluster had published is told as a gap", func() bool { return n.gap("room") > 0 })
	}
	for i, n := range nodes {
		n.publish("room", fmt.Sprintf("together %d", i))
	}
	for _, n := range nodes {
		until(t, "everybody hears everybody", func() bool { return len(n.heard("room")) == 6 })
	}
}

func TestSeedNameWithSeveralAddresses(t *testing.T) {
	t.Parallel()
	port := strings.TrimPrefix(freeAddresses(t, 1)[0], "127.0.0.1:")
	var mu sync.Mutex
	var ready []string // as a headless service: only those that serve
	find := func(context.Context, string) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(ready) == 0 {
			return nil, errors.New("no such host")
		}
		return append([]string(nil), ready...), nil
	}
	var nodes []*node
	for i := range 4 {
		e := Embed(Embedded{
			Options: Options{Node: fmt.Sprint("node ", i)}, Listen: fmt.Sprintf("127.0.0.%d:%s", i+2, port),
			Seeds: []string{"cluster.test:" + port}, JoinTimeout: 100 * time.Millisecond,
		})
		e.source.(*embedded).lookup = find
		nodes = append(nodes, newNode(t, e))
	}
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() { _ = n.start() })
	}
	all.Wait()
	mu.Lock()
	for i := range nodes {
		ready = append(ready, fmt.Sprintf("127.0.0.%d", i+2))
	}
	mu.Unlock()
	know(t, nodes...)
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	listen := freeAddresses(t, 2)
	secure := func(name, address string, c *tls.Config, secret string) *node {
		return newNode(t, Embed(Embedded{
			Options: Options{Node: name}, Listen: address, Seeds: listen, Cluster: "c", Secret: secret, TLS: c, JoinTimeout: 2 * time.Second,
		}))
	}
	const secret = "correct horse"
	nodes := []*node{secure("a", listen[0], ca.config(t), secret), secure("b", listen[1], ca.config(t), secret)}
	startAll(t, nodes)
	nodes[0].join("room")
	nodes[1].publish("room", "secret")
	until(t, "the message arrives", func() bool { return len(nodes[0].heard("room")) == 1 })

	log := &logged{}
	other := secure("f", "127.0.0.1:0", ca.config(t), secret)
	other.source.(*embedded).Cluster = "d"
	wrong := map[string]*node{
		"another authority": secure("c", "127.0.0.1:0", stranger.config(t), secret),
		"no TLS":            secure("d", "127.0.0.1:0", nil, secret),
		"wrong secret":      secure("e", "127.0.0.1:0", ca.config(t), "guess"),
		"another cluster":   other,
	}
	var all sync.WaitGroup
	for _, n := range wrong {
		n.log = log.logger()
		all.Go(func() { n.start() })
	}
	all.Wait()
	for what, n := range wrong {
		if !strings.Contains(log.text(), "no member answers: compare secret, TLS and cluster name") {
			t.Errorf("with %s the log says %q, want what to compare", what, log.text())
		}
		if got := n.names(); len(got) != 1 {
			t.Errorf("with %s the members are %q, want itself alone", what, got)
		}
	}
	if got := strings.Count(log.text(), "no member answers: compare secret"); got < len(wrong) {
		t.Errorf("the advice was logged %d times, want once by each of %d", got, len(wrong))
	}
	if got := nodes[0].names(); len(got) != 2 {
		t.Errorf("members are %q, want a and b", got)
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.cert, a.key = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// config is that of a node, whose certificate names no address at all.
func (a *authority) config(t *testing.T) *tls.Config {
	t.Helper()
	cert, key := a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "node"}, DNSNames: []string{"node.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, RootCAs: a.pool, ClientCAs: a.pool, MinVersion: tls.VersionTLS12,
	}
}
