package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
)

func TestCloseCodeDecidesWhenTheClientComesBack(t *testing.T) {
	for _, tt := range []struct {
		code     int
		min, max time.Duration // max 0: never
	}{
		{code: 1000},
		{code: 4500},
		{code: 4999},
		{code: 4000, max: time.Millisecond},
		{code: 4001, max: time.Millisecond},
		{code: 1005, max: time.Millisecond},
		{code: 1001, min: 10 * time.Second, max: 20 * time.Second},
		{code: 1006, min: 10 * time.Second, max: 20 * time.Second},
		{code: 1011, min: 10 * time.Second, max: 20 * time.Second},
		{code: 4008, min: 10 * time.Second, max: 20 * time.Second},
		{code: 4100, min: 10 * time.Second, max: 20 * time.Second},
	} {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				c := s.dial(client.Options{NoPing: true})
				lost := time.Now()
				if tt.code == 1006 {
					s.last().conn.Terminate()
				} else {
					s.last().conn.Close(tt.code, "because")
				}
				after(time.Minute)
				dials := s.attempts()[1:]
				if tt.max == 0 {
					wantEnd(t, c, tt.code, len(dials))
					return
				}
				if len(dials) != 1 {
					t.Fatalf("dialled %d times, want once", len(dials))
				}
				if got := dials[0].Sub(lost); got < tt.min || got > tt.max {
					t.Errorf("came back after %v, want %v to %v", got, tt.min, tt.max)
				}
				if c.State() != client.Connected || c.ID() != "s2" {
					t.Errorf("%v as %s, want connected as s2", c.State(), c.ID())
				}
			})
		})
	}
}

// wantEnd fails unless the client has ended because of the code.
func wantEnd(t *testing.T, c *client.Client, code, dials int) {
	t.Helper()
	if dials != 0 || c.State() != client.Closed {
		t.Errorf("dialled %d times and %v, want closed", dials, c.State())
	}
	e, ok := errors.AsType[*client.CloseError](c.Err())
	if !ok || e.Code != code || e.Reason != "because" {
		t.Errorf("got %v, want code %d and the reason", c.Err(), code)
	}
	if err := c.Close(); err == nil {
		t.Error("close hides the reason")
	}
	<-c.Done()
}

func TestBackoffGrowsUpToItsMaximum(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		lost := time.Now()
		s.setDown(true)
		s.last().conn.Terminate()
		after(10 * time.Minute)
		dials := s.attempts()[1:]
		if len(dials) < 10 {
			t.Fatalf("dialled %d times, want at least 10", len(dials))
		}
		waits := make(map[time.Duration]bool)
		for i, at := range dials {
			base := min(10*math.Pow(1.5, float64(i)), 30)
			got := at.Sub(lost)
			waits[got] = true
			if got.Seconds() < base-0.001 || got.Seconds() > 2*base+0.001 {
				t.Errorf("attempt %d: waited %v, want %.1fs to %.1fs", i, got, base, 2*base)
			}
			lost = at
		}
		if len(waits) != len(dials) {
			t.Errorf("%d attempts waited only %d different times", len(dials), len(waits))
		}
		if c.State() != client.Waiting {
			t.Errorf("state: got %v, want waiting", c.State())
		}
		s.setDown(false)
		after(time.Minute)
		if c.State() != client.Connected {
			t.Errorf("state: got %v, want connected", c.State())
		}
	})
}

func TestBackoffStartsAnewAfterASuccess(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.dial(client.Options{Reconnect: client.Backoff{Initial: time.Second, Max: time.Hour, Factor: 10}})
		for range 3 {
			s.last().conn.Terminate()
			after(2 * time.Second)
		}
		if got := len(s.attempts()); got != 4 {
			t.Errorf("dialled %d times, want 4", got)
		}
	})
}

func TestServerThatClosesAtOnceIsNotHammered(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.dial(client.Options{})
		s.on = func(c *session, p wire.Packet) bool {
			c.obey(p)
			c.conn.Close(1005, "")
			return true
		}
		s.last().conn.Close(1005, "")
		after(10 * time.Second)
		if got := len(s.attempts()); got != 2 {
			t.Errorf("dialled %d times in 10 s, want 2", got)
		}
		after(time.Minute)
		if got := len(s.attempts()); got < 4 || got > 12 {
			t.Errorf("dialled %d times in 70 s, want it to go on, but slowly", got)
		}
	})
}

func TestRefusedHandshakeOfAReconnectDecidesLikeAnyClose(t *testing.T) {
	for code, want := range map[int]client.State{4008: client.Waiting, 4501: client.Closed} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				c := s.dial(client.Options{})
				s.on = func(c *session, p wire.Packet) bool {
					c.failure(p, `{"message":"no"}`)
					c.conn.Close(code, "")
					return true
				}
				s.last().conn.Close(1005, "")
				after(time.Second)
				if got := c.State(); got != want {
					t.Errorf("state: got %v, want %v", got, want)
				}
			})
		})
	}
}

func TestReconnectOffEndsTheClientWithItsConnection(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Reconnect: client.Backoff{Off: true}})
		s.last().conn.Close(4001, "")
		<-c.Done()
		if e, ok := errors.AsType[*client.CloseError](c.Err()); !ok || e.Code != 4001 {
			t.Errorf("got %v, want code 4001", c.Err())
		}
		if err := c.Transmit("x", nil); !errors.Is(err, client.ErrClosed) {
			t.Errorf("transmit: got %v, want ErrClosed", err)
		}
	})
}

func TestCloseEndsTheBackoff(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		s.last().conn.Terminate()
		synctest.Wait()
		begun := time.Now()
		if err := c.Close(); err != nil || time.Since(begun) > time.Millisecond {
			t.Errorf("close: %v after %v, want at once", err, time.Since(begun))
		}
	})
}

func TestCloseEndsAHandshakeUnderWay(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		s.on = func(*session, wire.Packet) bool { return true }
		s.last().conn.Close(1005, "")
		after(time.Second)
		if got := c.State(); got != client.Connecting {
			t.Fatalf("state: got %v, want connecting", got)
		}
		begun := time.Now()
		if err := c.Close(); err != nil || time.Since(begun) > 2*time.Second {
			t.Errorf("close: %v after %v", err, time.Since(begun))
		}
	})
}

func TestResubscriptionIsOneArrayAndComesFirst(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		a := subscribe(t, c, "a")
		b := subscribe(t, c, "b", client.SubscribeOptions{Data: map[string]int{"from": 7}})
		gone := subscribe(t, c, "gone")
		gone.Close()
		s.last().conn.Terminate()
		synctest.Wait()
		published := background(func() error { return c.Publish(contextOf(t, time.Minute), "a", 1) })
		s.publish("a", `"missed"`)
		idle(t, published)
		after(20 * time.Second)
		if err := take(t, published); err != nil {
			t.Errorf("publish: %v", err)
		}
		s.last().want(0,
			`{"event":"#handshake","data":{"authToken":null},"cid":5}`,
			`[{"event":"#subscribe","data":{"channel":"a"},"cid":6},{"event":"#subscribe","data":{"channel":"b","data":{"from":7}},"cid":7}]`,
			`{"event":"#publish","data":{"channel":"a","data":1},"cid":8}`)
		wantItems(t, a.Stream, "<reconnect>", "1")
		wantItems(t, b.Stream, "<reconnect>")
	})
}

func contextOf(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestManyChannelsAreResubscribedInBoundedBatches(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Outbox: 128 << 10})
		const channels = 100
		name := func(i int) string { return fmt.Sprintf("%03d%s", i, strings.Repeat("x", 3000)) }
		subs := make([]*client.Subscription, channels)
		for i := range subs {
			subs[i] = subscribe(t, c, name(i))
		}
		s.last().conn.Close(1005, "")
		after(time.Second)
		got := s.last().received()[1:]
		if len(got) < 4 || len(got) > 6 {
			t.Errorf("%d messages, want 300 KB in about 5", len(got))
		}
		for i, m := range got {
			if len(m) > 70<<10 {
				t.Errorf("message %d has %d octets", i, len(m))
			}
		}
		for i, sub := range subs {
			s.publish(name(i), "1")
			wantItems(t, sub.Stream, "<reconnect>", "1")
		}
	})
}

func TestResubscriptionWaitsForTheNetwork(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.inbox = 64 << 10
		c := s.dial(client.Options{Outbox: 128 << 10})
		var subs []*client.Subscription
		for i := range 200 {
			subs = append(subs, subscribe(t, c, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 3000))))
		}
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		s.on = func(c *session, p wire.Packet) bool {
			if p.Kind == wire.Subscribe {
				<-hold
			}
			return false
		}
		s.last().conn.Close(1005, "")
		synctest.Wait()
		called := background(func() error { return second(c.Call(t.Context(), "echo", 1)) })
		after(5 * time.Second)
		if got := c.State(); got != client.Connecting {
			t.Errorf("state: got %v, want connecting until the subscriptions are asked for", got)
		}
		idle(t, called)
		release()
		after(time.Second)
		if err := take(t, called); err != nil {
			t.Errorf("call: %v", err)
		}
		for _, sub := range subs {
			wantItems(t, sub.Stream, "<reconnect>")
		}
		if got := len(s.attempts()); got != 2 {
			t.Errorf("dialled %d times, want 2", got)
		}
	})
}

func TestCloseEndsAResubscriptionUnderWay(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.inbox = 64 << 10
		c := s.dial(client.Options{Outbox: 128 << 10})
		for i := range 200 {
			subscribe(t, c, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 3000)))
		}
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		s.on = func(_ *session, p wire.Packet) bool {
			if p.Kind == wire.Subscribe {
				<-hold
			}
			return false
		}
		s.last().conn.Close(1005, "")
		after(time.Second)
		begun := time.Now()
		if err := c.Close(); err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("close: %v after %v, want it in bounds", err, time.Since(begun))
		}
		release()
	})
}

func TestServerThatClosesBeforeTheHandshakeIsUnderstood(t *testing.T) {
	for range 3 { // the order of close and handshake is a race
		t.Run("", func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				c := s.dial(client.Options{})
				first := s.last()
				s.greet = func(c *session) { c.conn.Close(4500, "revoked") }
				first.conn.Close(1005, "")
				<-c.Done()
				if e, ok := errors.AsType[*client.CloseError](c.Err()); !ok || e.Code != 4500 || e.Reason != "revoked" {
					t.Errorf("got %v, want 4500", c.Err())
				}
			})
		})
	}
}

func TestSubscriptionAskedForWhileDisconnectedIsWaitedFor(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{NoPing: true})
		s.setDown(true)
		s.last().conn.Terminate()
		synctest.Wait()
		sub := background(func() *client.Subscription {
			sub, err := c.Subscribe(contextOf(t, time.Hour), "a")
			if err != nil {
				t.Errorf("subscribe: %v", err)
			}
			return sub
		})
		after(time.Minute)
		idle(t, sub)
		s.setDown(false)
		after(time.Minute)
		s.publish("a", "1")
		wantItems(t, take(t, sub).Stream, "1")
	})
}

func TestSubscriptionWithoutItsAcknowledgementIsAskedForAgain(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		s.on = func(c *session, p wire.Packet) bool { return p.Kind == wire.Subscribe && c.number() == 1 }
		sub := background(func() error { return second(c.Subscribe(contextOf(t, time.Hour), "a")) })
		idle(t, sub)
		s.last().conn.Close(1005, "")
		if err := take(t, sub); err != nil {
			t.Errorf("subscribe: %v", err)
		}
	})
}

func TestResubscriptionThatIsRefusedEndsTheSubscription(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub := subscribe(t, c, "a")
		s.on = func(c *session, p wire.Packet) bool {
			if p.Kind == wire.Subscribe {
				c.failure(p, `{"message":"not any more","name":"SubError"}`)
			}
			return p.Kind == wire.Subscribe
		}
		s.last().conn.Close(1005, "")
		synctest.Wait()
		for m := range sub.Messages() {
			t.Errorf("got %s", m)
		}
		if e, ok := errors.AsType[*client.Error](sub.Err()); !ok || e.Name != "SubError" {
			t.Errorf("got %v, want SubError", sub.Err())
		}
	})
}

func TestConnectionLostDuringResubscriptionIsReplaced(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{NoPing: true})
		sub := subscribe(t, c, "a")
		s.on = func(c *session, p wire.Packet) bool {
			if c.number() == 2 {
				c.obey(p)
				c.conn.Terminate()
				return true
			}
			return false
		}
		s.last().conn.Close(1005, "")
		after(time.Minute)
		s.publish("a", "1")
		wantItems(t, sub.Stream, "<reconnect>", "1")
	})
}

func TestLegacyFarewellGivesTheReason(t *testing.T) {
	for name, tt := range map[string]struct {
		packet, reason string
		cut            bool
		code           int
	}{
		"with the frame":    {packet: `{"event":"#disconnect","data":{"code":4500,"data":"permanently"}}`, code: 4500, reason: "permanently"},
		"without the frame": {packet: `{"event":"#disconnect","data":{"code":4500,"data":"permanently"}}`, cut: true, code: 4500, reason: "permanently"},
		"malformed":         {packet: `{"event":"#disconnect","data":"x"}`, code: 4500},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				c := s.dial(client.Options{Protocol: 1})
				s.last().text(tt.packet)
				synctest.Wait()
				if c.State() != client.Connected {
					t.Errorf("state: got %v, want connected until it is closed", c.State())
				}
				if tt.cut {
					s.last().conn.Terminate()
				} else {
					s.last().conn.Close(4500, "")
				}
				<-c.Done()
				e, ok := errors.AsType[*client.CloseError](c.Err())
				if !ok || e.Code != tt.code || e.Reason != tt.reason {
					t.Errorf("got %v, want %d %q", c.Err(), tt.code, tt.reason)
				}
				s.last().want(1)
			})
		})
	}
}
