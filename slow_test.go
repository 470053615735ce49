package skein_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

// slowPolicies are for channels that are named after them.
func slowPolicies() []skein.ChannelOptions {
	return []skein.ChannelOptions{
		{Pattern: "oldest", Slow: skein.SlowDropOldest},
		{Pattern: "newest", Slow: skein.SlowDropNewest},
		{Pattern: "latest", Slow: skein.SlowKeepLatest},
		{Pattern: "delayed", Slow: skein.SlowDropOldest, MaxDelay: 5 * time.Millisecond},
	}
}

// kilobyte is a message of a kilobyte and its number.
func kilobyte(i int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`"m%04d%s"`, i, strings.Repeat(".", 1000)))
}

// marks finds the messages and gaps in what a client has read, in any codec and in arrays too.
func marks(data []byte) []string {
	var list []string
	for _, m := range regexp.MustCompile(`m\d{4}|#gap`).FindAll(data, -1) {
		list = append(list, string(m))
	}
	return list
}

// wantMissed checks what a client got of n messages, of which it did not read while they came.
func wantMissed(t *testing.T, channel string, got []string, n int) {
	t.Helper()
	first := 0
	for first < len(got) && got[first] == fmt.Sprintf("m%04d", first) {
		first++
	}
	rest, last := got[first:], fmt.Sprintf("m%04d", n-1)
	var want []string
	switch channel {
	case "latest":
		want = []string{last}
	case "newest":
		want = []string{"#gap"}
	default:
		want = []string{"#gap"}
		for i := n - len(rest) + 1; i < n; i++ {
			want = append(want, fmt.Sprintf("m%04d", i))
		}
	}
	if first == 0 || first > n-2 || !slices.Equal(rest, want) {
		t.Errorf("%s: got %d from the first on and then %q, want %q", channel, first, rest, want)
	}
	if channel == "oldest" && len(rest) < 2 {
		t.Errorf("got %q, want the newest to be kept", rest)
	}
}

// packetOf says something in a codec.
func packetOf(c wire.Codec, event, data string, cid uint64) []byte {
	return c.AppendEvent(nil, event, []byte(data), cid)
}

func joinSlowly(t *testing.T, srv *skeintest.Server, path string, codec wire.Codec, channel string) *skeintest.Conn {
	t.Helper()
	c := srv.Conn(t, path, nil)
	say := func(packet []byte) {
		var err error
		if codec.Binary() {
			err = c.SendBinary(packet)
		} else {
			err = c.Send(string(packet))
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	say(packetOf(codec, "#handshake", `{}`, 1))
	say(packetOf(codec, "#subscribe", `{"channel":"`+channel+`"}`, 2))
	pass(time.Second) // a batch leaves
	readMarks(t, c)
	return c
}

// readMarks reads until nothing comes any more.
func readMarks(t *testing.T, c *skeintest.Conn) (got []string) {
	t.Helper()
	for {
		m, ok, err := c.TryRead()
		if err != nil {
			return append(got, err.Error())
		}
		if !ok {
			return got
		}
		got = append(got, marks(m.Data)...)
		synctest.Wait()
	}
}

func TestSlowSessionMissesWhatItsChannelSays(t *testing.T) {
	t.Parallel()
	for _, codec := range []wire.Codec{wire.JSON, wire.MinBin} {
		for _, path := range []string{"/v1", "/v2", "/batch"} {
			for _, channel := range []string{"oldest", "newest", "latest", "delayed"} {
				t.Run(fmt.Sprint(codec.Binary(), path, "/", channel), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { missOne(t, codec, path, channel) })
				})
			}
		}
	}
}

func missOne(t *testing.T, codec wire.Codec, path, channel string) {
	t.Helper()
	const n = 400
	quiet := skein.Ping{Off: true}
	srv := skeintest.Start(t, skein.Options{
		Channels: slowPolicies(), Limits: skein.Limits{Outbox: 64 << 10},
		Endpoints: []skein.Endpoint{
			{Path: "/v1", Protocol: skein.V1, Ping: quiet},
			{Path: "/v2", Protocol: skein.V2, Ping: quiet},
			{Path: "/batch", Ping: quiet, Batch: skein.Batch{Duration: time.Hour, Interval: 20 * time.Millisecond}},
			{},
		},
	})
	slow := joinSlowly(t, srv, path, codec, channel)
	fast, err := srv.Dial(t, client.Options{}).Subscribe(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := srv.Publish(t.Context(), channel, kilobyte(i)); err != nil {
			t.Fatal(err)
		}
		if m, err := fast.Next(t.Context()); err != nil || !bytes.Contains(m.Data, []byte(marks(kilobyte(i))[0])) {
			t.Fatalf("the fast client got %.20s, %v, want message %d", m.Data, err, i)
		}
		pass(20 * time.Millisecond)
	}
	wantMissed(t, channel, readMarks(t, slow), n)
	pass(time.Second)
	if err := srv.Publish(t.Context(), channel, kilobyte(n)); err != nil {
		t.Fatal(err)
	}
	pass(time.Second)
	if got := readMarks(t, slow); !slices.Equal(got, []string{fmt.Sprintf("m%04d", n)}) {
		t.Errorf("behind it: got %q, want the next message", got)
	}
	wantDropped(t, srv.Server, channel)
}

func wantDropped(t *testing.T, srv *skein.Server, channel string) {
	t.Helper()
	d := srv.Stats().Dropped
	got := map[string]uint64{"oldest": d.Oldest, "delayed": d.Oldest, "newest": d.Newest, "latest": d.Latest}[channel]
	if sum := d.Oldest + d.Newest + d.Latest; got == 0 || got != sum {
		t.Errorf("%s: got %+v dropped", channel, d)
	}
	var told float64
	for _, m := range srv.Metrics() {
		if m.Name == "dropped_total" && strings.HasSuffix(strings.ToLower(m.Labels["policy"]), strings.Replace(channel, "delayed", "oldest", 1)) {
			told = m.Value
		}
	}
	if told != float64(got) {
		t.Errorf("the metric of %s is %v, want %d", channel, told, got)
	}
}

// Answers come however full it is, and the session stays.
func TestAnswersAreNotDroppedForASlowSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Channels: slowPolicies(), Limits: skein.Limits{Outbox: 64 << 10}, Endpoints: []skein.Endpoint{{Ping: skein.Ping{Off: true}}}})
		slow := joinSlowly(t, srv, "/socketcluster/", wire.JSON, "oldest")
		for i := range 300 {
			_ = srv.Publish(t.Context(), "oldest", kilobyte(i))
			if i%100 == 99 {
				_ = slow.Send(fmt.Sprintf(`{"event":"#subscribe","data":{"channel":"other"},"cid":%d}`, i))
			}
			pass(10 * time.Millisecond)
		}
		var answers []string
		for {
			m, ok, err := slow.TryRead()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if bytes.HasPrefix(m.Data, []byte(`{"rid"`)) {
				answers = append(answers, string(m.Data))
			}
			synctest.Wait()
		}
		if want := []string{`{"rid":99}`, `{"rid":199}`, `{"rid":299}`}; !slices.Equal(answers, want) {
			t.Errorf("got the answers %q, want %q", answers, want)
		}
	})
}

// Whoever takes nothing at all is dead, whatever its channels say.
func TestStalledSessionIsClosedInSpiteOfItsPolicy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{Channels: slowPolicies(), Limits: skein.Limits{Outbox: 64 << 10}, Endpoints: []skein.Endpoint{{Ping: skein.Ping{Off: true}}}})
		_ = joinSlowly(t, srv, "/socketcluster/", wire.JSON, "latest")
		for i := range 200 {
			_ = srv.Publish(t.Context(), "latest", kilobyte(i))
			pass(100 * time.Millisecond)
		}
		if st := srv.Stats(); st.Slow != 1 || st.Sessions != 0 {
			t.Errorf("got %d slow and %d sessions, want it closed", st.Slow, st.Sessions)
		}
	})
}

func TestPoliciesForSlowSessionsHaveATextForm(t *testing.T) {
	t.Parallel()
	for p, want := range map[skein.SlowPolicy]string{
		skein.SlowClose: "close", skein.SlowDropOldest: "dropOldest", skein.SlowDropNewest: "dropNewest", skein.SlowKeepLatest: "keepLatest",
	} {
		var back skein.SlowPolicy
		text, err := p.MarshalText()
		if err != nil || string(text) != want || back.UnmarshalText(text) != nil || back != p {
			t.Errorf("got %q, %v and back %v, want %q", text, err, back, want)
		}
	}
	if _, err := skein.SlowPolicy(9).MarshalText(); err == nil {
		t.Error("a policy that is none has a text")
	}
	if got := skein.SlowPolicy(9).String(); got != "SlowPolicy(9)" {
		t.Errorf("got %s", got)
	}
	for _, text := range []string{"", "Close", "drop", "dropoldest"} {
		if err := new(skein.SlowPolicy).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	wantContains(t, startError(t, skein.Options{Channels: []skein.ChannelOptions{{Pattern: "x", Slow: 4}}}), `the channels "x": there is no SlowPolicy(4)`)
}

// smallBuffers gives connections that take little before they block.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(16 << 10)
	}
	return c, err
}

// nextMark reads frames until one has a mark.
func (c *plainClient) nextMark() string {
	c.tb.Helper()
	for {
		head, err := c.in.Peek(4)
		if err != nil {
			c.tb.Fatal(err)
		}
		size := 2 + int(head[1])
		if head[1] == 126 {
			size = 4 + int(head[2])<<8 + int(head[3])
		}
		frame, err := c.in.Peek(size)
		if err != nil {
			c.tb.Fatal(err)
		}
		found := marks(frame)
		_, _ = c.in.Discard(size)
		if len(found) > 0 {
			return found[0]
		}
	}
}

func TestClientThatReadsAgainGetsWhatItsChannelSays(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"park", "epoll"} {
		if driver == "epoll" && runtime.GOOS != "linux" {
			continue
		}
		for _, channel := range []string{"oldest", "newest", "latest"} {
			t.Run(driver+"/"+channel, func(t *testing.T) {
				t.Parallel()
				readAgain(t, driver, channel)
			})
		}
	}
}

func readAgain(t *testing.T, driver, channel string) {
	t.Helper()
	s := skein.New(skein.Options{
		Driver: driver, Channels: slowPolicies(), Endpoints: []skein.Endpoint{{Ping: skein.Ping{Off: true}}},
		Limits: skein.Limits{Outbox: 128 << 10, Stall: 5 * time.Minute},
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(smallBuffers{l}) }()
	t.Cleanup(func() {
		_ = s.Shutdown(context.WithoutCancel(t.Context())) // the clients below have gone
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	slow, fast := dialPlain(t, l.Addr().String()), dialPlain(t, l.Addr().String())
	for _, c := range []*plainClient{slow, fast} {
		_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Minute)) // what is lost shall fail the test, not hang it
		c.call(`{"event":"#subscribe","data":{"channel":"` + channel + `"},"cid":2}`)
	}
	n := 0
	for ; n < 9000 && (n < 1000 || dropped(s) < 100); n++ {
		if err := s.Publish(t.Context(), channel, kilobyte(n)); err != nil {
			t.Fatal(err)
		}
		if got := fast.nextMark(); got != fmt.Sprintf("m%04d", n) {
			t.Fatalf("the fast client got %s, want message %d", got, n)
		}
	}
	var got []string
	for last := fmt.Sprintf("m%04d", n-1); len(got) == 0 || got[len(got)-1] != last; {
		mark := slow.nextMark()
		got = append(got, mark)
		if channel == "newest" && mark == "#gap" { // from here on, or from a later one, messages are taken again
			last = fmt.Sprintf("m%04d", n)
			_ = s.Publish(t.Context(), channel, kilobyte(n))
			n++
		}
	}
	wantToldAtOnce(t, channel, got)
	_ = s.Publish(t.Context(), channel, kilobyte(n))
	if got := slow.nextMark(); got != fmt.Sprintf("m%04d", n) {
		t.Errorf("behind it: got %s, want message %d", got, n)
	}
	wantDropped(t, s, channel)
	_, _ = slow.conn.Close(), fast.conn.Close()
}

// wantToldAtOnce checks that messages come in order, and that there is one #gap just where some are missing; the kernel's
// buffers may take more of them now and then, so that there can be several.
func wantToldAtOnce(t *testing.T, channel string, got []string) {
	t.Helper()
	prev, told, missed := -1, false, false
	for _, mark := range got {
		if mark == "#gap" {
			if told || channel == "latest" {
				t.Fatalf("got a #gap too many in %q", got)
			}
			told = true
			continue
		}
		var i int
		if _, err := fmt.Sscanf(mark, "m%d", &i); err != nil || i <= prev {
			t.Fatalf("got %s behind %d", mark, prev)
		}
		jump := i != prev+1
		if channel != "latest" && jump != told {
			t.Fatalf("got message %d behind %d and a #gap %v in %q", i, prev, told, got)
		}
		prev, told, missed = i, false, missed || jump
	}
	if !missed {
		t.Errorf("got %q, want something to be missing", got)
	}
}

func dropped(s *skein.Server) uint64 {
	d := s.Stats().Dropped
	return d.Oldest + d.Newest + d.Latest
}
