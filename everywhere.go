package skein

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skeinrt/skein/engine"
)

// Target says which sessions are meant, on whatever node they are. Exactly one field is set.
type Target struct {
	// Session is the id of one session.
	Session string `json:"session,omitempty"`
	// User is whose tokens the sessions have: the claim that Rates.UserClaim names.
	User string `json:"user,omitempty"`
	// TokenID is the claim jti of the sessions' token.
	TokenID string `json:"tokenId,omitempty"`
}

// check refuses what is not clearly meant.
func (t Target) check() error {
	n := 0
	for _, name := range []string{t.Session, t.User, t.TokenID} {
		if name != "" {
			n++
		}
	}
	if n != 1 {
		return mistake("a target is one session, one user or one token id, not %d of them", n)
	}
	return nil
}

func mistake(format string, args ...any) error {
	return &Error{Name: NameInvalidArgument, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// NodeError is what went wrong with one node, of several that were asked. The others may have done what they were asked for.
type NodeError struct {
	// Node is its name.
	Node string
	// Err is why: engine.ErrNoMember where it has gone meanwhile.
	Err error
}

// Error names the node.
func (e *NodeError) Error() string { return "node " + e.Node + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *NodeError) Unwrap() error { return e.Err }

// ChannelInfo is a channel with its subscribers on all nodes.
type ChannelInfo struct {
	// Name of the channel.
	Name string `json:"name"`
	// Subscribers is how many sessions are subscribed to it.
	Subscribers int `json:"subscribers"`
}

// Topics of what nodes ask each other. They are part of what nodes of different versions have in common.
const (
	askDisconnect  = "disconnect"
	askKick        = "kick"
	askSetToken    = "set-token"
	askRemoveToken = "remove-token"
	askSessions    = "sessions"
	askSubscribers = "subscribers"
	askChannels    = "channels"
	askRevoke      = "revoke"
	askRevocations = "revocations"
)

// order is what all nodes are to do with their sessions. Which fields are set depends on the topic.
type order struct {
	Target  Target          `json:"target,omitzero"`
	Code    int             `json:"code,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Channel string          `json:"channel,omitempty"`
	Message string          `json:"message,omitempty"`
	Claims  json.RawMessage `json:"claims,omitempty"`
}

// Disconnect closes the target's sessions on all nodes, as Session.Disconnect does, and returns how many. Where nodes have
// not answered within 5 s, or could not do it, the error has a *NodeError for each of them, and the number is that of the
// others; so it is with all that acts on all nodes. Finding the sessions of a user or a token costs each node a look at every
// session's token: some 100 ns each, and a few µs where the name is in it.
func (s *Server) Disconnect(ctx context.Context, t Target, code int, reason string) (int, error) {
	if code != 0 && (code < CloseNormal || code > 4999) {
		return 0, mistake("the close code is %d: it may be %d to 4999", code, CloseNormal)
	}
	return s.command(ctx, askDisconnect, order{Target: t, Code: code, Reason: reason})
}

// Kick takes the target's sessions out of a channel on all nodes, as Session.Kick does, and returns how many were in it. See
// Disconnect.
func (s *Server) Kick(ctx context.Context, t Target, channel, message string) (int, error) {
	return s.command(ctx, askKick, order{Target: t, Channel: channel, Message: message})
}

// SetToken gives the target's sessions on all nodes a token with these claims, a JSON object or what encodes to one, each
// signed as its endpoint does, and returns how many have got it. A session for which it cannot be signed keeps its own, and is
// part of the error. See Disconnect.
func (s *Server) SetToken(ctx context.Context, t Target, claims any) (int, error) {
	raw, err := toJSON(claims)
	if err != nil {
		return 0, fmt.Errorf("set the token: %w", err)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || object == nil {
		return 0, mistake("the claims are not a JSON object")
	}
	return s.command(ctx, askSetToken, order{Target: t, Claims: raw})
}

// RemoveToken ends the authentication of the target's sessions on all nodes, as Session.RemoveToken does, and returns how
// many there were. Who still has the token can show it again, unless it is revoked as well: see Revoke. See Disconnect.
func (s *Server) RemoveToken(ctx context.Context, t Target) (int, error) {
	return s.command(ctx, askRemoveToken, order{Target: t})
}

// CountSessions counts the sessions of all nodes. See Disconnect.
func (s *Server) CountSessions(ctx context.Context) (int, error) {
	return sum(everywhere[int](ctx, s, askSessions, nil))
}

// CountSubscribers counts the sessions of all nodes that are subscribed to the channel. See Disconnect.
func (s *Server) CountSubscribers(ctx context.Context, channel string) (int, error) {
	return sum(everywhere[int](ctx, s, askSubscribers, order{Channel: channel}))
}

func (s *Server) command(ctx context.Context, topic string, o order) (int, error) {
	if err := o.Target.check(); err != nil {
		return 0, err
	}
	return sum(everywhere[int](ctx, s, topic, o))
}

func sum(list []int, err error) (n int, _ error) {
	for _, one := range list {
		n += one
	}
	return n, err
}

// askTimeout is how long one node may take to answer another.
const askTimeout = 5 * time.Second

func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, askTimeout, fmt.Errorf("there was no answer for %v", askTimeout))
}

// everywhere asks all nodes at once, this one included, and returns the answers that have come.
func everywhere[A any](ctx context.Context, s *Server, topic string, question any) ([]A, error) {
	if !s.life.stood.Load() {
		return nil, ErrStopped
	}
	data, err := marshal(question)
	if err != nil {
		return nil, err
	}
	members := s.cluster.Members()
	answers, errs := make([]A, len(members)), make([]error, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() { answers[i], errs[i] = askNode[A](ctx, s, m.Name, topic, data) })
	}
	asked.Wait()
	return answers, errors.Join(errs...)
}

func askNode[A any](ctx context.Context, s *Server, node, topic string, question []byte) (answer A, err error) {
	ctx, cancel := patience(ctx)
	defer cancel()
	defer s.survive(ctx, "ask another node", &err)
	data, err := s.call(ctx, node, topic, question)
	if told, ok := errors.AsType[*engine.CallError](err); ok {
		err = errors.New(told.Message) // it names the node as well
	}
	if err == nil {
		err = json.Unmarshal(data, &answer)
	}
	if err != nil {
		return answer, &NodeError{node, err}
	}
	return answer, nil
}

// serve answers a question of another node, or of this one.
func (s *Server) serve(ctx context.Context, from, topic string, data []byte) (out []byte, err error) {
	defer s.survive(ctx, "answer another node", &err)
	if !s.life.stood.Load() {
		return nil, ErrStopped
	}
	if topic, found := strings.CutPrefix(topic, pluginTopic); found {
		return s.answerFor(ctx, from, topic, data)
	}
	switch topic {
	case askChannels:
		return respond(data, s.listPage)
	case askRevoke:
		return respond(data, func(o revokeOrder) (int, error) { return s.take(ctx, o.Records) })
	case askRevocations:
		return respond(data, s.revocations.page)
	}
	return respond(data, func(o order) (int, error) { return s.obey(ctx, topic, o) })
}

// survive turns a panic of what plugins have brought, such as a scheme that signs, into an error; it is deferred.
func (s *Server) survive(ctx context.Context, doing string, err *error) {
	v := recover()
	if v == nil {
		return
	}
	s.counters.panics.Add(1)
	s.log.LogAttrs(ctx, slog.LevelError, "code of a plugin panicked",
		slog.String("doing", doing), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	*err = &Error{Name: NamePlugin, Message: "a plugin failed"}
}

func respond[Q, A any](data []byte, fn func(q Q) (A, error)) ([]byte, error) {
	var q Q
	if err := json.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("the question is malformed: %w", err)
	}
	a, err := fn(q)
	if err != nil {
		return nil, err
	}
	return marshal(a)
}

// obey does what is ordered with the sessions of this node, and says with how many.
func (s *Server) obey(ctx context.Context, topic string, o order) (int, error) {
	switch topic {
	case askDisconnect:
		return s.each(o.Target, func(x *Session) (bool, error) { x.Disconnect(o.Code, o.Reason); return true, nil })
	case askKick:
		return s.each(o.Target, func(x *Session) (bool, error) { //nolint:contextcheck // hooks of a session get its own
			return slices.Contains(x.Channels(), o.Channel) && x.Kick(o.Channel, o.Message) == nil, nil
		})
	case askSetToken:
		return s.each(o.Target, func(x *Session) (bool, error) { return true, x.grant(ctx, o.Claims) })
	case askRemoveToken:
		return s.each(o.Target, func(x *Session) (bool, error) {
			return x.Token() != nil && x.RemoveToken(ctx, TokenOptions{}) == nil, nil
		})
	case askSessions:
		return s.Stats().Sessions, nil
	case askSubscribers:
		return s.Count(o.Channel), nil
	default:
		return 0, fmt.Errorf("it is version %q and does not know the question %q", s.options.Version, topic)
	}
}

// each does something with the target's sessions on this node, and counts those with which it did.
func (s *Server) each(t Target, do func(x *Session) (bool, error)) (n int, _ error) {
	var errs []error
	for x := range s.Sessions() {
		if !s.meant(x, t) || !x.Open() {
			continue
		}
		done, err := do(x)
		if err != nil {
			errs = append(errs, fmt.Errorf("session %s: %w", x.id, err))
		} else if done {
			n++
		}
	}
	return n, errors.Join(errs...)
}

func (s *Server) meant(x *Session, t Target) bool {
	switch {
	case t.Session != "":
		return x.id == t.Session
	case t.User != "":
		return x.Token().says(or(s.options.Rates.UserClaim, defaultUserClaim), t.User)
	default:
		return x.Token().says("jti", t.TokenID)
	}
}

// says reports whether a claim of the token is this text. Most tokens do not have it in them at all, and are not decoded.
func (t *Token) says(claim, text string) bool {
	if t == nil || !bytes.Contains(t.Claims, []byte(text)) && bytes.IndexByte(t.Claims, '\\') < 0 {
		return false
	}
	return t.text(claim) == text
}
