package skein

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/skeinrt/skein/internal/ws"
)

// origins are the web origins that may connect. nil allows the server's own host, and clients that send none.
type origins []origin

// origin is one entry: host and port, "*" for any.
type origin struct{ host, port string }

// parseOrigins reads entries in SocketCluster's syntax: host:port, host:*, *:port, *:*, and *.host for subdomains.
// Entries may also be separated by spaces within one string.
func parseOrigins(entries []string) (origins, error) {
	if entries == nil {
		return nil, nil
	}
	list := origins{}
	for entry := range strings.FieldsSeq(strings.Join(entries, " ")) {
		host, port, found := cutLast(entry, ':')
		if !found || host == "" || port == "" || strings.ContainsAny(entry, "/@") || !isPort(port) {
			return nil, fmt.Errorf("the origin %q: write host:port, host:*, *:port or *:* (https has port 443, http 80)", entry)
		}
		if strings.Contains(strings.TrimPrefix(host, "*."), "*") && host != "*" {
			return nil, fmt.Errorf("the origin %q: a * stands for the whole host, or for what is before the first dot", entry)
		}
		if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
			return nil, fmt.Errorf("the origin %q: write the host as browsers send it, in ASCII (xn--…)", entry)
		}
		list = append(list, origin{canonicalHost(strings.Trim(host, "[]")), port})
	}
	return list, nil
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "*" || err == nil && n > 0
}

// canonicalHost gives a name or an address one form.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.ToLower(host)
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// allows reports whether the request's origin may connect.
func (s *Server) allows(o origins, r *http.Request) bool {
	if len(r.Header.Values("Origin")) > 1 {
		return false // no browser sends two, and nobody knows which one counts
	}
	if o == nil {
		return !hasOrigin(r) || s.OwnOrigin(r)
	}
	host, port := "*", "*" // an absent or opaque origin matches *:* alone
	if header := r.Header.Get("Origin"); header != "" && header != "null" {
		var ok bool
		if _, host, port, ok = originOf(r); !ok {
			return false
		}
	}
	return slices.ContainsFunc(o, func(entry origin) bool { return entry.matches(host, port) })
}

func (o origin) matches(host, port string) bool {
	if o.port != "*" && o.port != port {
		return false
	}
	if suffix, wild := strings.CutPrefix(o.host, "*."); wild {
		return strings.HasSuffix(host, "."+suffix)
	}
	return o.host == "*" || o.host == host
}

func hasOrigin(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("Origin"), func(value string) bool { return value != "" })
}

// originOf reads the Origin of a request, of which there must be one.
func originOf(r *http.Request) (scheme, host, port string, ok bool) {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return "", "", "", false
	}
	return splitOrigin(values[0])
}

// splitOrigin returns what an origin is made of, with the scheme's own port where it names none.
func splitOrigin(text string) (scheme, host, port string, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || u.User != nil {
		return "", "", "", false
	}
	scheme, port = u.Scheme, u.Port()
	if ws, found := strings.CutPrefix(scheme, "ws"); found { // what some clients that are no browsers send
		scheme = "http" + ws
	}
	if port == "" {
		port = "80"
		if scheme == "https" {
			port = "443"
		}
	}
	return scheme, canonicalHost(u.Hostname()), port, true
}

// OwnOrigin reports whether a request is made by a web page that was loaded from this server: from the host that the
// client has asked for, which trusted proxies tell. It is not for a request without an Origin, nor for a name that a web
// page has made resolve to this machine.
func (s *Server) OwnOrigin(r *http.Request) bool {
	scheme, host, port, ok := originOf(r)
	v := s.options.Door.visit(r)
	if v.scheme == "http" && !v.told {
		v.scheme = scheme // TLS may have ended at a proxy that does not say so
	}
	_, ownHost, ownPort, known := splitOrigin(v.scheme + "://" + v.host)
	if !ok || !known || scheme != "http" && scheme != "https" || host != ownHost || port != ownPort {
		return false
	}
	// No page can add a header to a WebSocket's request, so that one which only proxies write proves a proxy.
	passed := v.passed || ws.IsUpgrade(r) && (r.Header.Get(xForwardedFor) != "" || r.Header.Get(forwarded) != "")
	return !rebound(r, passed)
}

// foreign refuses a request that a web page of another origin makes a browser send. Reading is left to the browser's own
// rules, and who sends no Origin is no browser.
func (s *Server) foreign(o origins, r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || !hasOrigin(r) || s.allows(o, r) {
		return nil
	}
	return &Error{Name: NameOrigin, Message: "Requests from the origin " + cut(r.Header.Get("Origin"), 256) + " are not allowed", Status: http.StatusForbidden}
}

// refuseOrigin answers with the words that SocketCluster's clients know.
func (s *Server) refuseOrigin(w http.ResponseWriter, r *http.Request) {
	s.counters.refusedOrigins.Add(1)
	s.log.WarnContext(r.Context(), "a foreign origin was refused: allow it with --origins", attrQuoted("origin", r.Header.Get("Origin")))
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		origin = "*"
	}
	plainError(w, http.StatusForbidden, "Failed to authorize socket handshake - Invalid origin: "+cut(origin, 256))
}
