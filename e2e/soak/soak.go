package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/skeinrt/skein/e2e/soak/judge"
	"github.com/skeinrt/skein/internal/ws"
)

// soak is a run.
type soak struct {
	options

	out     io.Writer
	began   time.Time
	dir     string
	fleet   *fleet
	deck    *deck
	tally   *tally
	sum     judge.Verdict
	quiet   []quiet
	author  int // the first of the next book
	cycles  uint64
	strikes map[string]int
}

// quiet is what a node held at a quiet moment.
type quiet struct {
	cycle uint64
	node  string
	judge.Reading
}

func newSoak(ctx context.Context, o options, out io.Writer) (*soak, error) {
	s := &soak{options: o, out: out, began: time.Now(), tally: newTally(), strikes: map[string]int{}}
	s.say("seed %d", o.seed)
	var err error
	if s.deck, err = newDeck(o.faults, random(o.seed, 1)); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "soak-"); err != nil {
		return nil, err
	}
	if o.binary == "" {
		if o.binary, err = build(ctx, s.dir, o.race); err != nil {
			return nil, err
		}
	}
	s.fleet, err = newFleet(o, s.dir, o.binary, random(o.seed, 2))
	return s, err
}

func (s *soak) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, "%8.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// close ends the nodes and looks at their logs a last time.
func (s *soak) close() error {
	if s.fleet == nil {
		return nil
	}
	if err := s.fleet.close(); err != nil {
		s.tally.violation("a node did not end well: %v", err)
	}
	s.readLogs()
	if s.keep {
		s.say("kept %s", s.dir)
		return nil
	}
	return os.RemoveAll(s.dir) //nolint:gosec // newSoak has made it
}

func (s *soak) run(ctx context.Context) error {
	if err := s.fleet.start(ctx); err != nil {
		return err
	}
	for _, n := range s.fleet.nodes {
		if err := s.base(ctx, n); err != nil {
			return err
		}
	}
	s.say("%d nodes serve; %s", len(s.fleet.nodes), s.dir)
	for end := time.Now().Add(s.duration); time.Now().Before(end); {
		length := min(s.cycle, max(time.Until(end), time.Second))
		if err := s.one(ctx, length); err != nil {
			return err
		}
	}
	return nil
}

// one is a cycle.
func (s *soak) one(ctx context.Context, length time.Duration) error {
	s.cycles++
	rt := ws.NewRuntime(ws.Config{})
	defer rt.Close()
	c := &crew{
		fleet: s.fleet, rt: rt, tally: s.tally, seed: s.seed + s.cycles<<32, load: s.load,
		book: judge.NewBook(func() time.Duration { return time.Since(s.began) }, s.author),
	}
	act, stop := context.WithCancel(ctx)
	stay, leave := context.WithCancel(ctx)
	c.start(act, stay)
	err := s.strike(ctx, c, time.Now().Add(length))
	stop()
	c.acting.Wait()
	v := s.settle(ctx, c.book)
	leave()
	c.staying.Wait()
	s.author = c.book.Next()
	s.sum.Add(v)
	s.say("cycle %d: %d published, %d delivered in %d views, %d told, %d lost, %d repeated, %d reordered, %d forged",
		s.cycles, v.Published, v.Delivered, v.Views, v.Told, v.Lost, v.Repeated, v.Reordered, v.Forged)
	if err != nil {
		return err
	}
	return s.measure(ctx)
}

// strike has faults strike until the time is over.
func (s *soak) strike(ctx context.Context, c *crew, end time.Time) error {
	calm := random(c.seed, 3)
	for pause(ctx, time.Second+time.Duration(calm.Int64N(int64(4*time.Second)))) && time.Now().Before(end) {
		f, n, dealt := s.deck.next(s.fleet)
		if !dealt {
			pause(ctx, time.Until(end))
			break
		}
		began := time.Now()
		c.book.Trouble()
		err := f.do(ctx, s.fleet, n)
		took := time.Since(began)
		if err == nil {
			err = s.fleet.converge(ctx, c.rt, c.book)
		}
		c.book.Calm()
		s.strikes[f.name]++
		s.say("%s at %s for %.1fs, whole again after %.1fs", f.name, n.name, took.Seconds(), time.Since(began).Seconds())
		if err != nil {
			s.tally.violation("%s at %s: %v", f.name, n.name, err)
			return s.alive(err)
		}
	}
	return ctx.Err()
}

// alive reports whether one can go on after something went wrong.
func (s *soak) alive(err error) error {
	for _, n := range s.fleet.nodes {
		if n.isDown() {
			return fmt.Errorf("node %s is down: %w", n.name, err)
		}
	}
	return nil
}

// settle waits until everything has arrived, as long as it may take.
func (s *soak) settle(ctx context.Context, b *judge.Book) judge.Verdict {
	for began := time.Now(); ; {
		v := b.Judge()
		if v.Lost == 0 || time.Since(began) > patience || !pause(ctx, 100*time.Millisecond) {
			return v
		}
	}
}
