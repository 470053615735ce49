package skeincmd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkCluster finds what contradicts itself, and what strangers could do.
func (c *config) checkCluster() error {
	errs := []error{c.checkWays(), c.checkNames()}
	if c.Cluster.ClusterListen != "" {
		errs = append(errs, c.checkRoutes(), c.checkSeeds(), c.checkRouteTLS())
	}
	if len(c.NATS.Nats) > 0 {
		errs = append(errs, c.checkNATS())
	}
	return errors.Join(errs...)
}

// checkWays refuses settings of a way to the other nodes that is not taken.
func (c *config) checkWays() error {
	var errs []error
	routed, external := c.Cluster.ClusterListen != "", len(c.NATS.Nats) > 0
	if routed && external {
		errs = append(errs, c.blame("nats", errors.New("the nodes connect to each other, with --cluster-listen, or to a NATS of its own: give one of them")))
	}
	if (routed || external) && c.Parts.Engine != memoryEngine {
		errs = append(errs, c.blame("engine", errors.New("--cluster-listen and --nats have an engine of their own: give one of the three")))
	}
	s, n, usual := &c.Cluster, &c.NATS, defaults().Cluster
	for _, g := range []struct {
		key          string
		given, taken bool
		needs        string
	}{
		{"clusterAdvertise", s.ClusterAdvertise != "", routed, "--cluster-listen"},
		{"clusterJoin", len(s.ClusterJoin) > 0, routed, "--cluster-listen"},
		{"clusterName", s.ClusterName != usual.ClusterName, routed, "--cluster-listen"},
		{"clusterSecret", s.ClusterSecret != "", routed, "--cluster-listen"},
		{"clusterCert", s.ClusterCert != "", routed, "--cluster-listen"},
		{"clusterKey", s.ClusterKey != "", routed, "--cluster-listen"},
		{"clusterCA", s.ClusterCA != "", routed, "--cluster-listen"},
		{"clusterInsecure", s.ClusterInsecure, routed, "--cluster-listen"},
		{"joinTimeout", s.JoinTimeout != usual.JoinTimeout, routed, "--cluster-listen"},
		{"clusterPrefix", s.ClusterPrefix != usual.ClusterPrefix, routed || external, "--cluster-listen or --nats"},
		{"clusterMin", s.ClusterMin > 1, routed || external || c.Parts.Engine != memoryEngine, "--cluster-listen or --nats: a node alone has no others"},
		{"natsCredentials", n.NatsCredentials != "", external, "--nats"},
		{"natsNkey", n.NatsNkey != "", external, "--nats"},
		{"natsUser", n.NatsUser != "", external, "--nats"},
		{"natsPassword", n.NatsPassword != "", external, "--nats"},
		{"natsToken", n.NatsToken != "", external, "--nats"},
		{"natsCA", n.NatsCA != "", external, "--nats"},
		{"natsCert", n.NatsCert != "", external, "--nats"},
		{"natsKey", n.NatsKey != "", external, "--nats"},
	} {
		if g.given && !g.taken {
			errs = append(errs, c.blame(g.key, errors.New("it needs "+g.needs)))
		}
	}
	return errors.Join(errs...)
}

const longestNode = 128

// checkNames looks at what goes into subjects of NATS, and to the other nodes.
func (c *config) checkNames() error {
	var errs []error
	node := c.Cluster.Node
	if len(node) > longestNode || !utf8.ValidString(node) || strings.ContainsFunc(node, unicode.IsControl) {
		errs = append(errs, c.blame("node", fmt.Errorf("%.40q is not a name of up to %d octets without control characters", node, longestNode)))
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`).MatchString(c.Cluster.ClusterPrefix) || len(c.Cluster.ClusterPrefix) > 64 {
		errs = append(errs, c.blame("clusterPrefix", fmt.Errorf("%.40q is not a prefix: up to 64 letters, digits, _ and -, with dots between", c.Cluster.ClusterPrefix)))
	}
	if name := c.Cluster.ClusterName; name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
		errs = append(errs, c.blame("clusterName", fmt.Errorf("%q is not a name: it must not be empty or have spaces", name)))
	}
	return errors.Join(errs...)
}

// checkRoutes looks at where the other nodes reach this one.
func (c *config) checkRoutes() error {
	s := &c.Cluster
	if err := checkAddress(s.ClusterListen); err != nil {
		return c.blame("clusterListen", err)
	}
	if s.ClusterAdvertise == "" {
		if isWildcard(s.ClusterListen) {
			return c.blame("clusterListen", errors.New("on all addresses it needs --cluster-advertise, for the other nodes to know which"))
		}
		return nil
	}
	_, port, _ := net.SplitHostPort(s.ClusterAdvertise)
	switch err := checkAddress(s.ClusterAdvertise); {
	case err != nil:
		return c.blame("clusterAdvertise", err)
	case isWildcard(s.ClusterAdvertise) || port == "0":
		return c.blame("clusterAdvertise", fmt.Errorf("%q is nowhere that others could connect to", s.ClusterAdvertise))
	case isLoopback(s.ClusterAdvertise) && !isLoopback(s.ClusterListen):
		return c.blame("clusterAdvertise", fmt.Errorf("%q is on this machine only: other nodes could not connect", s.ClusterAdvertise))
	}
	return nil
}

func (c *config) checkSeeds() error {
	var errs []error
	for _, seed := range c.Cluster.ClusterJoin {
		host, port, _ := net.SplitHostPort(seed)
		ip, notIP := netip.ParseAddr(host)
		switch err := checkAddress(seed); {
		case err != nil:
			errs = append(errs, c.blame("clusterJoin", err))
		case host == "" || port == "0":
			errs = append(errs, c.blame("clusterJoin", fmt.Errorf("%q is nowhere to connect to", seed)))
		case isLoopback(c.Cluster.ClusterListen) && notIP == nil && !ip.IsLoopback():
			errs = append(errs, c.blame("clusterJoin", fmt.Errorf("%q could not reach this node, whose --cluster-listen is on this machine only", seed)))
		}
	}
	return errors.Join(errs...)
}

func (c *config) checkRouteTLS() error {
	s := &c.Cluster
	files := []struct{ key, file string }{{"clusterCert", s.ClusterCert}, {"clusterKey", s.ClusterKey}, {"clusterCA", s.ClusterCA}}
	given := ""
	var missing []string
	for _, f := range files {
		if f.file == "" {
			missing = append(missing, "--"+flagName(f.key))
		} else if given == "" {
			given = f.key
		}
	}
	var errs []error
	if given != "" && len(missing) > 0 {
		errs = append(errs, c.blame(given, fmt.Errorf("TLS between nodes is mutual: give %s too", strings.Join(missing, " and "))))
	}
	if isLoopback(s.ClusterListen) || s.ClusterInsecure {
		return errors.Join(errs...)
	}
	if s.ClusterSecret == "" {
		missing = append(missing, "--cluster-secret")
	}
	if len(missing) > 0 {
		errs = append(errs, c.blame("clusterListen", fmt.Errorf(
			"off loopback it needs %s (\"skein cluster init\" makes them), or --cluster-insecure", strings.Join(missing, ", "))))
	}
	return errors.Join(errs...)
}

func (c *config) checkNATS() error {
	n := &c.NATS
	var errs []error
	for _, text := range n.Nats {
		errs = append(errs, c.blame("nats", checkNATSURL(text)))
	}
	ways := 0
	for _, given := range []string{n.NatsCredentials, n.NatsNkey, n.NatsUser, n.NatsToken} {
		if given != "" {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, c.blame("nats", errors.New("give one of --nats-credentials, --nats-nkey, --nats-user and --nats-token")))
	}
	if n.NatsPassword != "" && n.NatsUser == "" {
		errs = append(errs, c.blame("natsPassword", errors.New("a password needs --nats-user")))
	}
	if (n.NatsCert == "") != (n.NatsKey == "") {
		key := "natsCert"
		if n.NatsCert == "" {
			key = "natsKey"
		}
		errs = append(errs, c.blame(key, errors.New("a certificate and its key go together: give --nats-cert and --nats-key")))
	}
	return errors.Join(errs...)
}

// checkNATSURL refuses passwords, which everybody on this machine could read.
func checkNATSURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls":
		return errors.New("want nats://HOST:PORT or tls://HOST:PORT")
	case u.User != nil:
		return fmt.Errorf("the URL of %s has a user: give --nats-user and --nats-password, or --nats-token", u.Host)
	}
	return nil
}

// isWildcard reports whether an address is that of all interfaces.
func isWildcard(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, notIP := netip.ParseAddr(host)
	return err == nil && (host == "" || notIP == nil && ip.IsUnspecified())
}
