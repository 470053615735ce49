package natsengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
)

// serverLog takes what nats-server logs. Its notices are debugging to us:
// members that come and go are logged by name elsewhere.
type serverLog struct {
	log    *slog.Logger
	ctx    func() context.Context
	hidden *strings.Replacer // takes secrets out

	mu   sync.Mutex
	last string // the last warning or error
	dead error  // why it cannot run
	died chan struct{}
}

// newServerLog returns one that shows no secret. nats-server logs whole URLs.
func newServerLog(log *slog.Logger, secrets ...string) *serverLog {
	var pairs []string
	for _, secret := range secrets {
		if secret != "" {
			pairs = append(pairs, secret, "[secret]", strings.TrimPrefix(url.UserPassword("", secret).String(), ":"), "[secret]")
		}
	}
	return &serverLog{log: log.With(slog.String("from", "nats-server")), hidden: strings.NewReplacer(pairs...), died: make(chan struct{})}
}

// Noticef takes what the server does.
func (l *serverLog) Noticef(format string, args ...any) { l.debug(format, args) }

// Debugf takes what it does in detail.
func (l *serverLog) Debugf(format string, args ...any) { l.debug(format, args) }

// Tracef is never called: tracing is off.
func (l *serverLog) Tracef(string, ...any) {}

// Warnf takes what may be wrong.
func (l *serverLog) Warnf(format string, args ...any) {
	if usual(format) {
		l.debug(format, args)
		return
	}
	l.log.Warn("server warns", slog.String("text", l.keep(format, args)))
}

// Errorf takes what has gone wrong: mostly on the other side, so that it is no
// error of this node.
func (l *serverLog) Errorf(format string, args ...any) {
	text := l.keep(format, args)
	if usual(format) {
		l.debug("%s", []any{text})
		return
	}
	l.log.Info("server complains", slog.String("text", text))
}

// Fatalf takes why the server cannot run.
func (l *serverLog) Fatalf(format string, args ...any) {
	text := l.keep(format, args)
	l.log.Error("server cannot run", slog.String("text", text))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead == nil {
		l.dead = errors.New(text)
		close(l.died)
	}
}

// usual reports what is intended here, or told in another way: nodes that are
// not there, and connections that break.
func usual(format string) bool {
	for _, part := range []string{
		"Plaintext passwords detected", "of solicited routes will not be verified",
		"Error trying to connect to route", "Error flushing",
	} {
		if strings.Contains(format, part) {
			return true
		}
	}
	return false
}

func (l *serverLog) debug(format string, args []any) {
	if ctx := l.ctx(); l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.LogAttrs(ctx, slog.LevelDebug, "server", slog.String("text", l.text(format, args)))
	}
}

func (l *serverLog) keep(format string, args []any) string {
	text := l.text(format, args)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = text
	return text
}

func (l *serverLog) text(format string, args []any) string {
	return l.hidden.Replace(fmt.Sprintf(format, args...))
}

// lately returns the last warning or error.
func (l *serverLog) lately() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}
