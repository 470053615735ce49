package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// connect makes one attempt, up to the point where the subscriptions are asked for again.
func (c *Client) connect(ctx context.Context) (*link, error) {
	c.enter(Connecting, nil)
	l, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.handshake(ctx); err != nil {
		return nil, l.abandon(4003, err)
	}
	if err := c.resubscribe(ctx, l); err != nil {
		return nil, l.abandon(1000, err)
	}
	c.enter(Connected, nil)
	return l, nil
}

// abandon closes a connection that came to nothing, and waits for its end: a client has one connection at a time.
// A server that closed before it was asked anything has given its reason only there.
func (l *link) abandon(code int, reason error) error {
	l.conn.Close(code, "")
	<-l.closed
	if _, told := errors.AsType[*CloseError](reason); !told && errors.Is(reason, ErrDisconnected) {
		return fmt.Errorf("%w: %w", reason, l.end)
	}
	return reason
}

// handshake presents the token and waits for the answer.
func (l *link) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.client.cfg.CallTimeout)
	defer cancel()
	token := l.client.Token()
	data, err := json.Marshal(struct {
		Token *string `json:"authToken"`
	}{Token: optional(token)})
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	result := make(chan error, 1)
	cid, err := l.call("#handshake", data, func(a answer) { result <- l.opened(a, token) })
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	select {
	case err = <-result:
	case <-ctx.Done():
		l.forget(cid)
		return fmt.Errorf("handshake: %w", context.Cause(ctx))
	}
	if refusal, ok := errors.AsType[*Error](err); ok {
		return fmt.Errorf("handshake: %w (%w)", refusal, l.refused())
	}
	return err
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// refused waits for the server to close behind its refusal, because the code says whether to come back.
func (l *link) refused() *CloseError {
	t := time.AfterFunc(refusalWait, func() { l.conn.Close(4003, "") })
	defer t.Stop()
	<-l.closed
	return l.end
}

// welcome is the handshake's answer.
type welcome struct {
	ID            string          `json:"id"`
	PingTimeout   float64         `json:"pingTimeout"` // ms
	Authenticated bool            `json:"isAuthenticated"`
	AuthError     json.RawMessage `json:"authError"`
}

// opened takes in the handshake's answer, on the executor, ahead of whatever the server sends next.
func (l *link) opened(a answer, token string) error {
	if a.err != nil {
		return fmt.Errorf("handshake: %w", a.err)
	}
	var w welcome
	if err := json.Unmarshal(a.data, &w); err != nil {
		return fmt.Errorf("handshake: answer: %w", err)
	}
	l.open = true
	l.pingTimeout = l.client.cfg.ConnectTimeout
	if w.PingTimeout > 0 {
		ms := min(w.PingTimeout, float64(maxPingTimeout.Milliseconds()))
		l.pingTimeout = time.Duration(ms * float64(time.Millisecond))
	}
	l.expectPing()
	l.client.admitted(l, token, w)
	return nil
}

// again connects anew, as often as it takes. It gives up, and says why, when the server closed for good, when the
// client is closed, and when reconnecting is off.
func (c *Client) again(reason error) (*link, error) {
	for attempt := 0; ; attempt++ {
		wait, err := c.backoff(reason, attempt)
		if err != nil {
			return nil, err
		}
		c.enter(Waiting, reason)
		if err := c.pause(wait); err != nil {
			return nil, err
		}
		l, err := c.connect(c.life)
		if err == nil {
			return l, nil
		}
		reason = err
		c.cfg.Logger.LogAttrs(c.life, slog.LevelDebug, "connecting again",
			slog.Int("attempt", attempt), slog.Any("error", err))
	}
}

// backoff decides by the close code whether to come back, and when.
func (c *Client) backoff(reason error, attempt int) (time.Duration, error) {
	if c.life.Err() != nil {
		return 0, context.Cause(c.life)
	}
	code := 1006
	if e, ok := errors.AsType[*CloseError](reason); ok {
		code = e.Code
	}
	switch {
	case c.cfg.Reconnect.Off, code == 1000, code >= 4500:
		return 0, reason
	case attempt > 0:
	case code == 4000, code == 4001, code == 1005:
		// A server that closes so each time must not be hammered.
		if now := time.Now(); now.Sub(c.hurried) >= c.cfg.Reconnect.Initial {
			c.hurried = now
			return 0, nil
		}
	}
	return c.cfg.Reconnect.wait(attempt), nil
}

func (c *Client) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.life.Done():
		return context.Cause(c.life)
	}
}
