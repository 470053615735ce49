package load

import (
	"context"
	"fmt"
	"sync"
)

// connects measures connecting. The connections stay until the last one is there.
func (b *bench) connects(ctx context.Context) (*Report, error) {
	var mu sync.Mutex
	var conns []*conn
	defer func() {
		for _, c := range conns {
			_ = c.Close() // either way it is over
		}
	}()
	b.Progress(fmt.Sprintf("connecting %d times, %d at once", b.Conns, min(b.Parallel, b.Conns)))
	return b.opening(ctx, none, func(_ context.Context, _ int, c *conn) error {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return nil
	})
}

// idle measures what the server needs for subscribers that nothing happens to.
func (b *bench) idle(ctx context.Context) (*Report, error) {
	c := &crowd{bench: b}
	defer c.close()
	empty, err := usageOf(b.PIDs...)
	if err != nil {
		return nil, err
	}
	b.Progress(fmt.Sprintf("connecting %d subscribers", b.Conns))
	opening, err := b.opening(ctx, b.channelsOf, c.admit)
	if err != nil {
		return nil, err
	}
	r, err := b.measure(ctx, func() (int64, int64) { return 0, 0 })
	if err != nil {
		return nil, err
	}
	r.Connects, r.Latency, r.Octaves = opening.Connects, opening.Latency, opening.Octaves
	if r.Server != nil {
		r.Server.BytesPerConn = (r.Server.Memory - empty.memory) / int64(b.Conns)
		r.Server.PerMillion = opening.Server.PerMillion
	}
	return r, nil
}

// opening measures the opening of all connections.
func (b *bench) opening(ctx context.Context, channels func(n int) []string, each func(context.Context, int, *conn) error) (*Report, error) {
	before, err := b.read(0, 0)
	if err != nil {
		return nil, err
	}
	if err := b.openAll(ctx, b.Conns, channels, each); err != nil {
		return nil, err
	}
	after, err := b.read(0, int64(b.Conns))
	if err != nil {
		return nil, err
	}
	r := b.report(before, after)
	r.Connects, r.Done = r.Done, 0
	r.setLatency(&b.opened.latency)
	return r, nil
}
