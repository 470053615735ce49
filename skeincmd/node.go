package skeincmd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/plugin/admin"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

const (
	memoryEngine = "memory"
	detect       = "detect"
)

// node is a server as configured, not yet started.
type node struct {
	*skein.Server
	config *config
	parts  []part
	log    *slog.Logger
	random bool // tokens are signed with a key of this process
	tokens *auth.Tokens

	ownPace bool // of collecting garbage: the environment says nothing about it

	adminKeys map[string]string // those made for this process, by instance

	supervisor supervisor
}

// build makes the server of a configuration with all of its plugins, or says everything that is wrong with both.
func (a *app) build(c *config) (*node, error) {
	log := c.logger(a.Err)
	options, random, err := c.options(a, log)
	parts, wrong := c.parts(a)
	n := &node{Server: skein.New(options), config: c, parts: parts, log: log, random: random, tokens: options.Tokens, ownPace: a.unset("GOGC") && a.unset("GOMEMLIMIT"), supervisor: a.supervisor()}
	errs := []error{err, wrong}
	if err == nil && wrong == nil {
		errs = append(errs, n.register(n.Server, func(p part) skein.Plugin { return p.plugin }), n.registerFigures(options.Engine), n.registerPublished())
	}
	return n, errors.Join(errs...)
}

// keyAdmin gives the admin pages that have no key one of this process, so that the banner can show it.
func (n *node) keyAdmin() {
	n.adminKeys = map[string]string{}
	for _, p := range n.parts {
		if pages, ok := p.plugin.(*admin.Plugin); ok && pages.Key == "" {
			pages.Key = rand.Text()
			n.adminKeys[p.name()] = pages.Key
		}
	}
}

func (n *node) register(s *skein.Server, as func(part) skein.Plugin) error {
	var errs []error
	for _, p := range n.parts {
		errs = append(errs, s.Register(as(p), p.use))
	}
	return errors.Join(errs...)
}

func (c *config) options(a *app, log *slog.Logger) (o skein.Options, random bool, err error) {
	missing := c.findPublished(log)
	tokens, random, err := c.tokens(a)
	endpoints, wrong := c.endpoints(a)
	certificate, bad := c.tls(a, log)
	o = skein.Options{
		Addr: c.Listen.Addr, Node: c.Cluster.Node, Version: builtFrom(debug.ReadBuildInfo()).Version,
		Endpoints: endpoints, Tokens: tokens, Origins: c.Listen.Origins,
		Limits: skein.Limits{
			MaxMessage: int(c.Limits.MaxMessage), Outbox: int(c.Limits.MaxOutbox), Channels: c.Limits.MaxChannels,
			Stall: c.Limits.MaxStall, Depth: c.Limits.MaxDepth, Batch: c.Limits.MaxBatch, Rates: c.Limits.SessionRates.rates(),
		},
		Channels:    c.channels(),
		Revocations: skein.Revocations{File: a.orNone(c.Auth.Revocations)},
		Conns: skein.ConnLimits{
			Total: c.connections(), PerAddress: c.Limits.MaxConnectionsPerAddress, PerSecond: c.Limits.MaxAcceptRate,
			PerUser: c.Limits.MaxUserSessions, Pending: c.Limits.MaxPending, PendingPerAddress: c.Limits.MaxPendingPerAddress,
		},
		Rates: skein.SharedRates{
			User: c.Limits.UserRates.rates(), Address: c.Limits.AddressRates.rates(), UserClaim: c.Limits.UserClaim,
		},
		Driver:   c.Parts.driver(),
		Timeouts: skein.Timeouts{Drain: c.drain(), Stop: c.Listen.StopTimeout},
		TLS:      certificate, Door: c.door(), Logger: log,
	}
	if c.Parts.Engine == memoryEngine {
		o.Engine = engine.NewMemory()
	} else {
		o.EngineName = c.Parts.Engine
	}
	return o, random, errors.Join(missing, err, wrong, bad, c.joinCluster(a, &o))
}

// door says how connections come in.
func (c *config) door() skein.Door {
	proxies, _ := c.proxies() // its error is told by check
	d := skein.Door{
		Proxies: proxies, ProxyProtocol: c.Listen.ProxyProtocol, Operators: c.Operators.OperatorAddr, HSTS: c.TLS.HSTS,
	}
	if c.Listen.ForwardedHeader == "forwarded" {
		d.Header = "Forwarded"
	}
	return d
}

// drain is the option's value, whose zero is the default.
func (c *config) drain() time.Duration {
	if c.Listen.Drain == 0 {
		return -1
	}
	return c.Listen.Drain
}

func (c *config) tls(a *app, log *slog.Logger) (*tls.Config, error) {
	if !c.secure() || len(c.TLS.TLSCert) != len(c.TLS.TLSKey) {
		return nil, nil // check tells what is missing
	}
	made := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS.TLSMin == "1.3" {
		made.MinVersion = tls.VersionTLS13
	}
	if len(c.TLS.Acme) > 0 {
		var err error
		c.acme, err = c.newACME(a, log)
		made.GetCertificate, made.NextProtos = c.acme.get, []string{"acme-tls/1"}
		return made, err
	}
	var all certificates
	var errs []error
	for i, cert := range c.TLS.TLSCert {
		one, err := a.pair(cert, c.TLS.TLSKey[i], log)
		if err != nil && len(c.TLS.TLSCert) > 1 {
			err = fmt.Errorf("%s: %w", cert, err)
		}
		all, errs = append(all, one), append(errs, c.blame("tlsCert", err))
	}
	made.GetCertificate = all.get
	return made, errors.Join(errs...)
}

// secure reports whether the node speaks TLS itself.
func (c *config) secure() bool { return len(c.TLS.TLSCert) > 0 || len(c.TLS.Acme) > 0 }

// endpoints are those of the file, or one with the node's settings.
func (c *config) endpoints(a *app) ([]skein.Endpoint, error) {
	if len(c.Lists.Endpoints) == 0 {
		return []skein.Endpoint{{Compression: c.Features.Compression}}, nil
	}
	var list []skein.Endpoint
	var errs []error
	for i, e := range c.Lists.Endpoints {
		made, err := c.endpoint(a, conf.Item("endpoints", i), e)
		list, errs = append(list, made), append(errs, err)
	}
	return list, errors.Join(errs...)
}

func (c *config) endpoint(a *app, path string, e endpoint) (skein.Endpoint, error) {
	made := skein.Endpoint{
		Path: e.Path, Source: c.places[path].String(), Protocol: protocolOf(e.Protocol),
		Ping:             skein.Ping{Interval: e.Ping.Interval, Timeout: e.Ping.Timeout, Off: e.Ping.Off},
		HandshakeTimeout: e.HandshakeTimeout, CallTimeout: e.CallTimeout,
		Limits:     e.Limits.limits(),
		AuthScheme: e.AuthScheme, Origins: e.Origins, Subprotocols: e.Subprotocols, Lax: e.Lax,
		Batch:     skein.Batch{Duration: e.Batch.Duration, Interval: e.Batch.Interval},
		NoPublish: e.NoPublish, Compression: c.Features.Compression, AnswerUnknown: e.AnswerUnknown,
	}
	if e.Codec != detect {
		made.Codec = e.Codec
	}
	if e.Compression != nil {
		made.Compression = *e.Compression
	}
	if len(e.AuthKeys) == 0 {
		return made, nil
	}
	path = conf.Join(path, "authKeys")
	keys, err := c.listedKeys(a, path, e.AuthKeys)
	if err != nil {
		return made, err
	}
	made.Tokens, err = c.signer(keys, nil)
	c.rings = append(c.rings, keyring{e.Path, made.Tokens})
	return made, c.blame(path, err)
}

func (c *config) channels() []skein.ChannelOptions {
	var list []skein.ChannelOptions
	for _, x := range c.Lists.Channels {
		o := skein.ChannelOptions{Pattern: x.Pattern, MaxDelay: x.MaxDelay, EndWithToken: x.EndWithToken}
		_ = o.Slow.UnmarshalText([]byte(x.Slow)) // the table of settings has the same names
		list = append(list, o)
	}
	return list
}

func protocolOf(name string) skein.Protocol {
	switch name {
	case "v1":
		return skein.V1
	case "v2":
		return skein.V2
	}
	return skein.Detect
}

func (l endpointLimits) limits() skein.Limits {
	return skein.Limits{
		MaxMessage: int(l.MaxMessage), Inbox: int(l.Inbox), Outbox: int(l.Outbox), Channels: l.Channels, Calls: l.Calls,
		ChannelName: int(l.ChannelName), Stall: l.Stall, Depth: l.Depth, Batch: l.Batch, OpenCalls: l.OpenCalls, Rates: l.Rates.rates(),
	}
}

// dry is a plugin whose set-up does nothing: its name and its place in the order are checked all the same.
type dry struct{ skein.Plugin }

func (dry) Setup(context.Context, *skein.Host) error { return nil }

// knowsDrivers reports whether every engine, codec and scheme is known without a plugin's set-up, which could provide
// more: those that flags start provide none.
func (n *node) knowsDrivers(a *app) bool {
	standard, _ := n.config.stock(a) // its error has been told
	return !slices.ContainsFunc(n.parts, func(p part) bool {
		return !slices.ContainsFunc(standard, func(s stock) bool { return s.name == p.from })
	})
}

// check finds what can be found without starting anything: it starts a server that stands in for the node, with its
// endpoints and with plugins that do nothing.
func (n *node) check(ctx context.Context, a *app) error {
	options, _, err := n.config.options(a, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if n.config.clustered() {
		options.Engine, options.MinNodes = engine.NewMemory(), 0
	}
	if !n.knowsDrivers(a) {
		options.EngineName, options.MinNodes = "", 0
		for i := range options.Endpoints {
			options.Endpoints[i].AuthScheme, options.Endpoints[i].Codec = "", ""
		}
	}
	double := skein.New(options)
	if err := n.register(double, func(p part) skein.Plugin { return dry{p.plugin} }); err != nil {
		return err
	}
	if err := double.Start(ctx); err != nil {
		return err
	}
	return double.Shutdown(ctx)
}
