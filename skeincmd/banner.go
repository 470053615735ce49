package skeincmd

import (
	"cmp"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/health"
)

// banner prints what runs and where. What is for operators may have an address of its own.
func (a *app) banner(n *node, clients, operators net.Addr, profiles profiler) {
	a.printf("%s\n", builtFrom(debug.ReadBuildInfo()))
	a.printf("%-14s %s\n", "node", n.Node())
	a.neighbours(n)
	secure := ""
	if n.config.secure() {
		secure = "s"
	}
	for _, e := range n.Endpoints() {
		a.printf("%-14s ws%s://%s%s\n", "SocketCluster", secure, reachable(clients), e.Path)
	}
	routes := n.Routes()
	for _, p := range n.parts {
		for _, r := range entrances(routes, p.name()) {
			scheme := "http"
			if r.Kind == "websocket" {
				scheme = "ws"
			}
			host := reachable(clients)
			if r.Audience == skein.Operators && operators != nil {
				host = reachable(operators)
			}
			a.printf("%-14s %s%s://%s%s%s\n", p.label(r), scheme, secure, host, r.Path, n.keyNote(p))
		}
	}
	if m := n.config.acme; m != nil && m.addr != nil {
		a.printf("%-14s http://%s/\n", "ACME", reachable(m.addr))
	}
	if profiles.addr != nil {
		a.printf("%-14s http://%s/debug/pprof/\n", "profiles", reachable(profiles.addr))
	}
}

// neighbours prints where the node is in its cluster.
func (a *app) neighbours(n *node) {
	if !n.config.clustered() {
		return
	}
	address, names := strings.Join(n.config.NATS.Nats, ","), []string{}
	for _, other := range n.Nodes() {
		names = append(names, other.Name)
		if other.Local && other.Address != "" {
			address = other.Address
		}
	}
	a.printf("%-14s %s, nodes %s\n", "cluster", address, strings.Join(names, " "))
}

// keyNote follows an address that asks for a key which nobody could know.
func (n *node) keyNote(p part) string {
	if key := n.adminKeys[p.name()]; key != "" {
		return "  key " + key
	}
	return ""
}

// label is what a person calls the route of the plugin.
func (p part) label(r skein.Route) string {
	if checks, ok := p.plugin.(*health.Plugin); ok {
		if r.Path == p.use.Prefix+cmp.Or(checks.Live, "/healthz") {
			return "live"
		}
		return "ready"
	}
	labels := map[string]string{"rawws": "raw", "startpage": "start page", "api": "API"}
	if label, ok := labels[p.name()]; ok {
		return label
	}
	return p.name()
}

// entrances are the routes of a plugin that are not below another one of its routes.
func entrances(routes []skein.Route, plugin string) []skein.Route {
	var list []skein.Route
	for _, r := range routes { // sorted by path, so that what is above comes first
		isBelow := func(above skein.Route) bool {
			return r.Path == above.Path || strings.HasPrefix(r.Path, strings.TrimSuffix(above.Path, "/")+"/")
		}
		if r.Plugin == plugin && !strings.Contains(r.Path, "{") && !slices.ContainsFunc(list, isBelow) {
			list = append(list, r)
		}
	}
	return list
}

// reachable is an address for a URL on this machine: 0.0.0.0 is none.
func reachable(addr net.Addr) string {
	a, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if a.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port()).String()
	}
	return a.String()
}
