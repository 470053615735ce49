package client_test

import (
	"net/http/httptest"
	"testing"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

func benchServer(b *testing.B) (*server, *client.Client) {
	b.Helper()
	s := &server{runtime: ws.NewRuntime(ws.Config{Shards: 1}), inbox: 1 << 20}
	h := httptest.NewServer(s)
	c, err := client.Dial(b.Context(), client.Options{URL: h.URL, Queue: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		closeClient(c)
		h.Close()
		s.runtime.Close()
	})
	return s, c
}

// BenchmarkDelivery is one message from the server's socket to the consumer.
func BenchmarkDelivery(b *testing.B) {
	s, c := benchServer(b)
	sub, err := c.Subscribe(b.Context(), "x")
	if err != nil {
		b.Fatal(err)
	}
	f := ws.NewFrame(false, wire.JSON.AppendPublish(nil, "x", []byte(`{"id":12345,"text":"a message of about a hundred octets, as they are in chats and on dashboards"}`)))
	conn := s.sessions[0].conn
	b.ReportAllocs()
	for b.Loop() {
		for range 100 { // as many as wait for one read
			if err := conn.Send(f); err != nil {
				b.Fatal(err)
			}
		}
		for range 100 {
			if _, err := sub.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/message")
}

// BenchmarkCall is one round trip on loopback.
func BenchmarkCall(b *testing.B) {
	_, c := benchServer(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Call(b.Context(), "echo", 1); err != nil {
			b.Fatal(err)
		}
	}
}
