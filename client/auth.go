package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/skeinrt/skein/internal/wire"
)

// identity is who the client is: its name, the token that it presents, and what the server thinks of that.
type identity struct {
	id            string
	token         string
	authenticated bool
	refusal       error // of the token, with the latest connection
}

// Authenticate presents a token. When the server accepts it, it is kept and presented again with each connection.
// Otherwise the token that the client had is forgotten too, as the server has done.
func (c *Client) Authenticate(ctx context.Context, token string) error {
	var verdict error
	_, err := c.ask(ctx, "#authenticate", wire.AppendString(nil, token), func(a answer) {
		verdict = c.judged(token, a)
	})
	if err == nil {
		err = verdict
	}
	if err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return nil
}

// Deauthenticate forgets the token, and has the server forget it. The error is the token store's.
func (c *Client) Deauthenticate(ctx context.Context) error {
	err := c.identify(ctx, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.current; l != nil {
		l.forgetToken()
	}
	return err
}

// Token returns the signed token that the client presents with each connection, or "".
func (c *Client) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity.token
}

// Claims returns the payload of the token, which only the server can verify; nil when there is none.
func (c *Client) Claims() json.RawMessage {
	_, rest, _ := strings.Cut(c.Token(), ".")
	payload, _, _ := strings.Cut(rest, ".")
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || !wire.Valid(claims) {
		return nil
	}
	return claims
}

// Authenticated reports whether the server has accepted the token.
func (c *Client) Authenticated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity.authenticated
}

// AuthError returns why the server did not accept the token with the latest connection, nil if it did or had none.
func (c *Client) AuthError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity.refusal
}

func (c *Client) loadToken(ctx context.Context) error {
	c.identity.token = c.cfg.Token
	if c.cfg.Token != "" || c.cfg.Tokens == nil {
		return nil
	}
	token, err := c.cfg.Tokens.Load(ctx)
	if err != nil {
		return fmt.Errorf("load token: %w", err)
	}
	c.identity.token = token
	return nil
}

// admitted takes in what the handshake's answer says about the token. A refused one is kept until the server has it
// removed: it may only be too early for it.
func (c *Client) admitted(l *link, token string, w welcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity.id = w.ID
	if w.Authenticated && c.identity.token != token {
		// Forgotten while the handshake was under way, when the server could not be told.
		w.Authenticated = false
		l.forgetToken()
	}
	c.identity.authenticated = w.Authenticated
	c.identity.refusal = nil
	if !w.Authenticated && !absent(w.AuthError) {
		c.identity.refusal = parseError(w.AuthError)
	}
}

// absent reports whether there is no value, or null.
func absent(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func (l *link) forgetToken() { l.small(l.codec.AppendEvent(nil, "#removeAuthToken", nil, 0)) }

// judged takes in the answer to #authenticate, on the executor, ahead of a #removeAuthToken that may follow it. The
// loss of the connection says nothing about the token.
func (c *Client) judged(token string, a answer) error {
	if a.err != nil {
		if _, refused := errors.AsType[*Error](a.err); refused {
			c.change("")
		}
		return a.err
	}
	var status struct {
		Authenticated *bool           `json:"isAuthenticated"`
		AuthError     json.RawMessage `json:"authError"`
	}
	_ = json.Unmarshal(a.data, &status) // anything else is no refusal, for clients of all generations
	if status.Authenticated == nil || *status.Authenticated {
		c.change(token)
		return nil
	}
	c.change("")
	if absent(status.AuthError) {
		return &Error{Name: "AuthError", Message: "The token was not accepted"}
	}
	return parseError(status.AuthError)
}

// setToken obeys #setAuthToken.
func (c *Client) setToken(raw json.RawMessage) error {
	var token string
	if json.Unmarshal(raw, &token) != nil || token == "" {
		return &Error{Name: "InvalidMessageError", Message: "No token data provided by #setAuthToken event"}
	}
	c.change(token)
	return nil
}

// change is identify for a change that the server wants. It is not to blame for a store that does not work.
func (c *Client) change(token string) {
	if err := c.identify(c.life, token); err != nil {
		c.cfg.Logger.LogAttrs(c.life, slog.LevelWarn, "token not stored", slog.Any("error", err))
	}
}

// identify takes over a token that the server has accepted, or "" for none, and then asks for the channels that waited
// for it.
func (c *Client) identify(ctx context.Context, token string) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	c.identity.token, c.identity.authenticated = token, token != ""
	if c.current != nil && c.identity.authenticated {
		for channels := c.unasked(); len(channels) > 0; {
			channels = c.request(channels, c.current)
		}
	}
	c.mu.Unlock()
	if c.cfg.Tokens == nil {
		return nil
	}
	if err := c.cfg.Tokens.Save(ctx, token); err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	return nil
}
