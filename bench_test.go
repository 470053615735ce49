package skein

import (
	"context"
	"fmt"
	"testing"

	"github.com/skeinrt/skein/engine"
)

// BenchmarkHooks asks a chain that lets everything pass.
func BenchmarkHooks(b *testing.B) {
	for _, n := range []int{1, 5, 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var c chain
			for range n {
				c = append(c, &Hook{pattern: pattern{prefix: true}, fn: func(context.Context, *Event) error { return nil }})
			}
			e := &Event{Channel: "news"}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.ask(b.Context(), e.Channel, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGates holds and releases a channel that others hold.
func BenchmarkGates(b *testing.B) {
	e := engine.NewMemory()
	if err := e.Start(b.Context(), func(engine.Message) {}); err != nil {
		b.Fatal(err)
	}
	g := gates{engine: e}
	if err := g.hold(b.Context(), "news"); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.hold(b.Context(), "news"); err != nil {
			b.Fatal(err)
		}
		g.release("news")
	}
}

// BenchmarkPublish goes the whole way but for the receivers.
func BenchmarkPublish(b *testing.B) {
	s := New(Options{})
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown(context.WithoutCancel(b.Context())) })
	data := []byte(`{"hello":"world"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Publish(b.Context(), "news", data); err != nil {
			b.Fatal(err)
		}
	}
}
