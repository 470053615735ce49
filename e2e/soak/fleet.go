package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/e2e/proxy"
	"github.com/skeinrt/skein/e2e/soak/judge"
	"github.com/skeinrt/skein/internal/ws"
)

// fleet is the cluster.
type fleet struct {
	nodes  []*node
	dir    string
	tokens *auth.Tokens
}

// configuration is every node's file; what differs is in flags.
const configuration = `compression: true
metrics: true
admin: true
logLevel: info
plugins:
  - use: soak
`

// newFleet prepares the cluster in a folder, and starts nothing.
func newFleet(o options, dir, binary string, r *rand.Rand) (*fleet, error) {
	f := &fleet{dir: dir}
	secret := auth.GenerateSecret()
	key, err := auth.NewHMAC([]byte(secret))
	if err != nil {
		return nil, err
	}
	if f.tokens, err = auth.New(auth.Options{Keys: []auth.Key{key}}); err != nil {
		return nil, err
	}
	files := map[string]string{"auth.key": secret, "cluster.key": auth.GenerateSecret(), "skein.yaml": configuration}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	var seeds []string
	for i := range o.nodes {
		n, err := newNode(string(rune('a'+i)), dir, binary, r)
		if err != nil {
			return nil, err
		}
		f.nodes = append(f.nodes, n)
		seeds = append(seeds, n.links.Addr())
	}
	for _, n := range f.nodes {
		n.args = []string{
			"serve", "--config", filepath.Join(dir, "skein.yaml"), "--addr", n.addr, "--node", n.name, "--pprof", n.pprof,
			"--auth-key", "@" + filepath.Join(dir, "auth.key"), "--cluster-secret", "@" + filepath.Join(dir, "cluster.key"),
			"--cluster-listen", n.route, "--cluster-advertise", n.links.Addr(), "--cluster-join", strings.Join(seeds, ","),
			"--drain", drain.String(),
		}
	}
	return f, nil
}

// build compiles the nodes' program.
func build(ctx context.Context, dir string, race bool) (string, error) {
	binary := filepath.Join(dir, "soaknode")
	args := []string{"build", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	c := exec.CommandContext(ctx, "go", append(args, "github.com/skeinrt/skein/e2e/soak/node")...) //nolint:gosec // our own program
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// start starts all nodes at once, and takes their first readings.
func (f *fleet) start(ctx context.Context) error {
	var starts sync.WaitGroup
	failed := make([]error, len(f.nodes))
	for i, n := range f.nodes {
		starts.Go(func() { failed[i] = n.start(ctx) })
	}
	starts.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return f.together(ctx)
}

// together waits until all nodes see all nodes.
func (f *fleet) together(ctx context.Context) error {
	for _, n := range f.nodes {
		err := n.await(ctx, "to see all nodes", func() bool {
			m, err := n.metrics(ctx)
			return err == nil && m["skein_nodes"] == len(f.nodes) && m["skein_cut_off"] == 0
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) close() error {
	var errs []error
	for _, n := range f.nodes {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

func reset(p *proxy.Proxy) { p.Reset() }
func hold(p *proxy.Proxy)  { p.Freeze() }
func cut(p *proxy.Proxy)   { p.Cut() }
func heal(p *proxy.Proxy)  { p.Heal() }

// links does something to what connects the nodes.
func (f *fleet) links(do func(*proxy.Proxy)) {
	for _, n := range f.nodes {
		do(n.links)
	}
}

// converge waits until what is published on each node arrives on each other one, acknowledged subscription first.
func (f *fleet) converge(ctx context.Context, rt *ws.Runtime, book *judge.Book) error {
	if err := f.together(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = f.probe(ctx, rt, book); last == nil || errors.Is(last, errSilent) {
			return last
		}
		pause(ctx, 200*time.Millisecond)
	}
	return fmt.Errorf("what is published on one node does not reach the others: %w", last)
}

// probe is one attempt.
func (f *fleet) probe(ctx context.Context, rt *ws.Runtime, book *judge.Book) error {
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	const channel = "probe"
	var peers []*peer
	defer func() {
		for _, p := range peers {
			p.conn.Close(ws.CodeNormal, "")
			<-p.ended
		}
	}()
	heard := make([]*judge.View, 0, len(f.nodes))
	for _, n := range f.nodes {
		p, err := dialPeer(ctx, rt, "ws://"+n.addr+"/socketcluster/", kinds()[0])
		if err != nil {
			return fmt.Errorf("node %s: %w", n.name, err)
		}
		peers = append(peers, p)
		v := book.View("probe at "+n.name, channel)
		if err := p.subscribe(ctx, v, channel); err != nil {
			return fmt.Errorf("node %s: %w", n.name, err)
		}
		heard = append(heard, v)
	}
	for i, p := range peers {
		a, acked := book.Author(), make(chan error, 1)
		p.publish(a, channel, 10, func(err error) { acked <- err })
		if err := <-acked; err != nil {
			return fmt.Errorf("node %s: %w", f.nodes[i].name, err)
		}
		for j, v := range heard {
			if err := arrives(ctx, v, a); err != nil {
				return fmt.Errorf("from node %s to node %s: %w", f.nodes[i].name, f.nodes[j].name, err)
			}
		}
	}
	return nil
}

var (
	errSilent  = errors.New("an acknowledged publication is lost, and nobody was told")
	errExcused = errors.New("an acknowledged publication is lost, which was told")
)

// arrives waits for the first publication of an author.
func arrives(ctx context.Context, v *judge.View, a *judge.Author) error {
	for !v.Has(a, 1) {
		switch {
		case v.Excused():
			return errExcused
		case !pause(ctx, 5*time.Millisecond):
			return errSilent
		}
	}
	return nil
}
