package natsengine

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/server"
)

func TestChannelTokens(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxToken)
	for _, c := range []struct{ channel, token string }{
		{"", "%"},
		{"room", "room"},
		{"Room_1:a@b/c=d+e,f~g#h!i-j", "Room_1:a@b/c=d+e,f~g#h!i-j"},
		{"a.b", "a%2Eb"},
		{"*", "%2A"},
		{">", "%3E"},
		{"$SYS", "%24SYS"},
		{"%", "%25"},
		{"%%", "%25%25"},
		{"%2E", "%252E"},
		{" \t\r\n\x00\x7f", "%20%09%0D%0A%00%7F"},
		{"日本 é", "日本%20é"},
		{"\xff\xc0\x80", "%FF%C0%80"},
		{"\ufffd", "\ufffd"},
		{long, long},
		{long + "x", "a hash"},
	} {
		token, hashed := channelToken(c.channel)
		if len(c.channel) > maxToken {
			if !hashed || !strings.HasPrefix(token, hashMark) || len(token) != len(hashMark)+43 {
				t.Errorf("channelToken(%.20q...): got %q, %v, want a hash", c.channel, token, hashed)
			}
			continue
		}
		if token != c.token || hashed {
			t.Errorf("channelToken(%q): got %q, %v, want %q", c.channel, token, hashed, c.token)
		}
	}
	for _, token := range []string{"", "%2", "%2e", "%G0", "a%"} {
		if got, ok := channelOf(token); ok {
			t.Errorf("channelOf(%q): got %q, want that it is no token", token, got)
		}
	}
}

func FuzzChannelToken(f *testing.F) {
	for _, s := range []string{"", "a.b.*.>", "%2E", "%%", "\xff", "日本", strings.Repeat(".", 81), strings.Repeat("y", 241)} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one, hashed := channelToken(a)
		other, _ := channelToken(b)
		if (a == b) != (one == other) {
			t.Fatalf("%q and %q: tokens %q and %q", a, b, one, other)
		}
		if len(one) > maxToken || strings.ContainsAny(one, ".*> \t\r\n\x00") || !utf8.ValidString(one) {
			t.Fatalf("%q: %q is not one plain token", a, one)
		}
		if !server.IsValidLiteralSubject("sk.c." + one) {
			t.Fatalf("%q: NATS does not take %q", a, one)
		}
		if back, ok := channelOf(one); !hashed && (!ok || back != a) {
			t.Fatalf("%q: %q comes back as %q, %v", a, one, back, ok)
		}
	})
}
