package natsengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"
)

// A node that joins says hello that often, in the beginning and in the end.
const (
	helloFirst = 50 * time.Millisecond
	helloLast  = 500 * time.Millisecond
)

// greet answers a hello. A node that joins publishes nothing before it has our
// answer, which travels behind our interest, so that it is a member at once;
// one that already serves becomes one when it has answered our own hello.
func (e *Engine) greet(p packet, now time.Time) {
	if !e.heeded(p) {
		return
	}
	other := e.acquaint(p, now)
	e.post(letter{e.subjects.inbox(p.boot), e.greeting(kindWelcome, p.boot)})
	switch {
	case other.state != meeting:
	case p.status.joining:
		e.admit(other, p.status)
	default:
		e.post(letter{e.subjects.inbox(p.boot), e.greeting(kindHello, 0)})
	}
}

// welcome takes the answer to our hello.
func (e *Engine) welcome(p packet, now time.Time) {
	if !e.heeded(p) {
		return
	}
	other := e.acquaint(p, now)
	if other.state == meeting {
		e.admit(other, p.status)
	}
	e.members.change(func() { other.welcomed = true })
	e.progress()
}

// heeded reports whether a node is to be heard: it has another name than this
// one, and has not said bye.
func (e *Engine) heeded(p packet) bool {
	if p.name == e.options.Node {
		e.conflict(p)
		return false
	}
	_, left := e.members.left[p.boot]
	return !left
}

// acquaint knows the sender of a hello or a welcome, which has proven itself.
func (e *Engine) acquaint(p packet, now time.Time) *peer {
	other := e.members.meet(p.boot, p.name, now)
	other.proven = true
	e.members.update(other, p.status, now)
	return other
}

// admit makes a peer a member. What it had published before, and we do not
// know of, is told as a gap; everything after that has to arrive.
func (e *Engine) admit(p *peer, s status) {
	missed := !s.joining && s.seq > p.beaten
	p.seq, p.base, p.beat, p.beaten, p.active = s.seq, s.seq, s.beat, s.seq, true
	e.members.change(func() { p.state = alive })
	e.flow.add(p.boot)
	e.log.Info("node has joined", slog.String("member", p.name), slog.String("boot", p.boot.String()), slog.String("address", p.address))
	if missed {
		e.gapEverywhere()
	}
	e.orphaned = false
	e.judge()
	e.teller.change()
	e.progress()
}

// conflict meets another living node with our name: the one that has been here
// for longer refuses the other.
func (e *Engine) conflict(p packet) {
	younger := p.status.started > e.started.UnixNano() || p.status.started == e.started.UnixNano() && p.boot > e.boot
	if p.status.joining && (younger || !e.joining.Load()) {
		refusal := e.packet(kindRefuse)
		refusal.text = fmt.Sprintf("the name %q is taken by a living node at %q (boot %v)", e.options.Node, e.source.address(), e.boot)
		e.post(letter{e.subjects.inbox(p.boot), refusal})
	}
	if e.joining.Load() && !p.status.joining {
		e.refused(fmt.Errorf("the name %q is taken by a living node at %q (boot %v)", p.name, p.status.address, p.boot))
		return
	}
	if e.first(p.boot) {
		e.log.Error("another node has the name of this one; it is no member",
			slog.String("address", p.status.address), slog.String("boot", p.boot.String()))
	}
}

// foreign meets a node that speaks another protocol: neither will be a member.
func (e *Engine) foreign(p packet) {
	if p.kind == kindRefuse {
		e.refusal(p)
		return
	}
	e.reject(p, fmt.Errorf("node %q speaks protocol %d, and node %q protocol %d", p.name, p.protocol, e.options.Node, protocol))
}

// refusal takes a refuse packet.
func (e *Engine) refusal(p packet) {
	e.refused(fmt.Errorf("node %q refuses: %s", p.name, p.text))
	if e.first(p.boot) {
		e.log.Error("another node refuses this one", slog.String("member", p.name), slog.String("reason", p.text))
	}
}

// refused fails Start, while that runs.
func (e *Engine) refused(err error) {
	if !e.joining.Load() {
		return
	}
	select {
	case e.refusals <- err:
	default: // another one is on its way
	}
}

// first reports whether nothing has been logged against that run of a node.
func (e *Engine) first(b boot) bool {
	if _, known := e.complained[b]; known || len(e.complained) >= maxDead {
		return false
	}
	e.complained[b] = struct{}{}
	return true
}

// progress wakes Start.
func (e *Engine) progress() {
	select {
	case e.progressed <- struct{}{}:
	default:
	}
}

// joinOthers says hello until each distinct member has answered. Without others
// it returns as soon as the source says that none are to be expected.
func (e *Engine) joinOthers(ctx context.Context) error {
	began := time.Now()
	patience := e.source.patience()
	wait := helloFirst
	for {
		missing, heard := e.missing(time.Since(began))
		switch {
		case len(missing) == 0 && (heard || patience.alone <= time.Since(began)):
			return nil
		case time.Since(began) >= patience.most:
			e.lonely(ctx, missing)
			return nil
		}
		e.post(letter{e.subjects.everyone, e.greeting(kindHello, 0)})
		if err := e.listen(ctx, wait); err != nil {
			return err
		}
		wait = min(wait*3/2, helloLast)
	}
}

// listen waits for something to happen. It returns why this node cannot join.
func (e *Engine) listen(ctx context.Context, wait time.Duration) error {
	again := time.NewTimer(wait)
	defer again.Stop()
	select {
	case <-e.progressed:
		return nil
	case <-again.C:
		return nil
	case err := <-e.refusals:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patience says how long Start waits for the others.
type patience struct {
	alone time.Duration // until it is no wonder that none is heard
	most  time.Duration // for all of them
}

// never is when it is no wonder that no seed answers.
const never = time.Duration(math.MaxInt64)

// missing names the members that have not answered, and reports whether any
// has. A former run under our own name counts for one heartbeat only: if it
// lived, it would have refused us by then.
func (e *Engine) missing(waited time.Duration) (names []string, heard bool) {
	e.members.mu.RLock()
	defer e.members.mu.RUnlock()
	wanted := make(map[boot]string)
	for b, p := range e.members.peers {
		if p.state == dead {
			continue
		}
		wanted[b] = p.name
		for _, o := range p.view {
			wanted[o.boot] = o.name
		}
	}
	delete(wanted, e.boot)
	for b, name := range wanted {
		if p := e.members.peers[b]; p != nil && p.state == alive && p.welcomed {
			heard = true
		} else if name != e.options.Node || waited < e.options.Heartbeat {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, heard
}

func (e *Engine) lonely(ctx context.Context, missing []string) {
	reason := errors.New(strings.Join(e.source.diagnose(ctx), "; "))
	e.log.LogAttrs(ctx, slog.LevelWarn, "not all other nodes answer; serving without them, and trying on",
		slog.Any("missing", missing), slog.Any("error", reason))
}
