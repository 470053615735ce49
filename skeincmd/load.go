package skeincmd

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth/jwks"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

const defaultFile = "skein.yaml"

// nodeFlags are the flags of commands that are about a node.
type nodeFlags struct {
	Config   string   `placeholder:"FILE" help:"Configuration file. Default: skein.yaml in the working directory, if it is there."`
	Settings settings `embed:""`
}

// config is what a node is told, and by whom. A flag goes before the environment, that before the file, and that
// before the default.
type config struct {
	settings
	file   string            // "" is none
	found  bool              // the file was not asked for
	places conf.Places       // of what the file says
	given  map[string]string // key → flag or variable
	told   map[string]bool   // paths of values that are wrong

	published *jwks.Set // nil: no issuer publishes keys
	rings     []keyring // of the endpoints that have keys of their own
	acme      *acme     // nil: certificates are given, or there is no TLS
}

// source is where the value of a path is from: --addr, SKEIN_ADDR, skein.yaml:1:7, or "" for the default.
func (c *config) source(path string) string {
	if s, ok := c.given[path]; ok {
		return s
	}
	if at, ok := c.places[path]; ok {
		return at.String()
	}
	return ""
}

// blame puts in front of err who said what is wrong.
func (c *config) blame(path string, err error) error {
	if err == nil {
		return nil
	}
	c.told[path] = true
	if at, ok := c.places[path]; ok && c.given[path] == "" {
		return &conf.Error{At: at, Path: path, Text: err.Error()}
	}
	if s := c.source(path); s != "" {
		return fmt.Errorf("%s: %w", s, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// load puts the layers together. With an error that is about values the config is returned all the same, so that
// others can be told at the same time.
func (a *app) load(k *kong.Context, file string, flags *settings) (*config, error) {
	c := defaults()
	wrong := c.readFile(a, file)
	c.takeFlags(k, flags)
	if c.source("api") == "" {
		c.Features.API = isLoopback(c.apiAddr()) || c.Features.APIKey != ""
	}
	return c, errors.Join(wrong, c.check())
}

// defaults is what a node does that is told nothing.
func defaults() *config {
	c := &config{places: conf.Places{}, given: map[string]string{}, told: map[string]bool{}}
	v := reflect.ValueOf(&c.settings).Elem()
	for _, f := range conf.Fields(v.Type()) {
		if f.Default == "" {
			continue
		}
		if err := conf.SetText(f.Of(v), f.Default); err != nil {
			panic("default of " + f.Key + ": " + err.Error()) // a mistake in the table
		}
	}
	return c
}

func (c *config) readFile(a *app, file string) error {
	c.file = file
	if file == "" {
		c.file, c.found = defaultFile, true
	}
	src, err := a.read(c.file)
	if c.found && errors.Is(err, fs.ErrNotExist) {
		c.file, c.found = "", false
		return nil
	}
	if err != nil {
		return err
	}
	root, err := conf.Parse(c.file, src)
	if root.Absent() {
		return err
	}
	places, wrong := root.Decode(&c.settings)
	c.places = places
	return errors.Join(err, wrong)
}

// takeFlags copies what the command line and the environment say: only what is in the trace, as kong sets defaults too.
func (c *config) takeFlags(k *kong.Context, from *settings) {
	src, dst := reflect.ValueOf(from).Elem(), reflect.ValueOf(&c.settings).Elem()
	for _, f := range conf.Fields(dst.Type()) {
		i := slices.IndexFunc(k.Path, func(p *kong.Path) bool { return p.Flag != nil && p.Flag.Name == flagName(f.Key) })
		if i < 0 {
			continue
		}
		f.Of(dst).Set(f.Of(src))
		c.given[f.Key] = "--" + flagName(f.Key)
		if k.Path[i].Resolved {
			c.given[f.Key] = variable(flagName(f.Key))
		}
	}
}

// check finds what types cannot say.
func (c *config) check() error {
	_, proxies := c.proxies()
	return errors.Join(c.checkAddresses(), c.checkPaths(), c.checkDoor(), c.checkACME(), c.checkRanges(), c.checkCluster(), proxies, c.exposed())
}

func (c *config) checkAddresses() error {
	err := c.blame("addr", checkAddress(c.Listen.Addr))
	for key, addr := range map[string]string{"operatorAddr": c.Operators.OperatorAddr, "pprof": c.Operators.Pprof} {
		if addr != "" {
			err = errors.Join(err, c.blame(key, checkAddress(addr)))
		}
	}
	return err
}

// checkAddress tells early what listening would only tell at the start.
func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has the port %q; want a number from 0 to 65535", addr, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && strings.Trim(host, "0123456789.:") == "" {
		return fmt.Errorf("%q has the host %q, which is neither an address nor a name", addr, host)
	}
	return nil
}

func (c *config) checkPaths() error {
	var errs []error
	isPath := func(p string) bool { return p == "" || p[0] == '/' }
	if !isPath(c.rawPath()) {
		errs = append(errs, c.blame("raw", fmt.Errorf("%q is not a path, which starts with /, nor off", c.Features.Raw)))
	}
	if !isPath(c.Features.Echo) {
		errs = append(errs, c.blame("echo", fmt.Errorf("%q is not a path: it starts with /", c.Features.Echo)))
	}
	return errors.Join(errs...)
}

// checkDoor looks at how clients and operators come in.
func (c *config) checkDoor() error {
	var errs []error
	switch certs, keys := len(c.TLS.TLSCert), len(c.TLS.TLSKey); {
	case certs > 0 && keys == 0:
		errs = append(errs, c.blame("tlsCert", errors.New("a certificate needs its key: give tlsKey too")))
	case certs == 0 && keys > 0:
		errs = append(errs, c.blame("tlsKey", errors.New("a key needs its certificate: give tlsCert too")))
	case certs != keys:
		errs = append(errs, c.blame("tlsKey", fmt.Errorf("each certificate needs its key, in the same order: certificates %d, keys %d", certs, keys)))
	}
	if c.Listen.ForwardedHeader != "x-forwarded-for" && len(c.Listen.TrustedProxies) == 0 {
		errs = append(errs, c.blame("forwardedHeader", errors.New("it needs --trusted-proxies: the peers that are believed")))
	}
	if c.TLS.AcmeHTTP != "" && len(c.TLS.Acme) == 0 {
		errs = append(errs, c.blame("acmeHTTP", errors.New("it needs --acme, the domains")))
	}
	if c.Listen.ProxyProtocol && len(c.Listen.TrustedProxies) == 0 {
		errs = append(errs, c.blame("proxyProtocol", errors.New("it needs --trusted-proxies: the peers that may speak it")))
	}
	if c.Operators.OperatorAPI && c.Operators.OperatorAddr == "" {
		errs = append(errs, c.blame("operatorAPI", errors.New("it needs --operator-addr, the listener")))
	}
	return errors.Join(errs...)
}

// apiAddr is where the HTTP API is reached.
func (c *config) apiAddr() string {
	if c.Operators.OperatorAPI {
		return c.Operators.OperatorAddr
	}
	return c.Listen.Addr
}

func (c *config) checkRanges() error {
	var errs []error
	for _, n := range []struct {
		key      string
		negative bool
	}{
		{"drain", c.Listen.Drain < 0},
		{"stopTimeout", c.Listen.StopTimeout < 0},
		{"hsts", c.TLS.HSTS < 0},
		{"clusterMin", c.Cluster.ClusterMin < 0},
		{"joinTimeout", c.Cluster.JoinTimeout < 0},
		{"authExpiry", c.Auth.AuthExpiry < 0},
		{"authMaxLifetime", c.Auth.AuthMaxLifetime < 0},
		{"authLeeway", c.Auth.AuthLeeway < 0},
		{"maxMessage", c.Limits.MaxMessage < 0},
		{"maxChannels", c.Limits.MaxChannels < 0},
		{"maxOutbox", c.Limits.MaxOutbox < 0},
		{"maxStall", c.Limits.MaxStall < 0},
		{"maxDepth", c.Limits.MaxDepth < 0},
		{"maxBatch", c.Limits.MaxBatch < 0},
		{"maxUserSessions", c.Limits.MaxUserSessions < 0},
		{"maxConnections", c.Limits.MaxConnections < 0},
		{"maxAcceptRate", c.Limits.MaxAcceptRate < 0},
	} {
		if n.negative {
			errs = append(errs, c.blame(n.key, errors.New("it must not be negative")))
		}
	}
	return errors.Join(errs...)
}

// exposed refuses what strangers could do without a key. Metrics and the admin pages guard themselves.
func (c *config) exposed() error {
	var errs []error
	if c.Operators.Pprof != "" && !isLoopback(c.Operators.Pprof) && c.Operators.OperatorKey == "" {
		errs = append(errs, c.blame("pprof", errors.New("off loopback it needs --operator-key")))
	}
	listed := slices.ContainsFunc(c.Lists.Plugins, stock{name: "api"}.replacedBy) // then it guards itself
	if c.Features.API && !listed && !isLoopback(c.apiAddr()) && c.Features.APIKey == "" && !c.hasKeys() {
		errs = append(errs, c.blame("api", errors.New("off loopback it needs --api-key, or --auth-key or another key for tokens")))
	}
	return errors.Join(errs...)
}

func (c *config) hasKeys() bool {
	return c.Auth.AuthKey != "" || c.Auth.AuthPublicKey != "" || c.Auth.AuthPrivateKey != "" || len(c.Auth.AuthKeys) > 0 || c.Auth.AuthJWKS != ""
}

// connections is the limit in force. Files are left for what is not a connection of a client.
func (c *config) connections() int {
	return skein.ConnLimits{Total: c.Limits.MaxConnections}.InForce().Total
}

// rawPath is the raw endpoint's, or "" where there is none.
func (c *config) rawPath() string {
	if c.Features.Raw == "off" {
		return ""
	}
	return c.Features.Raw
}

func (c *config) proxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range c.Listen.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if addr, bad := netip.ParseAddr(text); bad == nil {
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, c.blame("trustedProxies", fmt.Errorf("%q is not an address or a network, as in 10.0.0.0/8", text))
		}
		list = append(list, p)
	}
	return list, nil
}

// isLoopback reports whether only this machine reaches an address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
