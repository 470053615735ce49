package ws

import (
	"math"
	"time"
)

const (
	defaultMessage   = 1 << 20
	defaultInbox     = 1 << 20
	defaultOutbox    = 1 << 20
	defaultStall     = 10 * time.Second
	defaultCloseWait = 2 * time.Second

	inboxCount = 1024 // messages that wait for the executor
	frameCost  = 32   // octets of outbox for which one frame more may wait, at least outboxCount
	outboxLow  = 1024
)

// Options bound one connection. Zero values work.
type Options struct {
	// MaxMessage is the most octets of a message, counted after inflating; beyond, the connection ends with 1009.
	// 0 means 1 MiB.
	MaxMessage int
	// Inbox is how many octets, and 1,024 messages, may wait for the executor before reading stops. 0 means 1 MiB.
	Inbox int
	// Outbox is how many octets may be pending before the peer counts as slow. A frame is always taken when nothing
	// is pending, however long it is; and one frame for each 32 octets may wait, at least 1,024. As long as no send has
	// to wait for the peer it is four times as many: a burst that is only about to be sent is not the peer's fault. A send
	// that blocks, as of TLS, waits for the peer when it has taken 100 ms. Frames of a Topic may have 15 sixteenths of it,
	// and each counts with 128 octets more. 0 means 1 MiB.
	Outbox int
	// Stall is how long sending may make no progress before the peer counts as slow. 0 means 10 s.
	Stall time.Duration
	// SlowCode is the close code for a slow peer, which loses what is pending. 0 means 1008.
	SlowCode int
	// CloseWait is how long after our close frame TCP is dropped. 0 means 2 s.
	CloseWait time.Duration
	// Compression allows permessage-deflate, without context takeover in both directions and with the window that the peer
	// asks for, for messages from 512 octets.
	Compression bool
	// Protocols are the subprotocols that this endpoint speaks, in order of preference.
	Protocols []string
}

// limits are the Options that matter after the handshake, shared by the connections that have the same.
type limits struct {
	message, inbox, outbox, slowCode int
	stall, closeWait                 time.Duration
}

func (o Options) limits() limits {
	return limits{
		message:   min(positive(o.MaxMessage, defaultMessage), math.MaxInt/2), // limits are added to
		inbox:     positive(o.Inbox, defaultInbox),
		outbox:    positive(o.Outbox, defaultOutbox),
		slowCode:  sendableCode(positive(o.SlowCode, CodePolicy)),
		stall:     min(positive(o.Stall, defaultStall), maxTimer),
		closeWait: min(positive(o.CloseWait, defaultCloseWait), maxTimer),
	}
}

// frames is how many frames may wait, so that many tiny ones cannot cost far more memory than their octets.
func (l *limits) frames() int { return max(outboxLow, l.outbox/frameCost) }

func positive[T ~int | ~int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
