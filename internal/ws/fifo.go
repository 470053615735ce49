package ws

import "sync"

// fifo is a queue, the oldest item at head. A connection has one only while something is queued: it is lent by the
// runtime, so that neither an idle connection nor a busy one costs an allocation.
type fifo[T any] struct {
	items []T
	head  int
}

// fifoKept is the room of the largest fifo that is lent again.
const fifoKept = 64

func (q *fifo[T]) len() int {
	if q == nil {
		return 0
	}
	return len(q.items) - q.head
}

// add appends an item, in the place of those that have been taken where they are many.
func (q *fifo[T]) add(item T) {
	if q.head > 0 && len(q.items) == cap(q.items) && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// take removes the oldest item.
func (q *fifo[T]) take() T {
	var none T
	item := q.items[q.head]
	q.items[q.head] = none
	q.head++
	return item
}

// all are the items, the oldest first.
func (q *fifo[T]) all() []T {
	if q == nil {
		return nil
	}
	return q.items[q.head:]
}

// remove takes out an item that may be any of all, by moving those before it.
func (q *fifo[T]) remove(i int) {
	copy(q.items[q.head+1:], q.items[q.head:q.head+i])
	_ = q.take()
}

// reset makes it empty, and keeps its room.
func (q *fifo[T]) reset() {
	clear(q.items)
	q.items, q.head = q.items[:0], 0
}

// lender keeps what is out of use.
type lender[T any] struct{ pool sync.Pool }

func (l *lender[T]) lend() *fifo[T] {
	q, _ := l.pool.Get().(*fifo[T])
	if q == nil {
		q = new(fifo[T])
	}
	return q
}

// giveBack takes a fifo that nobody uses any more.
func (l *lender[T]) giveBack(q *fifo[T]) {
	if q == nil || cap(q.items) > fifoKept {
		return
	}
	q.reset()
	l.pool.Put(q)
}
