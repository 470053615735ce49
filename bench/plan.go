package main

import (
	"fmt"
	"time"

	"github.com/skeinrt/skein/bench/report"
)

// step is a load, and who takes part.
type step struct {
	report.Case

	servers []string
}

// scale says how much of the plan is done.
type scale struct {
	time  float64 // how long it is measured, 1: as planned
	conns int     // the connections are divided by it
}

func everybody() []string {
	return []string{report.Skein, report.Park, report.SocketCluster, report.SocketIO, report.Limit}
}

// protocols are those that have sessions and channels.
func protocols() []string { return everybody()[:4] }

// compared are the loads of the first table.
func (s scale) compared() []step {
	n := func(conns int) int { return max(conns/s.conns, 1) }
	return []step{
		s.step(report.Fanout, everybody(), report.Load{Mode: "fanout", Conns: n(1000), Rate: 20, Duration: 3 * time.Second, Warmup: time.Second}),
		s.step(report.Saturate, everybody(), report.Load{Mode: "saturate", Conns: n(1000), Window: 8, Duration: 3 * time.Second, Warmup: time.Second}),
		s.step(report.Rooms, protocols(), report.Load{Mode: "saturate", Conns: n(1000), Channels: n(100), Pubs: 4, Window: 8, Duration: 3 * time.Second, Warmup: time.Second}),
		s.step(report.RPC, everybody(), report.Load{Mode: "rpc", Conns: n(50), Window: 8, Duration: 3 * time.Second, Warmup: time.Second}),
		s.step(report.Connect, protocols(), report.Load{Mode: "connect", Conns: n(4000), Parallel: 64}),
		s.step(report.Idle, protocols(), report.Load{Mode: "idle", Conns: n(3000), Duration: usualPing, Warmup: 3 * time.Second}),
		s.step(report.Burst, protocols(), burst(n(100), n(10_000), n(1000))),
		s.step(report.Flood, []string{report.Skein, report.Park}, burst(n(100), n(10_000), n(10_000))),
	}
}

func burst(conns, more, parallel int) report.Load {
	return report.Load{Mode: "burst", Conns: conns, Rate: 50, Burst: more, Parallel: parallel, Duration: 2 * time.Second, Warmup: time.Second}
}

// aimed are the points of the curves that an aim looks at. They are measured as often as what is compared.
func (s scale) aimed() []step { return s.points(true) }

// grown are the other points of the curves.
func (s scale) grown() []step { return s.points(false) }

func (s scale) points(aimed bool) []step {
	sessions := []string{report.Skein, report.SocketCluster, report.SocketIO}
	withLimit := append(sessions[:3:3], report.Limit)
	var all []step
	add := func(group string, x int, servers []string, l report.Load) {
		if report.Aimed(group, x) != aimed {
			return
		}
		x = max(x/s.conns, 1)
		one := s.step(fmt.Sprintf("%s-%d", group, x), servers, l)
		one.Group, one.X = group, float64(x)
		all = append(all, one)
	}
	for _, x := range []int{100, 1000, 5000, 15_000} {
		add(report.Connections, x, sessions, report.Load{Mode: "idle", Conns: max(x/s.conns, 1), Duration: 500 * time.Millisecond, Warmup: 2 * time.Second})
	}
	for _, x := range []int{10, 100, 1000, 10_000} {
		conns := max(x/s.conns, 1)
		add(report.Subscribers, x, withLimit, report.Load{Mode: "fanout", Conns: conns, Rate: 20_000 / float64(x), Duration: 2500 * time.Millisecond, Warmup: time.Second})
	}
	for _, x := range []int{1, 100, 10_000, 100_000} {
		channels := max(x/s.conns, 1)
		add(report.Channels, x, sessions, report.Load{
			Mode: "fanout", Conns: min(channels, 1000), Channels: channels, Rate: 5000, Duration: 2 * time.Second, Warmup: time.Second,
		})
	}
	for _, x := range []int{64, 1 << 10, 8 << 10, 64 << 10} {
		if aimed {
			break
		}
		one := s.step(fmt.Sprintf("%s-%d", report.Size, x), withLimit, report.Load{
			Mode: "fanout", Conns: max(100/s.conns, 1), Rate: 50, Size: x, Duration: 2 * time.Second, Warmup: time.Second,
		})
		one.Group, one.X = report.Size, float64(x)
		all = append(all, one)
	}
	return all
}

func (s scale) step(name string, servers []string, l report.Load) step {
	l.Duration = time.Duration(float64(l.Duration) * s.time)
	l.Warmup = time.Duration(float64(l.Warmup) * s.time)
	return step{Case: report.Case{Name: name, Load: l, Samples: map[string][]report.Sample{}}, servers: servers}
}

// starting, connecting and ending are what a measurement takes besides, as experience tells.
const (
	starting = 400 * time.Millisecond
	openings = 3000   // a second
	joinings = 20_000 // of channels
)

// lasts is about how long a round of the steps takes.
func lasts(steps []step) time.Duration {
	var total time.Duration
	for _, s := range steps {
		opening := time.Duration(s.Load.Conns+s.Load.Burst)*time.Second/openings + time.Duration(s.Load.Channels)*time.Second/joinings
		total += time.Duration(len(s.servers)) * (starting + opening + s.Load.Warmup + s.Load.Duration)
	}
	return total
}
