package skein

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/internal/wire"
)

// handshake serves #handshake: verify the token, ask the hooks, open, answer, tell. A second one changes nothing but
// the authentication.
func (s *Session) handshake(p *wire.Packet) {
	s.disarm(handshakeAlarm)
	if p.CID == nil {
		s.shut(CloseRefused, "")
		return
	}
	again := s.open.Load()
	ctx, cancel := s.hookContext(shown(p.Token) || s.server.asksAt(onHandshake, onAuthenticate, onConnect, onAuthChange))
	defer cancel()
	token, soft := s.verify(ctx, p.Token)
	if !again {
		e := &Event{Session: s, Request: s.request, Token: token, Err: soft}
		if err := s.server.hooks[onHandshake].ask(ctx, "", e); err != nil {
			s.refuse(p.CID, err)
			return
		}
	}
	if soft == nil && token != nil {
		soft = s.server.hooks[onAuthenticate].ask(ctx, "", &Event{Session: s, Token: token})
		soft = refusal(soft, "authenticate", "inbound")
	}
	if s.closed.Load() {
		return
	}
	if soft != nil {
		token = nil
	}
	s.tellRefused(ctx, soft)
	s.admit(ctx, p.CID, token, soft, again)
}

// hookContext is a context with the hooks' deadline where something is to be asked, and else the server's.
func (s *Session) hookContext(asked bool) (context.Context, context.CancelFunc) {
	if !asked {
		return s.server.life.ctx, func() {}
	}
	return context.WithTimeout(s.Context(), s.server.options.Timeouts.Hook)
}

// asksAt reports whether there is a hook at one of the points.
func (s *Server) asksAt(points ...point) bool {
	return slices.ContainsFunc(points, func(p point) bool { return len(s.hooks[p]) > 0 })
}

// admit opens the session and answers its handshake.
func (s *Session) admit(ctx context.Context, cid wire.Number, token *Token, soft error, again bool) {
	before, err := s.replaceToken(token)
	if err != nil && !again {
		s.refuse(cid, err)
		return
	}
	if err != nil {
		token, soft = nil, err
		before, _ = s.replaceToken(nil) // which is always allowed
	}
	s.sendNow(s.codec.wire.AppendResult(nil, cid, s.status(soft))) // before anybody else can find the session
	if !again {
		s.request = nil
		s.open.Store(true)
		s.server.doorman.shaken(s.addr())
		s.endpoint.count(false, -1)
		s.endpoint.count(true, 1)
		s.server.counters.opened.Add(1)
		s.server.remember(s)
		s.batchHandshake(s.endpoint.Batch)
		s.startPings()
		s.server.hooks[onConnect].tell(ctx, "", &Event{Session: s, Token: token, Err: soft})
	}
	if isBadToken(soft) {
		s.sendRemoveToken()
	}
	s.tellAuth(ctx, before, token)
	s.withdraw(token) //nolint:contextcheck // hooks of a session get its own
}

// status is the data of the handshake's answer.
func (s *Session) status(soft error) json.RawMessage {
	b := append([]byte(`{"id":`), wire.AppendString(nil, s.id)...)
	b = append(b, `,"pingTimeout":`...)
	b = strconv.AppendInt(b, s.endpoint.Ping.Timeout.Milliseconds(), 10)
	if soft != nil {
		b = append(append(b, `,"authError":`...), errorJSON(soft)...)
	}
	b = append(b, `,"isAuthenticated":`...)
	b = strconv.AppendBool(b, s.Token() != nil)
	return append(b, '}')
}

// refuse ends a handshake that a hook does not allow: the answer, then the close.
func (s *Session) refuse(cid wire.Number, err error) {
	err = refusal(err, "handshakeSC", "handshake")
	code := CloseRefused
	if e, ok := errors.AsType[*Error](err); ok {
		code = or(e.Code, code)
		told := *e
		told.Code = code
		err = &told
	}
	var data []byte
	if s.endpoint.Protocol != V2 {
		data = append(strconv.AppendInt([]byte(`{"code":`), int64(code), 10), '}') // where clients up to 14 look for it
	}
	s.sendNow(s.codec.wire.AppendRefusal(nil, cid, errorJSON(err), data))
	s.shut(code, "")
}

// verify checks a token as it came in a packet. nil, null and "" are no token.
func (s *Session) verify(ctx context.Context, raw json.RawMessage) (*Token, error) {
	if !shown(raw) {
		return nil, nil //nolint:nilnil // no token and no error: the client has none
	}
	var signed string
	if json.Unmarshal(raw, &signed) != nil {
		return nil, &Error{Name: NameAuthToken, Message: "Invalid token format - Token must be a string", BadToken: true}
	}
	return s.verifySigned(ctx, signed)
}

// shown reports whether there is anything that could be a token.
func shown(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", `""`, "false", "0":
		return false
	default:
		return true
	}
}

func (s *Session) verifySigned(ctx context.Context, signed string) (*Token, error) {
	return s.server.verify(ctx, s.endpoint.scheme, signed)
}

// tokenError is what a scheme said, as clients know it.
func tokenError(err error) error {
	a, ok := errors.AsType[*auth.Error](err)
	if !ok {
		return err
	}
	e := &Error{Name: a.Name, Message: a.Message, BadToken: a.Bad, Props: map[string]any{}}
	if !a.Expiry.IsZero() {
		e.Props["expiry"] = isoTime(a.Expiry)
	}
	if !a.Date.IsZero() {
		e.Props["date"] = isoTime(a.Date)
	}
	if !a.Bad {
		e.Props["isBadToken"] = false
	}
	return e
}

func isBadToken(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.BadToken
}

// authenticate serves #authenticate.
func (s *Session) authenticate(p *wire.Packet) {
	if p.CID == nil {
		s.shut(CloseRefused, "")
		return
	}
	ctx, cancel := s.hookContext(true)
	defer cancel()
	token, err := s.verify(ctx, p.Token)
	if err == nil && token == nil {
		_, err = s.verifySigned(ctx, "") // in the scheme's own words: there must be one
	}
	if err == nil {
		err = s.server.hooks[onAuthenticate].ask(ctx, "", &Event{Session: s, Token: token})
		err = refusal(err, "authenticate", "inbound")
	}
	if err != nil {
		token = nil
	}
	before, full := s.replaceToken(token)
	if full != nil {
		token, err = nil, full
		before, _ = s.replaceToken(nil) // which is always allowed
	}
	switch {
	case err == nil:
		s.reply(p.CID, json.RawMessage(`{"isAuthenticated":true,"authError":null}`))
	case isBadToken(err):
		s.fail(p.CID, err)
		s.sendRemoveToken()
	default:
		b := append([]byte(`{"isAuthenticated":false,"authError":`), errorJSON(err)...)
		s.reply(p.CID, append(b, '}'))
	}
	s.tellRefused(ctx, err)
	s.tellAuth(ctx, before, token)
	s.withdraw(token)
}
