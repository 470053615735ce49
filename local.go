package skein

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Local reports whether a request was made inside the process or came over loopback, for routes that are open to the
// machine's own users. One over loopback must say so in Host: a web page whose name is made to resolve to 127.0.0.1 does
// not. What a proxy has passed on comes from elsewhere: with Door.Proxies nothing over loopback is local, since a proxy
// need not say that it is one.
func (s *Server) Local(r *http.Request) bool {
	if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	switch addr.Network() {
	case "tcp":
		at, err := netip.ParseAddrPort(addr.String())
		return err == nil && at.Addr().IsLoopback() && isLoopbackHost(r.Host) && len(s.options.Door.Proxies) == 0
	case "memory", "pipe":
		return true
	default:
		return false
	}
}

// isLoopbackHost reports whether a Host names the machine that asks. Nobody else can make these names lead anywhere.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return err == nil && addr.IsLoopback() || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// rebound reports whether a browser has come over loopback to a name that is not this machine's own. A web page can make
// its own name resolve to 127.0.0.1 once it is loaded, and is then of the same origin as whatever listens there. TLS has
// checked the name, and behind a proxy it is the proxy's.
func rebound(r *http.Request, passed bool) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || passed || r.TLS != nil {
		return false
	}
	return parseAddress(addr.String()).IsLoopback() && parseAddress(r.RemoteAddr).IsLoopback() && !isLoopbackHost(r.Host)
}
