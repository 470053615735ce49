package natsengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/skeinrt/skein/engine"
)

const (
	// writePatience is how long a write to NATS may take. It bounds how long
	// Publish can hang behind a NATS that does not read.
	writePatience = 5 * time.Second
	dialPatience  = 2 * time.Second
	natsPing      = time.Second
	natsPingsOut  = 3
)

// carrier is the connection to NATS: the server in this process, or another.
type carrier struct {
	nc      *nats.Conn
	inlet   *inlet
	log     *slog.Logger
	up      atomic.Bool
	closing atomic.Bool
	// losses counts how often the connection has been lost; changed holds one
	// when that or up is different.
	losses  atomic.Uint64
	changed chan struct{}
	// complaint is the second of the last error that was logged.
	complaint atomic.Int64
}

func newCarrier(log *slog.Logger) *carrier {
	return &carrier{inlet: newInlet(), log: log, changed: make(chan struct{}, 1)}
}

// dial says where NATS is and how to get in.
type dial struct {
	urls    string
	remote  bool // over the network
	options []nats.Option
}

func (c *carrier) connect(ctx context.Context, node string, d dial) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	options := append([]nats.Option{
		nats.Name("skein " + node),
		nats.NoEcho(),
		nats.SkipSubjectValidation(), // ours are valid; see channelToken
		nats.Timeout(dialPatience),
		nats.PingInterval(natsPing),
		nats.MaxPingsOutstanding(natsPingsOut),
		nats.FlusherTimeout(0), // gatedConn has the deadline
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(reconnectDelay),
		nats.DisconnectErrHandler(c.lost),
		nats.ReconnectHandler(c.restored),
		nats.ErrorHandler(c.complained),
	}, d.options...)
	first := &first{ctx: ctx}
	if d.remote {
		options = append(options, nats.SetCustomDialer(dialer{c.inlet, first}))
	}
	nc, err := nats.Connect(d.urls, options...)
	first.made.Store(true)
	if ctx.Err() != nil {
		if err == nil {
			nc.Close()
		}
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	c.nc = nc
	c.up.Store(true)
	return nil
}

// reconnectDelay is called each time all addresses have been tried.
func reconnectDelay(attempts int) time.Duration {
	wait := 50 * time.Millisecond << min(attempts, 5)
	return wait/2 + rand.N(wait) //nolint:gosec // jitter
}

func (c *carrier) lost(_ *nats.Conn, err error) {
	if c.closing.Load() {
		return
	}
	c.up.Store(false)
	c.losses.Add(1)
	c.log.Warn("connection to NATS lost", slog.Any("error", err))
	c.notify()
}

func (c *carrier) restored(nc *nats.Conn) {
	c.up.Store(true)
	c.log.Info("connection to NATS restored", slog.String("server", nc.ConnectedServerName()))
	c.notify()
}

func (c *carrier) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// complained logs errors that belong to no call, at most one a second.
func (c *carrier) complained(_ *nats.Conn, sub *nats.Subscription, err error) {
	now := time.Now().Unix()
	if c.closing.Load() || c.complaint.Swap(now) == now {
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	c.log.Error("NATS complains", slog.String("subject", subject), slog.Any("error", err))
}

// publish fails at once while NATS is away. It does not keep data.
func (c *carrier) publish(subject string, data []byte) error {
	if !c.up.Load() {
		return engine.ErrUnreachable
	}
	return named(c.nc.Publish(subject, data))
}

func (c *carrier) subscribe(subject string) (*nats.Subscription, error) {
	if !c.up.Load() {
		return nil, engine.ErrUnreachable
	}
	sub, err := c.nc.ChanSubscribe(subject, c.inlet.queue)
	return sub, named(err)
}

// listen calls f, in a goroutine of nats.go, for what comes.
func (c *carrier) listen(subject string, f func(*nats.Msg)) error {
	_, err := c.nc.Subscribe(subject, f)
	return named(err)
}

// named puts the engine's name on an error of nats.go.
func named(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", engine.ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", engine.ErrUnreachable, err)
}

// limit is the largest packet that NATS takes.
func (c *carrier) limit() int { return int(c.nc.MaxPayload()) }

// probe returns when NATS has handled everything sent up to now, with what it
// has complained about since it was connected.
func (c *carrier) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return named(err)
	}
	return c.nc.LastError()
}

func (c *carrier) close() {
	c.closing.Store(true)
	c.up.Store(false)
	if c.nc != nil {
		c.nc.Close()
	}
}

// dialer opens connections of nats.go over the network.
type dialer struct {
	inlet *inlet
	first *first
}

// first is the connection that Start waits for: it breaks when Start gives up,
// since nats.go knows no context.
type first struct {
	ctx  context.Context //nolint:containedctx // of Start, which waits meanwhile
	made atomic.Bool
}

// Dial is what nats.go calls.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	ctx := d.first.ctx
	if d.first.made.Load() {
		ctx = context.WithoutCancel(ctx)
	}
	conn, err := (&net.Dialer{Timeout: dialPatience}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		if !d.first.made.Load() {
			_ = conn.Close() // which ends the reading of it
		}
	})
	return d.inlet.gate(conn, writePatience), nil
}
