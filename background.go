package skein

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// task is background work of a plugin, run from Start to Shutdown.
type task struct {
	host     *Host
	name     string
	fn       func(ctx context.Context) error
	interval time.Duration // 0: once, and again when it fails
}

const (
	firstPause  = 100 * time.Millisecond
	longestWait = 30 * time.Second
)

// run keeps the task going until ctx ends.
func (t *task) run(ctx context.Context) {
	if t.interval > 0 {
		t.repeat(ctx)
		return
	}
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := t.once(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Since(began) > longestWait {
			pause = firstPause
		}
		t.host.log.LogAttrs(ctx, slog.LevelError, "background work failed, starting it again",
			slog.String("task", t.name), slog.Duration("pause", pause), slog.Any("error", err))
		if !wait(ctx, jitter(pause)) {
			return
		}
		pause = min(2*pause, longestWait)
	}
}

func (t *task) repeat(ctx context.Context) {
	for wait(ctx, t.interval) {
		if err := t.once(ctx); err != nil && ctx.Err() == nil {
			t.host.log.LogAttrs(ctx, slog.LevelError, "background work failed", slog.String("task", t.name), slog.Any("error", err))
		}
	}
}

func (t *task) once(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return t.fn(ctx)
}

// jitter is d, less up to a quarter.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // spreads retries, guards nothing
}

// wait reports whether d has passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const listenerQueue = 1024

// listener is a plugin's subscription to a channel.
type listener struct {
	host    *Host
	channel string
	fn      func(ctx context.Context, data json.RawMessage) error
	queue   chan json.RawMessage
	dropped atomic.Uint64
}

// hear puts a message into the queue; a full queue drops it, since the publisher must not wait.
func (l *listener) hear(data json.RawMessage) {
	select {
	case l.queue <- data:
	default:
		l.dropped.Add(1)
	}
}

func (l *listener) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case data := <-l.queue:
			if err := l.fn(ctx, data); err != nil {
				l.host.log.LogAttrs(ctx, slog.LevelError, "a message was not handled",
					slog.String("channel", l.channel), slog.Any("error", err))
			}
		}
	}
}
