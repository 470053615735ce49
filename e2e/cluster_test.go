package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skeinrt/skein/client"
)

// cluster is several nodes of the stock binary with certificates of one authority.
type cluster struct {
	binary, certs string
	names         []string
	addresses     map[string]string // for the other nodes
	nodes         map[string]*program
	urls          map[string]string
}

// newCluster prepares nodes, and starts none.
func newCluster(t *testing.T, names ...string) *cluster {
	t.Helper()
	c := &cluster{
		binary: build(t, "./cmd/skein"), certs: filepath.Join(t.TempDir(), "certs"), names: names,
		addresses: map[string]string{}, nodes: map[string]*program{}, urls: map[string]string{},
	}
	for _, name := range names {
		c.addresses[name] = freeAddr(t)
	}
	c.skein(t, append([]string{"cluster", "init", "--dir", c.certs}, names...)...)
	return c
}

// skein runs a command that ends.
func (c *cluster) skein(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, ".", c.binary, args...)
	if err != nil {
		t.Fatalf("skein %q: %v\n%s", args, err, out)
	}
	return out
}

// start starts nodes at the same time, all with the same seeds, and waits until they serve.
func (c *cluster) start(t *testing.T, names []string, args ...string) {
	t.Helper()
	var seeds []string
	for _, name := range c.names {
		seeds = append(seeds, c.addresses[name])
	}
	for _, name := range names {
		c.nodes[name] = launch(t, fixtureURL, c.binary, append([]string{
			"serve", "--addr", "127.0.0.1:0", "--auth-key", key, "--node", name,
			"--cluster-listen", c.addresses[name], "--cluster-join", strings.Join(seeds, ","),
			"--cluster-ca", filepath.Join(c.certs, "ca.crt"), "--cluster-secret", "@" + filepath.Join(c.certs, "secret"),
			"--cluster-cert", filepath.Join(c.certs, name+".crt"), "--cluster-key", filepath.Join(c.certs, name+".key"),
		}, args...)...)
	}
	for _, name := range names {
		c.urls[name] = c.nodes[name].found(t)
	}
}

// await waits until a node sees exactly these nodes.
func (c *cluster) await(t *testing.T, at string, want ...string) {
	t.Helper()
	deadline, again := time.After(30*time.Second), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for {
		var seen struct {
			Nodes []struct{ Name, State string }
		}
		if err := json.Unmarshal([]byte(c.skein(t, "nodes", "--json", "--url", c.urls[at])), &seen); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, n := range seen.Nodes {
			if n.State == "serving" {
				names = append(names, n.Name)
			}
		}
		if slices.Equal(names, want) {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s sees %+v, want %q", at, seen.Nodes, want)
		}
	}
}

func (c *cluster) dial(t *testing.T, node string, o client.Options) *client.Client {
	t.Helper()
	o.URL = c.urls[node]
	made, err := client.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() }) // the test is over
	return made
}

// heard subscribes at one node, publishes at another, and returns when that has arrived.
func (c *cluster) heard(t *testing.T, publisher, subscriber string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	channel := publisher + " to " + subscriber
	s, err := c.dial(t, subscriber, client.Options{}).Subscribe(ctx, channel)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.dial(t, publisher, client.Options{}).Publish(ctx, channel, channel); err != nil {
		t.Fatal(err)
	}
	m, err := s.Next(ctx)
	if want := fmt.Sprintf("%q", channel); err != nil || string(m.Data) != want {
		t.Fatalf("%s: got %s, %v, want %s", channel, m.Data, err, want)
	}
}

func TestNodesFormAClusterLoseOneAndTakeItBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b", "c")
	c.start(t, c.names, "--cluster-min", "3")
	for _, name := range c.names {
		c.await(t, name, "a", "b", "c")
	}
	for _, pair := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}} {
		c.heard(t, pair[0], pair[1])
	}
	c.nodes["b"].kill()
	c.start(t, []string{"b"}) // at once: nobody knows yet that the former one is dead
	for _, name := range c.names {
		c.await(t, name, "a", "b", "c")
	}
	c.heard(t, "a", "b")
	c.heard(t, "b", "c")
	c.nodes["c"].end(t, syscall.SIGTERM)
	c.await(t, "a", "a", "b")
}

func TestANodeThatStartsFirstServesAloneAndMerges(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "a", "b")
	c.start(t, []string{"a"}, "--join-timeout", "100ms")
	c.await(t, "a", "a")
	c.heard(t, "a", "a")
	c.start(t, []string{"b"})
	c.await(t, "a", "a", "b")
	c.await(t, "b", "a", "b")
	c.heard(t, "a", "b")
	c.heard(t, "b", "a")
}

// TestSIGTERMSpreadsTheClientsOverTheDrain has no upper bound for the machine's sake but the one that is promised.
func TestSIGTERMSpreadsTheClientsOverTheDrain(t *testing.T) {
	t.Parallel()
	const drain, promised, clients = time.Second, 4 * time.Second, 20
	c := newCluster(t, "a", "b")
	c.start(t, c.names, "--drain", drain.String())
	staying := c.dial(t, "b", client.Options{})
	heard, err := staying.Subscribe(t.Context(), "news")
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan string, clients)
	for range clients {
		leaving := c.dial(t, "a", client.Options{Reconnect: client.Backoff{Off: true}})
		go func() {
			<-leaving.Done()
			ends <- leaving.Err().Error()
		}()
	}
	began := time.Now()
	_ = c.nodes["a"].Process.Signal(syscall.SIGTERM)
	first := <-ends
	firstAt := time.Now()
	addr := strings.TrimSuffix(strings.TrimPrefix(c.urls["a"], "ws://"), "/socketcluster/")
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr); err == nil {
		t.Error("a node that drains takes new connections")
		_ = conn.Close() // it should not be there
	}
	for range clients - 1 {
		if got := <-ends; got != first || !strings.Contains(got, "1005") {
			t.Errorf("got %q and %q, want the same for all clients: close code 1005", got, first)
		}
	}
	if took := time.Since(firstAt); took < drain/2 {
		t.Errorf("all clients were sent away within %v, want them spread over %v", took, drain)
	}
	<-c.nodes["a"].ended
	if took := time.Since(began); took > promised {
		t.Errorf("the node took %v to end, want %v at most", took, promised)
	}
	if err := c.nodes["a"].result; err != nil {
		t.Errorf("the node ended with %v", err)
	}
	c.await(t, "b", "b")
	if err := staying.Publish(t.Context(), "news", 1); err != nil {
		t.Fatal(err)
	}
	if m, err := heard.Next(t.Context()); err != nil || string(m.Data) != "1" {
		t.Errorf("got %s, %v, want what was published on the node that stays", m.Data, err)
	}
}
