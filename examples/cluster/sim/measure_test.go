//go:build unix

package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// The benchmarks measure the unit costs of the model, each with nodes in processes of their own:
//
//	go test -run '^$' -bench . -benchtime 1x -count 5 ./examples/cluster/sim
//
// CPU is the user and system time of a process, which another load on the machine disturbs less than the wall clock.

// BenchmarkMemory joins channels on the first of two nodes.
func BenchmarkMemory(b *testing.B) {
	for _, channels := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(channels), func(b *testing.B) {
			for b.Loop() {
				all := cluster(b, 2)
				before := lookAt(b, all, true)
				all[0].do(b, order{Do: "join", Channels: channels})
				after := lookAt(b, all, true)
				for i, where := range []string{"here", "elsewhere"} {
					b.ReportMetric(float64(after[i].Heap-before[i].Heap)/float64(channels), "heapB/"+where)
					b.ReportMetric(float64(after[i].RSS-before[i].RSS)/float64(channels), "rssB/"+where)
				}
				b.ReportMetric(float64(before[0].RSS)/(1<<20), "MiB/empty")
			}
		})
	}
}

// BenchmarkJoin joins new channels on the first node, 1,000 side by side, and leaves none.
func BenchmarkJoin(b *testing.B) {
	const channels = 100_000
	for _, nodes := range []int{2, 3} {
		b.Run(fmt.Sprint(nodes, "nodes"), func(b *testing.B) {
			for b.Loop() {
				all := cluster(b, nodes)
				before := lookAt(b, all, false)
				wall := all[0].do(b, order{Do: "join", Channels: channels}).Wall
				after := lookAt(b, all, false)
				b.ReportMetric(channels/wall.Seconds(), "joins/s")
				for i, where := range []string{"here", "elsewhere"} {
					b.ReportMetric((after[i].CPU-before[i].CPU).Seconds()*1e6/channels, "µs/"+where)
				}
			}
		})
	}
}

// BenchmarkRoutes publishes on the first node to a channel that each of the others has joined, as fast as it goes.
func BenchmarkRoutes(b *testing.B) {
	for _, size := range []int{128, 1024} {
		for _, nodes := range []int{1, 2, 3, 5, 8} {
			b.Run(fmt.Sprintf("%dB/%dnodes", size, nodes), func(b *testing.B) {
				for b.Loop() {
					routes(b, nodes, order{Count: 200_000, Size: size})
				}
			})
		}
	}
}

// BenchmarkPace is the same at rates at which not many messages share a system call.
func BenchmarkPace(b *testing.B) {
	for _, rate := range []int{500, 2_000, 5_000, 20_000} {
		for _, nodes := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%dHz/%dnodes", rate, nodes), func(b *testing.B) {
				for b.Loop() {
					routes(b, nodes, order{Count: 2 * rate, Size: 128, Rate: rate})
				}
			})
		}
	}
}

// BenchmarkBeats publishes to 10,000 channels that nobody else has joined. Every beat tells their numbers.
func BenchmarkBeats(b *testing.B) {
	for _, nodes := range []int{1, 2, 3} {
		b.Run(fmt.Sprint(nodes, "nodes"), func(b *testing.B) {
			for b.Loop() {
				all := cluster(b, nodes)
				before := lookAt(b, all, false)
				const beats, channels = 6, 10_000
				load := order{Do: "publish", Channels: channels, Count: beats * channels, Rate: channels}
				all[0].do(b, load)
				report(b, before, lookAt(b, all, false), load.Count)
			}
		})
	}
}

func routes(b *testing.B, nodes int, load order) {
	b.Helper()
	all := cluster(b, nodes)
	for _, p := range all[1:] {
		p.do(b, order{Do: "join", Channels: 1})
	}
	portion := load
	portion.Do, portion.Channels = "publish", 1
	portion.Count = min(load.Count, 5_000) // so few wait that no route is cut as too slow
	before := lookAt(b, all, false)
	began := time.Now()
	for sent := 0; sent < load.Count; {
		all[0].do(b, portion)
		sent += portion.Count
		for _, p := range all[1:] {
			p.do(b, order{Do: "await", Count: sent})
		}
	}
	b.ReportMetric(float64(load.Count)/time.Since(began).Seconds(), "messages/s")
	report(b, before, lookAt(b, all, false), load.Count)
}

// report tells what each message has cost the first node, and the median of the others.
func report(b *testing.B, before, after []state, messages int) {
	b.Helper()
	var costs []float64
	for i := range after {
		costs = append(costs, (after[i].CPU-before[i].CPU).Seconds()*1e6/float64(messages))
	}
	b.ReportMetric(costs[0], "µs/out")
	if others := costs[1:]; len(others) > 0 {
		slices.Sort(others)
		b.ReportMetric(others[len(others)/2], "µs/in")
	}
}

// BenchmarkIdle is what members cost each other when nothing happens.
func BenchmarkIdle(b *testing.B) {
	for _, nodes := range []int{2, 4, 8} {
		b.Run(fmt.Sprint(nodes, "nodes"), func(b *testing.B) {
			for b.Loop() {
				all := cluster(b, nodes)
				before := lookAt(b, all, false)
				const span = 5 * time.Second
				<-time.After(span)
				after := lookAt(b, all, false)
				b.ReportMetric((after[0].CPU-before[0].CPU).Seconds()*1e6/span.Seconds(), "µs/s")
			}
		})
	}
}

// BenchmarkMesh compares the model with what it is for: each node publishes what all others want.
func BenchmarkMesh(b *testing.B) {
	for _, nodes := range []int{2, 3, 5} {
		for _, rate := range []int{200, 2_000} {
			b.Run(fmt.Sprintf("%dnodes/%dHz", nodes, rate), func(b *testing.B) {
				for b.Loop() {
					mesh(b, nodes, order{Do: "publish", Channels: 100, Count: 3 * rate, Size: 128, Rate: rate})
				}
			})
		}
	}
}

func mesh(b *testing.B, nodes int, load order) {
	b.Helper()
	all := cluster(b, nodes)
	for _, p := range all {
		p.do(b, order{Do: "join", Channels: load.Channels})
	}
	before := lookAt(b, all, false)
	began := time.Now()
	var each sync.WaitGroup
	for _, p := range all {
		each.Go(func() { p.do(b, load) })
	}
	each.Wait()
	wall := time.Since(began).Seconds()
	after := lookAt(b, all, false)
	used := 0.0
	for i := range all {
		used += (after[i].CPU - before[i].CPU).Seconds() / wall / float64(nodes)
	}
	b.ReportMetric(used*1000, "mcores")
	// All subscribe to all, and nothing else happens.
	n := Load{
		Sessions: 1e6, Subscriptions: float64(load.Channels), Channels: load.Channels,
		Publications: float64(load.Count*nodes) / wall, Message: float64(load.Size), Name: 16,
	}.on(nodes)
	b.ReportMetric((n.Routes+n.Beats)*1000, "mcores/modelled")
}
