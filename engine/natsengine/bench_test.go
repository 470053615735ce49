package natsengine

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/skeinrt/skein/engine"
)

// benchNodes starts nodes whose sinks only count.
func benchNodes(b *testing.B, count int) (nodes []*Engine, received *atomic.Int64) {
	b.Helper()
	received = new(atomic.Int64)
	var listen string
	for i := range count {
		var seeds []string
		if listen != "" {
			seeds = []string{listen}
		}
		e := Embed(Embedded{Options: Options{Node: fmt.Sprint("node ", i)}, Listen: "127.0.0.1:0", Seeds: seeds, JoinTimeout: patient})
		b.Cleanup(func() {
			if err := e.Close(context.WithoutCancel(b.Context())); err != nil {
				b.Error(err)
			}
		})
		if err := e.Start(b.Context(), func(engine.Message) { received.Add(1) }); err != nil {
			b.Fatal(err)
		}
		if listen == "" {
			listen = e.Members()[0].Address
		}
		nodes = append(nodes, e)
	}
	return nodes, received
}

// BenchmarkJoin acknowledges joins of new channels that wait side by side.
func BenchmarkJoin(b *testing.B) {
	nodes, _ := benchNodes(b, 2)
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(500)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := nodes[0].Join(b.Context(), fmt.Sprint("channel ", next.Add(1))); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "joins/s")
}

// BenchmarkJoinAlone acknowledges one join after the other.
func BenchmarkJoinAlone(b *testing.B) {
	nodes, _ := benchNodes(b, 2)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := nodes[0].Join(b.Context(), fmt.Sprint("channel ", i)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish sends to a node that has joined the channel, up to the sink.
func BenchmarkPublish(b *testing.B) {
	nodes, received := benchNodes(b, 2)
	if err := nodes[1].Join(b.Context(), "room"); err != nil {
		b.Fatal(err)
	}
	m := engine.Message{Channel: "room", Data: make([]byte, 128), Origin: "-92NSYSqUkyxlNqXAAAA"}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := nodes[0].Publish(b.Context(), m); err != nil {
			b.Fatal(err)
		}
		for n++; int64(n)-received.Load() > 10_000; {
			runtime.Gosched()
		}
	}
	for received.Load() < int64(n) {
		runtime.Gosched()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkPublishToNobody has no other node that has joined.
func BenchmarkPublishToNobody(b *testing.B) {
	nodes, _ := benchNodes(b, 1)
	m := engine.Message{Channel: "room", Data: make([]byte, 128), Origin: "-92NSYSqUkyxlNqXAAAA"}
	b.ReportAllocs()
	for b.Loop() {
		if err := nodes[0].Publish(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory tells what a joined channel costs: on its node, the server
// included, and on each other node.
func BenchmarkMemory(b *testing.B) {
	const channels = 50_000
	for b.Loop() {
		alone, _ := benchNodes(b, 1)
		own := heapOf(b, alone[0], channels)
		two, _ := benchNodes(b, 2)
		both := heapOf(b, two[0], channels)
		b.ReportMetric(own/channels, "B/channel")
		b.ReportMetric((both-own)/channels, "B/channel-elsewhere")
	}
}

// heapOf returns by how much the heap has grown for that many channels.
func heapOf(b *testing.B, e *Engine, channels int) float64 {
	b.Helper()
	before := heap()
	all := make(chan struct{}, 1000)
	for i := range channels {
		all <- struct{}{}
		go func() {
			defer func() { <-all }()
			if err := e.Join(b.Context(), fmt.Sprint("channel ", i)); err != nil {
				b.Error(err)
			}
		}()
	}
	for range cap(all) {
		all <- struct{}{}
	}
	return heap() - before
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
