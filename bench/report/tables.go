package report

import (
	"cmp"
	"fmt"
	"slices"
)

// The servers that the page speaks of.
const (
	Skein         = "skein"
	Park          = "skein-park"
	SocketCluster = "socketcluster"
	SocketIO      = "socketio"
	Limit         = "limit"
)

// The cases outside of curves.
const (
	Fanout   = "fanout"
	Saturate = "saturate"
	Rooms    = "rooms"
	RPC      = "rpc"
	Connect  = "connect"
	Idle     = "idle"
	Burst    = "burst"
	Flood    = "flood"
)

// The curves.
const (
	Connections = "connections"
	Subscribers = "subscribers"
	Channels    = "channels"
	Size        = "size"
)

func cpu(s Sample) float64      { return s.CPU }
func done(s Sample) float64     { return s.Done }
func p50(s Sample) float64      { return s.P50 }
func p99(s Sample) float64      { return s.P99 }
func longest(s Sample) float64  { return s.Max }
func calm(s Sample) float64     { return s.CalmP99 }
func opening(s Sample) float64  { return s.OpenP99 }
func connects(s Sample) float64 { return s.Connects }

func kilobytes(s Sample) float64 { return s.BytesPerConn / 1024 }

// percent is of one processor.
func percent(s Sample) float64 { return s.Cores * 100 }

// millis is the time of a processor for one, where CPU is seconds for a million.
func millis(s Sample) float64 { return s.CPU / 1000 }

// row is a line of the figures.
type row struct {
	title string
	of    string // case
	value metric
}

// figures are the lines of the first table.
func figures() []row {
	return []row{
		{"fixed rate, 1,000 subscribers: CPU-s per million deliveries", Fanout, cpu},
		{"p50 latency, ms", Fanout, p50},
		{"p99 latency, ms", Fanout, p99},
		{"longest latency, ms", Fanout, longest},
		{"closed loop, 1,000 subscribers: CPU-s per million deliveries", Saturate, cpu},
		{"deliveries a second", Saturate, done},
		{"closed loop, 100 rooms of 10: CPU-s per million deliveries", Rooms, cpu},
		{"deliveries a second", Rooms, done},
		{"acknowledged publications: CPU-s per million", RPC, cpu},
		{"acknowledged a second", RPC, done},
		{"p99 latency, ms", RPC, p99},
		{"connect and handshake: CPU ms", Connect, millis},
		{"connects a second", Connect, connects},
		{"idle, 3,000 connections: KB per connection", Idle, kilobytes},
		{"percent of a core", Idle, percent},
		{"burst of 10,000 connects, 1,000 at once: connects a second", Burst, connects},
		{"p99 of opening one, ms", Burst, opening},
		{"p99 of deliveries before, ms", Burst, calm},
		{"p99 of deliveries meanwhile, ms", Burst, p99},
		{"longest of these, ms", Burst, longest},
		{"burst of 10,000 connects, all at once: connects a second", Flood, connects},
		{"p99 of opening one, ms", Flood, opening},
		{"p99 of deliveries before, ms", Flood, calm},
		{"p99 of deliveries meanwhile, ms", Flood, p99},
	}
}

// aim is a ratio, or a figure, with what it is to be at most.
type aim struct {
	title string
	most  float64
	got   func(r *Results, server string) Spread
}

// aims are the lines of the second table.
func aims() []aim {
	return []aim{
		{"fixed rate, 1,000 subscribers: CPU per delivery ÷ bare limit", 1.20, toPeer(Fanout, Limit, cpu)},
		{"closed loop, 1,000 subscribers: CPU per delivery ÷ bare limit", 0.20, toPeer(Saturate, Limit, cpu)},
		{"100 rooms of 10: CPU per delivery ÷ SocketCluster", 0.50, toPeer(Rooms, SocketCluster, cpu)},
		{"acknowledged publications: CPU ÷ SocketCluster", 0.25, toPeer(RPC, SocketCluster, cpu)},
		{"connect and handshake: CPU ÷ SocketCluster", 0.25, toPeer(Connect, SocketCluster, cpu)},
		{"p99 of deliveries at the fixed rate ÷ bare limit", 1.5, toPeer(Fanout, Limit, p99)},
		{"KB per connection at 3,000", 2.0, absolute(Idle, kilobytes)},
		{"KB per connection at 15,000", 2.0, absolute(point(Connections, 15_000), kilobytes)},
		{"idle at 3,000: percent of a core", 0.8, absolute(Idle, percent)},
		{"CPU per delivery with 10,000 subscribers ÷ with 100", 1.2, (*Results).crowding},
	}
}

// point is the name of a curve's point.
func point(group string, x int) string { return fmt.Sprintf("%s-%d", group, x) }

// Aimed reports whether an aim looks at this point of a curve.
func Aimed(group string, x int) bool {
	return slices.Contains([]string{point(Connections, 15_000), point(Subscribers, 100), point(Subscribers, 10_000)}, point(group, x))
}

// crowding is by how much a delivery costs more with many subscribers than with few.
func (r *Results) crowding(server string) Spread {
	return ratio(r.Case(point(Subscribers, 10_000)), server, r.Case(point(Subscribers, 100)), server, cpu)
}

func toPeer(of, other string, m metric) func(*Results, string) Spread {
	return func(r *Results, server string) Spread { return ratio(r.Case(of), server, r.Case(of), other, m) }
}

func absolute(of string, m metric) func(*Results, string) Spread {
	return func(r *Results, server string) Spread { return r.Case(of).spread(server, m) }
}

// curve is how one figure grows with one thing.
type curve struct {
	group, x, y string
	value       metric
}

func curves() []curve {
	return []curve{
		{Connections, "connections", "KB per connection", kilobytes},
		{Connections, "connections", "CPU ms per connect", millis},
		{Subscribers, "subscribers of the channel", "CPU-s per million deliveries", cpu},
		{Subscribers, "subscribers of the channel", "p99 latency, ms", p99},
		{Channels, "channels", "CPU-s per million deliveries", cpu},
		{Size, "bytes of a message", "CPU-s per million deliveries", cpu},
	}
}

// points are the cases of a curve, from left to right.
func (c *curve) points(r *Results) []*Case {
	list := r.group(c.group)
	slices.SortStableFunc(list, func(a, b *Case) int { return cmp.Compare(a.X, b.X) })
	return list
}

// among keeps the servers that have samples in one of the cases.
func among(servers []Server, cases []*Case) []Server {
	var list []Server
	for _, s := range servers {
		if slices.ContainsFunc(cases, func(c *Case) bool { return c != nil && len(c.Samples[s.Name]) > 0 }) {
			list = append(list, s)
		}
	}
	return list
}
