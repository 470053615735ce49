package skeincmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/skeinrt/skein"
)

// tokenRevokeCmd makes tokens good for nothing, or undoes that.
type tokenRevokeCmd struct {
	apiFlags   `embed:""`
	User       string        `placeholder:"NAME" help:"All tokens of this user that were issued until now (see --user-claim of serve)."`
	ID         string        `name:"id" aliases:"token-id" placeholder:"ID" help:"The token of this id, the claim jti."`
	Before     string        `placeholder:"TIME" help:"All tokens that were issued before this time, or those of --user: now, 2026-01-02T03:04:05Z, or seconds since 1970."`
	For        time.Duration `placeholder:"TIME" help:"How long to remember it: as long as such tokens live. 0: by --auth-max-lifetime of serve, or for ever."`
	Disconnect bool          `help:"Close the sessions with 4500, instead of taking their tokens."`
	Undo       bool          `help:"Lift the revocation of --user, of --id, or with neither of all tokens."`
}

// Run says how many sessions have lost their token.
func (s *tokenRevokeCmd) Run(ctx context.Context, a *app) error {
	if s.User != "" && s.ID != "" || s.User == "" && s.ID == "" && s.Before == "" && !s.Undo {
		return usageError("give one of --user, --id and --before")
	}
	if s.Undo {
		return s.undo(ctx, a)
	}
	before, err := timeOf(s.Before)
	if err != nil {
		return err
	}
	order := struct {
		User       string `json:"user,omitempty"`
		TokenID    string `json:"tokenId,omitempty"`
		Before     string `json:"before,omitempty"`
		Until      string `json:"until,omitempty"`
		Disconnect bool   `json:"disconnect,omitempty"`
	}{User: s.User, TokenID: s.ID, Before: before, Disconnect: s.Disconnect}
	switch {
	case s.For < 0:
		return usageError("--for: it must not be negative")
	case s.For > 0:
		order.Until = time.Now().Add(s.For).Format(time.RFC3339)
	}
	return s.order(a, "revoked, sessions: %d\n")(s.post(ctx, a, "/revocations", order))
}

func (s *tokenRevokeCmd) undo(ctx context.Context, a *app) error {
	q := url.Values{}
	switch {
	case s.User != "":
		q.Set("user", s.User)
	case s.ID != "":
		q.Set("tokenId", s.ID)
	default:
		q.Set("all", "true")
	}
	answer, err := s.ask(ctx, a, http.MethodDelete, "/revocations?"+q.Encode(), nil)
	return s.show(a, answer, err, func([]byte) error {
		a.printf("lifted\n")
		return nil
	})
}

// timeOf is a time of the command line as the API has it. What now is the node says, whose clock counts.
func timeOf(text string) (string, error) {
	if text == "" || text == "now" {
		return text, nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(seconds, 0).UTC().Format(time.RFC3339), nil
	}
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return "", usageError(fmt.Sprintf("--before: %q is not a time, as now, 2026-01-02T03:04:05Z or 1767323045", text))
	}
	return text, nil
}

// tokenRevocationsCmd lists revocations.
type tokenRevocationsCmd struct {
	apiFlags `embed:""`
}

// Run prints them.
func (s *tokenRevocationsCmd) Run(ctx context.Context, a *app) error {
	answer, err := s.get(ctx, a, "/revocations", nil)
	return s.show(a, answer, err, func(answer []byte) error {
		var list struct{ Revocations []skein.Revocation }
		if err := json.Unmarshal(answer, &list); err != nil {
			return fmt.Errorf("the answer: %w", err)
		}
		rows := [][]string{{"USER", "TOKEN", "ISSUED BEFORE", "UNTIL", "REVOKED"}}
		for _, r := range list.Revocations {
			rows = append(rows, []string{cell(r.User), cell(r.TokenID), instant(r.Before), instant(r.Until), instant(r.At)})
		}
		return a.table(rows)
	})
}

// instant is a time in a table.
func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
