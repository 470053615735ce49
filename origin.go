package skein

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
		if !found || host == "" || port == "" || strings.Contains(entry, "/") {
			return nil, fmt.Errorf("the origin %q: write host:port, host:*, *:port or *:* (https has port 443, http 80)", entry)
		}
		list = append(list, origin{strings.ToLower(strings.Trim(host, "[]")), port})
	}
	return list, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// allow reports whether the request's origin may connect.
func (o origins) allow(r *http.Request) bool {
	if len(r.Header["Origin"]) > 1 {
		return false // no browser sends two, and nobody knows which one counts
	}
	header := r.Header.Get("Origin")
	if o == nil {
		return header == "" || sameHost(header, r)
	}
	host, port := "*", "*" // an absent or opaque origin matches *:* alone
	if header != "" && header != "null" {
		var ok bool
		if host, port, ok = splitOrigin(header); !ok {
			return false
		}
	}
	for _, entry := range o {
		if entry.matches(host, port) {
			return true
		}
	}
	return false
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

// splitOrigin returns host and port, the scheme's own where there is none.
func splitOrigin(header string) (host, port string, ok bool) {
	u, err := url.Parse(header)
	if err != nil || u.Host == "" {
		return "", "", false
	}
	port = u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" || u.Scheme == "wss" {
			port = "443"
		}
	}
	return strings.ToLower(u.Hostname()), port, true
}

// sameHost reports whether the origin is the host that the request was sent to.
func sameHost(header string, r *http.Request) bool {
	host, port, ok := splitOrigin(header)
	if !ok {
		return false
	}
	scheme := "http://"
	if r.TLS != nil || strings.HasPrefix(header, "https:") { // TLS may have ended at a proxy
		scheme = "https://"
	}
	ownHost, ownPort, ok := splitOrigin(scheme + r.Host)
	return ok && host == ownHost && port == ownPort
}

// foreign refuses a request that a web page of another origin makes a browser send. Reading is left to the browser's own
// rules, and who sends no Origin is no browser.
func (o origins) foreign(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || len(r.Header["Origin"]) == 0 || o.allow(r) {
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
