package skein

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Door says how connections come in, besides Addr and TLS.
type Door struct {
	// Proxies are the peers that pass on the connections of others. What they say of a client is believed: its address,
	// and the scheme and host that it has asked for. None is believed by default.
	Proxies []netip.Prefix
	// Header is where they say it: "X-Forwarded-For", with X-Forwarded-Proto and X-Forwarded-Host, or "Forwarded" (RFC
	// 7239). The other one is not looked at: a proxy passes on a header that it does not know, as its client has written
	// it. "" is X-Forwarded-For.
	Header string
	// ProxyProtocol makes Serve expect the PROXY protocol, version 1 or 2, in front of each connection of the Proxies,
	// and nothing like it from others. With it the client's address is that of every connection, before TLS.
	ProxyProtocol bool
	// Operators is an address of a listener for operators, on which Run serves the routes that are theirs, and nowhere
	// else. A program that has its own listeners sets it, too, and calls ServeOperators. "" serves these routes among all
	// others.
	Operators string
	// HSTS makes browsers use https for this long (Strict-Transport-Security), where the client has come by https. It
	// cannot be taken back before it has passed. 0 leaves the header out.
	HSTS time.Duration
}

const (
	xForwardedFor = "X-Forwarded-For"
	forwarded     = "Forwarded"
)

func (d *Door) check() error {
	var err error
	if !slices.Contains([]string{"", xForwardedFor, forwarded}, d.Header) {
		err = fmt.Errorf("the option Door.Header is %q: there are %s and %s", d.Header, xForwardedFor, forwarded)
	}
	if d.ProxyProtocol && len(d.Proxies) == 0 {
		err = errors.Join(err, errors.New("the option Door.ProxyProtocol needs Door.Proxies: the peers that may speak it"))
	}
	return errors.Join(err, negative("Door", map[string]float64{"HSTS": d.HSTS.Seconds()}))
}

// trusts reports whether the address is a proxy's.
func (d *Door) trusts(addr netip.Addr) bool { return within(d.Proxies, addr) }

// visit is who asks for what, as far as its peer and the proxies can be believed.
type visit struct {
	addr         netip.Addr // invalid in memory
	scheme, host string     // http or https; the host with its port, where there is one
	passed       bool       // a proxy has passed it on, and said so
	told         bool       // the scheme is what a proxy was asked for
}

// visit goes through what the proxies say from the right, where the nearest one has written, and only as long as it comes
// from a proxy: all to the left of that is the client's own invention. What is malformed or hidden ends it, too, so that
// the visitor is the last proxy.
func (d *Door) visit(r *http.Request) visit {
	v := visit{addr: parseAddress(r.RemoteAddr), scheme: "http", host: r.Host}
	if r.TLS != nil {
		v.scheme = "https"
	}
	switch {
	case !d.trusts(v.addr):
	case d.Header == forwarded:
		d.followForwarded(r.Header, &v)
	default:
		d.followXForwarded(r.Header, &v)
	}
	return v
}

func (d *Door) followXForwarded(h http.Header, v *visit) {
	scheme, host := lastValue(h, "X-Forwarded-Proto"), lastValue(h, "X-Forwarded-Host")
	v.ask(scheme, host)
	v.passed = scheme != "" || host != "" || h.Get(xForwardedFor) != ""
	list := backwards{lines: h.Values(xForwardedFor)}
	for d.trusts(v.addr) {
		text := list.next()
		text = strings.TrimSpace(text)
		if inner, bare := strings.CutSuffix(text, "]"); bare {
			text = strings.TrimPrefix(inner, "[")
		}
		addr := parseAddress(text)
		if !addr.IsValid() {
			return
		}
		v.addr = addr
	}
}

func (d *Door) followForwarded(h http.Header, v *visit) {
	list := backwards{lines: h.Values(forwarded)}
	for d.trusts(v.addr) {
		text := list.next()
		e, ok := parseForwarded(text)
		if !ok {
			return
		}
		v.passed = true
		v.ask(e["proto"], e["host"])
		addr, known := parseNode(e["for"])
		if !known {
			return
		}
		v.addr = addr
	}
}

// ask takes over what the client has asked a proxy for.
func (v *visit) ask(scheme, host string) {
	switch strings.ToLower(scheme) {
	case "http", "ws":
		v.scheme, v.told = "http", true
	case "https", "wss":
		v.scheme, v.told = "https", true
	}
	if host != "" && len(host) <= 260 && !strings.ContainsAny(host, " \t/\\@?#,\"<>") {
		v.host = host
	}
}

// backwards takes the elements of a header's lists from the right, and empty ones when there are no more. Commas within quotes do not divide; quotes are counted
// from the right, too, so that one which a client has left open ends nothing.
type backwards struct {
	lines []string // not yet begun
	line  string   // what is left of the one begun
	begun bool
}

func (b *backwards) next() string {
	if !b.begun {
		if len(b.lines) == 0 {
			return ""
		}
		end := len(b.lines) - 1
		b.line, b.lines, b.begun = b.lines[end], b.lines[:end], true
	}
	quoted := false
	for i := len(b.line) - 1; i >= 0; i-- {
		switch {
		case b.line[i] == '"':
			quoted = !quoted
		case b.line[i] == ',' && !quoted:
			element := b.line[i+1:]
			b.line = b.line[:i]
			return element
		}
	}
	b.begun = false
	return b.line
}

// lastValue is the rightmost value of a header, which the nearest proxy has written.
func lastValue(h http.Header, name string) string {
	list := backwards{lines: h.Values(name)}
	text := list.next()
	return strings.TrimSpace(text)
}

// parseForwarded reads one element of Forwarded: for=192.0.2.60;proto=http;host="example.com:80".
func parseForwarded(element string) (map[string]string, bool) {
	params := map[string]string{}
	for pair := range strings.SplitSeq(element, ";") { // none of what is of use to us has a semicolon in it
		name, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
		name = strings.ToLower(name)
		if _, twice := params[name]; !found || twice || !isToken(name) {
			return nil, false
		}
		if inner, quoted := strings.CutPrefix(value, `"`); quoted {
			inner, quoted = strings.CutSuffix(inner, `"`)
			if !quoted || strings.ContainsAny(inner, `"\`) {
				return nil, false
			}
			value = inner
		} else if !isToken(value) {
			return nil, false
		}
		params[name] = value
	}
	return params, true
}

// parseNode reads an address as RFC 7239 writes it. It is not known where it is hidden (_name), or "unknown".
func parseNode(text string) (netip.Addr, bool) {
	if port := strings.LastIndexByte(text, ':'); port > strings.LastIndexByte(text, ']') {
		if !isNodePort(text[port+1:]) {
			return netip.Addr{}, false
		}
		text = text[:port]
	}
	inner, bracketed := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	addr, err := netip.ParseAddr(inner)
	if err != nil || bracketed != closed || bracketed != addr.Is6() {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

func isNodePort(port string) bool {
	if hidden, ok := strings.CutPrefix(port, "_"); ok {
		return isToken(hidden)
	}
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

// isToken reports whether s is a token of RFC 9110.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

// ClientAddr is the address that a request comes from: the peer's, or what a trusted proxy says it has forwarded for. It
// is invalid where there is none, as in memory.
func (s *Server) ClientAddr(r *http.Request) netip.Addr { return s.options.Door.visit(r).addr }

// ClientTarget is what the client has asked for: http or https, and the host with its port if it has given one; behind a
// trusted proxy, what the proxy was asked for.
func (s *Server) ClientTarget(r *http.Request) (scheme, host string) {
	v := s.options.Door.visit(r)
	return v.scheme, v.host
}

func within(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// forwardedFor is the client's address as text where it is not that of the connection's peer, and else empty.
func (s *Server) forwardedFor(r *http.Request) string {
	d := &s.options.Door
	if len(d.Proxies) == 0 {
		return ""
	}
	addr := s.ClientAddr(r)
	switch {
	case !addr.IsValid():
		return ""
	case addr != parseAddress(r.RemoteAddr):
		return addr.String()
	case d.ProxyProtocol:
		return r.RemoteAddr
	}
	return ""
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
