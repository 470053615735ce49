package natsengine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/engine"
)

// Engine carries messages between nodes over NATS. It implements
// [engine.Engine] and [engine.Cluster].
type Engine struct {
	identity
	source source
	log    *slog.Logger
	node   engine.Node
	sink   engine.Sink

	life      *life
	carrier   *carrier
	interests *interests
	numbers   *numbers
	barrier   *barrier
	members   *members
	calls     *calls
	sweeper   sweeper
	teller    *teller
	flow      *flow
	counters  counters
	buffers   sync.Pool // *[]byte, of messages: NATS copies what it is given

	mail
	entry
	watch // of the dispatcher
}

var (
	_ engine.Engine  = (*Engine)(nil)
	_ engine.Cluster = (*Engine)(nil)
)

// identity never changes.
type identity struct {
	options  Options
	boot     boot
	secret   string // of the cluster; empty where there is none
	started  time.Time
	subjects subjects
}

// mail is what leaves by the courier.
type mail struct {
	outbox chan letter
	due    chan struct{} // holds one when others should hear of the node soon
	beats  beats
	info   atomic.Pointer[json.RawMessage] // the last Node.Info
}

// entry is of use while the node joins the others.
type entry struct {
	joining    atomic.Bool
	progressed chan struct{} // holds one when somebody has answered
	refusals   chan error
}

// source is where NATS comes from: this process, or elsewhere.
type source interface {
	// check returns all that is wrong with the options.
	check() error
	// start returns how to connect, when that is possible.
	start(ctx context.Context, e *Engine) (dial, error)
	// address is where the other nodes' routes lead to, if anywhere.
	address() string
	// patience says how long to wait for others; it is asked after start.
	patience() patience
	// diagnose says why others do not answer.
	diagnose(ctx context.Context) []string
	// pending is what waits for the slowest other node.
	pending() int64
	// stop ends what start has begun, when nothing is connected any more.
	stop()
}

func newEngine(o Options, s source) *Engine {
	o = o.withDefaults()
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	e := &Engine{
		identity: identity{options: o, boot: boot(binary.BigEndian.Uint64(random[:]) | 1), started: time.Now(), subjects: newSubjects(o.Prefix)},
		source:   s, log: o.Logger.With(slog.String("node", o.Node)),
		life: newLife(), interests: newInterests(), numbers: newNumbers(), barrier: newBarrier(),
		members: newMembers(), calls: newCalls(), teller: newTeller(), flow: newFlow(),
		mail:  mail{outbox: make(chan letter, outboxSize), due: make(chan struct{}, 1)},
		entry: entry{progressed: make(chan struct{}, 1), refusals: make(chan error, 1)},
		watch: watch{complained: make(map[boot]struct{}), strangers: make(map[boot]struct{})},
	}
	e.carrier = newCarrier(e.log)
	e.info.Store(new(json.RawMessage))
	e.Attach(engine.Node{})
	return e
}

// Attach tells the engine about its node. What is nil does nothing.
func (e *Engine) Attach(n engine.Node) {
	if e.options.Node == "" {
		e.options.Node = n.Name
	}
	if n.Info == nil {
		n.Info = func() json.RawMessage { return nil }
	}
	if n.Serve == nil {
		n.Serve = func(context.Context, string, string, []byte) ([]byte, error) {
			return nil, errors.New("answers no questions")
		}
	}
	if n.Gap == nil {
		n.Gap = func([]string) {}
	}
	changed := n.Changed
	n.Changed = func() {
		if changed != nil {
			changed()
		}
		e.hasten() // what the node says of itself may depend on it
	}
	if n.Cut == nil {
		n.Cut = func(bool) {}
	}
	e.node = n
}

// Start connects to NATS and returns when each other node has answered, so that
// this one knows what they are interested in. It fails with all that is wrong
// with the options at once, when the node's name is taken, and when another
// node speaks another protocol or has another secret; those that have met this
// node meanwhile are told that it is gone.
func (e *Engine) Start(ctx context.Context, sink engine.Sink) error {
	if ctx.Err() != nil {
		e.life.end()
		return context.Cause(ctx)
	}
	if err := e.life.begin(); err != nil {
		return err
	}
	e.sink = sink
	err := e.open(ctx)
	if err == nil {
		err = e.life.run()
	}
	if err != nil {
		e.life.end()
		e.retract(ctx)
		e.release()
		return fmt.Errorf("start node %q: %w", e.options.Node, err)
	}
	e.teller.change()
	return nil
}

func (e *Engine) open(ctx context.Context) error {
	if err := errors.Join(e.options.check(), e.source.check()); err != nil {
		return err
	}
	root, ctx := e.life.begun(ctx)
	to, err := e.source.start(ctx, e)
	if err != nil {
		return err
	}
	if err := e.carrier.connect(ctx, e.options.Node, to); err != nil {
		return err
	}
	if err := e.enrol(ctx); err != nil {
		return err
	}
	e.joining.Store(true)
	e.refresh()
	e.ticked = time.Now()
	for _, run := range []func(context.Context){e.dispatch, e.courier, e.commit, e.sweep} {
		e.life.work.Go(func() { run(root) })
	}
	e.life.work.Go(func() { e.teller.run(root, e.node) })
	if err := e.joinOthers(ctx); err != nil {
		return err
	}
	e.joining.Store(false)
	e.beat()
	return nil
}

// enrol subscribes what every node hears, and finds out whether it may.
func (e *Engine) enrol(ctx context.Context) error {
	for _, subject := range []string{e.subjects.everyone, e.subjects.inbox(e.boot)} {
		if _, err := e.carrier.subscribe(subject); err != nil {
			return err
		}
	}
	if err := e.carrier.listen(e.subjects.flow(e.boot), e.paced); err != nil {
		return err
	}
	// No channel has this token.
	subject := e.subjects.channels + "%-"
	trial, err := e.carrier.subscribe(subject)
	if err != nil {
		return err
	}
	_ = trial.Unsubscribe() // the probe finds out
	for _, to := range []string{subject, e.subjects.everyone, e.subjects.inbox(e.boot)} {
		if err := e.carrier.publish(to, e.packet(kindFarewell).encode()); err != nil {
			return err
		}
	}
	return e.carrier.probe(ctx)
}

// Publish calls the local sink if the channel is joined, and sends the message to
// the other nodes that have joined it. It fails with [engine.ErrUnreachable] at
// once while the connection to NATS is lost.
func (e *Engine) Publish(ctx context.Context, m engine.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !e.life.enter() {
		return engine.ErrClosed
	}
	defer e.life.exit()
	if !e.carrier.up.Load() {
		return engine.ErrUnreachable
	}
	token, hashed := channelToken(m.Channel)
	size := preambleSize + 4*maxVarint + len(m.Origin) + len(m.Data)
	if hashed {
		size += len(m.Channel)
	}
	if limit := e.carrier.limit(); size > limit {
		return fmt.Errorf("%w: %d octets, and NATS takes %d", engine.ErrTooLarge, size, limit)
	}
	if err := e.pace(ctx); err != nil {
		return err
	}
	if _, joined := e.interests.find(m.Channel); joined {
		e.sink(m)
	}
	return e.export(m, token, hashed)
}

const (
	maxVarint = binary.MaxVarintLen64
	// messageCost is about what a message costs beside its data and its name.
	messageCost = 64
)

// export sends a message to the other nodes.
func (e *Engine) export(m engine.Message, token string, hashed bool) error {
	h := header{origin: m.Origin}
	if hashed {
		h.channel = m.Channel
	}
	buffer, _ := e.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	defer e.buffers.Put(buffer)
	full, err := e.numbers.send(m.Channel, func(seq, prev uint64) error {
		h.seq, h.prev = seq, prev
		data := appendHeader(appendPreamble((*buffer)[:0], kindMessage, e.boot), h)
		data = append(data, m.Data...)
		if cap(data) <= maxBuffer {
			*buffer = data
		}
		return e.carrier.publish(e.subjects.channels+token, data)
	})
	if err != nil {
		return err
	}
	e.counters.published.Add(1)
	e.ahead(len(m.Data) + len(token) + messageCost)
	if full {
		e.tell(nil, 0, e.numbers.shard(m.Channel).tell(nil))
	}
	return nil
}

// maxBuffer is the largest buffer that is kept.
const maxBuffer = 64 << 10

// Join subscribes the channel and returns when each member has answered the
// barrier behind it, or has died. It fails with [engine.ErrUnreachable] while
// the connection to NATS is lost.
func (e *Engine) Join(ctx context.Context, channel string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !e.life.enter() {
		return engine.ErrClosed
	}
	defer e.life.exit()
	if !e.carrier.up.Load() {
		e.leave(channel)
		return engine.ErrUnreachable
	}
	b := e.interests.join(channel, e.barrier.queue)
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		e.leave(channel)
		return context.Cause(ctx)
	}
}

// Leave ends the interest in the channel; its subscription lingers.
func (e *Engine) Leave(channel string) {
	if !e.life.enter() {
		return
	}
	defer e.life.exit()
	e.leave(channel)
}

func (e *Engine) leave(channel string) {
	it, lease := e.interests.leave(channel)
	switch {
	case it == nil:
	case e.interests.idle.Load() > maxLingering:
		e.interests.drop(it, lease, e.barrier.end)
	default:
		e.sweeper.add(leaving{it, lease})
	}
}

// Close fails the joins and calls that wait, tells the others that this node
// leaves and waits until they have everything; for one that does not answer, a
// third of the time that ctx leaves, and 1 s at most. Then it ends the
// connection, and NATS where it is embedded.
func (e *Engine) Close(ctx context.Context) error {
	if e.life.end() == running {
		go func() { // whoever closes waits for it
			e.depart(ctx)
			e.release()
		}()
	}
	return e.life.wait(ctx)
}

const (
	// farewellMost is how long Close waits for those who do not answer: a dead
	// one must not make a shutdown late, and nats-server may take a second to
	// stop when it tries to reach that one.
	farewellMost  = time.Second
	farewellShare = 3
	// retractPatience is how long a Start that has failed waits for NATS to take
	// its bye.
	retractPatience = 200 * time.Millisecond
)

// farewellPatience is how long Close may wait for those who do not answer.
func farewellPatience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(time.Until(deadline)/farewellShare, farewellMost)
	}
	return farewellMost
}

// depart says bye, until all have answered. Without a connection nobody can.
func (e *Engine) depart(ctx context.Context) {
	goodbye := e.barrier.close(e.members.view)
	e.calls.close()
	e.flow.leave() // publishers wait for nobody any more
	select {
	case <-e.life.idle:
	case <-ctx.Done():
	}
	upTo := e.numbers.seq.Load()
	e.tell(nil, upTo, e.numbers.untold())
	enough := time.NewTimer(farewellPatience(ctx))
	defer enough.Stop()
	again := time.NewTicker(resend)
	defer again.Stop()
	for e.carrier.up.Load() {
		e.send(letter{e.subjects.everyone, e.packet(kindBye)})
		select {
		case <-again.C:
			continue
		case <-goodbye.done:
		case <-enough.C:
		case <-ctx.Done():
		}
		return
	}
}

// retract takes back the hellos of a Start that has failed. Nothing was
// published, so that nobody has to answer.
func (e *Engine) retract(ctx context.Context) {
	e.barrier.close(e.members.view)
	e.calls.close()
	if !e.carrier.up.Load() {
		return
	}
	e.send(letter{e.subjects.everyone, e.packet(kindBye)})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), retractPatience)
	defer cancel()
	_ = e.carrier.probe(ctx) // without it they miss this node when it is dead
}

// release ends everything that Start has begun.
func (e *Engine) release() {
	e.life.stop()
	e.carrier.close()
	e.source.stop() // also where a sink or an answer never ends
	e.life.work.Wait()
	close(e.life.released)
}
