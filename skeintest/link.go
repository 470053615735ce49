package skeintest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skeinrt/skein/engine"
)

// Link returns the engines of n nodes that carry each other's messages and questions, as a cluster without a network: give
// each one to the Options.Engine of a server. What is published on one node has arrived on all when Publish returns. Each
// engine is a *Line, which has what can go wrong between nodes.
func Link(n int) []engine.Engine {
	k := &knot{}
	engines := make([]engine.Engine, n)
	for i := range engines {
		l := &Line{Memory: engine.NewMemory(), knot: k, joined: map[string]struct{}{}, over: make(chan struct{})}
		l.node.Name = fmt.Sprintf("node-%d", i+1)
		k.lines = append(k.lines, l)
		engines[i] = l
	}
	return engines
}

// knot is what ties lines together.
type knot struct {
	mu    sync.Mutex // guards the lines too; never held while a node is told something
	lines []*Line
	boots int
}

// Line is the engine of one node of Link, and what a test can do to it. Members come with Start and go with Close; all of it
// is known to the others at once.
type Line struct {
	*engine.Memory

	knot *knot
	node engine.Node // set before Start

	// Under the knot's lock.
	up      bool
	cut     bool // by Cut
	dead    bool // by Kill
	stalled bool
	bereft  bool // it has lost all others
	boot    string
	started time.Time
	joined  map[string]struct{}
	life    context.Context //nolint:containedctx // what questions are served with, made by Start

	over chan struct{}  // closed by Close
	busy sync.WaitGroup // who calls the node
}

var (
	_ engine.Engine  = (*Line)(nil)
	_ engine.Cluster = (*Line)(nil)
)

// Limits of a question and of its answer, and how long both take.
const (
	maxQuestion = 512 << 10
	lag         = time.Millisecond
)

// Attach takes the name of the node, where it has one.
func (l *Line) Attach(n engine.Node) {
	n.Name = cmp.Or(n.Name, l.node.Name)
	l.node = n
}

// Start lets the others see the node. Two of one name cannot live together.
func (l *Line) Start(ctx context.Context, sink engine.Sink) error {
	if other := l.knot.find(l.node.Name); other != nil && other != l {
		return fmt.Errorf("a node of the name %q is there already", l.node.Name)
	}
	if err := l.Memory.Start(ctx, sink); err != nil {
		return err
	}
	l.knot.change(leaving, func() {
		l.knot.boots++
		l.up, l.boot, l.started = true, fmt.Sprintf("boot-%d", l.knot.boots), time.Now()
		l.life = context.WithoutCancel(ctx)
	})
	return nil
}

// Publish hands the message to the node's own engine, and then to the others that are reached.
func (l *Line) Publish(ctx context.Context, m engine.Message) error {
	if err := l.Memory.Publish(ctx, m); err != nil {
		return err
	}
	var errs []error
	for _, other := range l.others() {
		if err := other.Memory.Publish(ctx, m); !errors.Is(err, engine.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Join notes the channel, for the gaps.
func (l *Line) Join(ctx context.Context, channel string) error {
	if err := l.Memory.Join(ctx, channel); err != nil {
		return err
	}
	l.knot.mu.Lock()
	defer l.knot.mu.Unlock()
	l.joined[channel] = struct{}{}
	return nil
}

// Leave forgets the channel.
func (l *Line) Leave(channel string) {
	l.Memory.Leave(channel)
	l.knot.mu.Lock()
	defer l.knot.mu.Unlock()
	delete(l.joined, channel)
}

// Close takes the node's leave of the others.
func (l *Line) Close(ctx context.Context) error {
	was := false
	l.knot.change(leaving, func() { was, l.up = l.up, false })
	if was {
		close(l.over)
		l.busy.Wait()
	}
	return l.Memory.Close(ctx)
}

// Members lists the nodes that this one reaches, and itself.
func (l *Line) Members() []engine.Member {
	l.knot.mu.Lock()
	seen := l.reached()
	if l.up {
		seen = append(seen, l)
	}
	list := make([]engine.Member, len(seen))
	for i, other := range seen {
		list[i] = engine.Member{Name: other.node.Name, Boot: other.boot, Started: other.started, Local: other == l}
	}
	l.knot.mu.Unlock()
	for i, other := range seen {
		list[i].Seen = time.Now()
		if info := other.node.Info; info != nil {
			list[i].Info = info()
		}
		if other != l {
			list[i].Lag = lag
		}
	}
	slices.SortFunc(list, func(a, b engine.Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Call asks a member. One that is stalled leaves the question unanswered.
func (l *Line) Call(ctx context.Context, member, topic string, data []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(data) > maxQuestion {
		return nil, engine.ErrTooLarge
	}
	l.knot.mu.Lock()
	if !l.up {
		l.knot.mu.Unlock()
		return nil, engine.ErrClosed
	}
	seen := append(l.reached(), l)
	i := slices.IndexFunc(seen, func(other *Line) bool { return other.node.Name == member && other.node.Serve != nil })
	if i >= 0 {
		seen[i].busy.Add(1)
	}
	l.knot.mu.Unlock()
	if i < 0 {
		return nil, engine.ErrNoMember
	}
	return seen[i].answer(ctx, l.node.Name, topic, data)
}

// answer has the node serve a question, in a goroutine of its own.
func (l *Line) answer(ctx context.Context, from, topic string, data []byte) ([]byte, error) { //nolint:contextcheck // it serves with its own; the asker's ends that
	served, cancel := context.WithCancelCause(l.life)
	defer cancel(engine.ErrNoMember)
	type reply struct {
		data []byte
		err  error
	}
	replies := make(chan reply, 1)
	go func() {
		defer l.busy.Done()
		if l.isStalled() {
			<-served.Done()
			return
		}
		out, err := l.node.Serve(served, from, topic, data)
		replies <- reply{out, err}
	}()
	select {
	case r := <-replies:
		switch {
		case r.err != nil:
			return nil, &engine.CallError{Member: l.node.Name, Message: r.err.Error()}
		case len(r.data) > maxQuestion:
			return nil, &engine.CallError{Member: l.node.Name, Message: engine.ErrTooLarge.Error()}
		}
		return r.data, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.over:
		return nil, engine.ErrNoMember
	}
}

func (l *Line) isStalled() bool {
	l.knot.mu.Lock()
	defer l.knot.mu.Unlock()
	return l.stalled
}

// Cut cuts the node off: it and the others lose each other, without anybody's leave.
func (l *Line) Cut() { l.knot.change(losing, func() { l.cut = true }) }

// Heal undoes Cut and Stall.
func (l *Line) Heal() { l.knot.change(losing, func() { l.cut, l.stalled = false, false }) }

// Stall lets the node answer no more questions, which nobody has noticed yet. Messages pass.
func (l *Line) Stall() { l.knot.change(leaving, func() { l.stalled = true }) }

// Kill takes the node away as the end of its process would: the others lose it without its leave. Its own server is told
// nothing, speaks to nobody any more, and still has to be closed.
func (l *Line) Kill() { l.knot.change(losing, func() { l.dead = true }) }

// Gap tells the node that messages of these channels may be missing.
func (l *Line) Gap(channels ...string) {
	l.knot.mu.Lock()
	told := l.up && l.node.Gap != nil
	if told {
		l.busy.Add(1)
	}
	l.knot.mu.Unlock()
	if told {
		defer l.busy.Done()
		l.node.Gap(channels)
	}
}

// others are the lines that this one reaches.
func (l *Line) others() []*Line {
	l.knot.mu.Lock()
	defer l.knot.mu.Unlock()
	return l.reached()
}

// reached is others under the lock.
func (l *Line) reached() []*Line {
	var list []*Line
	for _, other := range l.knot.lines {
		if other != l && l.connected() && other.connected() {
			list = append(list, other)
		}
	}
	return list
}

func (l *Line) connected() bool { return l.up && !l.cut && !l.dead }

// find returns the living line of a name.
func (k *knot) find(name string) *Line {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.lines, func(l *Line) bool { return l.up && !l.dead && l.node.Name == name })
	if i < 0 {
		return nil
	}
	return k.lines[i]
}

// manner is how members go.
type manner bool

const (
	leaving manner = false
	losing  manner = true
)

// change makes a change and tells every node what it sees of it.
func (k *knot) change(how manner, fn func()) {
	k.mu.Lock()
	before := map[*Line][]*Line{}
	for _, l := range k.lines {
		before[l] = l.reached()
	}
	fn()
	var news []func()
	for _, l := range k.lines {
		if after := l.reached(); !slices.Equal(before[l], after) {
			news = append(news, l.news(how, before[l], after)...)
		}
	}
	k.mu.Unlock()
	for _, tell := range news {
		tell()
	}
}

// news are what a node has to be told when it sees other members than before. Called with the lock held.
func (l *Line) news(how manner, before, after []*Line) []func() {
	if !l.up || l.dead || l.node.Changed == nil {
		return nil
	}
	l.busy.Add(1)
	list := []func(){l.node.Changed}
	if how == losing {
		channels := make([]string, 0, len(l.joined))
		for c := range l.joined {
			channels = append(channels, c)
		}
		slices.Sort(channels)
		list = append(list, func() { l.node.Gap(channels) })
	}
	if bereft := len(after) == 0 && (l.bereft || how == losing && len(before) > 0); bereft != l.bereft {
		l.bereft = bereft
		list = append(list, func() { l.node.Cut(bereft) })
	}
	return append(list, l.busy.Done)
}
