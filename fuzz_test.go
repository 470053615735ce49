package skein

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"", "*", "a*", `a\*`, `\*\*`, "a*b", `\`, `\\*`, "é*"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		exact, err := parsePattern(strings.ReplaceAll(name, "*", `\*`))
		// A backslash in front of a star cannot be written: that is the one thing that patterns cannot say.
		if sayable := !strings.Contains(name, `\*`); sayable && (err != nil || exact.prefix || !exact.matches(name) || exact.matches(name+"x")) {
			t.Fatalf("%q, with its stars escaped, is %+v, %v", name, exact, err)
		}
		p, err := parsePattern(text)
		if err != nil {
			if !strings.Contains(text[:len(text)-1], "*") {
				t.Fatalf("%q is refused, and has no star before its end", text)
			}
			return
		}
		if !p.matches(p.text) || p.matches(p.text+name) != (p.prefix || name == "") {
			t.Fatalf("%q, read as %+v, does not match what it begins with", text, p)
		}
		if p.matches(name) != (name == p.text || p.prefix && len(name) >= len(p.text) && name[:len(p.text)] == p.text) {
			t.Fatalf("%q matches %q: %v", text, name, p.matches(name))
		}
		if p.all() != (text == "*") {
			t.Fatalf("%q matches everything: %v", text, p.all())
		}
	})
}

func FuzzOrigins(f *testing.F) {
	for _, s := range [][3]string{
		{"a:80", "http://a", "a"},
		{"*.a:*", "https://b.a:1", "x"},
		{"*:*", "null", "x"},
		{"*:443 b:80", "https://c", "c"},
		{"", "http://a", "a:80"},
		{"[::1]:80", "http://[::1]", "[::1]"},
		{"a:*", "http://a:b@c", "a"},
		{"A:80", "HTTP://a", "a"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	srv := &Server{}
	f.Fuzz(func(t *testing.T, entries, header, host string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		r.Header.Set("Origin", header)
		if srv.allows(nil, r) && header != "" {
			scheme, origin, port, ok := splitOrigin(header)
			_, own, ownPort, alsoOK := splitOrigin(scheme + "://" + host)
			if !ok || !alsoOK || origin != own || port != ownPort {
				t.Fatalf("without a list %q may come to %q", header, host)
			}
		}
		list, err := parseOrigins([]string{entries})
		if err != nil {
			return
		}
		allowed := srv.allows(list, r)
		if more := append(slices.Clip(list), origin{"x.example", "1"}); allowed && !srv.allows(more, r) {
			t.Fatalf("%q is allowed by %q, and not with one more entry", header, entries)
		}
		if stars := strings.Contains(" "+strings.Join(strings.Fields(entries), " ")+" ", " *:* "); (header == "" || header == "null") && allowed != stars {
			t.Fatalf("the origin %q is allowed by %q: %v", header, entries, allowed)
		}
		one := false
		for _, entry := range list {
			one = one || srv.allows(origins{entry}, r)
		}
		if one != allowed {
			t.Fatalf("%q is allowed by %q: %v; by its entries alone: %v", header, entries, allowed, one)
		}
	})
}

func FuzzClientAddr(f *testing.F) {
	for _, s := range [][2]string{
		{"10.0.0.1:80", "1.2.3.4, 10.0.0.2"},
		{"10.0.0.1:80", "junk, 10.0.0.2"},
		{"9.9.9.9:1", "1.2.3.4"},
		{"[::ffff:10.0.0.1]:1", "::1%eth0"},
		{"pipe", "1.2.3.4"},
		{"10.0.0.1:80", "1.2.3.4:5, [::1]:6"},
	} {
		f.Add(s[0], s[1])
	}
	proxies := netip.MustParsePrefix("10.0.0.0/8")
	srv := &Server{options: Options{Door: Door{Proxies: []netip.Prefix{proxies}}}}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r.Header.Set("X-Forwarded-For", forwarded)
		got, peer := srv.ClientAddr(r), parseAddress(remote)
		if got.Is4In6() || got.Zone() != "" {
			t.Fatalf("%q, %q: %v is another form of an address", remote, forwarded, got)
		}
		if !proxies.Contains(peer) {
			if got != peer {
				t.Fatalf("%v is no proxy, and is believed that it is %v", peer, got)
			}
			return
		}
		// Nobody left of the first hop that is no proxy, read from the right, may be believed.
		hops := strings.Split(forwarded, ",")
		believed := map[netip.Addr]bool{peer: true}
		for _, hop := range slices.Backward(hops) {
			if hop = strings.TrimSpace(hop); hop == "" {
				continue
			}
			addr := parseAddress(hop)
			if !addr.IsValid() {
				break
			}
			believed[addr] = true
			if !proxies.Contains(addr) {
				break
			}
		}
		if !believed[got] {
			t.Fatalf("%q forwarded for %q: got %v", remote, forwarded, got)
		}
		if text := srv.forwardedFor(r); text != "" && text != got.String() {
			t.Fatalf("forwardedFor is %q, want %v", text, got)
		}
	})
}
