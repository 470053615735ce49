package natsengine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skeinrt/skein/engine"
)

const (
	// maxCall is the most that a question or an answer may have.
	maxCall = 512 << 10
	// maxTopic is the most that a topic may have.
	maxTopic = 4 << 10
	// maxServing is how many questions are served at a time; more are refused.
	maxServing = 256
	// maxPatience is how long the answer to a question may take when the asker's
	// context has no end.
	maxPatience = time.Minute
)

// calls are the questions on their way, in both directions.
type calls struct {
	mu      sync.Mutex
	closed  bool
	last    uint64
	asked   map[uint64]*call
	serving map[question]context.CancelFunc
}

// call is a question of this node.
type call struct {
	to   boot
	done chan struct{}
	data []byte
	err  error
}

// question is one of another node.
type question struct {
	from boot
	id   uint64
}

func newCalls() *calls {
	return &calls{asked: make(map[uint64]*call), serving: make(map[question]context.CancelFunc)}
}

func (c *calls) ask(to boot) (uint64, *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	asked := &call{to: to, done: make(chan struct{})}
	if c.closed {
		asked.err = engine.ErrClosed
		close(asked.done)
		return c.last, asked
	}
	c.asked[c.last] = asked
	return c.last, asked
}

// end gives a call its result, if nobody has before.
func (c *calls) end(id uint64, data []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked := c.asked[id]; asked != nil {
		asked.data, asked.err = data, err
		close(asked.done)
		delete(c.asked, id)
	}
}

// fail ends the calls to one node, or to all if that is 0; what is being served
// for it ends as well.
func (c *calls) fail(to boot, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, asked := range c.asked {
		if to == 0 || asked.to == to {
			asked.err = err
			close(asked.done)
			delete(c.asked, id)
		}
	}
	for q, cancel := range c.serving {
		if to == 0 || q.from == to {
			cancel()
		}
	}
}

// close fails all calls, and those to come.
func (c *calls) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.fail(0, engine.ErrClosed)
}

// serve enters a question and begins to serve it. It reports false when there
// are too many.
func (c *calls) serve(q question, cancel context.CancelFunc, begin func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.serving) >= maxServing {
		return false
	}
	c.serving[q] = cancel
	begin()
	return true
}

func (c *calls) served(q question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.serving, q)
}

// abandon ends a question whose asker has gone away.
func (c *calls) abandon(q question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.serving[q]; cancel != nil {
		cancel()
	}
}

// Call asks a member. Without a deadline of ctx it waits for a minute at most.
func (e *Engine) Call(ctx context.Context, member, topic string, data []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !e.life.enter() {
		return nil, engine.ErrClosed
	}
	defer e.life.exit()
	if len(data) > maxCall || len(topic) > maxTopic {
		return nil, fmt.Errorf("%w: a question of %d octets about %d, want at most %d about %d",
			engine.ErrTooLarge, len(data), len(topic), maxCall, maxTopic)
	}
	ctx, cancel := context.WithTimeout(ctx, maxPatience)
	defer cancel()
	to := e.boot
	if member != e.options.Node {
		var ok bool
		if to, ok = e.members.named(member); !ok {
			return nil, fmt.Errorf("%w: %q", engine.ErrNoMember, member)
		}
	}
	id, asked := e.calls.ask(to)
	if err := e.question(ctx, to, packet{id: id, text: topic, data: data}); err != nil {
		e.calls.end(id, nil, err)
	}
	return e.answer(ctx, member, id, asked)
}

// question sends it off, or serves it here.
func (e *Engine) question(ctx context.Context, to boot, p packet) error {
	p.preamble, p.name = preamble{protocol: protocol, kind: kindAsk, boot: e.boot}, e.options.Node
	deadline, _ := ctx.Deadline()
	p.patience = time.Until(deadline)
	if to == e.boot {
		e.serve(e.life.root(), p) //nolint:contextcheck // as if another node had asked; see abandon
		return nil
	}
	return e.carrier.publish(e.subjects.inbox(to), p.encode())
}

func (e *Engine) answer(ctx context.Context, member string, id uint64, asked *call) ([]byte, error) {
	select {
	case <-asked.done:
	case <-ctx.Done():
		e.calls.end(id, nil, context.Cause(ctx))
		<-asked.done
		if asked.to == e.boot {
			e.calls.abandon(question{e.boot, id})
		} else {
			p := e.packet(kindAbandon)
			p.id = id
			e.post(letter{e.subjects.inbox(asked.to), p})
		}
	}
	if told, ok := errors.AsType[*engine.CallError](asked.err); ok {
		told.Member = member
	}
	return asked.data, asked.err
}

// serve answers a question in a goroutine of its own.
func (e *Engine) serve(ctx context.Context, p packet) {
	q := question{p.boot, p.id}
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	work := func() {
		defer cancel()
		defer e.calls.served(q)
		data, err := e.node.Serve(ctx, p.name, p.text, p.data)
		if len(data) > maxCall {
			data, err = nil, fmt.Errorf("an answer of %d octets, want at most %d", len(data), maxCall)
		}
		e.reply(q, data, err, e.send)
	}
	if !e.calls.serve(q, cancel, func() { e.life.work.Go(work) }) {
		cancel()
		e.reply(q, nil, fmt.Errorf("more than %d questions at a time", maxServing), e.post)
	}
}

// reply sends an answer off. When it is lost, the asker's patience ends.
func (e *Engine) reply(q question, data []byte, err error, send func(letter)) {
	p := e.packet(kindAnswer)
	p.id, p.data = q.id, data
	if err != nil {
		p.failed, p.data = true, []byte(truncated(err.Error()))
	}
	if q.from == e.boot {
		e.calls.end(q.id, p.result(), p.failure())
		return
	}
	send(letter{e.subjects.inbox(q.from), p})
}

// truncated bounds what an error may say to another node.
func truncated(s string) string { return s[:min(len(s), 4<<10)] }

func (p packet) result() []byte {
	if p.failed {
		return nil
	}
	return p.data
}

func (p packet) failure() error {
	if p.failed {
		return &engine.CallError{Member: p.name, Message: string(p.data)}
	}
	return nil
}
