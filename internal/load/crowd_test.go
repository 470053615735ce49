package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sink is where a member's answers go.
type sink struct {
	bytes.Buffer

	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(p)
}

func (s *sink) Close() error { return nil }

// heard is a member of a crowd with two publishers, and what would end the run.
func heard(t *testing.T) (m *member, out *sink, failed *error) {
	t.Helper()
	failed, out = new(error), new(sink)
	b := &bench{Options: Options{Conns: 5, Pubs: 2}.withDefaults(), start: time.Now(), fail: func(err error) { *failed = err }}
	c := &crowd{bench: b, publishers: []*publisher{b.newPublisher(0), b.newPublisher(1)}}
	return &member{crowd: c, n: 2, out: out, meter: &b.meters[0], heard: make([]tally, 2)}, out, failed
}

func message(publisher, number uint64) string {
	b := make([]byte, stampSize)
	stamp{publisher: publisher, number: number}.put(b)
	return `{"event":"#publish","data":{"channel":"bench0","data":"` + string(b) + `"}}`
}

func TestDeliveriesAreCountedForTheirPublisher(t *testing.T) {
	t.Parallel()
	m, _, _ := heard(t)
	for _, chunk := range []string{
		text(message(0, 1)) + text(message(1, 1)) + text(message(1, 2)) + text(message(0, 2)),
		text("[" + message(0, 3) + "," + message(1, 3) + "," + message(0, 4) + "]"),
		text(message(2, 1)),       // of nobody here
		text(message(0, 6)),       // 5 is missing
		text(message(0, 6)),       // again
		text(message(0, 5)),       // late
		text(`{"event":"other"}`), // nothing
	} {
		if err := m.take([]byte(chunk)); err != nil {
			t.Fatal(err)
		}
	}
	type counts struct{ Zero, One, Late, Repeated, Latencies int64 }
	got := counts{m.crowd.publishers[0].delivered.Load(), m.crowd.publishers[1].delivered.Load(), m.meter.late, m.meter.repeated, m.meter.latency.total}
	if diff := cmp.Diff(counts{6, 3, 1, 1, 0}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	m.crowd.measuring.Store(true)
	if err := m.take([]byte(text(message(1, 4)) + text(message(1, 5)))); err != nil {
		t.Fatal(err)
	}
	if got := m.meter.latency.total; got != 2 {
		t.Errorf("got %d latencies while measuring, want 2", got)
	}
}

func TestPublishersAreWokenByTheDeliveryTheyWaitFor(t *testing.T) {
	t.Parallel()
	m, _, _ := heard(t)
	p := m.crowd.publishers[1]
	p.goal.Store(3)
	for number, want := range []int{0, 0, 1, 1} {
		if err := m.take([]byte(text(message(1, uint64(number)+1)))); err != nil {
			t.Fatal(err)
		}
		if got := len(p.ready); got != want {
			t.Errorf("after %d deliveries: rung %d times, want %d", number+1, got, want)
		}
	}
}

func TestMembersAnswerAllPingsOfAReadAtOnce(t *testing.T) {
	t.Parallel()
	m, out, _ := heard(t)
	if err := m.take([]byte(text("") + text(message(0, 1)) + serverFrame(final|opPing, "p"))); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), string(newFrame(opText, nil))+string(newFrame(opPong, []byte("p"))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	out.Reset()
	if err := m.take([]byte(text(message(0, 2)))); err != nil || out.Len() != 0 {
		t.Errorf("got %q, %v, want no answer twice", out, err)
	}
	out.err = errors.New("gone")
	if err := m.take([]byte(text(""))); !errors.Is(err, out.err) {
		t.Errorf("got %v, want %v", err, out.err)
	}
}

func TestALostMemberEndsTheRunUnlessItEnds(t *testing.T) {
	t.Parallel()
	m, _, failed := heard(t)
	m.lost(errors.New("gone"))
	if got := fmt.Sprint(*failed); got != "subscriber 3 of 5: gone" {
		t.Errorf("got %s, want who and why", got)
	}
	*failed = nil
	m.crowd.closing.Store(true)
	m.lost(errors.New("gone"))
	if *failed != nil {
		t.Errorf("while closing: got %v, want nothing", *failed)
	}
}

// asked is a caller with a window of calls under way, which have gone to out.
func asked(t *testing.T, window int) (c *caller, out *farEnd) {
	t.Helper()
	out = &farEnd{}
	b := &bench{Options: Options{Window: window, Timeout: time.Second}.withDefaults(), start: time.Now()}
	c = &caller{
		calls: &calls{bench: b}, conn: &conn{nc: out, protocol: socketCluster{}, timeout: time.Second}, meter: &b.meters[0], next: firstCall,
		at: map[uint64]time.Duration{}, template: newTemplate(socketCluster{}, "a", leastSize, true),
	}
	c.each = c.answer
	for range window {
		if err := c.ask(); err != nil {
			t.Fatal(err)
		}
	}
	return c, out
}

// farEnd is a connection that takes down what is written.
type farEnd struct {
	net.Conn
	bytes.Buffer
}

func (f *farEnd) Read(p []byte) (int, error) { return f.Buffer.Read(p) }

func (f *farEnd) Write(p []byte) (int, error) { return f.Buffer.Write(p) }

func (f *farEnd) SetWriteDeadline(time.Time) error { return nil }

func TestEachAnswerIsFollowedByACall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload  string
		answered int64
		calls    int
	}{
		"one":               {`{"rid":1000000001}`, 1, 1},
		"with data":         {`{"rid":1000000002,"data":null}`, 1, 1},
		"a batch":           {`[{"rid":1000000001},{"rid":1000000003}]`, 2, 2},
		"out of order":      {`[{"rid":1000000003},{"rid":1000000001},{"rid":1000000002}]`, 3, 3},
		"twice":             {`[{"rid":1000000001},{"rid":1000000001}]`, 1, 1},
		"of nobody":         {`{"rid":7}`, 0, 0},
		"no number":         {`{"rid":"x"}`, 0, 0},
		"cut off":           {`{"rid":`, 0, 0},
		"too long":          {`{"rid":99999999999999999999999999}`, 0, 0},
		"an event":          {`{"event":"#publish","data":"error"}`, 0, 0},
		"a word like error": {`{"rid":1000000001,"data":"error"}`, 1, 1},
	} {
		asking, out := asked(t, 3)
		sent := out.Len()
		if err := asking.frame(opText, []byte(c.payload)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		each := sent / 3
		if got := (out.Len() - sent) / each; asking.answered.Load() != c.answered || got != c.calls || len(asking.at) != 3 {
			t.Errorf("%s: got %d answers, %d calls and %d under way, want %d, %d and 3", name, asking.answered.Load(), got, len(asking.at), c.answered, c.calls)
		}
	}
}

func TestNoCallsFollowAfterTheEnd(t *testing.T) {
	t.Parallel()
	c, out := asked(t, 2)
	c.stopped.Store(true)
	sent := out.Len()
	if err := c.frame(opText, []byte(`[{"rid":1000000001},{"rid":1000000002}]`)); err != nil || out.Len() != sent || c.answered.Load() != 2 {
		t.Errorf("got %d answers and %d octets sent, %v, want 2 and none", c.answered.Load(), out.Len()-sent, err)
	}
}

func TestARefusedCallEndsTheRun(t *testing.T) {
	t.Parallel()
	c, _ := asked(t, 2)
	err := c.frame(opText, []byte(`[{"rid":1000000001},{"rid":1000000002,"error":{"name":"E","message":"no"}}]`))
	if err == nil || !strings.Contains(err.Error(), "publish refused: E: no") {
		t.Errorf("got %v, want the refusal", err)
	}
}
