package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
)

func TestSubscribeWaitsForTheAcknowledgement(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		var asked wire.Packet
		s.on = func(c *session, p wire.Packet) bool {
			if p.Kind == wire.Subscribe {
				asked = p
				c.text(`{"event":"#publish","data":{"channel":"news","data":"early"}}`)
			}
			return p.Kind == wire.Subscribe
		}
		sub := background(func() *client.Subscription { return subscribe(t, c, "news") })
		idle(t, sub)
		s.last().result(asked, "")
		got := take(t, sub)
		if got.Channel() != "news" {
			t.Errorf("channel: got %q, want news", got.Channel())
		}
		wantItems(t, got.Stream, `"early"`)
	})
}

func TestSubscribeRequestCarriesItsOptions(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Token: "t"})
		subscribe(t, c, "", client.SubscribeOptions{Data: json.RawMessage(`[1, 2]`), WaitForAuth: true})
		subscribe(t, c, "a\"<\u00e9")
		s.last().want(1,
			`{"event":"#subscribe","data":{"channel":"","waitForAuth":true,"data":[1, 2]},"cid":2}`,
			`{"event":"#subscribe","data":{"channel":"a\"<é"},"cid":3}`)
	})
}

func TestSubscribeThatIsRefusedReturnsTheServersError(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			if p.Kind == wire.Subscribe {
				c.failure(p, `{"message":"not allowed","name":"SubError","code":7}`)
			}
			return p.Kind == wire.Subscribe
		}
		c := s.dial(client.Options{})
		_, err := c.Subscribe(t.Context(), "secret")
		e, ok := errors.AsType[*client.Error](err)
		if !ok || e.Name != "SubError" || e.Props["code"] != 7.0 || !strings.Contains(err.Error(), `"secret"`) {
			t.Errorf("got %v, want the SubError of secret", err)
		}
		s.on = nil
		subscribe(t, c, "secret")
	})
}

func TestSubscribeThatIsGivenUpLeavesNothingBehind(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(_ *session, p wire.Packet) bool { return p.Kind == wire.Subscribe }
		c := s.dial(client.Options{CallTimeout: 5 * time.Second})
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("bored")
		err := background(func() error { return second(c.Subscribe(ctx, "a")) })
		idle(t, err)
		cancel(reason)
		if err := take(t, err); !errors.Is(err, reason) {
			t.Errorf("got %v, want the context's cause", err)
		}
		s.last().want(1, `{"event":"#subscribe","data":{"channel":"a"},"cid":2}`, `{"event":"#unsubscribe","data":"a"}`)
		if _, err := c.Subscribe(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the usual time-out", err)
		}
	})
}

func TestSubscribeWhatCannotBeAskedForIsRefusedLocally(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		if _, err := c.Subscribe(t.Context(), strings.Repeat("x", 70<<10)); !errors.Is(err, client.ErrTooLarge) {
			t.Errorf("got %v, want ErrTooLarge", err)
		}
		if _, err := c.Subscribe(t.Context(), "x", client.SubscribeOptions{Data: func() {}}); err == nil {
			t.Error("a function was encoded")
		}
		s.last().want(1)
	})
}

func TestMessagesArriveInOrderAndBatchesToo(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub := subscribe(t, c, "n")
		const singles, batch = 1000, 200
		for i := range singles {
			s.publish("n", fmt.Sprint(i))
		}
		var packets [][]byte
		for i := range batch {
			packets = append(packets, wire.JSON.AppendPublish(nil, "n", fmt.Append(nil, singles+i)))
		}
		s.last().packet(wire.JSON.AppendBatch(nil, packets))
		n := 0
		for m := range sub.Messages() {
			if want := fmt.Sprint(n); string(m) != want {
				t.Fatalf("got %s, want %s", m, want)
			}
			if n++; n == singles+batch {
				break
			}
		}
		wantItems(t, sub.Stream)
	})
}

func TestSubscriptionsToOneChannelShareTheServers(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		a, b := subscribe(t, c, "x"), subscribe(t, c, "x")
		s.publish("x", "1")
		wantItems(t, a.Stream, "1")
		wantItems(t, b.Stream, "1")
		a.Close()
		a.Close()
		s.publish("x", "2")
		wantItems(t, a.Stream)
		wantItems(t, b.Stream, "2")
		if !errors.Is(a.Err(), client.ErrUnsubscribed) || b.Err() != nil {
			t.Errorf("errors: got %v and %v, want unsubscribed and none", a.Err(), b.Err())
		}
		b.Close()
		s.last().want(1, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`, `{"event":"#unsubscribe","data":"x"}`)
	})
}

func TestSubscriptionsWaitTogetherForOneAcknowledgement(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		var asked []wire.Packet
		s.on = func(_ *session, p wire.Packet) bool {
			asked = append(asked, p)
			return true
		}
		a := background(func() error { return second(c.Subscribe(t.Context(), "x")) })
		b := background(func() error { return second(c.Subscribe(t.Context(), "x")) })
		idle(t, a)
		idle(t, b)
		if len(asked) != 1 {
			t.Fatalf("asked %d times, want once", len(asked))
		}
		s.last().result(asked[0], "")
		if err := errors.Join(take(t, a), take(t, b)); err != nil {
			t.Errorf("subscribe: %v", err)
		}
	})
}

func TestClosedSubscriptionDropsWhatItHeld(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub := subscribe(t, c, "x")
		consumed := background(func() []string {
			var got []string
			for m := range sub.Messages() {
				got = append(got, string(m))
			}
			return got
		})
		s.publish("x", "1")
		idle(t, consumed)
		sub.Close()
		if got := take(t, consumed); !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %q, want 1", got)
		}
		s.last().text(`{"event":"#publish","data":{"channel":"x","data":2}}`)
		wantItems(t, sub.Stream)
		again := subscribe(t, c, "x")
		s.publish("x", "3")
		wantItems(t, again.Stream, "3")
	})
}

func TestAcknowledgementOfAnEarlierSubscriptionDoesNotCount(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		var asked []wire.Packet
		s.on = func(_ *session, p wire.Packet) bool {
			if p.Kind == wire.Subscribe {
				p.CID = slices.Clone(p.CID)
				asked = append(asked, p)
			}
			return true
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := background(func() error { return second(c.Subscribe(ctx, "x")) })
		cancel()
		_ = take(t, first)
		then := background(func() error { return second(c.Subscribe(t.Context(), "x")) })
		idle(t, then)
		s.last().result(asked[0], "")
		s.last().text(`{"event":"#kickOut","data":{"channel":"x"}}`)
		idle(t, then)
		s.last().result(asked[1], "")
		if err := take(t, then); err != nil {
			t.Errorf("subscribe: %v", err)
		}
	})
}

func TestKickOutEndsTheSubscriptionAndIsNotUndone(t *testing.T) {
	for packet, want := range map[string]string{
		`{"event":"#kickOut","data":{"channel":"x","message":"bye"}}`:       "kicked out: bye",
		`{"event":"#kickOut","data":{"channel":"x"}}`:                       "kicked out",
		`{"event":"#kickOut","data":{"channel":"x","message":{"why":"?"}}}`: `kicked out: {"why":"?"}`,
	} {
		t.Run(want, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				c := s.dial(client.Options{})
				sub, other := subscribe(t, c, "x"), subscribe(t, c, "y")
				s.publish("x", "1")
				s.last().text(packet)
				wantItems(t, sub.Stream, "1")
				if e, ok := errors.AsType[*client.KickError](sub.Err()); !ok || e.Error() != want {
					t.Errorf("got %v, want %s", sub.Err(), want)
				}
				sub.Close()
				s.last().conn.Close(1005, "")
				s.last().want(1, `{"event":"#subscribe","data":{"channel":"y"},"cid":5}`)
				wantItems(t, other.Stream, "<reconnect>")
			})
		})
	}
}

func TestWaitForAuthIsAskedForOnceAuthenticated(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		private := background(func() *client.Subscription {
			return subscribe(t, c, "private", client.SubscribeOptions{WaitForAuth: true})
		})
		idle(t, private)
		s.last().want(1)
		s.last().text(`{"event":"#setAuthToken","data":{"token":"t"}}`)
		sub := take(t, private)
		s.last().want(1, `{"event":"#subscribe","data":{"channel":"private","waitForAuth":true},"cid":2}`)

		// Losing the identity leaves it alone; coming back without one does not ask for it.
		s.last().text(`{"event":"#removeAuthToken"}`)
		s.publish("private", "1")
		wantItems(t, sub.Stream, "1")
		s.last().conn.Close(1005, "")
		s.last().want(1)
		if err := c.Authenticate(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
		wantItems(t, sub.Stream, "<reconnect>")
	})
}

func TestGapOfTheServerIsToldInItsPlace(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub, other := subscribe(t, c, "x"), subscribe(t, c, "y")
		s.publish("x", "1")
		s.last().text(`{"event":"#gap","data":{"channel":"x"}}`)
		s.publish("x", "2")
		wantItems(t, sub.Stream, "1", "<server>", "2")
		wantItems(t, other.Stream)
	})
}

func TestMessagesLeavesTheGapsOut(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub := subscribe(t, c, "x")
		s.last().text(`{"event":"#gap","data":{"channel":"x"}}`)
		s.last().text(`{"event":"#publish","data":{"channel":"x"}}`)
		s.last().text(`{"event":"#publish","data":{"channel":"x","data":null}}`)
		synctest.Wait()
		_ = c.Close()
		var got []string
		for m := range sub.Messages() {
			got = append(got, fmt.Sprintf("%v %s", m == nil, m))
		}
		if want := []string{"true ", "false null"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSlowConsumerLosesTheOldestAndIsTold(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Queue: 1000 * 132})
		slow := subscribe(t, c, "x")
		roomy := subscribe(t, c, "x", client.SubscribeOptions{Queue: 1 << 20})
		for i := range 1500 {
			s.publish("x", fmt.Sprint(1000+i))
		}
		got := drain(t, slow.Stream)
		if len(got) != 1001 || got[0] != "<overflow>" || got[1] != "1500" || got[1000] != "2499" {
			t.Errorf("got %d items, %q … %q, want the newest 1000 behind a gap", len(got), got[:2], got[len(got)-1])
		}
		if slow.Dropped() != 500 || roomy.Dropped() != 0 {
			t.Errorf("dropped %d and %d, want 500 and none", slow.Dropped(), roomy.Dropped())
		}
		if got := drain(t, roomy.Stream); len(got) != 1500 {
			t.Errorf("the other got %d, want 1500", len(got))
		}
	})
}
