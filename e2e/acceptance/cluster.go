package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// cluster is three nodes behind a balancer, with three clients that come through it, of steps 9 to 11.
type cluster struct {
	stage // server and addr are the balancer's; the plain WebSocket is at the first node

	binary string
	nodes  []*process
	addrs  []string // for clients
	routes []string // for the other nodes
}

// drain is how long a node of the cluster may take to send its clients away.
const drain = 2 * time.Second

// cluster starts what the steps have in common.
func (l *lab) cluster(ctx context.Context) (*cluster, error) {
	if l.nodes != nil {
		return l.nodes, nil
	}
	binary, err := l.build(ctx, "./cmd/skein")
	if err != nil {
		return nil, err
	}
	c := &cluster{binary: binary, nodes: make([]*process, 3)}
	for range 2 * len(c.nodes) {
		addr, err := freeAddr(ctx)
		if err != nil {
			return nil, err
		}
		c.addrs = append(c.addrs, addr)
	}
	c.addrs, c.routes = c.addrs[:3], c.addrs[3:]
	l.nodes = c
	for i := range c.nodes {
		if err := c.start(ctx, l, i); err != nil {
			return nil, err
		}
	}
	return c, c.populate(ctx, l)
}

// start starts a node: each is given the same list of all.
func (c *cluster) start(ctx context.Context, l *lab, i int) (err error) {
	c.nodes[i], err = spawn(ctx, l.dir, environment(), func(string) {}, c.binary, "serve", "--addr", c.addrs[i],
		"--node", fmt.Sprint("node", i+1), "--cluster-listen", c.routes[i], "--cluster-join", strings.Join(c.routes, ","),
		"--join-timeout", "1s", "--drain", drain.String())
	if err == nil {
		_, err = c.nodes[i].find(ctx, `ws://(127\.0\.0\.1:\d+)/`)
	}
	return err
}

// populate starts the balancer and the clients.
func (c *cluster) populate(ctx context.Context, l *lab) error {
	balancer, err := l.build(ctx, "./examples/cluster/balancer")
	if err != nil {
		return err
	}
	if c.addr, err = freeAddr(ctx); err != nil {
		return err
	}
	if c.server, err = spawn(ctx, l.dir, environment(), func(string) {}, append([]string{balancer, "-listen", c.addr}, c.addrs...)...); err != nil {
		return err
	}
	if err := c.say(ctx, c.addr, http.StatusOK); err != nil {
		return err
	}
	for _, major := range []int{20, 16, 13} {
		p, err := l.client(ctx, major, c.addr)
		if err != nil {
			return err
		}
		c.listeners = append(c.listeners, p)
	}
	if c.raw, err = l.raw(ctx, "ws://"+c.addrs[0]+"/ws"); err != nil {
		return err
	}
	return c.ready(ctx)
}

// say waits until /readyz answers so.
func (c *cluster) say(ctx context.Context, addr string, want int) error {
	for began := time.Now(); ; {
		status, _, err := request(ctx, http.MethodGet, "http://"+addr+"/readyz", "")
		if err == nil && status == want {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("/readyz of %s says %d (%w), want %d", addr, status, err, want)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		if n != nil {
			n.kill()
		}
	}
	for _, p := range append(c.listeners, c.raw) {
		if p != nil {
			p.kill()
		}
	}
	if c.server != nil {
		c.server.stop()
	}
}

func threeNodes(ctx context.Context, l *lab) (string, error) {
	c, err := l.cluster(ctx)
	if err != nil {
		return "", err
	}
	const many = 1000
	began := time.Now()
	if err := c.everybody(ctx, c.sends(ctx, "count", many), numbered(many, "")...); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d numbered messages from one node on all three in %v", many, time.Since(began).Round(time.Millisecond)), nil
}

func lossOfANode(ctx context.Context, l *lab) (string, error) {
	c, err := l.cluster(ctx)
	if err != nil {
		return "", err
	}
	c.nodes[1].kill()
	back, err := c.gathered(ctx)
	if err != nil {
		return "", err
	}
	if err := c.everybody(ctx, c.sends(ctx, "count", 100), numbered(100, "")...); err != nil {
		return "", err
	}
	if err := c.start(ctx, l, 1); err != nil {
		return "", err
	}
	if err := c.say(ctx, c.addrs[1], http.StatusOK); err != nil {
		return "", err
	}
	if err := c.everybody(ctx, c.sends(ctx, "count", 100), numbered(100, "")...); err != nil {
		return "", err
	}
	return fmt.Sprintf("all clients subscribed again after %v", back.Round(time.Millisecond)), nil
}

// gathered waits until all clients are subscribed somewhere, after one has been thrown out. A node that has been killed is
// asked for up to three seconds, and does not answer.
func (c *cluster) gathered(ctx context.Context) (time.Duration, error) {
	for began := time.Now(); ; {
		n, err := subscribers(ctx, c.addrs[0], "testChannel")
		took := time.Since(began)
		if err == nil && n == len(c.listeners) {
			return took, nil
		}
		if took > patience {
			return 0, fmt.Errorf("%d are subscribed after %v (%w), want %d", n, took, err, len(c.listeners))
		}
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
}

func departure(ctx context.Context, l *lab) (string, error) {
	c, err := l.cluster(ctx)
	if err != nil {
		return "", err
	}
	leaver := c.nodes[2]
	had, moved := make([]int, len(c.listeners)), make([]int, len(c.listeners))
	for i, p := range c.listeners {
		had[i], moved[i] = len(p.of("message")), len(p.of("subscribe"))
	}
	began := time.Now()
	signalGroup(leaver.cmd.Process, syscall.SIGTERM)
	if err := c.say(ctx, c.addrs[2], http.StatusServiceUnavailable); err != nil {
		return "", err
	}
	var sent []string
	for gone := false; !gone; {
		select {
		case <-leaver.ended:
			gone = true
		case <-ctx.Done():
			return "", ctx.Err()
		default:
		}
		if _, err := c.raw.do(ctx, "count", 100); err != nil {
			return "", err
		}
		sent = append(sent, numbered(100, "")...)
	}
	if took := time.Since(began); took > drain+3*time.Second {
		return "", fmt.Errorf("the node took %v to end, want at most %v", took, drain+3*time.Second)
	}
	took := time.Since(began)
	if _, err := c.gathered(ctx); err != nil {
		return "", err
	}
	stayed := 0
	for i, p := range c.listeners {
		if len(p.of("subscribe")) > moved[i] {
			continue
		}
		stayed++
		if err := p.gets(ctx, had[i], sent...); err != nil {
			return "", err
		}
	}
	if stayed == 0 {
		return "", errors.New("no client has stayed where it was")
	}
	return fmt.Sprintf("gone after %v, and %d messages reached the %d who stayed", took.Round(time.Millisecond), len(sent), stayed), nil
}
