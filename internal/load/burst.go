package load

import (
	"context"
	"fmt"
)

// burst measures deliveries at a fixed rate: first on their own, then while many connections come in.
func (b *bench) burst(ctx context.Context) (*Report, error) {
	r, err := b.deliver(ctx, b.clocked, func(ctx context.Context, counts counter) (*Report, error) {
		if _, err := b.measure(ctx, counts); err != nil {
			return nil, err
		}
		calm := b.forget()
		r, err := b.meanwhile(ctx, counts)
		if err != nil {
			return nil, err
		}
		r.Calm = &calm
		return r, nil
	})
	if r != nil {
		r.Rate = b.Rate
	}
	return r, err
}

// forget gives the latencies up to here, which count no more.
func (b *bench) forget() Latency {
	total := sum(&b.meters)
	for i := range b.meters {
		m := &b.meters[i]
		m.mu.Lock()
		m.latency = histogram{}
		m.mu.Unlock()
	}
	return total.latency.summary()
}

// meanwhile measures while the storm lasts.
func (b *bench) meanwhile(ctx context.Context, counts counter) (*Report, error) {
	b.Progress(fmt.Sprintf("connecting %d more, %d at once", b.Burst, min(b.Parallel, b.Burst)))
	storm := b.Storm
	if storm == nil {
		storm = b.storm
	}
	before, err := b.read(counts())
	if err != nil {
		return nil, err
	}
	b.measuring.Store(true)
	opening, err := storm(ctx)
	b.measuring.Store(false)
	if err != nil {
		return nil, fmt.Errorf("burst: %w", err)
	}
	after, err := b.read(counts())
	if err != nil {
		return nil, err
	}
	r := b.report(before, after)
	r.Connects, r.Opening = opening.Connects, &opening.Latency
	return r, nil
}

// storm is a run of Connect in this process.
func (b *bench) storm(ctx context.Context) (*Report, error) {
	o := b.Options
	o.Conns, o.PIDs, o.Progress = o.Burst, nil, nil
	return Run(ctx, Connect, o)
}
