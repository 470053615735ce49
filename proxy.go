package skein

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddr is the address that a request comes from: the peer's, or what a trusted proxy says it has forwarded for. It
// is invalid where there is none, as in memory.
func (s *Server) ClientAddr(r *http.Request) netip.Addr {
	peer := parseAddress(r.RemoteAddr)
	forwarded := headerTokens(r.Header.Values("X-Forwarded-For"))
	for i := len(forwarded) - 1; i >= 0 && within(s.options.Proxies, peer); i-- {
		next := parseAddress(forwarded[i])
		if !next.IsValid() {
			break
		}
		peer = next
	}
	return peer
}

func within(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forwardedFor is ClientAddr as text where a trusted proxy has forwarded for it, and else empty.
func (s *Server) forwardedFor(r *http.Request) string {
	if len(s.options.Proxies) == 0 {
		return ""
	}
	addr := s.ClientAddr(r)
	if peer := parseAddress(r.RemoteAddr); !addr.IsValid() || addr == peer {
		return ""
	}
	return addr.String()
}

func parseAddress(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, _ := netip.ParseAddr(s) // in-memory connections have none
	return addr.Unmap().WithZone("")
}

// headerTokens splits the comma-separated values of a header.
func headerTokens(values []string) []string {
	var tokens []string
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				tokens = append(tokens, t)
			}
		}
	}
	return tokens
}
