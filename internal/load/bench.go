package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// bench is one run.
type bench struct {
	Options

	start     time.Time // of the clock in stamps
	fail      context.CancelCauseFunc
	measuring atomic.Bool
	meters    [meters]meter
	opened    meter
}

// Run measures. It ends early, and says why, when ctx is done, when the server refuses something or does not answer, and
// when a connection is lost.
func Run(ctx context.Context, mode Mode, o Options) (*Report, error) {
	o = o.withDefaults()
	if err := o.check(mode, openFiles()); err != nil {
		return nil, err
	}
	if _, err := usageOf(o.PIDs...); err != nil {
		return nil, err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	b := &bench{Options: o, start: time.Now(), fail: fail}
	run, ok := map[Mode]func(context.Context) (*Report, error){
		Fanout: b.fanout, Saturate: b.saturate, RPC: b.rpc, Connect: b.connects, Idle: b.idle, Burst: b.burst,
	}[mode]
	if !ok {
		return nil, fmt.Errorf("%q is no mode", mode)
	}
	r, err := run(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // what came first
	}
	if err != nil {
		return nil, err
	}
	r.Mode, r.Conns = mode, o.Conns
	return r, nil
}

// openAll opens count connections, so many at once as are allowed, and gives them to each, which may be called by
// several goroutines. channels are what to subscribe to.
func (b *bench) openAll(ctx context.Context, count int, channels func(n int) []string, each func(ctx context.Context, n int, c *conn) error) error {
	var turn atomic.Int64
	var opening sync.WaitGroup
	next := func() (int, bool) {
		n := int(turn.Add(1)) - 1
		return n, n < count && ctx.Err() == nil
	}
	for range min(b.Parallel, count) {
		opening.Go(func() {
			for n, ok := next(); ok; n, ok = next() {
				begin := time.Now()
				c, err := b.open(ctx, n, channels(n))
				b.opened.note(time.Since(begin))
				if err == nil {
					err = each(ctx, n, c)
				}
				if err != nil {
					b.fail(fmt.Errorf("connection %d of %d: %w", n+1, count, err))
				}
			}
		})
	}
	opening.Wait()
	return context.Cause(ctx)
}

// none subscribes to nothing.
func none(int) []string { return nil }

// reading is what has happened up to a moment.
type reading struct {
	at        time.Time
	published int64
	done      int64 // deliveries, answers, connections
	server    usage
	own       usage
}

// read takes a reading.
func (b *bench) read(published, done int64) (reading, error) {
	server, err := usageOf(b.PIDs...)
	own, _ := usageOf(ownPID) // not everywhere can it be known
	return reading{time.Now(), published, done, server, own}, err
}

// counter tells how much has happened.
type counter func() (published, done int64)

// measure lets the load run, reads the counts, and reads them again when the time is over.
func (b *bench) measure(ctx context.Context, counts counter) (*Report, error) {
	b.Progress(fmt.Sprintf("measuring for %v", b.Duration))
	pause(ctx, b.Warmup)
	before, err1 := b.read(counts())
	b.measuring.Store(true)
	pause(ctx, b.Duration)
	b.measuring.Store(false)
	after, err2 := b.read(counts())
	if err := errors.Join(context.Cause(ctx), err1, err2); err != nil {
		return nil, err
	}
	return b.report(before, after), nil
}

const (
	patience = 2 * time.Second // with what is missing
	glance   = 10 * time.Millisecond
)

// settle waits for what is under way, until nothing has come for a while, and returns how much is missing.
func (b *bench) settle(ctx context.Context, missing func() int64) int64 {
	n := missing()
	for quiet := time.Duration(0); n > 0 && quiet < min(patience, b.Timeout) && ctx.Err() == nil; quiet += glance {
		pause(ctx, glance)
		if left := missing(); left != n {
			n, quiet = left, 0
		}
	}
	return n
}
