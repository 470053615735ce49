package skein

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/skeinrt/skein/internal/ws"
)

func TestPatternsAreNamesOrPrefixes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern       string
		matches, not  string // separated by spaces
		bad, everyone bool
	}{
		{pattern: "a", matches: "a", not: "b aa a*"},
		{pattern: "a*", matches: "a ab a*", not: "b ba"},
		{pattern: "*", matches: "a * ab", everyone: true},
		{pattern: `\*`, matches: "*", not: "a ** "},
		{pattern: `a\*b`, matches: "a*b", not: "ab axb"},
		{pattern: `a\**`, matches: "a* a*b", not: "a ab"},
		{pattern: `a\b`, matches: `a\b`, not: "ab"},
		{pattern: `\`, matches: `\`},
		{pattern: "a*b", bad: true},
		{pattern: "**", bad: true},
		{pattern: "*a", bad: true},
	} {
		p, err := parsePattern(test.pattern)
		if (err != nil) != test.bad {
			t.Errorf("%q: got %v, want bad %v", test.pattern, err, test.bad)
			continue
		}
		if test.bad {
			continue
		}
		for name := range strings.FieldsSeq(test.matches) {
			if !p.matches(name) {
				t.Errorf("%q does not match %q", test.pattern, name)
			}
		}
		for name := range strings.FieldsSeq(test.not) {
			if p.matches(name) {
				t.Errorf("%q matches %q", test.pattern, name)
			}
		}
		if p.all() != test.everyone {
			t.Errorf("%q: got all %v, want %v", test.pattern, p.all(), test.everyone)
		}
	}
}

func TestErrorsHaveTheirFormOnTheWire(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`{"message":"plain"}`:         errors.New("plain"),
		`{"message":"inside: plain"}`: fmt.Errorf("inside: %w", errors.New("plain")),
		`"text"`:                      ErrorText("text"),
		`"wrapped"`:                   fmt.Errorf("not seen: %w", ErrorText("wrapped")),
		`{"message":""}`:              &Error{},
		`{"message":"m","name":"N"}`:  fmt.Errorf("not seen: %w", &Error{Name: "N", Message: "m"}),
		`{"message":"m","name":"N","statusCode":4501}`:   &Error{Name: "N", Message: "m", Code: 4501},
		`{"message":"m","isBadToken":true}`:              &Error{Message: "m", BadToken: true},
		`{"message":"m","a":[1],"b":{"c":"d"},"z":null}`: &Error{Message: "m", Props: map[string]any{"z": nil, "a": []int{1}, "b": map[string]string{"c": "d"}}},
		`{"message":"own","name":"N"}`:                   &Error{Name: "N", Message: "own", Props: map[string]any{"message": "other", "name": "Other"}},
		`{"message":"m","fine":1}`:                       &Error{Message: "m", Props: map[string]any{"fine": 1, "bad": func() {}}},
		`{"message":"<\"é\u2028\n"}`:                     &Error{Message: "<\"é\u2028\n"},
	} {
		got := string(errorJSON(err))
		var a, b any
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
	}
}

func TestErrorsAreFoundByTheirName(t *testing.T) {
	t.Parallel()
	e := &Error{Name: NameBroker, Message: "no network"}
	for _, test := range []struct {
		target error
		want   bool
	}{{e, true}, {&Error{Name: NameBroker}, true}, {&Error{Name: NameBroker, Message: "other"}, false}, {&Error{Name: NameTimeout}, false}, {&Error{}, false}, {ErrStopped, false}} {
		if got := errors.Is(fmt.Errorf("publish: %w", e), test.target); got != test.want {
			t.Errorf("%v: got %v, want %v", test.target, got, test.want)
		}
	}
	if e.Error() != "BrokerError: no network" || (&Error{Message: "m"}).Error() != "m" || ErrorText("t").Error() != "t" {
		t.Errorf("got %q", e.Error())
	}
}

func TestSilentRefusalsAreReplaced(t *testing.T) {
	t.Parallel()
	got := string(errorJSON(refusal(&Error{Name: "Secret", Message: "do not tell", Silent: true, Props: map[string]any{"key": 1}}, "publishIn", "inbound")))
	want := `{"message":"The publishIn AGAction was blocked by inbound middleware","name":"SilentMiddlewareBlockedError","type":"inbound"}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if refusal(nil, "", "") != nil {
		t.Error("nothing was refused, and an error came of it")
	}
	open := errors.New("open")
	if got := refusal(open, "", ""); !errors.Is(got, open) {
		t.Errorf("got %v, want %v", got, open)
	}
}

func TestSourcesAndPointsHaveNames(t *testing.T) {
	t.Parallel()
	for s, want := range map[Source]string{SourceClient: "client", SourceAPI: "api", SourcePlugin: "plugin"} {
		if s.String() != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
	for p := range points {
		if name := p.String(); !strings.HasPrefix(name, "On") {
			t.Errorf("point %d is called %q", p, name)
		}
	}
}

func TestLimitsTakeWhatTheyDoNotSayFromTheServer(t *testing.T) {
	t.Parallel()
	got := Limits{Channels: 3}.over(Limits{MaxMessage: 10, Channels: 9, Rates: Rates{Packets: Rate{PerSecond: 2}}})
	want := Limits{
		MaxMessage: 10, Depth: 512, Batch: 20_000, Inbox: 1 << 20, Outbox: 1 << 20, Channels: 3, Calls: 1024, OpenCalls: 1024,
		ChannelName: 8192, Stall: 10 * time.Second, Rates: Rates{Packets: Rate{PerSecond: 2}},
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	times := Timeouts{Stop: time.Second}.withDefaults()
	if want := (Timeouts{Start: 30 * time.Second, Drain: 5 * time.Second, Stop: time.Second, Hook: 10 * time.Second, Header: 5 * time.Second, Body: 30 * time.Second, Answer: time.Minute}); times != want {
		t.Errorf("got %+v, want %+v", times, want)
	}
	if c := (ConnLimits{}).InForce(); c.Total <= 0 || c.PerAddress != 100 {
		t.Errorf("got %+v, want some connections, and 100 of an address", c)
	}
}

func TestBucketsFillWithTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bucket
		took := func() (n int) {
			for b.take(&rule{perSecond: 10, burst: 3}, 1) {
				n++
			}
			return n
		}
		for _, step := range []struct {
			pause time.Duration
			want  int
		}{{0, 3}, {0, 0}, {100 * time.Millisecond, 1}, {250 * time.Millisecond, 2}, {50 * time.Millisecond, 1}, {time.Hour, 3}} {
			<-time.After(step.pause)
			if got := took(); got != step.want {
				t.Errorf("after %v: got %d, want %d", step.pause, got, step.want)
			}
		}
	})
}

func TestTimesComeOnceOrAtAnInterval(t *testing.T) {
	t.Parallel()
	const now = instant(time.Minute)
	var c clock
	if c.due(pingAlarm, now, time.Second) || c.due(flushAlarm, now, time.Second) || c.earliest() != 0 || c.rare != nil {
		t.Error("something is due, want nothing")
	}
	*c.at(handshakeAlarm), *c.at(pingAlarm), *c.at(unbatchAlarm) = now, now-1, now+1
	if got := c.earliest(); got != now-1 {
		t.Errorf("the earliest: got %v, want that of the ping", got)
	}
	if !c.due(handshakeAlarm, now, 0) || c.due(handshakeAlarm, now, 0) {
		t.Error("the handshake: want once, and then never")
	}
	if !c.due(pingAlarm, now, time.Second) || c.due(pingAlarm, now, time.Second) || *c.at(pingAlarm) != now+instant(time.Second) {
		t.Errorf("got %v, want the next a second later", *c.at(pingAlarm))
	}
	if got := c.earliest(); got != now+1 {
		t.Errorf("the earliest: got %v, want the end of batching", got)
	}
}

// What an idle session costs is what a machine can hold.
func TestIdleSessionsAreSmall(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(Session{}); got > 224 {
		t.Errorf("a session has %d octets, want at most 224", got)
	}
	if got := unsafe.Sizeof(membership{}); got > 24 {
		t.Errorf("a subscription has %d octets, want at most 24", got)
	}
}

// Of two who take a session out of a channel at once, one must not undo what comes after the other.
func TestAMembershipIsEndedByOneOnly(t *testing.T) {
	t.Parallel()
	s := new(Session)
	if !s.note("x") || s.note("x") || !s.confirm("x") {
		t.Fatal("the session has not joined once")
	}
	if was, there := s.claim("x"); !there || was != held {
		t.Errorf("the first to leave: got %v, %v, want held", was, there)
	}
	if _, there := s.claim("x"); there {
		t.Error("a second one may leave")
	}
	if s.note("x") || s.confirm("x") || s.state.channels.has("x") || len(s.Channels()) != 0 {
		t.Error("a channel that is being left is joined, or counts as joined")
	}
	s.drop("x")
	s.drop("x") // nothing is there
	if !s.note("x") || !s.state.channels.has("x") {
		t.Error("a channel that has been left cannot be joined again")
	}
	if was, there := s.claim("x"); !there || was != joining || s.confirm("x") {
		t.Errorf("left while joining: got %v, %v, want joining, and no confirmation", was, there)
	}
}

func TestMembershipsAreASetOfAnySize(t *testing.T) {
	t.Parallel()
	var m memberships
	for i := range 3 * indexAbove {
		m.add(strconv.Itoa(i))
	}
	for i := range 3 * indexAbove {
		name := strconv.Itoa(i * 7 % (3 * indexAbove))
		at := m.find(name)
		if at < 0 || m.list[at].channel != name || m.find("x") >= 0 {
			t.Fatalf("%s: got place %d", name, at)
		}
		m.remove(at)
		if m.find(name) >= 0 || len(m.list) != 3*indexAbove-1-i || len(m.names()) != len(m.list) {
			t.Fatalf("%s: still there, or others are not: %v", name, m.names())
		}
	}
	if m.list != nil || m.index != nil {
		t.Errorf("got %+v, want nothing to be kept", m)
	}
}

func TestDoormanCountsNeighbours(t *testing.T) {
	t.Parallel()
	d := doorman{limits: ConnLimits{Total: 6, PerAddress: 2}, tally: new(tally)}
	var entered []netip.Addr
	for _, step := range []struct{ addr, want string }{
		{"203.0.113.7", ""},
		{"203.0.113.7", ""},
		{"203.0.113.7", "too many connections from your address"},
		{"203.0.113.8", ""},
		{"2001:db8::1", ""},
		{"2001:db8::2", ""},
		{"2001:db8::3", "too many connections from your address"},
		{"127.0.0.1", ""},
		{"127.0.0.1", "too many connections"},
	} {
		addr := netip.MustParseAddr(step.addr)
		err := d.enter(addr, true)
		if got := why(err); got != step.want {
			t.Errorf("%s: got %q, want %q", step.addr, got, step.want)
		}
		if err == nil {
			entered = append(entered, addr)
		}
	}
	for _, addr := range entered {
		d.leave(addr, true)
	}
	if d.count() != 0 || len(d.near) != 0 || d.pending != 0 {
		t.Errorf("got %d connections of %d addresses, %d pending, want none", d.count(), len(d.near), d.pending)
	}
	open := doorman{limits: ConnLimits{Total: 1000, PerAddress: -1}, tally: new(tally)}
	for range 500 {
		if err := open.enter(netip.MustParseAddr("203.0.113.7"), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := open.enter(netip.Addr{}, false); err != nil {
		t.Errorf("a connection without an address: %v", err)
	}
}

// why is the message of a refusal, or "".
func why(err *Error) string {
	if err == nil {
		return ""
	}
	return err.Message
}

func TestDoormanKnowsHowManyASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := doorman{limits: ConnLimits{Total: 1000, PerSecond: 2}, tally: new(tally)}
		entered := func() (n int) {
			for range 5 {
				if err := d.enter(netip.Addr{}, false); err == nil {
					n++
				} else if err.Message != "too many connections a second" {
					t.Errorf("got %v", err)
				}
			}
			return n
		}
		for _, want := range []int{2, 0} {
			if got := entered(); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
		<-time.After(time.Second)
		if got := entered(); got != 2 {
			t.Errorf("a second later: got %d, want 2", got)
		}
	})
}

func TestTextIsCutBetweenRunes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		s    string
		n    int
		want string
	}{{"short", 10, "short"}, {"exact", 5, "exact"}, {"longer", 4, "long"}, {"äöü", 3, "ä"}, {"äöü", 1, ""}, {"", 0, ""}} {
		if got := cut(test.s, test.n); got != test.want {
			t.Errorf("%q to %d: got %q, want %q", test.s, test.n, got, test.want)
		}
	}
	if a := attrQuoted("origin", strings.Repeat("x", 300)); a.Key != "origin" || len(a.Value.String()) != 256 {
		t.Errorf("got %d bytes, want 256", len(a.Value.String()))
	}
}

func TestIDsAreLikeSocketClusters(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		if len(id) != 20 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || seen[id] {
			t.Fatalf("got %q, want 20 characters of base64url, once", id)
		}
		seen[id] = true
	}
}

func TestEverythingThatIsWaitedForIsBounded(t *testing.T) {
	t.Parallel()
	for d := time.Millisecond; d < time.Hour; d *= 7 {
		for range 100 {
			if got := jitter(d); got > d || got < d-d/4-1 {
				t.Fatalf("jitter of %v: got %v, want at most a quarter less", d, got)
			}
		}
	}
}

// A message of any kind has a form as JSON.
func TestMessagesAsJSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		m    ws.Message
		want string
	}{
		{ws.Message{Data: []byte(`{"a":1}`)}, `{"a":1}`},
		{ws.Message{Data: []byte(`a`)}, `"a"`},
		{ws.Message{Binary: true, Data: []byte(`{"a":1}`)}, `{"base64":true,"data":"eyJhIjoxfQ=="}`},
	} {
		if got := rawMessage(test.m); string(got.Data) != test.want || got.Binary != test.m.Binary || string(got.Raw) != string(test.m.Data) {
			t.Errorf("got %s, want %s", got.Data, test.want)
		}
	}
}

// A request with two origins is no browser's, and which one a proxy has looked at is not known.
func TestTwoOriginsAreRefused(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	for _, list := range []origins{nil, {{"*", "*"}}, {{"example.com", "80"}}} {
		r := &http.Request{Method: http.MethodPost, Host: "example.com", Header: http.Header{}}
		r.Header["Origin"] = []string{"http://example.com"}
		if !s.allows(list, r) || s.foreign(list, r) != nil {
			t.Errorf("%v: got the own origin refused", list)
		}
		for _, second := range []string{"http://evil.example", "http://example.com", ""} {
			r.Header["Origin"] = []string{"http://example.com", second}
			if s.allows(list, r) || s.foreign(list, r) == nil {
				t.Errorf("%v: got a second origin %q allowed", list, second)
			}
		}
		r.Header["Origin"] = []string{"", "http://evil.example"}
		if s.allows(list, r) || s.foreign(list, r) == nil {
			t.Errorf("%v: got an origin behind an empty one allowed", list)
		}
	}
}
