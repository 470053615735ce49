package skein

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestAddressesBehindProxies(t *testing.T) {
	t.Parallel()
	const proxy = "10.1.2.3:80"
	tens := prefixes("10.0.0.0/8")
	for _, test := range []struct {
		proxies               []netip.Prefix
		peer, forwarded, want string
	}{
		{nil, "203.0.113.7:1234", "198.51.100.1", "203.0.113.7:1234"},
		{tens, "203.0.113.7:1234", "198.51.100.1", "203.0.113.7:1234"},
		{tens, proxy, "198.51.100.1", "198.51.100.1"},
		{tens, proxy, "6.6.6.6, 198.51.100.1", "198.51.100.1"},
		{tens, proxy, "6.6.6.6, 198.51.100.1, 10.9.9.9", "198.51.100.1"},
		{tens, proxy, "6.6.6.6\n198.51.100.1", "198.51.100.1"}, // two header lines
		{tens, proxy, "6.6.6.6\n198.51.100.1, 10.9.9.9\n10.8.8.8", "198.51.100.1"},
		{tens, proxy, "", proxy},
		{tens, proxy, "unknown", proxy},
		{tens, proxy, "6.6.6.6, unknown", proxy},
		{tens, proxy, "6.6.6.6, garbage, 10.9.9.9", "10.9.9.9"},
		{tens, proxy, "6.6.6.6,", proxy},
		{tens, proxy, "6.6.6.6, , 10.9.9.9", "10.9.9.9"},
		{tens, proxy, "10.9.9.9, 10.8.8.8", "10.9.9.9"},
		{tens, proxy, `6.6.6.6", 198.51.100.1`, "198.51.100.1"},
		{tens, proxy, "198.51.100.1:5555", "198.51.100.1"},
		{tens, proxy, "[2001:db8::1]:5555", "2001:db8::1"},
		{tens, proxy, "[2001:db8::1]", "2001:db8::1"},
		{tens, proxy, " 198.51.100.1\t", "198.51.100.1"},
		{tens, proxy, "010.0.0.1", proxy},
		{tens, "[::ffff:10.1.2.3]:80", "2001:db8::1", "2001:db8::1"},
		{prefixes("::1/128"), "[::1]:80", "fe80::1%eth0", "fe80::1"},
		{tens, "memory", "198.51.100.1", "memory"},
	} {
		s := New(Options{Door: Door{Proxies: test.proxies}})
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"Forwarded": {"for=6.6.6.6"}}}
		if test.forwarded != "" {
			r.Header["X-Forwarded-For"] = strings.Split(test.forwarded, "\n")
		}
		if got := or(s.forwardedFor(r), r.RemoteAddr); got != test.want {
			t.Errorf("peer %s, forwarded for %q: got %s, want %s", test.peer, test.forwarded, got, test.want)
		}
	}
}

func TestForwardedIsReadFromTheRight(t *testing.T) {
	t.Parallel()
	const proxy = "10.1.2.3"
	s := New(Options{Door: Door{Proxies: prefixes("10.0.0.0/8", "2001:db8:a::/48"), Header: "Forwarded"}})
	for _, test := range []struct{ header, want string }{
		{`for=198.51.100.1`, "198.51.100.1"},
		{`For=198.51.100.1;PROTO=http;by=10.0.0.1`, "198.51.100.1"},
		{`for="198.51.100.1:4711"`, "198.51.100.1"},
		{`for="198.51.100.1:_hidden"`, "198.51.100.1"},
		{`for="[2001:db8::1]"`, "2001:db8::1"},
		{`for="[2001:db8::1]:4711"`, "2001:db8::1"},
		{`for="[::ffff:198.51.100.1]"`, "198.51.100.1"},
		{`for=6.6.6.6, for=198.51.100.1`, "198.51.100.1"},
		{"for=6.6.6.6\nfor=198.51.100.1, for=10.0.0.2", "198.51.100.1"},
		{`for=6.6.6.6, for="[2001:db8::1]", for="[2001:db8:a::1]"`, "2001:db8::1"},
		// What a client has left open ends nothing.
		{`for=", for=198.51.100.1`, "198.51.100.1"},
		{`for="6.6.6.6, for=198.51.100.1;by="[::1]"`, "198.51.100.1"},
		{`for="\", for=198.51.100.1`, "198.51.100.1"},
		{`for=6.6.6.6;x="a, for=198.51.100.1`, "198.51.100.1"},
		// What is hidden or malformed is the last proxy's.
		{`for=unknown`, proxy},
		{`for=_gateway`, proxy},
		{`for=6.6.6.6, for=unknown`, proxy},
		{`for=6.6.6.6, for=_x, for=10.0.0.2`, "10.0.0.2"},
		{`proto=https`, proxy},
		{`for=6.6.6.6,`, proxy},
		{`for=6.6.6.6;for=6.6.6.7`, proxy},
		{`for=6.6.6.6:80`, proxy},    // a colon needs quotes
		{`for=2001:db8::1`, proxy},   // so does IPv6
		{`for="2001:db8::1"`, proxy}, // with brackets
		{`for="[6.6.6.6]"`, proxy},   // which IPv4 has not
		{`for="[2001:db8::1"`, proxy},
		{`for="6.6.6.6:99999"`, proxy},
		{`for="6.6.6.6:"`, proxy},
		{`for="6.6.6.6`, proxy},
		{`for="6.6.6\.6"`, proxy},
		{`for = 6.6.6.6`, proxy},
		{`for`, proxy},
		{`for=`, proxy},
		{`=6.6.6.6`, proxy},
		{`;`, proxy},
		{``, proxy},
		{`6.6.6.6`, proxy},
	} {
		r := &http.Request{RemoteAddr: proxy + ":80", Header: http.Header{"X-Forwarded-For": {"6.6.6.6"}, "Forwarded": strings.Split(test.header, "\n")}}
		if got := s.ClientAddr(r).String(); got != test.want {
			t.Errorf("%q: got %s, want %s", test.header, got, test.want)
		}
	}
	r := &http.Request{RemoteAddr: "192.0.2.1:80", Header: http.Header{"Forwarded": {"for=6.6.6.6"}}}
	if got := s.ClientAddr(r).String(); got != "192.0.2.1" {
		t.Errorf("of a stranger: got %s, want his own address", got)
	}
}

// Whatever a client writes, the address is the one that the proxy has seen.
func FuzzForwardedHeaders(f *testing.F) {
	f.Add(`for="`)
	f.Add(`for=6.6.6.6, for=10.0.0.9`)
	f.Add(`",;\"=[`)
	f.Fuzz(func(t *testing.T, written string) {
		for header, seen := range map[string]string{
			"X-Forwarded-For": "198.51.100.1", "Forwarded": `for="198.51.100.1:80";by="[::1]"`,
		} {
			s := New(Options{Door: Door{Proxies: prefixes("10.0.0.0/8"), Header: header}})
			for _, values := range [][]string{{written + ", " + seen}, {written, seen}} {
				r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{header: values}}
				if got := s.ClientAddr(r).String(); got != "198.51.100.1" {
					t.Errorf("%s %q: got %s, want 198.51.100.1", header, values, got)
				}
			}
		}
	})
}

func TestDoorIsChecked(t *testing.T) {
	t.Parallel()
	for want, door := range map[string]Door{
		"Door.Header is":     {Header: "X-Real-IP"},
		"needs Door.Proxies": {ProxyProtocol: true},
		"Door.HSTS is":       {HSTS: -1},
	} {
		if err := New(Options{Door: door}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
