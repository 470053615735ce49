package skeincmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein"
)

// serveCmd runs a node.
type serveCmd struct {
	nodeFlags `embed:""`
}

// Run serves until ctx is done, and then takes the node down gently.
func (s *serveCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	n, err := a.node(k, &s.nodeFlags)
	if err != nil {
		return err
	}
	at, err := n.listen(ctx)
	if err != nil {
		return err
	}
	defer at.close()
	defer n.config.acme.stop()
	if err := n.config.acme.start(ctx, at.clients); err != nil {
		return err
	}
	if err := n.probeRoutes(ctx); err != nil {
		return err
	}
	n.warnOfStrays(ctx, a)
	n.keyAdmin()
	if err := n.Start(ctx); err != nil {
		return n.unstarted(ctx, err)
	}
	profiles, err := n.servePprof(ctx, a)
	if err != nil {
		return errors.Join(err, n.stop(ctx))
	}
	defer profiles.close()
	defer n.watchKeys(ctx, a, func() (*config, error) { return a.load(k, s.Config, &s.Settings) })()
	a.banner(n, at.clients.Addr(), at.operatorAddr(), profiles)
	n.warn(ctx)
	n.report(ctx, isServing)
	return n.serve(ctx, at)
}

// listeners are where the node is found.
type listeners struct{ clients, operators net.Listener } // no operators: they are among the clients

func (n *node) listen(ctx context.Context) (at listeners, err error) {
	if at.clients, err = listen(ctx, "addr", n.config.Listen.Addr); err != nil {
		return at, err
	}
	if addr := n.config.Operators.OperatorAddr; addr != "" {
		if at.operators, err = listen(ctx, "operator-addr", addr); err != nil {
			at.close()
		}
	}
	return at, err
}

func (at listeners) operatorAddr() net.Addr {
	if at.operators == nil {
		return nil
	}
	return at.operators.Addr()
}

// close closes what the server has not closed, which is all of it where it has not started.
func (at listeners) close() {
	for _, l := range []net.Listener{at.clients, at.operators} {
		if l != nil {
			_ = l.Close() // closed before, as a rule
		}
	}
}

// unstarted is what is wrong with a start that has failed: nothing, where it was to end.
func (n *node) unstarted(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	n.log.LogAttrs(ctx, slog.LevelInfo, "stopped before it served")
	return nil
}

// warn tells what an operator may not have meant.
func (n *node) warn(ctx context.Context) {
	if n.config.found {
		n.log.LogAttrs(ctx, slog.LevelInfo, "configuration found in the working directory", slog.String("file", n.config.file))
	}
	switch {
	case n.random && n.config.clustered():
		n.log.LogAttrs(ctx, slog.LevelWarn, "no --auth-key: tokens are signed with a random key, and the other nodes refuse them")
	case n.random:
		n.log.LogAttrs(ctx, slog.LevelWarn, "no --auth-key: tokens are signed with a random key, and end with this process")
	}
	if !n.config.secure() && !isLoopback(n.config.Listen.Addr) {
		n.log.LogAttrs(ctx, slog.LevelWarn, "serving without TLS beyond this machine: give --tls-cert, or put a proxy in front",
			slog.String("addr", n.config.Listen.Addr))
	}
	n.warnOfClosed(ctx)
	if c := &n.config.Cluster; c.ClusterInsecure && !isLoopback(c.ClusterListen) {
		n.log.LogAttrs(ctx, slog.LevelWarn, "whoever reaches the address for other nodes can read and publish everything: it is insecure",
			slog.String("addr", c.ClusterListen))
	}
}

// warnOfClosed tells of what nobody can use: behind a proxy no request comes from this machine for certain.
func (n *node) warnOfClosed(ctx context.Context) {
	c := n.config
	if len(c.Listen.TrustedProxies) == 0 {
		return
	}
	if c.Features.API && c.Features.APIKey == "" && !c.hasKeys() {
		n.log.LogAttrs(ctx, slog.LevelWarn, "with --trusted-proxies nobody can use the API without a key: give --api-key")
	}
	if c.Operators.Metrics && c.Operators.OperatorKey == "" {
		n.log.LogAttrs(ctx, slog.LevelWarn, "with --trusted-proxies nobody can read the metrics without a key: give --operator-key")
	}
}

// warnOfStrays tells of variables that were probably meant to be settings.
func (n *node) warnOfStrays(ctx context.Context, a *app) {
	for _, s := range a.strays() {
		attrs := []slog.Attr{slog.String("variable", s.name)}
		if s.meant != "" {
			attrs = append(attrs, slog.String("did_you_mean", s.meant))
		}
		n.log.LogAttrs(ctx, slog.LevelWarn, "unknown variable in the environment", attrs...)
	}
}

// node loads the configuration and builds the server, and tells what is wrong with both at once.
func (a *app) node(k *kong.Context, flags *nodeFlags) (*node, error) {
	c, err := a.load(k, flags.Config, &flags.Settings)
	n, wrong := a.build(c)
	return n, errors.Join(err, wrong)
}

func listen(ctx context.Context, key, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another process: stop that one, or choose another address with --%s", addr, key)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", key, err)
	}
	return l, nil
}

// probeRoutes finds out whether the address for other nodes is free, which the engine would tell late and less clearly.
func (n *node) probeRoutes(ctx context.Context) error {
	addr := n.config.Cluster.ClusterListen
	if addr == "" {
		return nil
	}
	probe, err := listen(ctx, "cluster-listen", addr)
	if err != nil {
		return err
	}
	return probe.Close()
}

// serve returns when ctx is done and the node is down, or when a listener fails.
func (n *node) serve(ctx context.Context, at listeners) error {
	served := make(chan error, 2)
	serving := 1
	go func() { served <- n.Serve(at.clients) }()
	if at.operators != nil {
		serving++
		go func() { served <- n.ServeOperators(at.operators) }()
	}
	tidying, rest := context.WithCancel(ctx)
	defer rest()
	go tidy(tidying, n.ownPace, func() int { return n.Stats().Conns })
	n.config.acme.manage(ctx)
	var failed error
	select {
	case failed = <-served:
		serving--
	case <-ctx.Done():
		n.log.LogAttrs(ctx, slog.LevelInfo, "stopping; another signal ends it at once")
	}
	n.report(ctx, isStopping)
	errs := []error{failed, n.stop(ctx)}
	for range serving {
		if err := <-served; !errors.Is(err, skein.ErrStopped) { // it had not begun yet
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// stop takes the server down, also when ctx is done. Its own time-outs bound that.
func (n *node) stop(ctx context.Context) error { return n.Shutdown(context.WithoutCancel(ctx)) }
