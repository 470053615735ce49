package skein

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Local reports whether a request was made inside the process or came over loopback, for routes that are open to the
// machine's own users. One over loopback must say so in Host: a web page whose name is made to resolve to 127.0.0.1 does
// not. What a proxy has passed on comes from elsewhere: with Options.Proxies nothing over loopback is local, since a proxy
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
		return err == nil && at.Addr().IsLoopback() && isLoopbackHost(r.Host) && len(s.options.Proxies) == 0
	case "memory", "pipe":
		return true
	default:
		return false
	}
}

func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback() || host == "localhost"
}
