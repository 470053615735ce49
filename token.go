package skein

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/internal/wire"
)

// Token is a verified token. It is shared and never changed.
type Token struct {
	// Signed is the token as the client has it.
	Signed string
	// Claims is its payload, a JSON object.
	Claims json.RawMessage
	// Expiry is when it ends; zero is never.
	Expiry time.Time

	leeway time.Duration
	seen   time.Time // by this node for the first time; zero is not known. See revocations.seen.
}

// Decode decodes the claims into v, as json.Unmarshal does.
func (t *Token) Decode(v any) error {
	if err := json.Unmarshal(t.Claims, v); err != nil {
		return fmt.Errorf("decode the claims: %w", err)
	}
	return nil
}

// text is a claim that is a text or a number, or "".
func (t *Token) text(claim string) string {
	var claims map[string]json.RawMessage
	if t.Decode(&claims) != nil {
		return ""
	}
	return textOf(claims[claim])
}

// textOf is a JSON value that is a text, or a number as it is written, or "".
func textOf(raw json.RawMessage) string {
	var text string
	if len(raw) > 0 && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9') {
		return string(raw)
	}
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

func (t *Token) expired(now time.Time) bool {
	return t != nil && !t.Expiry.IsZero() && !now.Before(t.Expiry.Add(t.leeway))
}

// AuthScheme verifies and signs tokens of a form of its own. Its methods may be called from many goroutines.
type AuthScheme interface {
	// Verify returns the token, or an error that the client sees: an *Error with BadToken makes it forget the token.
	Verify(ctx context.Context, signed string) (*Token, error)
	// Sign makes a token of the claims, a JSON object. expiry 0 is the scheme's own default.
	Sign(ctx context.Context, claims json.RawMessage, expiry time.Duration) (*Token, error)
}

// jsonWebTokens is the scheme of package auth.
type jsonWebTokens struct{ tokens *auth.Tokens }

func (j jsonWebTokens) Verify(_ context.Context, signed string) (*Token, error) {
	claims, err := j.tokens.Verify(signed)
	if err != nil {
		return nil, err
	}
	return &Token{Signed: signed, Claims: claims.Raw, Expiry: claims.Expiry, leeway: j.tokens.Leeway()}, nil
}

func (j jsonWebTokens) Sign(_ context.Context, claims json.RawMessage, expiry time.Duration) (*Token, error) {
	signed, err := j.tokens.Sign(claims, auth.SignOptions{Expiry: expiry})
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(signed, ".")
	payload, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, fmt.Errorf("read the signed token: %w", err)
	}
	t := &Token{Signed: signed, Claims: raw, leeway: j.tokens.Leeway()}
	var c struct {
		Exp json.Number `json:"exp"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("read the signed token: %w", err)
	}
	if exp, err := c.Exp.Float64(); err == nil {
		t.Expiry = time.UnixMilli(int64(exp * 1000))
	}
	return t, nil
}

// Verify checks a signed token with the tokens of the server itself, for raw endpoints and HTTP routes.
func (s *Server) Verify(ctx context.Context, signed string) (*Token, error) {
	return s.verify(ctx, s.scheme, signed)
}

// verify checks a signed token with a scheme, and that it is not revoked.
func (s *Server) verify(ctx context.Context, scheme AuthScheme, signed string) (*Token, error) {
	token, err := scheme.Verify(ctx, signed)
	if err != nil {
		return nil, tokenError(err)
	}
	if token == nil {
		return nil, &Error{Name: NameAuthToken, Message: "The auth scheme has returned no token"}
	}
	switch token = s.revocations.seen(token, time.Now()); {
	case s.isRevoked(token):
		s.counters.revoked.Add(1)
		return nil, revokedError()
	default:
		return token, nil
	}
}

// TokenOptions are of SetToken and RemoveToken.
type TokenOptions struct {
	// Expiry is how long the token lives, where the claims have no exp. 0 is the default of the tokens.
	Expiry time.Duration
	// Confirm waits until the client says that it has stored or removed the token, at most Endpoint.CallTimeout.
	Confirm bool
}

// SetToken authenticates the session with claims, a JSON object or what encodes to one, and sends the signed token to
// the client. A token that cannot be signed closes the session with CloseSignFailed; one that is revoked changes nothing.
// With Confirm, no answer or a refusal is an *Error of name NameAuth; the session is authenticated all the same. It is not
// where the token's user has too many sessions: that is one of name NameResourceLimit or NameRateLimit.
func (s *Session) SetToken(ctx context.Context, claims any, o TokenOptions) error {
	if !s.Open() {
		return errClosed
	}
	raw, err := toJSON(claims)
	if err != nil {
		return fmt.Errorf("set the token: %w", err)
	}
	token, err := s.sign(ctx, raw, o.Expiry)
	if err != nil {
		if !errors.Is(err, &Error{Name: NameTokenRevoked}) {
			s.shut(CloseSignFailed, "")
		}
		return fmt.Errorf("set the token: %w", err)
	}
	if err := s.adopt(ctx, token); err != nil {
		return err
	}
	err = s.present(ctx, token, o)
	if err != nil && o.Confirm {
		return &Error{Name: NameAuth, Message: "Failed to deliver auth token to client - " + messageOf(err)}
	}
	return err
}

// grant is SetToken for claims that come from elsewhere: the session is not to blame for what cannot be signed.
func (s *Session) grant(ctx context.Context, claims json.RawMessage) error {
	token, err := s.sign(ctx, claims, 0)
	if err != nil {
		return err
	}
	if err := s.adopt(ctx, token); err != nil {
		return err
	}
	return s.present(ctx, token, TokenOptions{})
}

// adopt authenticates the session with a token.
func (s *Session) adopt(ctx context.Context, token *Token) error {
	before, err := s.replaceToken(token)
	if err != nil {
		return err
	}
	s.tellAuth(ctx, before, token)
	return nil
}

// present sends the client its token.
func (s *Session) present(ctx context.Context, token *Token, o TokenOptions) error {
	defer s.withdraw(token) //nolint:contextcheck // hooks of a session get its own; behind the client's hearing of it
	return s.inform(ctx, "#setAuthToken", append(wire.AppendString([]byte(`{"token":`), token.Signed), '}'), o)
}

// RemoveToken ends the session's authentication and tells the client to forget the token. Subscriptions stay.
func (s *Session) RemoveToken(ctx context.Context, o TokenOptions) error {
	before, _ := s.replaceToken(nil) // which is always allowed
	s.tellAuth(ctx, before, nil)
	return s.inform(ctx, "#removeAuthToken", nil, o)
}

// inform sends a token event, as a call where delivery is to be confirmed.
func (s *Session) inform(ctx context.Context, event string, data json.RawMessage, o TokenOptions) error {
	if !o.Confirm {
		return s.Transmit(event, data)
	}
	_, err := s.Call(ctx, event, data)
	return err
}

// replaceToken sets the session's token and returns the one before. It refuses where its user may have no more sessions.
func (s *Session) replaceToken(token *Token) (before *Token, err error) {
	user := s.server.userOf(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meter != nil {
		if err := s.meter.belong(user); err != nil {
			return nil, err
		}
	}
	before, s.state.token = s.state.token, token
	return before, nil
}

// forgetToken serves #removeAuthToken, which is never answered.
func (s *Session) forgetToken() {
	before, _ := s.replaceToken(nil) // which is always allowed
	s.tellAuth(s.Context(), before, nil)
}

// expire takes an expired token away, tells the client, and returns the error that hooks see; nil where nothing has
// expired.
func (s *Session) expire() *Error {
	token := s.Token()
	if !token.expired(time.Now()) || !s.dropToken(token) {
		return nil
	}
	s.sendRemoveToken()
	s.tellAuth(s.Context(), token, nil)
	return &Error{
		Name: NameTokenExpired, Message: "The socket auth token has expired",
		Props: map[string]any{"expiry": token.Expiry.Unix()},
	}
}

func (s *Session) sendRemoveToken() {
	s.send(s.codec.wire.AppendEvent(nil, "#removeAuthToken", nil, 0))
}

// tellAuth tells the observers how the authentication has changed, and ends the subscriptions that end with it.
func (s *Session) tellAuth(ctx context.Context, before, now *Token) {
	if now == nil && before != nil {
		defer s.leaveWithToken() //nolint:contextcheck // hooks of a session get its own
	}
	h := s.server.hooks[onAuthChange]
	if len(h) == 0 {
		return
	}
	switch {
	case now != nil:
		h.tell(ctx, "", &Event{Session: s, Change: Authenticated, Token: now, First: before == nil})
	case before != nil:
		h.tell(ctx, "", &Event{Session: s, Change: Deauthenticated, Token: before})
	}
}

// tellRefused tells the observers of a bad token. It comes before what follows from it.
func (s *Session) tellRefused(ctx context.Context, err error) {
	if h := s.server.hooks[onAuthChange]; len(h) > 0 && isBadToken(err) {
		h.tell(ctx, "", &Event{Session: s, Change: TokenRefused, Err: err})
	}
}

// toJSON encodes v; JSON text passes as it is.
func toJSON(v any) (json.RawMessage, error) {
	switch v := v.(type) {
	case json.RawMessage:
		return v, nil
	case Nothing:
		return nil, nil
	}
	b, err := marshal(v)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// isoTime is JavaScript's Date.toISOString.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
