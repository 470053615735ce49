package client

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"sync"
)

// Gap says why messages may be missing from a stream.
type Gap uint8

const (
	// NoGap is the Gap of an ordinary message.
	NoGap Gap = iota
	// GapOverflow means that the consumer was too slow, and the oldest messages were dropped.
	GapOverflow
	// GapReconnect means that the connection was lost and is back. What was published in between did not arrive.
	GapReconnect
	// GapServer means that the server may have lost something on its side, and says so.
	GapServer
)

// String returns the reason in words.
func (g Gap) String() string {
	switch g {
	case NoGap:
		return "none"
	case GapOverflow:
		return "overflow"
	case GapReconnect:
		return "reconnect"
	case GapServer:
		return "server"
	}
	return "unknown"
}

// Message is one item of a stream: a message, or a gap in its place.
type Message struct {
	// Data is the JSON text of the message; nil: it came without data, or this is a gap.
	Data json.RawMessage
	// Gap says, when it is not NoGap, that messages may be missing here. Whoever must know everything asks for the
	// state anew when it is read: from here on the stream is whole again.
	Gap Gap
}

// What a message costs in a queue beside its data.
const messageCost = 128

func (m Message) cost() int { return len(m.Data) + messageCost }

// Stream is a bounded queue between the connection, which never waits, and one or several consumers. When it is
// full the oldest messages go, because the newest say most about the present.
type Stream struct {
	limit int
	leave func(error) // ends the stream at its source

	ready chan struct{} // holds a token while there may be something to take
	over  chan struct{} // closed when nothing comes any more

	mu      sync.Mutex
	queue   []Message // from head on; what is before is zero
	head    int
	size    int    // cost of what is queued
	lost    bool   // a GapOverflow is due before the queue's head
	dropped uint64 // over the stream's life
	err     error  // why nothing comes any more
}

func newStream(limit int) *Stream {
	return &Stream{limit: limit, ready: make(chan struct{}, 1), over: make(chan struct{})}
}

// Messages yields what arrives, without the gaps, until the stream ends; Err tells why. Leaving the loop leaves the
// stream as it is: Messages and Next go on where it stopped.
func (s *Stream) Messages() iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for {
			m, err := s.next(nil)
			if err != nil || m.Gap == NoGap && !yield(m.Data) {
				return
			}
		}
	}
}

// Next waits for the next message or gap, in order. It fails when ctx is done, and when the stream has ended and
// everything that arrived before has been taken.
func (s *Stream) Next(ctx context.Context) (Message, error) {
	m, err := s.next(ctx.Done())
	if err == errGivenUp { //nolint:errorlint // a private signal that nobody wraps
		return m, context.Cause(ctx)
	}
	return m, err
}

func (s *Stream) next(done <-chan struct{}) (Message, error) {
	for {
		if m, ok, err := s.take(); ok || err != nil {
			return m, err
		}
		select {
		case <-s.ready:
		case <-s.over:
		case <-done:
			return Message{}, errGivenUp
		}
	}
}

// Dropped returns how many messages were dropped because the consumer was too slow.
func (s *Stream) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Err returns why the stream has ended, nil while it has not: ErrUnsubscribed, ErrClosed, a KickError, or the Error
// with which the server refused to take the subscription up again.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the stream, and drops what was not taken. A subscription's channel is left when it was the last one.
func (s *Stream) Close() {
	s.leave(ErrUnsubscribed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.head, s.size, s.lost = nil, 0, 0, false
}

// take returns the first item, if there is one, and the stream's end behind the last.
func (s *Stream) take() (m Message, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		s.lost = false
		s.wake()
		return Message{Gap: GapOverflow}, true, nil
	}
	if s.head == len(s.queue) {
		return m, false, s.err
	}
	m = s.pop()
	s.wake()
	return m, true, nil
}

// wake passes the token on. It belongs with mu, so that no consumer sleeps beside a full queue.
func (s *Stream) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// pop removes the head of a queue that is not empty.
func (s *Stream) pop() Message {
	m := s.queue[s.head]
	s.queue[s.head] = Message{}
	s.head++
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	}
	s.size -= m.cost()
	return m
}

// push adds an item, and makes room for it at the head. The newest stays, however large it is.
func (s *Stream) push(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	for s.head < len(s.queue) && s.size+m.cost() > s.limit {
		if s.pop().Gap == NoGap {
			s.dropped++
		}
		s.lost = true
	}
	if len(s.queue) == cap(s.queue) && s.head > len(s.queue)/2 {
		// Most of it is drained: use the front again, at no more than one copied item a push.
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	s.queue = append(s.queue, m)
	s.size += m.cost()
	s.wake()
}

// end lets consumers take what is queued, and then tells them err. The first reason stays.
func (s *Stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.over)
	}
}

// detach returns data in memory of its own unless it is most of the frame that it came in: a small message must not
// keep a large batch alive.
func detach(data json.RawMessage, frame int) json.RawMessage {
	if 2*len(data)+messageCost >= frame {
		return data
	}
	return bytes.Clone(data)
}
