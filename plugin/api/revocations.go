package api

import (
	"net/http"
	"time"

	"github.com/skeinrt/skein"
)

// revocation is the body of a request to revoke.
type revocation struct {
	User       string `json:"user"`
	TokenID    string `json:"tokenId"`
	Before     string `json:"before"`
	Until      string `json:"until"`
	Disconnect bool   `json:"disconnect"`
}

func (s *service) revoke(r *http.Request, g grant) (any, error) {
	var o revocation
	if err := act(r, g, &o, `{"user": …}, {"tokenId": …} or {"before": …}`); err != nil {
		return nil, err
	}
	out := skein.Revocation{User: o.User, TokenID: o.TokenID, Disconnect: o.Disconnect}
	for _, t := range []struct {
		name, text string
		into       *time.Time
	}{{"before", o.Before, &out.Before}, {"until", o.Until, &out.Until}} {
		var err error
		if *t.into, err = timeOf(t.name, t.text); err != nil {
			return nil, err
		}
	}
	return counted(s.server.Revoke(r.Context(), out))
}

// timeOf reads a time; "" is none.
func timeOf(name, text string) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return time.Now(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, malformed("%q is %q: send a time as 2026-01-02T03:04:05Z, or now", name, cut(text))
	}
	return t, nil
}

func (s *service) revocations(_ *http.Request, g grant) (any, error) {
	if err := operate(g); err != nil {
		return nil, err
	}
	return map[string]any{"revocations": s.server.Revocations()}, nil
}

func (s *service) unrevoke(r *http.Request, g grant) (any, error) {
	if err := operate(g); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	target := skein.Revocation{User: q.Get("user"), TokenID: q.Get("tokenId")}
	if none := target == (skein.Revocation{}); none != (q.Get("all") == "true") {
		return nil, malformed("give one of user, tokenId and all=true, which is what was issued before a time")
	}
	return outcome(map[string]any{}, s.server.Unrevoke(r.Context(), target))
}
