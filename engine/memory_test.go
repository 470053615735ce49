package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/enginetest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Open: func(t *testing.T, _ int) []engine.Engine {
		t.Helper()
		return []engine.Engine{engine.NewMemory()}
	}})
}

func ExampleMemory() {
	ctx := context.Background()
	e := engine.NewMemory()
	_ = e.Start(ctx, func(m engine.Message) { fmt.Printf("%s: %s\n", m.Channel, m.Data) })
	_ = e.Join(ctx, "room")
	_ = e.Publish(ctx, engine.Message{Channel: "room", Data: []byte(`"hello"`)})
	_ = e.Publish(ctx, engine.Message{Channel: "elsewhere", Data: []byte(`"nobody hears this"`)})
	_ = e.Close(ctx)
	// Output: room: "hello"
}

// started returns a memory engine that is closed when the test ends.
func started(tb testing.TB, sink engine.Sink) *engine.Memory {
	tb.Helper()
	m := engine.NewMemory()
	if err := m.Start(tb.Context(), sink); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.Close(context.WithoutCancel(tb.Context())); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return m
}

func join(tb testing.TB, m *engine.Memory, channels ...string) {
	tb.Helper()
	for _, c := range channels {
		if err := m.Join(tb.Context(), c); err != nil {
			tb.Fatal(err)
		}
	}
}

func publish(tb testing.TB, m *engine.Memory, channel, data string) {
	tb.Helper()
	if err := m.Publish(tb.Context(), engine.Message{Channel: channel, Data: []byte(data)}); err != nil {
		tb.Error(err)
	}
}

func TestMemoryStartsOnce(t *testing.T) {
	t.Parallel()
	m := started(t, func(engine.Message) {})
	if err := m.Start(t.Context(), func(engine.Message) {}); err == nil || errors.Is(err, engine.ErrClosed) {
		t.Errorf("second Start: got %v, want an error of its own", err)
	}
	join(t, m, "the first start still counts")
}

func TestMemoryLeaveHasEffectAtOnceAndUndoesAllJoins(t *testing.T) {
	t.Parallel()
	var got []string
	m := started(t, func(msg engine.Message) { got = append(got, string(msg.Data)) })
	join(t, m, "room", "room", "other")
	publish(t, m, "room", "1")
	m.Leave("room")
	publish(t, m, "room", "2")
	publish(t, m, "other", "3")
	join(t, m, "room")
	publish(t, m, "room", "4")
	if want := []string{"1", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMemorySinkTakesSeveralPublishersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const publishers = 3
		var inside sync.WaitGroup
		inside.Add(publishers)
		m := started(t, func(engine.Message) {
			inside.Done()
			inside.Wait() // nobody gets out before all are in
		})
		join(t, m, "room")
		var all sync.WaitGroup
		for range publishers {
			all.Go(func() { publish(t, m, "room", "1") })
		}
		all.Wait()
	})
}

func TestMemoryCloseWaitsForTheSink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		m := started(t, func(engine.Message) {
			close(entered)
			<-release
		})
		join(t, m, "room")
		go publish(t, m, "room", "1")
		<-entered

		// The second call has to wait like the first.
		closed := make(chan error, 2)
		go func() { closed <- m.Close(t.Context()) }()
		go func() { closed <- m.Close(t.Context()) }()
		synctest.Wait()
		if len(closed) != 0 {
			t.Error("Close returned while the sink was running")
		}
		if err := m.Publish(t.Context(), engine.Message{Channel: "room"}); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("Publish while closing: got %v, want ErrClosed", err)
		}
		close(release)
		for range 2 {
			if err := <-closed; err != nil {
				t.Errorf("Close: got %v, want nil", err)
			}
		}
	})
}

func TestMemoryCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		m := started(t, func(engine.Message) {
			close(entered)
			<-release
		})
		join(t, m, "room")
		go publish(t, m, "room", "1")
		<-entered

		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		go cancel(why)
		if err := m.Close(ctx); !errors.Is(err, why) {
			t.Errorf("Close: got %v, want %v", err, why)
		}
		close(release)
	})
}

// A sink that publishes again while the engine closes must be refused, and
// neither wait for Close nor be waited for.
func TestMemorySinkMayPublishWhileTheEngineCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m *engine.Memory
		var again error
		entered, release := make(chan struct{}), make(chan struct{})
		m = started(t, func(msg engine.Message) {
			close(entered)
			<-release
			again = m.Publish(t.Context(), msg)
		})
		join(t, m, "room")
		go publish(t, m, "room", "1")
		<-entered
		closed := make(chan error)
		go func() { closed <- m.Close(t.Context()) }()
		synctest.Wait()
		close(release)
		if err := <-closed; err != nil {
			t.Errorf("Close: got %v, want nil", err)
		}
		if !errors.Is(again, engine.ErrClosed) {
			t.Errorf("Publish of the sink: got %v, want ErrClosed", again)
		}
	})
}

func TestMemoryIsStillCloseableWhenTheSinkPanics(t *testing.T) {
	t.Parallel()
	m := started(t, func(engine.Message) { panic("a bug") })
	join(t, m, "room")
	func() {
		defer func() { _ = recover() }()
		publish(t, m, "room", "1")
		t.Error("the panic was swallowed")
	}()
}

func TestMemoryPublishAllocatesNothing(t *testing.T) {
	m := started(t, func(engine.Message) {})
	join(t, m, "room")
	ctx := t.Context()
	for _, channel := range []string{"room", "nobody is here"} {
		msg := engine.Message{Channel: channel, Data: []byte("1")}
		if n := testing.AllocsPerRun(100, func() { _ = m.Publish(ctx, msg) }); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", channel, n)
		}
	}
}

func BenchmarkMemoryPublish(b *testing.B) {
	for _, c := range []struct{ name, channel string }{{"joined", "room"}, {"unjoined", "nobody is here"}} {
		b.Run(c.name, func(b *testing.B) {
			m := started(b, func(engine.Message) {})
			join(b, m, "room")
			ctx := b.Context()
			msg := engine.Message{Channel: c.channel, Data: []byte("1")}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = m.Publish(ctx, msg)
				}
			})
		})
	}
}

func BenchmarkMemoryJoinLeave(b *testing.B) {
	m := started(b, func(engine.Message) {})
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Join(ctx, "room")
		m.Leave("room")
	}
}
