package enginetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClusterThatKeepsTheContractPasses(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Open: func(t *testing.T, nodes int) []engine.Engine {
		t.Helper()
		return openBus(nodes, "")
	}})
}

// faultVariable makes TestFaultyCluster run the suite on a bus with that fault.
const faultVariable = "ENGINETEST_FAULT"

// TestFaultyCluster is what TestSuiteFindsFaults runs, in a process of its own.
func TestFaultyCluster(t *testing.T) {
	fault := os.Getenv(faultVariable)
	if fault == "" {
		return
	}
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Patience: 200 * time.Millisecond, Open: func(t *testing.T, nodes int) []engine.Engine {
		t.Helper()
		return openMembers(nodes, fault)
	}})
}

func TestSuiteFindsFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ fault, clause string }{
		{"", ""},
		{"works before start", "NothingWorksBeforeStart"},
		{"works after close", "NothingWorksAfterClose"},
		{"starts after close", "CloseBeforeStart"},
		{"local sink is late", "LocalSinkIsCalledBeforePublishReturns"},
		{"sends twice", "MessageReachesEveryJoinedNodeOnce"},
		{"echoes", "MessageReachesEveryJoinedNodeOnce"},
		{"acknowledges joins too early", "AcknowledgedJoinSeesWhatIsPublishedAfterwards"},
		{"swaps messages", "OrderOfAPublisherIsKeptEverywhere"},
		{"delivers everything", "OnlyJoinedChannelsArrive"},
		{"leaves on all nodes", "LeaveEndsOneChannelOnOneNode"},
		{"counts joins", "JoinsAreNotCounted"},
		{"compacts data", "OctetsArriveUnchanged"},
		{"writes to data", "OctetsArriveUnchanged"},
		{"drops origin", "OctetsArriveUnchanged"},
		{"takes names for patterns", "ChannelNamesAreData"},
		{"folds names", "ChannelNamesAreData"},
		{"cuts names", "ChannelNamesAreData"},
		{"ignores contexts", "StartGivesUpWhenItsContextIsDone"},
		{"ignores contexts", "DoneContextChangesNothing"},
		{"refuses the sink", "SinkMayPublish"},
		{"drops some", "ConcurrentUseLosesNothing"},
		{"keeps the last back", "CloseSendsWhatWasTakenOver"},
		{"calls the sink after close", "NothingWorksAfterClose"},
		{"closes all nodes", "ClosedNodeDoesNotDisturbOthers"},
		{"fails to close", "CloseReturnsWhenItsContextEnds"},
		{"has members before start", "NoMembersOutsideOfLife"},
		{"overlooks the first", "MembersAreTheNodes"},
		{"keeps those who leave", "MembersAreTheNodes"},
		{"does not know itself", "MembersAreTheNodes"},
		{"takes all for itself", "MembersAreTheNodes"},
		{"does not say who asks", "CallsAreAnswered"},
		{"hides who has failed", "CallsAreAnswered"},
		{"tells gaps", "CalmHasNoGaps"},
	} {
		t.Run(c.fault+" fails "+c.clause, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaultyCluster$/^"+c.clause+"$")
			cmd.Env = append(os.Environ(), faultVariable+"="+c.fault)
			out, err := cmd.CombinedOutput()
			if failed := err != nil; failed != (c.fault != "") {
				t.Fatalf("got %v, want a failure only with a fault; output:\n%s", err, out)
			}
			if c.fault != "" && !strings.Contains(string(out), "--- FAIL: TestFaultyCluster/"+c.clause) {
				t.Errorf("clause %s did not fail; output:\n%s", c.clause, out)
			}
		})
	}
}

// bus is a cluster in one process: a memory engine for each node, and an inbox
// in front of it that takes what other nodes publish.
type bus struct {
	*engine.Memory
	nodes []*bus
	fault string
	sink  engine.Sink
	done  chan struct{}
	once  sync.Once
	work  sync.WaitGroup

	inSink atomic.Int64

	mu      sync.Mutex
	puts    int
	queue   []engine.Message
	arrived chan struct{} // holds one when the queue may have something
	held    *engine.Message
	joins   map[string]int
}

func openBus(nodes int, fault string) []engine.Engine {
	all := make([]*bus, nodes)
	engines := make([]engine.Engine, nodes)
	for i := range all {
		all[i] = &bus{
			Memory: engine.NewMemory(), nodes: all, fault: fault,
			done: make(chan struct{}), arrived: make(chan struct{}, 1), joins: make(map[string]int),
		}
		engines[i] = all[i]
	}
	return engines
}

func (b *bus) Start(ctx context.Context, sink engine.Sink) error {
	b.sink = sink
	if b.fault == "ignores contexts" {
		ctx = context.WithoutCancel(ctx)
	}
	if err := b.Memory.Start(ctx, b.faultySink); err != nil {
		if b.fault == "starts after close" {
			return nil
		}
		return err
	}
	b.work.Go(func() { b.deliver(context.WithoutCancel(ctx)) })
	return nil
}

func (b *bus) Publish(ctx context.Context, m engine.Message) error {
	if b.fault == "ignores contexts" {
		ctx = context.WithoutCancel(ctx)
	}
	if b.fault == "refuses the sink" && b.inSink.Load() > 0 {
		return errors.New("busy")
	}
	m = b.mangle(m)
	if b.fault == "local sink is late" {
		b.put(m)
	} else if err := b.Memory.Publish(ctx, m); err != nil {
		return b.excuse(err, m)
	}
	if b.fault == "keeps the last back" {
		b.mu.Lock()
		last := b.held
		b.held = &m
		b.mu.Unlock()
		if last == nil {
			return nil
		}
		m = *last
	}
	for _, peer := range b.nodes {
		if peer != b || b.fault == "echoes" {
			peer.put(m)
		}
		if peer != b && b.fault == "sends twice" {
			peer.put(m)
		}
	}
	return nil
}

// mangle is what a faulty bus does to a message.
func (b *bus) mangle(m engine.Message) engine.Message {
	switch b.fault {
	case "compacts data":
		var v any
		if json.Unmarshal(m.Data, &v) == nil {
			m.Data, _ = json.Marshal(v)
		}
	case "writes to data":
		if len(m.Data) > 0 {
			m.Data[0] ^= 1
		}
	case "drops origin":
		m.Origin = ""
	case "folds names":
		m.Channel = strings.ToLower(m.Channel)
	case "cuts names":
		m.Channel = m.Channel[:min(len(m.Channel), 255)]
	}
	return m
}

// excuse is what a faulty bus does when it should refuse.
func (b *bus) excuse(err error, m engine.Message) error {
	switch b.fault {
	case "works before start", "works after close":
		return nil
	case "calls the sink after close":
		if b.sink != nil {
			b.sink(m)
		}
	}
	return err
}

// faultySink stands behind the check for joined channels.
func (b *bus) faultySink(m engine.Message) {
	b.mu.Lock()
	joins := b.joins[m.Channel]
	b.joins[m.Channel] = max(joins, 0)
	b.mu.Unlock()
	if b.fault == "acknowledges joins too early" && joins < 0 {
		return
	}
	b.inSink.Add(1)
	defer b.inSink.Add(-1)
	b.sink(m)
	if b.fault == "counts joins" {
		for range joins - 1 {
			b.sink(m)
		}
	}
}

func (b *bus) Join(ctx context.Context, channel string) error {
	b.mu.Lock()
	if b.fault == "acknowledges joins too early" {
		b.joins[channel] = -1
	} else {
		b.joins[channel]++
	}
	b.mu.Unlock()
	return b.Memory.Join(ctx, channel)
}

func (b *bus) Leave(channel string) {
	b.Memory.Leave(channel)
	if b.fault == "leaves on all nodes" {
		for _, peer := range b.nodes {
			peer.Memory.Leave(channel)
		}
	}
}

func (b *bus) put(m engine.Message) {
	b.mu.Lock()
	if b.puts++; b.puts%97 != 0 || b.fault != "drops some" {
		b.queue = append(b.queue, m)
	}
	if n := len(b.queue); n > 1 && b.fault == "swaps messages" {
		b.queue[n-1], b.queue[n-2] = b.queue[n-2], b.queue[n-1]
	}
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

func (b *bus) deliver(ctx context.Context) {
	for {
		select {
		case <-b.arrived:
		case <-b.done:
			return
		}
		b.mu.Lock()
		queue := b.queue
		b.queue = nil
		b.mu.Unlock()
		for _, m := range queue {
			wild := b.fault == "takes names for patterns" && strings.HasPrefix(m.Channel, "a.")
			if b.fault == "delivers everything" || wild {
				b.sink(m)
			} else if b.Memory.Publish(ctx, m) != nil {
				return
			}
		}
	}
}

func (b *bus) Close(ctx context.Context) error {
	b.once.Do(func() { close(b.done) })
	err := b.Memory.Close(ctx)
	b.work.Wait()
	if b.fault == "closes all nodes" {
		for _, peer := range b.nodes {
			_ = peer.Memory.Close(ctx) // a fault, whatever comes of it
		}
	}
	if b.fault == "fails to close" {
		return context.DeadlineExceeded
	}
	return err
}
