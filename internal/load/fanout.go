package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// stage is a crowd and those who publish to it.
type stage struct {
	*bench

	crowd      *crowd
	publishers []*publisher
	closing    atomic.Bool
	working    sync.WaitGroup
}

func (b *bench) fanout(ctx context.Context) (*Report, error) {
	r, err := b.deliver(ctx, b.clocked, b.measure)
	if r != nil {
		r.Rate = b.Rate
	}
	return r, err
}

func (b *bench) saturate(ctx context.Context) (*Report, error) {
	return b.deliver(ctx, func(p *publisher) pace { return p.byWindow(b) }, b.measure)
}

// clocked has all publishers together keep the rate.
func (b *bench) clocked(p *publisher) pace {
	gap := time.Duration(float64(time.Second) * float64(b.Pubs) / b.Rate)
	return byClock(b.start, gap*time.Duration(p.n)/time.Duration(b.Pubs), gap)
}

// deliver has publishers work, each at its pace, and measures what of theirs arrives.
func (b *bench) deliver(ctx context.Context, paceOf func(*publisher) pace, measure func(context.Context, counter) (*Report, error)) (*Report, error) {
	s := &stage{bench: b}
	for n := range b.Pubs {
		s.publishers = append(s.publishers, b.newPublisher(n))
	}
	s.crowd = &crowd{bench: b, publishers: s.publishers}
	defer s.close()
	if err := s.gather(ctx); err != nil {
		return nil, err
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var publishing sync.WaitGroup
	for _, p := range s.publishers {
		publishing.Go(func() { s.attend(p, p.run(sending, paceOf(p))) })
	}
	r, err := measure(ctx, s.counts)
	stop()
	publishing.Wait()
	if err != nil {
		return nil, err
	}
	r.Lost = b.settle(ctx, s.missing)
	total := sum(&b.meters)
	r.OutOfOrder, r.Repeated = total.late, total.repeated
	r.setLatency(&total.latency)
	return r, nil
}

// gather connects everybody.
func (s *stage) gather(ctx context.Context) error {
	s.Progress(fmt.Sprintf("connecting %d subscribers", s.Conns))
	err := s.openAll(ctx, s.Conns, s.channelsOf, s.crowd.admit)
	if err != nil {
		return err
	}
	return s.openAll(ctx, s.Pubs, none, s.employ)
}

// employ takes over a connection for a publisher. As publications are not acknowledged, a first one is, to tell whether
// the server takes them at all.
func (s *stage) employ(ctx context.Context, n int, c *conn) error {
	p := s.publishers[n]
	p.conn = c
	err := c.within(ctx, func() error {
		return c.call("publish", func(call uint64) []byte { return s.Protocol.Publish(s.channel(n%s.Channels), "bench", call) })
	})
	if err != nil {
		return err
	}
	s.working.Go(func() { s.attend(p, p.listen()) })
	return nil
}

// attend ends the run with what ended a publisher, unless that was asked for.
func (s *stage) attend(p *publisher, err error) {
	if err != nil && !s.closing.Load() {
		s.fail(fmt.Errorf("publisher %d of %d: %w", p.n+1, s.Pubs, err))
	}
}

func (s *stage) close() {
	s.closing.Store(true)
	for _, p := range s.publishers {
		if p.conn != nil {
			_ = p.conn.Close() // either way it is over
		}
	}
	s.working.Wait()
	s.crowd.close()
}

func (s *stage) counts() (sent, delivered int64) {
	for _, p := range s.publishers {
		sent += p.sent.Load()
		delivered += p.delivered.Load()
	}
	return sent, delivered
}

func (s *stage) missing() (n int64) {
	for _, p := range s.publishers {
		n += p.owed.Load() - p.delivered.Load()
	}
	return n
}
