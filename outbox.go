package skein

import (
	"sync"
	"sync/atomic"

	"github.com/skeinrt/skein/internal/ws"
)

// outbox collects packets into arrays while a session batches.
type outbox struct {
	on      atomic.Bool
	mu      sync.Mutex
	packets [][]byte
	topics  []*ws.Topic // of the packets, where one has any; else empty
	size    int
}

func (s *Session) collecting() bool {
	o := s.out.Load()
	return o != nil && o.on.Load()
}

// batched keeps a packet for the next array and reports whether it did; it does not when batching has just ended. An array
// that would fill half of the connection's own queue leaves at once, so that what is collected is bounded with it; and so
// does what is for a client that is behind, where the connection's queue decides what gives way.
func (s *Session) batched(packet []byte, t *ws.Topic) bool {
	o := s.out.Load()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.on.Load() {
		return false
	}
	o.add(packet, t)
	if o.size >= s.endpoint.Limits.Outbox/2 || t != nil && s.conn.Behind() {
		o.release(s)
	}
	return true
}

func (o *outbox) add(packet []byte, t *ws.Topic) {
	if t != nil || len(o.topics) > 0 {
		for len(o.topics) < len(o.packets) {
			o.topics = append(o.topics, nil)
		}
		o.topics = append(o.topics, t)
	}
	o.packets = append(o.packets, packet)
	o.size += len(packet)
}

// batchHandshake starts batching after the handshake, where the endpoint says so.
func (s *Session) batchHandshake(b Batch) {
	if b.Duration > 0 {
		s.StartBatching()
		s.arm(unbatchAlarm, b.Duration)
	}
}

// flush sends what has been collected as one array, and ends the batching where stop says so. The lock is held until
// the array is queued, so that nothing overtakes it.
func (o *outbox) flush(s *Session, stop bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release(s)
	if stop {
		o.on.Store(false)
	}
}

// release sends the array, under the lock. Messages that may be dropped go into one only if nothing is pending: it is then
// the frame that leaves next, which is never dropped anyhow. Else each is a frame of its own.
func (o *outbox) release(s *Session) {
	switch {
	case len(o.packets) == 0:
	case len(o.topics) > 0 && s.conn.Pending() > 0:
		for i, packet := range o.packets {
			if f, err := s.codec.frame(packet); err == nil {
				s.sendTopic(f, 0, o.topics[i])
			}
		}
	case s.codec.driver == nil:
		s.sendFrame(ws.NewFrameFunc(s.codec.wire.Binary(), o.size+len(o.packets)+16, func(dst []byte) []byte {
			return s.codec.wire.AppendBatch(dst, o.packets)
		}))
	default:
		if f, err := s.codec.frame(s.codec.wire.AppendBatch(nil, o.packets)); err == nil {
			s.sendFrame(f)
		}
	}
	o.packets, o.topics, o.size = nil, nil, 0
}

// StartBatching collects what is sent to the client and sends it as one array at each Batch.Interval, until
// StopBatching. It costs latency and saves frames.
func (s *Session) StartBatching() {
	if !s.Open() {
		return
	}
	if s.out.Load() == nil {
		s.out.CompareAndSwap(nil, new(outbox))
	}
	if s.out.Load().on.CompareAndSwap(false, true) {
		s.arm(flushAlarm, s.endpoint.Batch.Interval)
	}
}

// StopBatching sends what has been collected, and everything at once from then on.
func (s *Session) StopBatching() {
	s.disarm(flushAlarm)
	if o := s.out.Load(); o != nil {
		o.flush(s, true)
	}
}
