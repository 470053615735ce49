package ws

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// ticker is a Handler that counts.
type ticker struct {
	*spy
	again time.Duration
}

func (k *ticker) Tick(c *Conn) {
	k.spy.Tick(c)
	if k.again > 0 {
		c.Schedule(k.again)
	}
}

func TestTimersEndInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRuntime(t)
		<-time.After(3 * time.Millisecond) // not in step with the wheel
		for _, d := range []time.Duration{
			0, 1, time.Millisecond, wheelTick, 15 * time.Millisecond, time.Second, 8 * time.Second,
			wheelSlots * wheelTick, (wheelSlots + 1) * wheelTick, 2*wheelSlots*wheelTick - 1, time.Hour, 26 * time.Hour,
		} {
			h := newSpy()
			c, _ := onPipe(t, r, Options{}, h)
			begin := time.Now()
			c.Schedule(d)
			if late := (<-h.ticks).Sub(begin) - d; late < 0 || late > 20*time.Millisecond {
				t.Errorf("%v: %v late, want at most 20ms", d, late)
			}
			<-time.After(7 * time.Millisecond)
			if len(h.ticks) > 0 {
				t.Errorf("%v: ticked twice", d)
			}
		}
	})
}

func TestScheduleReplacesAndStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newSpy()
		c, _ := onPipe(t, newRuntime(t), Options{}, h)
		begin := time.Now()
		c.Schedule(10 * time.Second)
		c.Schedule(time.Second)
		if took := (<-h.ticks).Sub(begin); took != time.Second {
			t.Errorf("earlier: got %v, want 1s", took)
		}
		c.Schedule(time.Second)
		c.Schedule(5 * time.Second)
		if took := (<-h.ticks).Sub(begin); took != 6*time.Second {
			t.Errorf("later: got %v, want 6s", took)
		}
		c.Schedule(time.Second)
		c.Schedule(math.MaxInt64)
		<-time.After(time.Minute)
		c.Schedule(time.Second)
		c.Schedule(-1)
		<-time.After(time.Minute)
		c.Schedule(time.Second)
		c.Terminate()
		<-time.After(time.Minute)
		if len(h.ticks) != 0 {
			t.Errorf("got %d ticks after the stop and the end, want none", len(h.ticks))
		}
	})
}

func TestTickMayScheduleTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &ticker{newSpy(), 8 * time.Second}
		c, _ := onPipe(t, newRuntime(t), Options{}, h)
		begin := time.Now()
		c.Schedule(8 * time.Second)
		for i := range 20 {
			if took, want := (<-h.ticks).Sub(begin), time.Duration(i+1)*8*time.Second; took != want {
				t.Fatalf("got tick %d after %v, want %v", i, took, want)
			}
		}
	})
}

func TestWheelSleepsWhileNothingIsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWheel(time.Now())
		c := new(Conn)
		w.set(c, userTimer, time.Hour)
		turns := 0
		for w.passed < int64(time.Hour/wheelTick)-1 {
			_, alarm := w.turn(nil)
			<-time.After(time.Until(w.epoch.Add(time.Duration(alarm) * wheelTick)))
			turns++
		}
		if most := int(time.Hour/(wheelSlots*wheelTick)) + 2; turns > most {
			t.Errorf("got %d turns in an hour, want at most %d", turns, most)
		}
		w.clear(c, userTimer)
		if _, alarm := w.turn(nil); alarm != never {
			t.Errorf("empty: got alarm %d, want never", alarm)
		}
	})
}

// The wheel against a list of due times, with random operations.
func TestWheelAgreesWithAPlainList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		w := newWheel(time.Now())
		conns := make([]*Conn, 200)
		due := make([][timerKinds]time.Time, len(conns))
		for i := range conns {
			conns[i] = new(Conn)
		}
		for range 5000 {
			i, kind := rng.IntN(len(conns)), rng.IntN(timerKinds)
			if rng.IntN(4) == 0 {
				w.clear(conns[i], kind)
				due[i][kind] = time.Time{}
			} else {
				d := time.Duration(rng.Int64N(int64(3 * wheelSlots * wheelTick)))
				w.set(conns[i], kind, d)
				due[i][kind] = time.Now().Add(d)
			}
			<-time.After(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
			ended, alarm := w.turn(nil)
			fired := make(map[*Conn][timerKinds]bool)
			for _, e := range ended {
				fired[e.conn] = e.kind
			}
			for i, c := range conns {
				for kind, at := range due[i] {
					switch late := time.Since(at); {
					case at.IsZero() && fired[c][kind], !at.IsZero() && late < 0 && fired[c][kind]:
						t.Fatalf("a timer ended %v early", -late)
					case !at.IsZero() && late > 2*wheelTick && !fired[c][kind]:
						t.Fatalf("a timer is %v late", late)
					case fired[c][kind]:
						due[i][kind] = time.Time{}
					case !at.IsZero() && at.Add(wheelTick).Before(w.epoch.Add(time.Duration(alarm)*wheelTick)):
						t.Fatalf("the wheel sleeps over a timer")
					}
				}
			}
		}
	})
}

func BenchmarkSchedule(b *testing.B) {
	w := newWheel(time.Now())
	conns := make([]Conn, 100000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.set(&conns[i%len(conns)], userTimer, 8*time.Second+time.Duration(i%800)*wheelTick)
		i++
	}
}
