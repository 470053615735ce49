package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/internal/ws"
)

// State says where a client is in its life.
type State int

const (
	// Connecting means that an attempt to connect is under way.
	Connecting State = iota
	// Connected means that the handshake is done and the subscriptions are asked for.
	Connected
	// Waiting means that the connection is lost, or an attempt has failed; the next one comes after the back-off.
	Waiting
	// Closed means that the client has ended.
	Closed
)

// String returns the state in a word.
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Waiting:
		return "waiting"
	case Closed:
		return "closed"
	}
	return "unknown"
}

// Client is one client of a SocketCluster server, over as many connections as it takes. Its methods may be called
// from any goroutine. Lock order: Client, link, Stream; the connection's own locks come last.
type Client struct {
	cfg     config
	runtime *ws.Runtime
	cids    atomic.Uint64

	life  context.Context //nolint:containedctx // the client's life, of which procedures and reconnecting are part
	stop  context.CancelCauseFunc
	ended chan struct{} // closed behind the last connection
	done  chan struct{} // closed behind the last procedure, too

	slots   chan struct{} // holds one token for each procedure that runs
	hurried time.Time     // of run: when the client last came back without waiting

	saving sync.Mutex // one change of the token at a time, memory and store together; before mu

	mu         sync.Mutex
	state      State
	current    *link         // nil: not connected, or subscriptions not yet asked for again
	changed    chan struct{} // closed and replaced when current changes
	err        error         // why the client has ended
	identity   identity
	channels   map[string]*channel
	order      uint64 // of the latest channel
	receivers  map[string][]*Stream
	procedures map[string]Procedure
}

// Dial connects to a server and returns when the handshake is done. It fails when the first attempt fails. From then
// on the client keeps itself connected until Close, or until the server closes for good: with 1000, or a code from
// 4500 on. Ctx bounds the dialling, not the client's life; its values reach procedures and the token store.
func Dial(ctx context.Context, o Options) (*Client, error) {
	cfg, err := o.check()
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	c := &Client{
		cfg: cfg, ended: make(chan struct{}), done: make(chan struct{}), slots: make(chan struct{}, maxServed),
		changed: make(chan struct{}), channels: map[string]*channel{},
		receivers: map[string][]*Stream{}, procedures: map[string]Procedure{},
	}
	c.life, c.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := c.loadToken(ctx); err != nil {
		c.stop(err)
		return nil, err
	}
	c.runtime = ws.NewRuntime(ws.Config{Shards: 1, Logger: cfg.Logger})
	if o.Setup != nil {
		o.Setup(c)
	}
	l, err := c.connect(ctx)
	if err != nil {
		c.finish(err)
		<-c.done
		return nil, err
	}
	go c.run(l)
	return c, nil
}

// ID returns the name that the server gave to the latest connection.
func (c *Client) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity.id
}

// State returns where the client is in its life.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Done is closed when the client has ended and nothing of it runs any more, procedures included.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended, nil while it has not: ErrClosed after Close, otherwise the reason that kept it
// from connecting again, in which a CloseError may be found.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close says goodbye to the server and ends the client. It waits for the connection's end: 2 seconds for a server that
// does not answer, 12 where the network is stuck. It does not wait for procedures, whose context is done: they may call
// it. It returns an error when the client had ended before for a reason of its own.
func (c *Client) Close() error {
	c.stop(ErrClosed)
	<-c.ended
	if err := c.Err(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// run keeps the client connected, and then clears up behind it. It begins with a connection.
func (c *Client) run(l *link) {
	var err error
	for l != nil {
		reason := c.watch(l)
		l, err = c.again(reason)
	}
	c.finish(err)
}

// watch returns when the connection has ended.
func (c *Client) watch(l *link) *CloseError {
	select {
	case <-l.closed:
	case <-c.life.Done():
		l.conn.Close(1000, "")
		<-l.closed
	}
	return l.end
}

// finish ends everything that waits or listens. Who comes later finds err.
func (c *Client) finish(err error) {
	c.stop(err)
	c.runtime.Close()
	c.mu.Lock()
	c.err = err
	streams := c.streams()
	clear(c.channels)
	clear(c.receivers)
	close(c.changed)
	c.mu.Unlock()
	reason := err
	if !errors.Is(err, ErrClosed) {
		reason = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	for _, s := range streams {
		s.end(reason)
	}
	c.enter(Closed, err)
	close(c.ended)
	go func() {
		// Who holds every slot has waited for every procedure. No other begins: the executor has ended.
		for range cap(c.slots) {
			c.slots <- struct{}{}
		}
		close(c.done)
	}()
}

// streams returns every stream there is. The caller holds mu.
func (c *Client) streams() []*Stream {
	var all []*Stream
	for _, ch := range c.channels {
		for _, s := range ch.subs {
			all = append(all, s.Stream)
		}
	}
	for _, receivers := range c.receivers {
		all = append(all, receivers...)
	}
	return all
}

func (c *Client) enter(s State, reason error) {
	c.mu.Lock()
	c.state = s
	c.mu.Unlock()
	if c.cfg.OnState != nil {
		c.cfg.OnState(s, reason)
	}
}

// link returns the connection, and waits for one when there is none.
func (c *Client) link(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, err, changed := c.current, c.err, c.changed
		c.mu.Unlock()
		switch {
		case err != nil:
			return nil, ErrClosed
		case l != nil:
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrDisconnected, context.Cause(ctx))
		}
	}
}

// setCurrent tells everybody who waits for a connection. The caller holds mu.
func (c *Client) setCurrent(l *link) {
	c.current = l
	close(c.changed)
	c.changed = make(chan struct{})
}
