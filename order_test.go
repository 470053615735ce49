package skein_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// numbered is what publishers send here.
type numbered struct{ From, N int }

// cluster starts n nodes that share channels.
func cluster(t *testing.T, n int, o skein.Options, fn setup) []*skeintest.Server {
	t.Helper()
	var nodes []*skeintest.Server
	for _, e := range skeintest.Link(n) {
		o.Engine = e
		nodes = append(nodes, start(t, o, fn))
	}
	return nodes
}

func TestEachPublishersOrderIsKeptOnEveryNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const publishers, messages = 6, 60
		nodes := cluster(t, 3, skein.Options{}, func(*skein.Host) {})
		var subs []*client.Subscription
		for i := range 6 {
			c := nodes[i%3].Dial(t, client.Options{Codec: []string{"json", "minbin"}[i%2]})
			sub, err := c.Subscribe(t.Context(), "numbers")
			if err != nil {
				t.Fatal(err)
			}
			subs = append(subs, sub)
		}
		var all sync.WaitGroup
		for p := range publishers {
			c := nodes[p%3].Dial(t, client.Options{})
			all.Go(func() {
				for n := range messages {
					if err := c.Publish(t.Context(), "numbers", numbered{p, n}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i, sub := range subs {
			all.Go(func() {
				next := map[int]int{}
				for range publishers * messages {
					m, err := sub.Next(t.Context())
					var got numbered
					if err != nil || json.Unmarshal(m.Data, &got) != nil || got.N != next[got.From] {
						t.Errorf("subscriber %d: got %s, %v, want number %d", i, m.Data, err, next[got.From])
						return
					}
					next[got.From]++
				}
			})
		}
		all.Wait()
	})
}

// late is an engine whose Join takes its time.
type late struct{ engine.Engine }

func (l late) Join(ctx context.Context, channel string) error {
	pass(time.Second)
	return l.Engine.Join(ctx, channel)
}

func TestWhatIsPublishedBehindTheAcknowledgementArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(2)
		here := start(t, skein.Options{Engine: late{engines[0]}}, func(*skein.Host) {})
		there := start(t, skein.Options{Engine: engines[1]}, func(*skein.Host) {})
		var all sync.WaitGroup
		for range 5 { // the second one is not acknowledged before the first one's Join is through
			all.Go(func() {
				c := here.Dial(t, client.Options{})
				sub, err := c.Subscribe(t.Context(), "news")
				if err != nil {
					t.Error(err)
					return
				}
				if err := there.Publish(t.Context(), "news", raw(`"after"`)); err != nil {
					t.Error(err)
				}
				if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != `"after"` {
					t.Errorf("got %s, %v, want after", m.Data, err)
				}
			})
		}
		all.Wait()
	})
}

func TestKickDuringAJoinLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newCounting()
		srv := start(t, skein.Options{Engine: late{e}}, func(*skein.Host) {})
		c, s := open(t, srv, "/socketcluster/")
		if got := ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`); got != "" {
			t.Fatalf("got %s before the engine has joined", got)
		}
		if err := s.Kick("x", "changed my mind"); err != nil {
			t.Errorf("got %v, want nil: it was joining", err)
		}
		if got, want := next(t, c), `{"event":"#kickOut","data":{"channel":"x","message":"changed my mind"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		pass(2 * time.Second)
		wantContains(t, next(t, c), `{"rid":2,"error":{`, "was kicked out of it", `"name":"BrokerError"`)
		if len(s.Channels()) != 0 || srv.Count("x") != 0 || e.leaves.Load() != 1 {
			t.Errorf("got channels %v, %d subscribers and %d leaves, want none, 0 and 1", s.Channels(), srv.Count("x"), e.leaves.Load())
		}
	})
}

func TestSlowSubscriberDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Limits: skein.Limits{Outbox: 100_000}}, func(*skein.Host) {})
		stuck, _ := open(t, srv, "/socketcluster/")
		quick := srv.Dial(t, client.Options{})
		sub, err := quick.Subscribe(t.Context(), "fire")
		if err != nil {
			t.Fatal(err)
		}
		ask(t, stuck, `{"event":"#subscribe","data":{"channel":"fire"},"cid":2}`)
		payload, began := raw(`"`+strings.Repeat("x", 30_000)+`"`), time.Now()
		for range 50 {
			if err := srv.Publish(t.Context(), "fire", payload); err != nil {
				t.Fatal(err)
			}
			if m, err := sub.Next(t.Context()); err != nil || !bytes.Equal(m.Data, payload) {
				t.Fatalf("got %d bytes, %v, want %d", len(m.Data), err, len(payload))
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("the quick one waited %v for the slow one", d)
		}
		pass(3 * time.Second)
		synctest.Wait()
		if st := srv.Stats(); st.Slow != 1 || st.Sessions != 1 {
			t.Errorf("got %d slow and %d sessions, want one each", st.Slow, st.Sessions)
		}
	})
}

func TestSlowHookDelaysItsSessionAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.OnSubscribe("slow", func(ctx context.Context, _ *skein.Event) error {
				<-ctx.Done()
				return context.Cause(ctx)
			})
		})
		a, _ := open(t, srv, "/socketcluster/")
		b, _ := open(t, srv, "/socketcluster/")
		if got := ask(t, a, `[{"event":"#subscribe","data":{"channel":"slow"},"cid":2},{"event":"#subscribe","data":{"channel":"fast"},"cid":3}]`); got != "" {
			t.Errorf("got %s, want it to wait", got)
		}
		if got := ask(t, b, `{"event":"#subscribe","data":{"channel":"fast"},"cid":2}`); got != `{"rid":2}` {
			t.Errorf("the other session got %s, want {\"rid\":2}", got)
		}
	})
}

func TestClientsComeBackToAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nodes := cluster(t, 2, skein.Options{Tokens: newTokens(t, authOptions(), testKey)}, func(*skein.Host) {})
		var at atomic.Int32
		c, err := client.Dial(t.Context(), client.Options{
			URL: "ws://cluster/socketcluster/", Token: mint("HS256", testKey, map[string]any{"user": "bob"}),
			NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return nodes[at.Load()].Listener.DialContext(ctx, network, addr)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		sub, err := c.Subscribe(t.Context(), "news")
		if err != nil {
			t.Fatal(err)
		}
		at.Store(1)
		if err := nodes[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		synctest.Wait()
		if nodes[1].Count("news") != 1 || !c.Authenticated() {
			t.Fatalf("got %d subscribers and authenticated %v, want 1 and true", nodes[1].Count("news"), c.Authenticated())
		}
		if err := nodes[1].Publish(t.Context(), "news", raw(`1`)); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Data) == "1" {
				break // in front of it there may be a word about the gap
			}
		}
	})
}

func TestCompressionIsAnOptionOfTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Endpoints: []skein.Endpoint{{Compression: true}, {Path: "/plain"}}}, func(*skein.Host) {})
		offer := map[string][]string{"Sec-Websocket-Extensions": {"permessage-deflate; client_max_window_bits"}}
		for path, want := range map[string]bool{"/socketcluster/": true, "/plain": false} {
			c := srv.Conn(t, path, offer)
			if got := c.Header.Get("Sec-WebSocket-Extensions"); strings.HasPrefix(got, "permessage-deflate") != want {
				t.Errorf("%s: agreed on %q, want compression %v", path, got, want)
			}
		}
		packed := srv.Dial(t, client.Options{Compression: true})
		sub, err := packed.Subscribe(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		want := raw(`"` + strings.Repeat("compress me ", 10_000) + `"`)
		if err := packed.Publish(t.Context(), "x", want); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || !bytes.Equal(m.Data, want) {
			t.Errorf("got %d bytes, %v, want %d", len(m.Data), err, len(want))
		}
	})
}

func TestEveryDeliveryIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) { h.OnDeliver("asked", allow) })
		for i := range 3 {
			c, _ := open(t, srv, "/socketcluster/")
			for j, channel := range []string{"plain", "asked"} {
				ask(t, c, fmt.Sprintf(`{"event":"#subscribe","data":{"channel":%q},"cid":%d}`, channel, 10*i+j+2))
			}
		}
		for _, channel := range []string{"plain", "asked", "nobody"} {
			if err := srv.Publish(t.Context(), channel, nil); err != nil {
				t.Fatal(err)
			}
		}
		if st := srv.Stats(); st.Published != 3 || st.Delivered != 6 || st.Channels != 2 {
			t.Errorf("got %d published, %d delivered and %d channels, want 3, 6 and 2", st.Published, st.Delivered, st.Channels)
		}
	})
}
