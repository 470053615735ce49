package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/secure"
)

const nameTooLarge = "BodyTooLargeError"

func problem(status int, name, format string, args ...any) *skein.Error {
	return &skein.Error{Name: name, Message: fmt.Sprintf(format, args...), Status: status}
}

func malformed(format string, args ...any) *skein.Error {
	return problem(http.StatusBadRequest, skein.NameInvalidArgument, format, args...)
}

// partial is the outcome of what has failed for some channels, or on some nodes.
type partial struct {
	done   map[string]any // what was done, as it is answered
	failed map[string]*skein.Error
	first  *skein.Error
}

func (p *partial) Error() string { return p.first.Error() }

// judged is an error with its status. What the server returns is the engine's own failure, which is ours, or else a
// hook's decision.
func judged(err error) *skein.Error {
	e, coded := errors.AsType[*skein.Error](err)
	switch {
	case coded && e.Silent:
		return problem(http.StatusForbidden, skein.NameSilentlyBlocked, "the publication was refused")
	case coded:
		told := *e
		told.Status = statusOf(e)
		return &told
	case errors.Is(err, skein.ErrStopped):
		return problem(http.StatusServiceUnavailable, skein.NameBroker, "%v", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, skein.NameTimeout, "the publication was given up: %v", err)
	default:
		return problem(http.StatusForbidden, "RefusedError", "%v", err)
	}
}

func statusOf(e *skein.Error) int {
	switch {
	case e.Status != 0:
		return e.Status
	case e.Name == skein.NameBroker:
		return http.StatusServiceUnavailable
	case e.Name == skein.NameInvalidArgument:
		return http.StatusBadRequest
	case e.Name == skein.NamePlugin:
		return http.StatusInternalServerError
	default:
		return http.StatusForbidden
	}
}

// fail answers with an error. Whoever may come back with something better is told how.
func fail(w http.ResponseWriter, err error) {
	body := map[string]any{}
	if some, ok := errors.AsType[*partial](err); ok {
		maps.Copy(body, some.done)
		body["failed"] = some.failed
		err = some.first
	}
	e := judged(err)
	body["error"] = e
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="skein api"`)
	}
	if e.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	reply(w, e.Status, body)
}

// reply answers with a value. One that cannot be encoded is our own failure, which the status must say.
func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		e := problem(http.StatusInternalServerError, "EncodingError", "the answer cannot be encoded: %v", err)
		status = e.Status
		text, _ = json.Marshal(map[string]any{"error": e}) // texts always encode
	}
	secure.Data(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // whoever asked has gone
}

// cut keeps what a client has sent short enough to be sent back.
func cut(s string) string {
	const most = 256
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
