package api

import (
	"encoding/json"
	"net/http"

	"github.com/skeinrt/skein"
)

// act reads an order of somebody who may act on sessions.
func act(r *http.Request, g grant, into any, send string) error {
	if err := operate(g); err != nil {
		return err
	}
	return decode(r, into, send)
}

// operate refuses who may not act on sessions.
func operate(g grant) error {
	if !g.operator {
		return problem(http.StatusForbidden, skein.NameAuth, "a token does not let you act on sessions: that takes a key")
	}
	return nil
}

func (s *service) disconnect(r *http.Request, g grant) (any, error) {
	var o struct {
		skein.Target

		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	if err := act(r, g, &o, `{"user": …, "code": …, "reason": …}`); err != nil {
		return nil, err
	}
	return counted(s.server.Disconnect(r.Context(), o.Target, o.Code, o.Reason))
}

func (s *service) kick(r *http.Request, g grant) (any, error) {
	var o struct {
		skein.Target

		Channel *string `json:"channel"`
		Message string  `json:"message"`
	}
	if err := act(r, g, &o, `{"user": …, "channel": …, "message": …}`); err != nil {
		return nil, err
	}
	if o.Channel == nil {
		return nil, malformed(`"channel" is missing`)
	}
	return counted(s.server.Kick(r.Context(), o.Target, *o.Channel, o.Message))
}

func (s *service) setToken(r *http.Request, g grant) (any, error) {
	var o struct {
		skein.Target

		Claims json.RawMessage `json:"claims"`
	}
	if err := act(r, g, &o, `{"user": …, "claims": {…}}`); err != nil {
		return nil, err
	}
	return counted(s.server.SetToken(r.Context(), o.Target, o.Claims))
}

func (s *service) removeToken(r *http.Request, g grant) (any, error) {
	var o skein.Target
	if err := act(r, g, &o, `{"user": …}`); err != nil {
		return nil, err
	}
	return counted(s.server.RemoveToken(r.Context(), o))
}
