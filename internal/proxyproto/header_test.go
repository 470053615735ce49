package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// header2 is one of version 2.
func header2(command, family byte, addresses ...byte) string {
	b := append([]byte(signature), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(addresses)))
	return string(append(b, addresses...))
}

func four() []byte { return []byte{203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb} }

func six() []byte {
	b := make([]byte, 36)
	copy(b, []byte{0x20, 0x01, 0x0d, 0xb8})
	b[15], b[32], b[33] = 1, 0x12, 0x67
	return b
}

func TestHeadersAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	tlv := append(four(), append([]byte{0xea, 0, 200}, make([]byte, 200)...)...)
	mapped := make([]byte, 36)
	copy(mapped[10:], []byte{0xff, 0xff, 203, 0, 113, 7})
	for name, test := range map[string]struct{ header, want string }{
		"TCP4":                {"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", "203.0.113.7:4711"},
		"TCP6":                {"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711"},
		"the longest":         {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
		"mapped":              {"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n", "203.0.113.7:1"},
		"unknown":             {"PROXY UNKNOWN\r\n", "invalid AddrPort"},
		"unknown, with words": {"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "invalid AddrPort"},
		"version 2":           {header2(0x21, 0x11, four()...), "203.0.113.7:4711"},
		"version 2, IPv6":     {header2(0x21, 0x21, six()...), "[2001:db8::1]:4711"},
		"version 2, mapped":   {header2(0x21, 0x21, mapped...), "203.0.113.7:0"},
		"version 2, values":   {header2(0x21, 0x11, tlv...), "203.0.113.7:4711"},
		"local":               {header2(0x20, 0), "invalid AddrPort"},
		"local, with address": {header2(0x20, 0x11, four()...), "invalid AddrPort"},
		"no address":          {header2(0x21, 0), "invalid AddrPort"},
		"Unix socket":         {header2(0x21, 0x31, make([]byte, 216)...), "invalid AddrPort"},
		"datagrams":           {header2(0x21, 0x12, four()...), "invalid AddrPort"},
	} {
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\r\n", "\x16\x03\x01"} {
			r := strings.NewReader(test.header + behind)
			got, err := read(iotest.OneByteReader(r))
			if err != nil || got.String() != test.want {
				t.Errorf("%s: got %v, %v, want %s", name, got, err, test.want)
			}
			if rest, _ := io.ReadAll(r); string(rest) != behind {
				t.Errorf("%s: got %q behind it, want %q", name, rest, behind)
			}
		}
	}
}

func TestBadHeadersAreRefused(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"HTTP":               "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS":                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00",
		"small letters":      "proxy TCP4 203.0.113.7 192.0.2.1 4711 443\r\n",
		"another protocol":   "PROXY UDP4 203.0.113.7 192.0.2.1 4711 443\r\n",
		"too few words":      "PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n",
		"too many words":     "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 1\r\n",
		"two spaces":         "PROXY TCP4  203.0.113.7 192.0.2.1 4711 443\r\n",
		"a name":             "PROXY TCP4 localhost 192.0.2.1 4711 443\r\n",
		"no address":         "PROXY TCP4 203.0.113 192.0.2.1 4711 443\r\n",
		"no other address":   "PROXY TCP4 203.0.113.7 x 4711 443\r\n",
		"IPv6 as TCP4":       "PROXY TCP4 2001:db8::1 2001:db8::2 4711 443\r\n",
		"IPv4 as TCP6":       "PROXY TCP6 203.0.113.7 192.0.2.1 4711 443\r\n",
		"with a zone":        "PROXY TCP6 fe80::1%eth0 2001:db8::2 4711 443\r\n",
		"large port":         "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
		"large other port":   "PROXY TCP4 203.0.113.7 192.0.2.1 1 65536\r\n",
		"negative port":      "PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
		"leading zero":       "PROXY TCP4 203.0.113.7 192.0.2.1 0471 443\r\n",
		"no end":             "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443",
		"a bare line feed":   "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n" + strings.Repeat("x", 200),
		"too long":           "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n",
		"two lines":          "PROXY TCP4 203.0.113.7 192.0.2.1\r 4711 443\r\n",
		"nothing":            "",
		"cut short":          "PROXY",
		"version 1 as 2":     header2(0x11, 0x11, four()...),
		"another command":    header2(0x22, 0x11, four()...),
		"another family":     header2(0x21, 0x41, four()...),
		"another transport":  header2(0x21, 0x13, four()...),
		"too few octets":     header2(0x21, 0x11, four()[:11]...),
		"too few, IPv6":      header2(0x21, 0x21, four()...),
		"too many octets":    header2(0x21, 0x11, make([]byte, longest2+1)...),
		"cut short, 2":       header2(0x21, 0x11, four()...)[:20],
		"cut short, earlier": header2(0x21, 0x11, four()...)[:14],
	} {
		if got, err := read(strings.NewReader(header)); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

// What is read is bounded, and is a header whatever follows it.
func FuzzHeaders(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET"))
	f.Add([]byte(header2(0x21, 0x11, four()...)))
	f.Add([]byte(header2(0x21, 0x21, six()...)))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		got, err := read(r)
		taken := len(text) - r.Len()
		if taken > len(signature)+4+longest2 {
			t.Fatalf("%d octets were read", taken)
		}
		if err != nil {
			return
		}
		again, err := read(io.MultiReader(bytes.NewReader(text[:taken]), iotest.ErrReader(errors.New("read on"))))
		if err != nil || again != got {
			t.Errorf("got %v, then %v, %v without what follows", got, again, err)
		}
	})
}
