//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/natsengine"
)

// asNode makes the test binary a node, because what a node costs is a process's: its CPU and its memory. The value is the
// seed, or "none".
const asNode = "SKEIN_SIM_NODE"

func TestMain(m *testing.M) {
	if seed := os.Getenv(asNode); seed != "" {
		if err := beNode(seed, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// order is a line that the benchmark writes to a node.
type order struct {
	Do        string // join, publish, await, or nothing but the answer
	Channels  int    // to join, or to publish to in turn
	Count     int    // of messages to publish, or to await since the start
	Size      int    // of a message
	Rate      int    // of messages a second; 0: as fast as it goes
	Collected bool   // collect garbage before looking at the memory
}

// state is a node's answer, when the order has been carried out.
type state struct {
	Address  string
	Members  int
	CPU      time.Duration // of the process since its start
	Wall     time.Duration // of the order
	Heap     uint64
	RSS      uint64
	Received int64
}

// beNode runs an engine until in ends.
func beNode(seed string, in io.Reader, out io.Writer) error {
	ctx := context.Background()
	o := natsengine.Embedded{Options: natsengine.Options{Node: fmt.Sprint("node ", os.Getpid())}, Listen: "127.0.0.1:0", JoinTimeout: time.Minute}
	if seed != "none" {
		o.Seeds = []string{seed}
	}
	e := natsengine.Embed(o)
	var received atomic.Int64
	if err := e.Start(ctx, func(engine.Message) { received.Add(1) }); err != nil {
		return err
	}
	answers := json.NewEncoder(out)
	lines := bufio.NewScanner(in)
	for ok := true; ok; ok = lines.Scan() {
		var o order
		if text := lines.Bytes(); len(text) > 0 {
			if err := json.Unmarshal(text, &o); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := obey(ctx, e, o, &received); err != nil {
			return err
		}
		s := look(e, o.Collected)
		s.Wall, s.Received = time.Since(began), received.Load()
		if err := answers.Encode(s); err != nil {
			return err
		}
	}
	return e.Close(ctx)
}

func obey(ctx context.Context, e *natsengine.Engine, o order, received *atomic.Int64) error {
	switch o.Do {
	case "join":
		return side(o.Channels, func(i int) error { return e.Join(ctx, name(i)) })
	case "publish":
		return publish(ctx, e, o)
	case "await":
		for tick := time.Tick(time.Millisecond); received.Load() < int64(o.Count); {
			<-tick
		}
	}
	return nil
}

func name(i int) string { return fmt.Sprintf("channel-%08d", i) }

func publish(ctx context.Context, e *natsengine.Engine, o order) error {
	names := make([]string, o.Channels)
	for i := range names {
		names[i] = name(i)
	}
	m := engine.Message{Data: make([]byte, o.Size), Origin: "-92NSYSqUkyxlNqXAAAA"}
	began := time.Now()
	for i := range o.Count {
		if o.Rate > 0 {
			<-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(o.Rate)))) // its pace
		}
		m.Channel = names[i%len(names)]
		if err := e.Publish(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// side calls f for the first n numbers, many at once, as the sessions of a server would.
func side(n int, f func(int) error) error {
	var wait sync.WaitGroup
	var next atomic.Int64
	failed := make(chan error, 1)
	for range 1000 {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func look(e *natsengine.Engine, collected bool) state {
	members := e.Members()
	s := state{Members: len(members), CPU: used()}
	for _, m := range members {
		if m.Local {
			s.Address = m.Address
		}
	}
	if collected {
		debug.FreeOSMemory() // the system's figure would be that of the garbage
		debug.FreeOSMemory()
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	s.Heap, s.RSS = memory.HeapAlloc, resident()
	return s
}

func used() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is 0 where the system does not tell.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kib uint64
	_, _ = fmt.Sscan(after, &kib)
	return kib << 10
}

// process is a node that runs.
type process struct {
	in    *json.Encoder
	out   *json.Decoder
	first state
}

// cluster starts nodes as processes of their own, and returns when each has all others.
func cluster(b *testing.B, nodes int) []*process {
	b.Helper()
	var all []*process
	seed := "none"
	for range nodes {
		p := launch(b, seed)
		if seed == "none" {
			seed = p.first.Address
		}
		all = append(all, p)
	}
	for _, p := range all {
		for p.do(b, order{}).Members < nodes {
			runtime.Gosched()
		}
	}
	return all
}

func launch(b *testing.B, seed string) *process {
	b.Helper()
	c := exec.CommandContext(b.Context(), os.Args[0])
	c.Env = append(os.Environ(), asNode+"="+seed)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = c.Wait()   // killed where it does not end
	})
	p := &process{in: json.NewEncoder(in), out: json.NewDecoder(out)}
	if err := p.out.Decode(&p.first); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *process) do(b *testing.B, o order) (s state) {
	b.Helper()
	if err := p.in.Encode(o); err != nil {
		b.Fatal(err)
	}
	if err := p.out.Decode(&s); err != nil {
		b.Fatal(err)
	}
	return s
}

// lookAt asks all nodes.
func lookAt(b *testing.B, all []*process, collected bool) (states []state) {
	b.Helper()
	for _, p := range all {
		states = append(states, p.do(b, order{Collected: collected}))
	}
	return states
}
