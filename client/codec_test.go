package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

func TestMinBinCarriesTheWholeProtocol(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.codec = wire.MinBin
		s.on = func(c *session, p wire.Packet) bool {
			if p.Event == "fail" {
				c.failure(p, `{"message":"m","name":"N"}`)
			}
			return p.Event == "fail"
		}
		c := s.dial(client.Options{Token: "t"})
		c.Handle("double", func(_ context.Context, data json.RawMessage) (any, error) {
			var n int
			err := json.Unmarshal(data, &n)
			return 2 * n, err
		})
		a, b := subscribe(t, c, "a"), subscribe(t, c, "b", client.SubscribeOptions{Data: 1})
		events := c.Receive("tick")
		if err := c.Publish(t.Context(), "a", client.Binary([]byte{1, 2})); err != nil {
			t.Fatal(err)
		}
		if err := c.TransmitPublish("a", nil); err != nil {
			t.Fatal(err)
		}
		wantItems(t, a.Stream, `{"base64":true,"data":"AQI="}`, "null")
		if got, err := client.Call[map[string]any](t.Context(), c, "echo", map[string]any{"x": 1.5}); err != nil || got["x"] != 1.5 {
			t.Errorf("echo: got %v, %v", got, err)
		}
		if _, err := c.Call(t.Context(), "fail", nil); err == nil || !strings.HasSuffix(err.Error(), "N: m") {
			t.Errorf("fail: got %v, want N: m", err)
		}
		before := len(s.last().received())
		s.last().packet(wire.MinBin.AppendEvent(nil, "double", []byte("21"), 9))
		s.last().packet(wire.MinBin.AppendEvent(nil, "#setAuthToken", []byte(`{"token":"u"}`), 10))
		s.last().packet(wire.MinBin.AppendEvent(nil, "tick", []byte("1"), 0))
		s.last().want(before, "81a1729309c02a", "81a172930ac0c0")
		wantItems(t, events, "1")
		s.last().conn.Close(1005, "")
		wantItems(t, b.Stream, "<reconnect>")
		if got := len(s.last().received()); got != 2 {
			t.Errorf("%d messages, want the handshake and one array", got)
		}
	})
}

func TestAnswersThatComeInAnArrayAreTaken(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		var first, later wire.Packet
		s.on = func(c *session, p wire.Packet) bool {
			switch {
			case p.Kind != wire.Subscribe:
				return false
			case p.Channel == "a":
				first = p
				first.CID = append(wire.Number(nil), p.CID...)
			default:
				later = p
				c.packet(wire.JSON.AppendBatch(nil, [][]byte{
					wire.JSON.AppendResult(nil, first.CID, nil), wire.JSON.AppendResult(nil, later.CID, nil),
					wire.JSON.AppendPublish(nil, "a", []byte("1")),
				}))
			}
			return true
		}
		c := s.dial(client.Options{Protocol: 1})
		a := background(func() *client.Subscription { return subscribe(t, c, "a") })
		b := background(func() *client.Subscription { return subscribe(t, c, "b") })
		wantItems(t, take(t, a).Stream, "1")
		wantItems(t, take(t, b).Stream)
	})
}

// TestRealSocketsAndTLS is what pipes cannot show.
func TestRealSocketsAndTLS(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(http.Handler) *httptest.Server{"plain": httptest.NewServer, "tls": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{t: t, runtime: ws.NewRuntime(ws.Config{Shards: 1}), inbox: 1 << 20}
			h := start(s)
			defer func() {
				h.Close()
				s.runtime.Close()
			}()
			o := client.Options{URL: h.URL, Compression: true}
			if h.TLS != nil {
				o.TLS = h.Client().Transport.(*http.Transport).TLSClientConfig
			}
			c, err := client.Dial(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer closeClient(c)
			sub := subscribe(t, c, "x")
			go func() {
				for i := range 1000 {
					if err := c.Publish(t.Context(), "x", i); err != nil {
						t.Errorf("publish: %v", err)
						return
					}
				}
			}()
			for i := range 1000 {
				m, err := sub.Next(t.Context())
				if err != nil || string(m.Data) != fmt.Sprint(i) {
					t.Fatalf("got %s, %v; want %d", m.Data, err, i)
				}
			}
		})
	}
}

func TestUnreachableServerIsToldByDial(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(http.NotFoundHandler())
	defer h.Close()
	_, err := client.Dial(t.Context(), client.Options{URL: h.URL})
	if u, ok := errors.AsType[*ws.UpgradeError](err); !ok || u.Status != http.StatusNotFound {
		t.Errorf("got %v, want status 404", err)
	}
}
