package enginetest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/skeinrt/skein/engine"
)

func octetsArrive(c *cluster) {
	c.start()
	for from, n := range c.nodes {
		for i, data := range payloads() {
			m := engine.Message{Channel: fmt.Sprint("payload ", from, " ", i), Data: data, Origin: origins()[i%len(origins())]}
			c.join(m.Channel)
			before := bytes.Clone(data)
			n.send(m)
			for _, to := range c.nodes {
				to.checkOnly(m)
			}
			if !bytes.Equal(data, before) {
				c.t.Errorf("%s: Publish has written to the data of %.40q: %.40q", n.name, before, data)
			}
		}
	}
}

// checkOnly waits for m on its channel, where nothing else is sent.
func (n *node) checkOnly(m engine.Message) {
	n.t.Helper()
	n.awaitCount(m.Channel, "", 1)
	got := n.record.on(m.Channel)[0]
	if !bytes.Equal(got.Data, m.Data) {
		n.t.Errorf("%s: data %.80q arrived, want %.80q", n.name, got.Data, m.Data)
	}
	if got.Origin != m.Origin {
		n.t.Errorf("%s: origin %q arrived, want %q", n.name, got.Origin, m.Origin)
	}
}

func payloads() [][]byte {
	return [][]byte{
		nil,
		[]byte(`null`),
		[]byte(`0`),
		[]byte(`-0`),
		[]byte(`1.0`),
		[]byte(`1E400`),
		[]byte(`123456789012345678901234567890`),
		[]byte(`""`),
		[]byte(`"<&>\u2028\ud800\u0000"`),
		[]byte(`"  ü 日本 😀"`),
		[]byte(`{"b":1,"a":2,"a":3}`),
		[]byte(" {\r\n\t\"spaced\" : [ ] } "),
		[]byte(strings.Repeat("[", 200) + strings.Repeat("]", 200)),
		[]byte(`"` + strings.Repeat("x", 256<<10) + `"`),
	}
}

func origins() []string {
	return []string{"", "-92NSYSqUkyxlNqXAAAA", "ünï 日本", "a b.c*>\r\n\x00"}
}

// Every node joins every name and hears each message on the channel it was
// sent to. What a name taken for a pattern would let in arrives on a channel
// that was not joined, which the audit finds.
func namesAreData(c *cluster) {
	c.start()
	c.join(names()...)
	for _, n := range c.nodes {
		for _, channel := range names() {
			n.publish(channel, fmt.Sprintf("%q", n.name))
		}
		for _, channel := range bystanders() {
			n.publish(channel, fmt.Sprintf("%q", n.name))
		}
	}
	for _, n := range c.nodes {
		for _, channel := range names() {
			n.awaitCount(channel, "", c.size)
		}
	}
	c.settle("")
}

func names() []string {
	long := strings.Repeat("n", 8<<10-1)
	return []string{
		"", " ", "  ", ".", "..", "a.", ".a", "a..c",
		"*", ">", "a.*", "a.>", "*.b", "?", "[a-z]", "#", "+", "$", "a/+",
		"%", "%2E", "%2e", "%20", "%%", "%00", "%s", `\`, `"`, "'", "`", "{}",
		"\x00", "a\x00", "a\x00b", "\r\n", "\t", "\x7f", "PUB x 0\r\n\r\n",
		"$SYS.>", "$JS.API.>", "_INBOX.>", "_INBOX", "null", "__proto__", "constructor",
		"é", "e\u0301", "日本", "😀", "\u2028", "\ufeff", "\u202e", "\xff", "\xfe", "\xc0\x80",
		"room", "Room", "ROOM", long + "1", long + "2", strings.Repeat("日", 8<<10/3),
	}
}

// bystanders are names that nobody joins, near to those that are joined.
func bystanders() []string {
	return []string{"a", "a.b", "a.b.c", "x.b", "$SYS.x", "_INBOX.x", "%2F", "rOOM", "a b", strings.Repeat("n", 8<<10-1) + "3"}
}
