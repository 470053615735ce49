package skein

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"testing"
)

func TestOriginsAreComparedExactly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list   string // "-" is none
		origin string
		want   bool
	}{
		{list: "-", origin: "", want: true},
		{list: "-", origin: "http://chat.example.com:8080", want: true},
		{list: "-", origin: "http://CHAT.example.com:8080", want: true},
		{list: "-", origin: "https://chat.example.com:8080", want: true},
		{list: "-", origin: "http://chat.example.com"},
		{list: "-", origin: "http://evil.example.com:8080"},
		{list: "-", origin: "null"},
		{list: "-", origin: "chat.example.com:8080"},
		{list: "*:*", origin: "", want: true},
		{list: "*:*", origin: "null", want: true},
		{list: "*:*", origin: "https://anybody.example", want: true},
		{list: "*:*", origin: "not a url"},
		{list: "example.com:*", origin: "https://example.com", want: true},
		{list: "example.com:*", origin: "http://example.com:9999", want: true},
		{list: "example.com:*", origin: "http://ample.com"},
		{list: "example.com:*", origin: "http://sub.example.com"},
		{list: "example.com:*", origin: ""},
		{list: "example.com:*", origin: "null"},
		{list: "example.com:443", origin: "https://example.com", want: true},
		{list: "example.com:443", origin: "wss://example.com", want: true},
		{list: "example.com:80", origin: "http://example.com", want: true},
		{list: "example.com:80", origin: "https://example.com"},
		{list: "*:8080", origin: "http://foo.example:8080", want: true},
		{list: "*:8080", origin: "http://foo.example:80"},
		{list: "*.example.com:*", origin: "https://a.b.example.com", want: true},
		{list: "*.example.com:*", origin: "https://example.com"},
		{list: "*.example.com:*", origin: "https://evilexample.com"},
		{list: "a.example:1 b.example:2", origin: "http://b.example:2", want: true},
		{list: "a.example:1 b.example:2", origin: "http://a.example:2"},
		{list: "EXAMPLE.com:*", origin: "http://example.COM", want: true},
		{list: "", origin: ""},
		{list: "", origin: "http://example.com"},
	} {
		checkOrigin(t, test.list, test.origin, test.want)
	}
}

// checkOrigin asks about an origin at a server that is asked for by its name.
func checkOrigin(t *testing.T, list, origin string, want bool) {
	t.Helper()
	var entries []string
	if list != "-" {
		entries = []string{list}
	}
	parsed, err := parseOrigins(entries)
	if err != nil {
		t.Errorf("%q: %v", list, err)
		return
	}
	r := &http.Request{Host: "chat.example.com:8080", Header: http.Header{}}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	if got := New(Options{}).allows(parsed, r); got != want {
		t.Errorf("list %q, origin %q: got %v, want %v", list, origin, got, want)
	}
}

// Origins that are written to be taken for others.
func TestOriginsAreNotMistaken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list   string
		origin string
		want   bool
	}{
		{list: "[::1]:*", origin: "http://[::1]:3000", want: true},
		{list: "[0:0:0::1]:3000", origin: "http://[::1]:3000", want: true},
		{list: "[::1]:*", origin: "http://[::2]:3000"},
		{list: "127.0.0.1:*", origin: "http://127.0.0.1.example.com"},
		{list: "example.com:*", origin: "https://example.com@evil.example"},
		{list: "example.com:*", origin: "https://evil@example.com"},
		{list: "example.com:*", origin: "https://example.com.evil.example"},
		{list: "example.com:*", origin: "https://example.com."},
		{list: "*.example.com:*", origin: "https://a.example.com."},
		{list: "*.example.com:*", origin: "https://.example.com", want: true}, // no browser has such a page
		{list: "*.example.com:443", origin: "https://A.EXAMPLE.com", want: true},
		{list: "*.example.com:443", origin: "https://a.example.com:8443"},
		{list: "xn--bcher-kva.example:*", origin: "https://xn--bcher-kva.example", want: true},
		{list: "xn--bcher-kva.example:*", origin: "https://bücher.example"},
		{list: "localhost:*", origin: "capacitor://localhost", want: true},
		{list: "example.com:*", origin: "https://example.com:" + "443", want: true},
		{list: "example.com:443", origin: "https://example.com:0443"},
		{list: "example.com:*", origin: "https://example.com\\@evil.example"},
		{list: "example.com:*", origin: "https://evil.example\texample.com"},
		{list: "example.com:*", origin: "//example.com"},
		{list: "-", origin: "http://user@chat.example.com:8080"},
		{list: "-", origin: "capacitor://chat.example.com:8080"},
		{list: "-", origin: "http://chat.example.com.:8080"},
		{list: "-", origin: "ws://chat.example.com:8080", want: true},
	} {
		checkOrigin(t, test.list, test.origin, test.want)
	}
}

func TestOriginsHaveAHostAndAPort(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"example.com", ":80", "example.com:", "http://example.com:80", "a:1 b", "a:b", "a:0", "a:65536", "a@b:1", "a*.b:1", "*.*.b:1", "bücher.example:*"} {
		if _, err := parseOrigins([]string{bad}); err == nil {
			t.Errorf("%q is taken for a list of origins", bad)
		}
	}
}

func TestSeveralOriginsAreNone(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	for _, list := range []origins{nil, {{"chat.example.com", "8080"}}} {
		for _, values := range [][]string{
			{"http://chat.example.com:8080", "http://evil.example"},
			{"http://evil.example", "http://chat.example.com:8080"},
			{"", "http://evil.example"},
			{"http://chat.example.com:8080", "http://chat.example.com:8080"},
			{"http://chat.example.com:8080 http://evil.example"},
		} {
			r := &http.Request{Host: "chat.example.com:8080", Header: http.Header{"Origin": values}}
			if s.allows(list, r) {
				t.Errorf("%q is allowed by %v", values, list)
			}
		}
	}
	if r := (&http.Request{Host: "a", Header: http.Header{"Origin": {""}}}); !s.allows(nil, r) {
		t.Error("an empty origin, which no browser sends, is not allowed")
	}
}

// over is a request to a host, as it came from one address to another.
func over(t *testing.T, host, from, to string) *http.Request {
	t.Helper()
	r := &http.Request{Host: host, RemoteAddr: from, Header: http.Header{"Origin": {"http://" + host}, "Upgrade": {"websocket"}, "Connection": {"Upgrade"}}}
	return r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(to))))
}

// A web page can make its own name resolve to 127.0.0.1, and would be of the same origin as what listens there.
func TestReboundNamesAreForeign(t *testing.T) {
	t.Parallel()
	const here = "127.0.0.1:8000"
	proxied := Options{Door: Door{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	for name, test := range map[string]struct {
		options  Options
		host     string
		from, to string
		header   map[string]string
		want     bool
	}{
		"the machine's name":             {host: "localhost:8000", from: "127.0.0.1:9", to: here, want: true},
		"in capitals":                    {host: "LocalHost:8000", from: "127.0.0.1:9", to: here, want: true},
		"below it":                       {host: "app.localhost:8000", from: "127.0.0.1:9", to: here, want: true},
		"its address":                    {host: "127.0.0.1:8000", from: "127.0.0.1:9", to: here, want: true},
		"another address of it":          {host: "127.9.9.9:8000", from: "127.0.0.1:9", to: here, want: true},
		"IPv6":                           {host: "[::1]:8000", from: "[::1]:9", to: "[::1]:8000", want: true},
		"forwarded port":                 {host: "localhost:9000", from: "127.0.0.1:9", to: here, want: true},
		"rebound":                        {host: "evil.example:8000", from: "127.0.0.1:9", to: here},
		"rebound, IPv6":                  {host: "evil.example:8000", from: "[::1]:9", to: "[::1]:8000"},
		"rebound, almost local":          {host: "localhost.evil.example:8000", from: "127.0.0.1:9", to: here},
		"rebound address":                {host: "192.0.2.1:8000", from: "127.0.0.1:9", to: here},
		"beyond loopback":                {host: "chat.example:8000", from: "192.0.2.1:9", to: "192.0.2.2:8000", want: true},
		"a container":                    {host: "chat.example:8000", from: "172.17.0.1:9", to: "172.17.0.2:8000", want: true},
		"PROXY protocol":                 {host: "chat.example", from: "203.0.113.7:9", to: here, want: true},
		"a proxy that is not listed":     {host: "chat.example", from: "127.0.0.1:9", to: here, header: map[string]string{"X-Forwarded-For": "203.0.113.7"}, want: true},
		"the same, by Forwarded":         {host: "chat.example", from: "127.0.0.1:9", to: here, header: map[string]string{"Forwarded": "for=203.0.113.7"}, want: true},
		"a page that asks for no socket": {host: "evil.example", from: "127.0.0.1:9", to: here, header: map[string]string{"X-Forwarded-For": "203.0.113.7", "Upgrade": ""}},
		"a proxy that is listed":         {options: proxied, host: "chat.example", from: "127.0.0.1:9", to: here, header: map[string]string{"X-Forwarded-For": "203.0.113.7", "Upgrade": ""}, want: true},
		"past the proxy":                 {options: proxied, host: "evil.example:8000", from: "127.0.0.1:9", to: here},
	} {
		r := over(t, test.host, test.from, test.to)
		for name, value := range test.header {
			r.Header.Set(name, value)
		}
		if got := New(test.options).OwnOrigin(r); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	r := over(t, "evil.example:8000", "127.0.0.1:9", here)
	if s := New(Options{}); !s.allows(origins{{"evil.example", "*"}}, r) {
		t.Error("a name that is listed is not allowed")
	}
	r.Header.Del("Origin")
	if s := New(Options{}); !s.allows(nil, r) {
		t.Error("a client that is no browser is not allowed")
	}
}

// TLS has ended at a proxy, which also calls the server by another name.
func TestOwnOriginIsThatOfTheProxy(t *testing.T) {
	t.Parallel()
	behind := func(header string) *Server {
		return New(Options{Door: Door{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Header: header}})
	}
	for name, test := range map[string]struct {
		header string
		peer   string
		origin string
		said   map[string]string
		want   bool
	}{
		"nothing is said":                 {"", "10.0.0.1:1", "https://chat.example", nil, false},
		"host":                            {"", "10.0.0.1:1", "https://chat.example", map[string]string{"X-Forwarded-Host": "chat.example"}, true},
		"host and scheme":                 {"", "10.0.0.1:1", "https://chat.example", map[string]string{"X-Forwarded-Host": "chat.example", "X-Forwarded-Proto": "https"}, true},
		"with a port":                     {"", "10.0.0.1:1", "https://chat.example:8443", map[string]string{"X-Forwarded-Host": "chat.example:8443", "X-Forwarded-Proto": "https"}, true},
		"in capitals":                     {"", "10.0.0.1:1", "https://chat.example", map[string]string{"X-Forwarded-Host": "Chat.Example", "X-Forwarded-Proto": "HTTPS"}, true},
		"not by https":                    {"", "10.0.0.1:1", "http://chat.example", map[string]string{"X-Forwarded-Host": "chat.example", "X-Forwarded-Proto": "https"}, false},
		"another host":                    {"", "10.0.0.1:1", "https://evil.example", map[string]string{"X-Forwarded-Host": "chat.example"}, false},
		"of a stranger":                   {"", "192.0.2.1:1", "https://evil.example", map[string]string{"X-Forwarded-Host": "evil.example"}, false},
		"the nearest proxy's word":        {"", "10.0.0.1:1", "https://evil.example", map[string]string{"X-Forwarded-Host": "evil.example, chat.example"}, false},
		"no host at all":                  {"", "10.0.0.1:1", "http://inner:8000", map[string]string{"X-Forwarded-Host": "a b"}, true},
		"the other header":                {"", "10.0.0.1:1", "https://evil.example", map[string]string{"Forwarded": "for=192.0.2.1;host=evil.example"}, false},
		"Forwarded":                       {"Forwarded", "10.0.0.1:1", "https://chat.example", map[string]string{"Forwarded": `for=192.0.2.1;host=chat.example;proto=https`}, true},
		"Forwarded, with a port":          {"Forwarded", "10.0.0.1:1", "https://chat.example:8443", map[string]string{"Forwarded": `for=_x;host="chat.example:8443";proto=https`}, true},
		"Forwarded by two":                {"Forwarded", "10.0.0.1:1", "https://chat.example", map[string]string{"Forwarded": `for=192.0.2.1;host=chat.example;proto=https, for=10.0.0.2;host=inner2;proto=http`}, true},
		"Forwarded by the client":         {"Forwarded", "10.0.0.1:1", "https://evil.example", map[string]string{"Forwarded": `for=192.0.2.1;host=evil.example, for=192.0.2.1;host=chat.example`}, false},
		"the other header, the other way": {"Forwarded", "10.0.0.1:1", "https://evil.example", map[string]string{"X-Forwarded-Host": "evil.example"}, false},
	} {
		r := &http.Request{Host: "inner:8000", RemoteAddr: test.peer, Header: http.Header{"Origin": {test.origin}}}
		for name, value := range test.said {
			r.Header.Set(name, value)
		}
		if got := behind(test.header).OwnOrigin(r); got != test.want {
			scheme, host := behind(test.header).ClientTarget(r)
			t.Errorf("%s: got %v for %s at %s://%s, want %v", name, got, test.origin, scheme, host, test.want)
		}
	}
}
