package skein

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Revoke makes tokens good for nothing, on all nodes: sessions that have such a token lose it at once, and whoever shows it
// in a handshake, an #authenticate or to Verify is refused with NameTokenRevoked and forgets it. Tokens that are issued
// after it are good. It returns from how many sessions a token was taken. Where nodes cannot be reached the error says so,
// as with Disconnect; they learn it when they are reached again, as nodes do that start later. A node that is full refuses
// with NameRevocations, and nothing is revoked.
func (s *Server) Revoke(ctx context.Context, r Revocation) (int, error) {
	now := time.Now()
	if !s.life.stood.Load() {
		return 0, ErrStopped
	}
	if err := r.check(now); err != nil {
		return 0, err
	}
	if r.User != "" && r.Before.IsZero() {
		r.Before = now.Truncate(time.Second).Add(time.Second)
	}
	if r.Until.IsZero() {
		r.Until = s.forgettable(now)
	}
	r.At = now
	known, ok := s.revocations.admit(record{Revocation: r}, now)
	if !ok {
		s.counters.unrevoked.Add(1)
		return 0, &Error{
			Name: NameRevocations, Status: http.StatusInsufficientStorage,
			Message: fmt.Sprintf("%d revocations are in force, and no more are allowed: revoke all tokens issued before a time, which is always taken, and lift those that it takes in", s.revocations.most),
		}
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "tokens are revoked", attrQuoted("user", r.User), attrQuoted("token_id", r.TokenID), slog.Time("before", known.Before))
	return s.spread(ctx, known)
}

// Unrevoke undoes what Revoke has done with the target of r: its User, its TokenID, or, with neither, all tokens. Other
// revocations may meet the same tokens. Nobody is authenticated again by it.
func (s *Server) Unrevoke(ctx context.Context, r Revocation) error {
	target := record{Revocation: Revocation{User: r.User, TokenID: r.TokenID}, Lifted: true}
	if !s.life.stood.Load() {
		return ErrStopped
	}
	if r.User != "" && r.TokenID != "" {
		return mistake("a revocation is about one user or one token id, not about both")
	}
	known, there := s.revocations.find(target)
	if !there {
		return &Error{Name: NameInvalidArgument, Message: "there is no such revocation", Status: http.StatusNotFound}
	}
	target.At, target.Until = time.Now(), known.Until
	lifted, _ := s.revocations.admit(target, target.At) // there is room: it takes the place of another
	s.log.LogAttrs(ctx, slog.LevelInfo, "a revocation is lifted", attrQuoted("user", r.User), attrQuoted("token_id", r.TokenID))
	_, err := s.spread(ctx, lifted)
	return err
}

// Revocations lists what is revoked, as this node knows it: all tokens first, then those of ids, then those of users.
func (s *Server) Revocations() []Revocation {
	all, _ := s.revocations.list()
	list := make([]Revocation, 0, len(all))
	now := time.Now()
	for _, r := range all {
		if !r.Lifted && !r.over(now) {
			list = append(list, r.Revocation)
		}
	}
	return list
}

func (s *Server) spread(ctx context.Context, r record) (int, error) {
	return sum(everywhere[int](ctx, s, askRevoke, revokeOrder{[]record{r}}))
}

// revokeOrder tells a node of revocations.
type revokeOrder struct {
	Records []record `json:"records"`
}

// forgettable is when all tokens that are good now have expired; zero where that is never known.
func (s *Server) forgettable(now time.Time) time.Time {
	var longest time.Duration
	schemes := []AuthScheme{s.scheme}
	for _, e := range s.endpoints {
		schemes = append(schemes, e.scheme)
	}
	for _, scheme := range schemes {
		j, ok := scheme.(jsonWebTokens)
		if !ok || j.tokens.MaxLifetime() == 0 {
			return time.Time{}
		}
		longest = max(longest, j.tokens.MaxLifetime())
	}
	return now.Add(longest)
}

// take makes records hold on this node: tokens are refused from here on, sessions lose theirs, and the file has them.
func (s *Server) take(ctx context.Context, list []record) (n int, _ error) {
	s.revocations.put(list, time.Now())
	n = s.enforce(list) //nolint:contextcheck // hooks of a session get its own
	return n, s.revocations.save(ctx)
}

// enforce takes revoked tokens from the sessions and raw connections of this node. One that is about to get a token looks
// itself, behind taking it: see withdraw.
func (s *Server) enforce(list []record) (n int) {
	may := func(t *Token) bool { return t != nil && (len(list) != 1 || list[0].mayMeet(t)) }
	for x := range s.Sessions() {
		if t := x.Token(); may(t) && x.withdraw(t) {
			n++
		}
	}
	for _, c := range s.rawConns() {
		if may(c.token) && c.withdraw() {
			n++
		}
	}
	return n
}

// rawConns are those of this node.
func (s *Server) rawConns() []*RawConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*RawConn
	for _, g := range s.conns {
		if c, raw := g.(*RawConn); raw {
			list = append(list, c)
		}
	}
	return list
}

// withdraw closes a raw connection whose token is revoked, since it cannot be told, and reports whether it has done so.
func (c *RawConn) withdraw() bool {
	if !c.server.isRevoked(c.token) {
		return false
	}
	c.server.counters.withdrawn.Add(1)
	c.conn.Close(CloseRevoked, whyRevoked)
	return true
}

const whyRevoked = "the token is revoked"

func (s *Server) isRevoked(t *Token) bool { return s.revocations.against(t, time.Now()) != nil }

// revokedError is what clients are told of a revoked token.
func revokedError() *Error {
	return &Error{Name: NameTokenRevoked, Message: "jwt revoked", BadToken: true}
}

// withdraw takes a revoked token from the session, if it still has it, and reports whether it has done so. Whoever gives a
// session a token calls it afterwards: a revocation either finds the session with the token, or is found here.
func (s *Session) withdraw(t *Token) bool {
	r := s.server.revocations.against(t, time.Now())
	if r == nil || !s.Open() || !s.dropToken(t) {
		return false
	}
	s.server.counters.withdrawn.Add(1)
	if r.Disconnect {
		s.tellAuth(s.Context(), t, nil)
		s.shut(CloseRevoked, whyRevoked)
		return true
	}
	s.sendRemoveToken()
	s.tellAuth(s.Context(), t, nil)
	return true
}

// dropToken takes a token away, unless it has been replaced.
func (s *Session) dropToken(t *Token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t == nil || s.state.token != t {
		return false
	}
	s.state.token = nil
	if s.meter != nil {
		_ = s.meter.belong("") // which is always allowed
	}
	return true
}

// ahead is by how much another node's clock may be ahead of this one's.
const ahead = 5 * time.Minute

// sign makes a token that no revocation meets. Where tokens of this very second are revoked, as when somebody logs in again
// at once, it is dated to the next one.
func (s *Session) sign(ctx context.Context, claims json.RawMessage, expiry time.Duration) (*Token, error) {
	token, err := s.signOnce(ctx, claims, expiry)
	if err != nil {
		return nil, err
	}
	r := s.server.revocations.against(token, time.Now())
	if r == nil {
		return token, nil
	}
	if r.TokenID == "" && time.Until(r.from()) < ahead {
		if claims, ok := dated(claims, r.from()); ok {
			if token, err = s.signOnce(ctx, claims, expiry); err != nil {
				return nil, err
			}
		}
	}
	if s.server.isRevoked(token) {
		return nil, revokedError()
	}
	return token, nil
}

func (s *Session) signOnce(ctx context.Context, claims json.RawMessage, expiry time.Duration) (*Token, error) {
	token, err := s.endpoint.scheme.Sign(ctx, claims, expiry)
	if err != nil {
		return nil, err
	}
	return s.server.revocations.seen(token, time.Now()), nil
}

// dated adds the time of issue to claims that have none.
func dated(claims json.RawMessage, t time.Time) (json.RawMessage, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(claims, &object) != nil || object["iat"] != nil {
		return nil, false
	}
	out := strconv.AppendInt([]byte(`{"iat":`), t.Unix(), 10)
	if len(object) > 0 {
		out = append(out, ',')
	}
	_, rest, _ := bytes.Cut(claims, []byte("{"))
	return append(out, rest...), true
}

// loadRevocations reads the file, and makes sure that it can be written: what is revoked later must not be lost.
func (s *Server) loadRevocations() error {
	list, err := s.revocations.file.load()
	if err != nil {
		return err
	}
	if err := s.revocations.file.try(); err != nil {
		return err
	}
	s.revocations.put(list, time.Now())
	s.revocations.file.saved.Store(s.revocations.state())
	return nil
}

// learnRevocations asks the other nodes for what they have revoked: all of them, or those that say that they know
// something else.
func (s *Server) learnRevocations(ctx context.Context, all bool) {
	own := s.revocations.digest()
	var asked sync.WaitGroup
	for _, m := range s.cluster.Members() {
		var r NodeReport
		_ = json.Unmarshal(m.Info, &r) // one that says nothing has nothing to say
		if m.Local || !all && (r.Revocations == "" || r.Revocations == own) {
			continue
		}
		asked.Go(func() {
			if err := s.learnFrom(ctx, m.Name); err != nil && ctx.Err() == nil {
				s.log.LogAttrs(ctx, unlearnt(err), "the revocations of another node are not known yet", slog.Any("error", err))
			}
		})
	}
	asked.Wait()
}

// unlearnt is how bad it is that a node has not told its revocations. One that says that it is not running starts just
// now, as all of a new cluster do, or stops: it is asked again within seconds.
func unlearnt(err error) slog.Level {
	if e, ok := errors.AsType[*NodeError](err); ok && e.Err.Error() == ErrStopped.Error() {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// learnFrom takes over all that a node has revoked.
func (s *Server) learnFrom(ctx context.Context, node string) error {
	var from recordsFrom
	for {
		question, err := marshal(from)
		if err != nil {
			return err
		}
		p, err := askNode[pageOfRecords](ctx, s, node, askRevocations, question)
		if err != nil {
			return err
		}
		list := make([]record, len(p.Records))
		for i, b := range p.Records {
			if err := json.Unmarshal(b, &list[i]); err != nil {
				return &NodeError{node, fmt.Errorf("a revocation is malformed: %w", err)}
			}
		}
		if news := s.revocations.put(list, time.Now()); len(news) > 0 {
			s.enforce(news) //nolint:contextcheck // hooks of a session get its own
		}
		if !p.More || len(list) == 0 {
			return nil
		}
		last := list[len(list)-1].key()
		from.After = &last
	}
}

// shareRevocations keeps the set the same on all nodes, whatever has kept them apart, until ctx ends: it looks when members
// come or go, and every few seconds at what they say of themselves. The file is written again where that has failed.
func (s *Server) shareRevocations(ctx context.Context) {
	if _, lonely := s.cluster.Cluster.(alone); lonely && s.revocations.file.path == "" {
		return
	}
	for {
		changed := s.cluster.change() // before the look, so that no change is missed
		s.revocations.forget(time.Now())
		s.learnRevocations(ctx, false)
		if err := s.revocations.save(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.LogAttrs(ctx, slog.LevelError, "revocations are not kept", slog.Any("error", err))
		}
		if !changes(ctx, changed) {
			return
		}
	}
}
