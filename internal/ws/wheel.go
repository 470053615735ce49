package ws

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

const (
	wheelTick  = 10 * time.Millisecond
	wheelSlots = 4096 // one turn is 41 s; a later timer is looked at once a turn
	never      = math.MaxInt64
	maxTimer   = 1 << 61 * time.Nanosecond // 73 years; the sum with any time of a runtime does not overflow
)

// The two times that a connection can have in the wheel.
const (
	userTimer = iota // Conn.Schedule
	ioTimer          // stalls and the close handshake
	timerKinds
)

// timer is a connection's place in the wheel, guarded by the wheel's lock.
type timer struct {
	due        [timerKinds]int64 // in ticks; 0 for none
	at         int64             // the earlier of both; 0 if the connection is not in the wheel
	prev, next *Conn             // of the same slot
}

// wheel is the one timer of all connections. Its goroutine sleeps until the next slot with something in it.
type wheel struct {
	epoch time.Time
	kick  chan struct{} // an earlier slot is occupied than the one slept for
	done  chan struct{}

	mu       sync.Mutex
	slots    [wheelSlots]*Conn
	occupied [wheelSlots / 64]uint64
	passed   int64 // everything up to this tick has been seen to
	alarm    int64 // the tick slept for
}

func newWheel(epoch time.Time) *wheel {
	return &wheel{epoch: epoch, kick: make(chan struct{}, 1), done: make(chan struct{}), alarm: never}
}

func (w *wheel) close() { close(w.done) }

// set has the timer of that kind end after d; an earlier one is replaced.
func (w *wheel) set(c *Conn, kind int, d time.Duration) {
	at := int64((time.Since(w.epoch) + min(d, maxTimer) + wheelTick - 1) / wheelTick)
	w.mu.Lock()
	c.timer.due[kind] = max(at, w.passed+1)
	w.place(c)
	wake := c.timer.at < w.alarm
	if wake {
		w.alarm = c.timer.at
	}
	w.mu.Unlock()
	if wake {
		select {
		case w.kick <- struct{}{}:
		default: // it is about to look anyway
		}
	}
}

// clear stops the timer of that kind.
func (w *wheel) clear(c *Conn, kind int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.timer.due[kind] != 0 {
		c.timer.due[kind] = 0
		w.place(c)
	}
}

// place moves the connection to the slot of its earlier timer. Called with mu held.
func (w *wheel) place(c *Conn) {
	t := &c.timer
	at := t.due[userTimer]
	if other := t.due[ioTimer]; at == 0 || other != 0 && other < at {
		at = other
	}
	if at == t.at {
		return
	}
	if t.at != 0 {
		w.remove(c)
	}
	if t.at = at; at != 0 {
		w.insert(c)
	}
}

func (w *wheel) insert(c *Conn) {
	slot := c.timer.at % wheelSlots
	c.timer.next = w.slots[slot]
	if c.timer.next != nil {
		c.timer.next.timer.prev = c
	}
	w.slots[slot] = c
	w.occupied[slot/64] |= 1 << (slot % 64)
}

func (w *wheel) remove(c *Conn) {
	t, slot := &c.timer, c.timer.at%wheelSlots
	if t.prev != nil {
		t.prev.timer.next = t.next
	} else {
		w.slots[slot] = t.next
	}
	if t.next != nil {
		t.next.timer.prev = t.prev
	}
	t.prev, t.next = nil, nil
	if w.slots[slot] == nil {
		w.occupied[slot/64] &^= 1 << (slot % 64)
	}
}

// ended is a connection with the timers that have ended.
type ended struct {
	conn *Conn
	kind [timerKinds]bool
}

// run is the wheel's goroutine.
func (w *wheel) run() {
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	var list []ended
	for {
		var alarm int64
		list, alarm = w.turn(list[:0])
		for i, e := range list {
			if e.kind[ioTimer] {
				e.conn.overdue()
			}
			if e.kind[userTimer] {
				e.conn.tick()
			}
			list[i] = ended{}
		}
		sleep.Stop()
		if alarm != never {
			sleep.Reset(time.Until(w.epoch.Add(time.Duration(alarm) * wheelTick)))
		}
		select {
		case <-sleep.C:
		case <-w.kick:
		case <-w.done:
			return
		}
	}
}

// turn collects what has ended by now, and gives the tick to sleep for.
func (w *wheel) turn(list []ended) ([]ended, int64) {
	now := int64(time.Since(w.epoch) / wheelTick)
	w.mu.Lock()
	defer w.mu.Unlock()
	from := max(w.passed+1, now-wheelSlots+1)
	for {
		from = w.nextOccupied(from)
		if from > now {
			break
		}
		for c := w.slots[from%wheelSlots]; c != nil; {
			next := c.timer.next
			if c.timer.at <= now {
				list = append(list, w.expire(c, now))
			}
			c = next
		}
		from++
	}
	w.passed = max(w.passed, now)
	w.alarm = from
	return list, w.alarm
}

// expire takes the ended timers off a connection.
func (w *wheel) expire(c *Conn, now int64) ended {
	e := ended{conn: c}
	for kind, due := range c.timer.due {
		if due != 0 && due <= now {
			e.kind[kind] = true
			c.timer.due[kind] = 0
		}
	}
	w.place(c)
	return e
}

// nextOccupied is the first tick from that one on, within one turn, whose slot holds something; never without one.
func (w *wheel) nextOccupied(from int64) int64 {
	slot := from % wheelSlots
	word := slot / 64
	set := w.occupied[word] &^ (1<<(slot%64) - 1)
	for range len(w.occupied) + 1 {
		if set != 0 {
			found := word*64 + int64(bits.TrailingZeros64(set))
			return from + (found-slot+wheelSlots)%wheelSlots
		}
		word = (word + 1) % int64(len(w.occupied))
		set = w.occupied[word]
	}
	return never
}
