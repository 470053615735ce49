package ws

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	headerExtensions = "Sec-Websocket-Extensions"
	headerProtocol   = "Sec-Websocket-Protocol"
	headerVersion    = "Sec-Websocket-Version"
	headerKey        = "Sec-Websocket-Key"
	headerAccept     = "Sec-Websocket-Accept"

	extensionDeflate = "permessage-deflate"
	serverNoContext  = "server_no_context_takeover"
	clientNoContext  = "client_no_context_takeover"
	serverWindow     = "server_max_window_bits"
	clientWindow     = "client_max_window_bits"

	maxWindow = 15
	minWindow = 8
	windows   = maxWindow - minWindow + 1

	deflateOffer = extensionDeflate + "; " + serverNoContext + "; " + clientNoContext
)

// deflateParams are the parameters of one permessage-deflate offer or answer.
type deflateParams struct {
	serverNoContext, clientNoContext bool
	serverBits, clientBits           int // 0: not named, or named without a value
	clientNamed                      bool
}

// answerDeflate picks the first offer that is well-formed, all of which can be honoured, and gives the answer's header and
// the window, in bits, that is compressed with; empty and 0 for none. The peer may use any window.
func answerDeflate(h http.Header) (answer string, window int) {
	for _, offer := range listItems(h.Values(headerExtensions)) {
		p, ok := parseDeflate(offer)
		switch {
		case !ok:
			continue
		case p.serverBits != 0:
			return deflateOffer + "; " + serverWindow + "=" + strconv.Itoa(p.serverBits), p.serverBits
		default:
			return deflateOffer, maxWindow
		}
	}
	return "", 0
}

// acceptDeflate judges a server's answer to deflateOffer: whether compression was agreed, and whether it is legal.
func acceptDeflate(h http.Header) (agreed, ok bool) {
	items := listItems(h.Values(headerExtensions))
	if len(items) == 0 {
		return false, true
	}
	p, ok := parseDeflate(items[0])
	return true, ok && len(items) == 1 && p.serverNoContext && !p.clientNamed
}

// parseDeflate reads one offer or answer; false if it is of another extension, unknown, doubled or ill-formed.
func parseDeflate(item string) (deflateParams, bool) {
	name, rest, more := strings.Cut(item, ";")
	if strings.TrimSpace(name) != extensionDeflate {
		return deflateParams{}, false
	}
	var p deflateParams
	seen := make(map[string]bool, 4)
	for more {
		var param string
		param, rest, more = strings.Cut(rest, ";")
		key, value, valued := strings.Cut(param, "=")
		key = strings.TrimSpace(key)
		if seen[key] || !p.set(key, strings.Trim(strings.TrimSpace(value), `"`), valued) {
			return deflateParams{}, false
		}
		seen[key] = true
	}
	return p, true
}

func (p *deflateParams) set(key, value string, valued bool) bool {
	switch key {
	case serverNoContext:
		p.serverNoContext = true
		return !valued
	case clientNoContext:
		p.clientNoContext = true
		return !valued
	case serverWindow:
		return windowBits(value, &p.serverBits)
	case clientWindow:
		p.clientNamed = true
		return !valued || windowBits(value, &p.clientBits)
	default:
		return false
	}
}

func windowBits(value string, bits *int) bool {
	n, err := strconv.Atoi(value)
	if err != nil || n < minWindow || n > maxWindow || strconv.Itoa(n) != value {
		return false
	}
	*bits = n
	return true
}

// chooseProtocol gives the first of ours that the peer offers, or nothing.
func chooseProtocol(h http.Header, ours []string) string {
	if len(ours) == 0 {
		return ""
	}
	offered := listItems(h.Values(headerProtocol))
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p
		}
	}
	return ""
}

// listItems splits header values at commas that are not inside quotes, and drops empty items.
func listItems(values []string) []string {
	var items []string
	for _, v := range values {
		quoted := false
		for _, item := range strings.FieldsFunc(v, func(r rune) bool {
			if r == '"' {
				quoted = !quoted
			}
			return r == ',' && !quoted
		}) {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}

// hasToken reports whether a header that is a list of tokens holds one, in any case.
func hasToken(h http.Header, name, token string) bool {
	for _, item := range listItems(h.Values(name)) {
		if strings.EqualFold(item, token) {
			return true
		}
	}
	return false
}
