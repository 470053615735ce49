// Package judge holds what subscribers have received against what publishers have published: what is lost, repeated, out
// of order or forged. It knows nothing of networks, so that its own tests can feed it any history.
//
// An Author is one connection of a publisher, which numbers what it sends. A View is one subscription of one connection,
// from the server's acknowledgement to the end of either. A view is owed every publication that was sent after it had
// opened and was acknowledged, and each one that a later one of the same author has overtaken, unless it was told
// afterwards that something may be missing. A view that has ended is owed nothing that it might still have received; and
// where it ended soon after a publication in times of trouble, nobody knows whether it would have been told.
package judge

import (
	"slices"
	"sync"
	"time"
)

// Book is the history of one cycle. Its methods, and those of its authors and views, may be called from any goroutine.
type Book struct {
	clock func() time.Duration
	first int // number of the first author: those of earlier books are smaller

	mu      sync.Mutex
	authors []*Author
	views   []*View
	trouble []time.Duration // when it began and ended, in turn
}

// NewBook begins a history. The clock tells the time since some moment; numbers of authors begin at first.
func NewBook(clock func() time.Duration, first int) *Book {
	return &Book{clock: clock, first: first}
}

// Next is the number that the next author would have, for the book to come.
func (b *Book) Next() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first + len(b.authors)
}

// Trouble notes that something is being broken.
func (b *Book) Trouble() { b.turn(1) }

// Calm notes that it is whole again.
func (b *Book) Calm() { b.turn(0) }

func (b *Book) turn(parity int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if (len(b.trouble)+1)%2 == parity {
		b.trouble = append(b.trouble, b.clock())
	}
}

// troubled reports whether there was trouble at some time, or shortly before.
func (b *Book) troubled(at time.Duration) bool {
	for i := 0; i < len(b.trouble); i += 2 {
		if at >= b.trouble[i] && (i+1 == len(b.trouble) || at <= b.trouble[i+1]+aftermath) {
			return true
		}
	}
	return false
}

// Author is one connection of a publisher. It sends one thing after the other.
type Author struct {
	book   *Book
	number int
	posts  []post
}

type fate uint8

const (
	unknown fate = iota
	acknowledged
	refused
)

type post struct {
	channel string
	sent    time.Duration
	acked   time.Duration
	fate    fate
}

// Author registers a publisher's connection.
func (b *Book) Author() *Author {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &Author{book: b, number: b.first + len(b.authors)}
	b.authors = append(b.authors, a)
	return a
}

// Post is called before something is sent, and returns its number and its payload, of about the given size.
func (a *Author) Post(channel string, size int) (n int, payload []byte) {
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	a.posts = append(a.posts, post{channel: channel, sent: a.book.clock()})
	n = len(a.posts)
	return n, encode(stamp{Author: a.number, Number: n}, channel, size)
}

// Acked notes that the server has taken something over.
func (a *Author) Acked(n int) { a.settle(n, acknowledged) }

// Refused notes that the server has answered something with an error: it may or may not arrive.
func (a *Author) Refused(n int) { a.settle(n, refused) }

func (a *Author) settle(n int, f fate) {
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	a.posts[n-1].fate, a.posts[n-1].acked = f, a.book.clock()
}

// View is one subscription of one connection.
type View struct {
	book    *Book
	name    string
	channel string

	open  bool
	ended bool
	since time.Duration // when it opened
	until time.Duration // when it ended
	got   []stamp
	bad   []string // what cannot be a publication of anybody
	tells []time.Duration
}

// View registers a subscription that is about to be asked for.
func (b *Book) View(name, channel string) *View {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := &View{book: b, name: name, channel: channel}
	b.views = append(b.views, v)
	return v
}

// Open notes the server's acknowledgement.
func (v *View) Open() {
	v.book.mu.Lock()
	defer v.book.mu.Unlock()
	v.open, v.since = true, v.book.clock()
}

// Got notes a message.
func (v *View) Got(payload []byte) {
	s, err := decode(payload, v.channel)
	v.book.mu.Lock()
	defer v.book.mu.Unlock()
	if err != nil {
		v.bad = append(v.bad, err.Error())
		return
	}
	v.got = append(v.got, s)
}

// Told notes that the server says that something may be missing.
func (v *View) Told() {
	v.book.mu.Lock()
	defer v.book.mu.Unlock()
	v.tells = append(v.tells, v.book.clock())
}

// End notes that the subscription or its connection has ended. It may be called twice.
func (v *View) End() {
	v.book.mu.Lock()
	defer v.book.mu.Unlock()
	if !v.ended {
		v.ended, v.until = true, v.book.clock()
	}
}

// Has reports whether a publication has arrived.
func (v *View) Has(a *Author, n int) bool {
	v.book.mu.Lock()
	defer v.book.mu.Unlock()
	return slices.Contains(v.got, stamp{a.number, n})
}

// Excused reports whether the view has ended or was told that something may be missing.
func (v *View) Excused() bool {
	v.book.mu.Lock()
	defer v.book.mu.Unlock()
	return v.ended || len(v.tells) > 0
}
