package skein

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/skeinrt/skein/internal/ws"
)

// limit is a bound at which something is refused, closed or made to wait. docs/limits.md has one line for each.
type limit uint8

const (
	limitHeader limit = iota
	limitHeaderTime
	limitHeaderFields
	limitURI
	limitBody
	limitBodyTime
	limitPlain
	limitAddressPlain
	limitConnections
	limitAddressConnections
	limitAccepts
	limitPending
	limitAddressPending
	limitHandshakeTime
	limitUserSessions
	limitMessage
	limitInflated
	limitFragments
	limitDepth
	limitBatch
	limitInbox
	limitOutbox
	limitChannelName
	limitChannels
	limitCalls
	limitOpenCalls
	limitForgottenUsers
	limitForgottenAddresses
	limitRates // the first of those by owner and kind
)

const limits = limitRates + limit(rateOwners)*limit(rateKinds)

// String is the limit's name in the metrics.
func (l limit) String() string {
	if l >= limitRates {
		r := l - limitRates
		return rateOwner(r/limit(rateKinds)).String() + "_" + rateKind(r%limit(rateKinds)).String()
	}
	return [limitRates]string{
		"header", "header_time", "header_fields", "uri", "body", "body_time", "plain_connections", "address_plain_connections",
		"connections", "address_connections", "accepts", "pending_handshakes", "address_pending_handshakes", "handshake_time",
		"user_sessions", "message", "inflated", "fragments", "depth", "batch", "inbox", "outbox", "channel_name", "channels", "calls",
		"open_calls", "forgotten_users", "forgotten_addresses",
	}[l]
}

// rateLimit is the limit of a rate.
func rateLimit(o rateOwner, k rateKind) limit {
	return limitRates + limit(o)*limit(rateKinds) + limit(k)
}

// limitForgotten is that of the users or addresses that are remembered.
func limitForgotten(o rateOwner) limit {
	if o == ofUser {
		return limitForgottenUsers
	}
	return limitForgottenAddresses
}

// exists reports whether there is such a limit: a session connects but once.
func (l limit) exists() bool { return l != rateLimit(ofSession, rateConnects) }

// tally counts how often each limit was met.
type tally [limits]atomic.Uint64

func (t *tally) add(l limit) { t[l].Add(1) }

// metrics are one figure for each limit.
func (t *tally) metrics() (list []Metric) {
	for l := range limits {
		if l.exists() {
			list = append(list, limitMetric(l.String(), t[l].Load()))
		}
	}
	return list
}

func limitMetric(name string, n uint64) Metric {
	return Metric{
		Name: "limited_total", Help: "Times that a limit was met, by its name.", Kind: counterKind, Value: float64(n),
		Labels: map[string]string{"limit": name},
	}
}

// met counts the limit that has ended a connection, if it was one.
func (s *Server) met(e ws.CloseError) {
	if !e.Local {
		return
	}
	t := &s.counters.limited
	switch {
	case e.Code == CloseSlow:
		t.add(limitOutbox)
	case errors.Is(e.Err, ws.ErrMessage):
		t.add(limitMessage)
	case errors.Is(e.Err, ws.ErrInflated):
		t.add(limitInflated)
	case errors.Is(e.Err, ws.ErrFragments):
		t.add(limitFragments)
	}
}

const statusTooMany = http.StatusTooManyRequests

func tooManySessions(most int) *Error {
	return &Error{
		Name: NameResourceLimit, Code: CloseConns, Status: statusTooMany,
		Message: fmt.Sprintf("This user has too many sessions: %d are allowed", most),
	}
}
