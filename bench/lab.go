package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/skeinrt/skein/bench/report"
	"github.com/skeinrt/skein/internal/load"
)

// How long the load generator waits for a server that is busy with a burst.
const patience = time.Minute

// lab is where the servers are measured.
type lab struct {
	skein string // binaries
	self  string
	dir   string // of this module
	log   io.Writer

	contenders []contender // in the order of each round
}

// contender is a server that can be measured.
type contender struct {
	report.Server

	program program
	foreign bool          // speaks Socket.IO
	ping    time.Duration // between two pings of a connection, by default
}

// The servers' defaults. What an idle server needs is measured for as long as there is one ping for each connection.
const (
	usualPing    = 8 * time.Second
	socketIOPing = 25 * time.Second
)

// of is the load as it is for this server.
func (c contender) of(l report.Load) report.Load {
	if load.Mode(l.Mode) == load.Idle && c.ping != 0 {
		l.Duration = time.Duration(float64(l.Duration) * c.ping.Seconds() / usualPing.Seconds())
	}
	return l
}

func (l *lab) everybody() []contender {
	node := func(file string) program {
		return program{args: []string{"node", filepath.Join(l.dir, "servers", file)}, env: []string{"NODE_ENV=production"}}
	}
	skein := func(driver string) program {
		return program{args: []string{l.skein, "serve", "--addr", "127.0.0.1:0", "--driver", driver}, dir: filepath.Dir(l.skein)}
	}
	return []contender{
		{Server: report.Server{Name: report.Skein, Title: "skein (epoll)"}, program: skein("epoll")},
		{Server: report.Server{Name: report.Park, Title: "skein (park)"}, program: skein("park")},
		{Server: report.Server{Name: report.SocketCluster, Title: "SocketCluster"}, program: node("socketcluster.mjs")},
		{Server: report.Server{Name: report.SocketIO, Title: "Socket.IO"}, program: node("socketio.mjs"), foreign: true, ping: socketIOPing},
		{Server: report.Server{Name: report.Limit, Title: "bare limit"}, program: program{args: []string{l.self, "limit"}}},
	}
}

// rounds measures all steps with all of their servers in turn, and that several times. Only the end of ctx ends it: what
// a server does not bear is one of the results.
func (l *lab) rounds(ctx context.Context, times int, steps []step) error {
	for round := range times {
		for _, s := range steps {
			for _, c := range l.contenders {
				if !slices.Contains(s.servers, c.Name) {
					continue
				}
				sample := l.sample(ctx, c, c.of(s.Load))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				s.Samples[c.Name] = append(s.Samples[c.Name], sample)
				l.tell(round, times, s, c, sample)
			}
		}
	}
	return nil
}

func (l *lab) tell(round, times int, s step, c contender, sample report.Sample) {
	text := fmt.Sprintf("%.3g CPU-s/million, %.3g%% of a core, %.0f/s, p99 %.3g ms", sample.CPU, sample.Cores*100, sample.Done+sample.Connects, sample.P99)
	if sample.Error != "" {
		text = sample.Error
	}
	if sample.Lost+sample.Disorder != 0 {
		text += fmt.Sprintf("; LOST %d, DISORDER %d", sample.Lost, sample.Disorder)
	}
	_, _ = fmt.Fprintf(l.log, "%d/%d %-18s %-14s %s\n", round+1, times, s.Name, c.Title, text) // to look at
}

// sample starts a server, loads it and ends it.
func (l *lab) sample(ctx context.Context, c contender, task report.Load) report.Sample {
	srv, err := c.program.serve(ctx)
	if err != nil {
		return report.Sample{Error: err.Error()}
	}
	defer srv.stop()
	out, err := l.generator(c, srv, task).run(ctx)
	if err != nil {
		return report.Sample{Error: err.Error()}
	}
	sample, err := parse(out)
	if err != nil {
		return report.Sample{Error: err.Error()}
	}
	return sample
}

// generator is skein bench, or the same by another protocol. It has memory to spare, so that collecting its garbage takes
// little from the server.
func (l *lab) generator(c contender, srv *server, task report.Load) program {
	p := program{dir: filepath.Dir(l.skein), env: []string{"GOGC=400"}}
	if c.foreign {
		p.args = job{Load: task, URL: srv.url, PID: srv.pid}.args(l.self)
		return p
	}
	p.args = []string{l.skein, "bench", "--json", "--url", srv.url, "--pid", strconv.Itoa(srv.pid), "--timeout", patience.String()}
	flag := func(name string, value, zero any) {
		if value != zero {
			p.args = append(p.args, "--"+name, fmt.Sprint(value))
		}
	}
	for name, n := range map[string]int{
		"conns": task.Conns, "channels": task.Channels, "pubs": task.Pubs, "size": task.Size, "window": task.Window,
		"parallel": task.Parallel, "burst": task.Burst,
	} {
		flag(name, n, 0)
	}
	flag("rate", task.Rate, 0.0)
	flag("duration", task.Duration, time.Duration(0))
	p.args = append(p.args, "--warmup", task.Warmup.String(), task.Mode)
	return p
}

// latency is what is taken over of one.
type latency struct{ P50, P99, Max float64 }

// parse takes a sample from what the load generator prints.
func parse(out []byte) (report.Sample, error) {
	var r struct {
		DonePerSecond, ConnectsPerSecond           float64
		LatencyMs, CalmLatencyMs, OpeningLatencyMs latency
		Lost, Repeated, OutOfOrder                 int64
		OwnCores                                   float64
		Server                                     struct {
			Cores, CPUSecondsPerMillion, BytesPerConn float64
			Memory                                    int64
		}
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return report.Sample{}, fmt.Errorf("report: %w", err)
	}
	return report.Sample{
		CPU: r.Server.CPUSecondsPerMillion, Cores: r.Server.Cores, Memory: r.Server.Memory, BytesPerConn: r.Server.BytesPerConn,
		Done: r.DonePerSecond, Connects: r.ConnectsPerSecond, P50: r.LatencyMs.P50, P99: r.LatencyMs.P99, Max: r.LatencyMs.Max,
		CalmP99: r.CalmLatencyMs.P99, OpenP99: r.OpeningLatencyMs.P99,
		Lost: r.Lost, Disorder: r.Repeated + r.OutOfOrder, Own: r.OwnCores,
	}, nil
}
