package load

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/internal/wire"
)

func TestTemplatesAreValidPublications(t *testing.T) {
	t.Parallel()
	for _, channel := range []string{"bench0", `with "quotes" and @@`} {
		for _, size := range []int{leastSize, 128, 70_000} {
			for _, call := range []bool{false, true} {
				tm := newTemplate(socketCluster{}, channel, size, call)
				tm.stamped(stamp{1, 4, 2, 3})
				if call {
					tm.numbered(firstCall + 42)
				}
				frame := tm.frame
				head := len(newFrame(opText, make([]byte, len(frame)-6))) - (len(frame) - 6)
				for p := range wire.JSON.Packets(frame[head:]) {
					if p.Kind != wire.Publish || p.Channel != channel || len(p.Payload) != size+2 {
						t.Errorf("%s, %d: got kind %d, channel %s, %d octets", channel, size, p.Kind, p.Channel, len(p.Payload))
					}
					if s, _, ok := findStamp(p.Payload); !ok || s != (stamp{1, 4, 2, 3}) {
						t.Errorf("%s, %d: got the stamp %v, %v", channel, size, s, ok)
					}
					if got, _ := p.CID.Uint64(); call && got != firstCall+42 || !call && p.CID != nil {
						t.Errorf("%s, %d: got the number %s", channel, size, p.CID)
					}
				}
			}
		}
	}
}

func TestAClockKeepsItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		next := byClock(start, 5*time.Millisecond, 10*time.Millisecond)
		for i := range 100 {
			at, ok := next(t.Context(), 0)
			want := 5*time.Millisecond + time.Duration(i)*10*time.Millisecond
			if !ok || at != want || time.Since(start) != want {
				t.Fatalf("message %d: got %v, %v at %v, want %v", i, at, ok, time.Since(start), want)
			}
		}
	})
}

// A server that stops taking messages would otherwise look fast: those that were not sent have no latency.
func TestMessagesThatHadToWaitCountFromWhenTheyWereDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := byClock(time.Now(), 0, 10*time.Millisecond)
		var got []time.Duration
		for i := range 6 {
			at, _ := next(t.Context(), 0)
			got = append(got, at/time.Millisecond)
			if i == 1 {
				<-time.After(35 * time.Millisecond) // a write that blocks
			}
		}
		if want := []time.Duration{0, 10, 20, 30, 40, 50}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestAClockStopsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok := byClock(time.Now(), time.Hour, time.Hour)(ctx, 0); ok {
			t.Error("got a message, want none")
		}
		if _, ok := byClock(time.Now(), 0, time.Hour)(ctx, 0); ok {
			t.Error("got a message that was due, want none")
		}
	})
}

// windowed is a publisher to two channels with 2 and 1 subscribers.
func windowed(fail context.CancelCauseFunc) (*bench, *publisher) {
	b := &bench{Options: Options{Conns: 3, Channels: 2, Pubs: 1, Size: 32, Window: 2, Timeout: time.Second}.withDefaults(), start: time.Now(), fail: fail}
	return b, b.newPublisher(0)
}

func TestAWindowOpensWithDeliveries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b, p := windowed(nil)
		next := p.byWindow(b)
		sent := make(chan int)
		go func() {
			defer close(sent)
			for channel := 0; ; channel = 1 - channel {
				if _, ok := next(ctx, channel); !ok {
					return
				}
				p.promise += p.audience[channel]
				sent <- channel
			}
		}()
		take := func(want int) {
			t.Helper()
			select {
			case got := <-sent:
				if got != want {
					t.Errorf("got a message to channel %d, want %d", got, want)
				}
			case <-time.After(time.Millisecond):
				t.Error("got no message")
			}
		}
		refuse := func() {
			t.Helper()
			select {
			case <-sent:
				t.Error("got a message beyond the window")
			case <-time.After(time.Millisecond):
			}
		}
		take(0) // 2 under way
		take(1) // 3
		refuse()
		p.arrived(1) // 2
		take(0)      // 4, which is two messages for two subscribers
		refuse()
		p.arrived(1) // 3
		take(1)      // 4
		p.arrived(1) // 3: not enough for 2 more
		refuse()
		p.arrived(1) // 2
		take(0)      // 4
		refuse()
	})
}

func TestAWindowThatStaysShutEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, fail := context.WithCancelCause(t.Context())
		defer fail(nil)
		b, p := windowed(fail)
		next := p.byWindow(b)
		p.promise = 4
		begin := time.Now()
		if _, ok := next(ctx, 0); ok {
			t.Error("got a message, want none")
		}
		if got := time.Since(begin); got != time.Second {
			t.Errorf("gave up after %v, want the time-out", got)
		}
		if got := context.Cause(ctx); got == nil || got.Error() != "publisher 1 of 1: 4 deliveries have not come within 1s" {
			t.Errorf("got %v, want what is missing", got)
		}
		if _, ok := next(ctx, 0); ok {
			t.Error("got a message after the end")
		}
	})
}

func TestAPublisherEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		b := &bench{Options: Options{Conns: 1, Channels: 1, Pubs: 1, Size: 32, Timeout: time.Second}.withDefaults()}
		p := b.newPublisher(0)
		p.conn = &conn{nc: near, timeout: time.Second}
		err := p.run(t.Context(), func(context.Context, int) (time.Duration, bool) { return 0, true })
		if err == nil || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("a server that reads nothing: got %v, want a time-out", err)
		}
		if got := p.sent.Load(); got != 0 {
			t.Errorf("got %d messages sent, want 0", got)
		}
		_ = far.Close()
		if err := p.run(t.Context(), func(context.Context, int) (time.Duration, bool) { return 0, true }); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a lost connection: got %v, want %v", err, io.ErrClosedPipe)
		}
	})
}
