package skein

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quiet limits what is logged for one cause, since clients can cause much of it: of one message, the first 20 in a minute.
// The first one of a later minute says how many were left out.
func quiet(h slog.Handler) slog.Handler {
	return &quietHandler{Handler: h, heard: &heard{counts: map[string]*loudness{}}}
}

const (
	quietAfter  = 20
	quietWindow = time.Minute
)

type quietHandler struct {
	slog.Handler

	heard *heard
}

// heard is shared by all handlers that were derived from one.
type heard struct {
	mu     sync.Mutex
	counts map[string]*loudness // by message: these are constants of ours, so they are few
}

type loudness struct {
	since time.Time
	n     int
}

// Handle passes a record on, or counts it.
func (q *quietHandler) Handle(ctx context.Context, r slog.Record) error {
	left, say := q.heard.say(r.Message, r.Time)
	if !say {
		return nil
	}
	r = shortened(r)
	if left > 0 {
		r.AddAttrs(slog.Int("left_out", left))
	}
	return q.Handler.Handle(ctx, r)
}

// longestText is how many bytes one attribute has in the log: enough for a stack, but a plugin's error may repeat what a
// client has sent.
const longestText = 8 * kib

// shortened is the record with what is too long cut.
func shortened(r slog.Record) slog.Record {
	short := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		text := a.Value.String()
		if len(text) > longestText {
			a.Value = slog.StringValue(cut(text, longestText))
		}
		short.AddAttrs(a)
		return true
	})
	return short
}

// say reports whether a message may be logged, and how many were left out before it.
func (h *heard) say(message string, now time.Time) (left int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts[message]
	if c == nil {
		c = &loudness{since: now}
		h.counts[message] = c
	}
	if now.Sub(c.since) >= quietWindow {
		left = max(0, c.n-quietAfter)
		*c = loudness{since: now}
	}
	c.n++
	return left, c.n <= quietAfter
}

// WithAttrs keeps the count.
func (q *quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quietHandler{q.Handler.WithAttrs(attrs), q.heard}
}

// WithGroup keeps the count.
func (q *quietHandler) WithGroup(name string) slog.Handler {
	return &quietHandler{q.Handler.WithGroup(name), q.heard}
}
