package skeincmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// nodesCmd lists nodes.
type nodesCmd struct {
	apiFlags `embed:""`
}

// listedNode is one of the API's answer.
type listedNode struct {
	Name, Address, Version, State string
	Local                         bool
	Uptime                        float64 // seconds
	Lag                           float64 // milliseconds
	Sessions, Channels            int
	PublishRate, DeliverRate      float64
	Gaps                          uint64
}

// Run prints them.
func (s *nodesCmd) Run(ctx context.Context, a *app) error {
	answer, err := s.get(ctx, a, "/nodes", nil)
	return s.show(a, answer, err, func(answer []byte) error {
		var list struct{ Nodes []listedNode }
		if err := json.Unmarshal(answer, &list); err != nil {
			return fmt.Errorf("the answer: %w", err)
		}
		rows := [][]string{{"NODE", "ADDRESS", "VERSION", "STATE", "UPTIME", "SESSIONS", "CHANNELS", "PUBLISHED/S", "DELIVERED/S", "GAPS", "LAG"}}
		for _, n := range list.Nodes {
			rows = append(rows, n.row())
		}
		return a.table(rows)
	})
}

func (n listedNode) row() []string {
	lag := "-"
	switch {
	case n.Local:
		lag = "asked"
	case n.Lag > 0:
		lag = strconv.FormatFloat(n.Lag, 'f', 1, 64) + "ms"
	}
	rate := func(r float64) string { return strconv.FormatFloat(r, 'f', 0, 64) }
	return []string{
		cell(n.Name), cell(n.Address), cell(n.Version), cell(n.State), conf.Duration(time.Duration(n.Uptime) * time.Second),
		strconv.Itoa(n.Sessions), strconv.Itoa(n.Channels), rate(n.PublishRate), rate(n.DeliverRate), strconv.FormatUint(n.Gaps, 10), lag,
	}
}

// channelsCmd lists channels.
type channelsCmd struct {
	apiFlags `embed:""`
	Limit    int    `default:"100" placeholder:"N" help:"Most channels to list, up to 1000."`
	Prefix   string `arg:"" optional:"" help:"What their names begin with."`
}

// Run prints them.
func (s *channelsCmd) Run(ctx context.Context, a *app) error {
	answer, err := s.get(ctx, a, "/channels", url.Values{"prefix": {s.Prefix}, "limit": {strconv.Itoa(s.Limit)}})
	return s.show(a, answer, err, func(answer []byte) error {
		list, err := channelsOf(answer)
		rows := [][]string{{"CHANNEL", "SUBSCRIBERS"}}
		for _, c := range list {
			rows = append(rows, []string{cmp.Or(printable(c.Name), `""`), strconv.Itoa(c.Subscribers)})
		}
		if err != nil {
			return err
		}
		return a.table(rows)
	})
}

func channelsOf(answer []byte) ([]skein.ChannelInfo, error) {
	var list struct{ Channels []skein.ChannelInfo }
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("the answer: %w", err)
	}
	return list.Channels, nil
}

// countCmd counts sessions.
type countCmd struct {
	apiFlags `embed:""`
	Channel  *string `arg:"" optional:"" help:"Channel that they are subscribed to."`
}

// Run prints the number.
func (s *countCmd) Run(ctx context.Context, a *app) error {
	if s.Channel == nil {
		return s.order(a, "%d\n")(s.get(ctx, a, "/sessions", nil))
	}
	// A listing takes any name, where a path would lose some: the channel is the first that begins with its name.
	answer, err := s.get(ctx, a, "/channels", url.Values{"prefix": {*s.Channel}, "limit": {"1"}})
	return s.show(a, answer, err, func(answer []byte) error {
		list, err := channelsOf(answer)
		n := 0
		if len(list) > 0 && list[0].Name == *s.Channel {
			n = list[0].Subscribers
		}
		a.printf("%d\n", n)
		return err
	})
}

// order tells with how many sessions something was done.
func (f *apiFlags) order(a *app, format string) func(answer []byte, err error) error {
	return func(answer []byte, err error) error {
		return f.show(a, answer, err, func(answer []byte) error {
			var done struct{ Sessions int }
			if err := json.Unmarshal(answer, &done); err != nil {
				return fmt.Errorf("the answer: %w", err)
			}
			a.printf(format, done.Sessions)
			return nil
		})
	}
}

// targetFlags say which sessions are meant.
type targetFlags struct {
	Session string `placeholder:"ID" help:"The session of this id."`
	User    string `placeholder:"NAME" help:"All sessions whose token is this user's (see --user-claim of serve)."`
	TokenID string `placeholder:"ID" help:"All sessions whose token has this id, the claim jti."`
}

// target refuses what is not clearly meant.
func (t targetFlags) target() (skein.Target, error) {
	n := 0
	for _, s := range []string{t.Session, t.User, t.TokenID} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return skein.Target{}, usageError("give one of --session, --user and --token-id")
	}
	return skein.Target{Session: t.Session, User: t.User, TokenID: t.TokenID}, nil
}

// disconnectCmd closes sessions.
type disconnectCmd struct {
	apiFlags    `embed:""`
	targetFlags `embed:""`
	Code        int    `placeholder:"N" help:"Close code, 1000 to 4999; from 4500 up SocketCluster clients stay away. 0: 1000."`
	Reason      string `placeholder:"TEXT" help:"Reason that goes with it."`
}

// Run says how many there were.
func (s *disconnectCmd) Run(ctx context.Context, a *app) error {
	t, err := s.target()
	if err != nil {
		return err
	}
	return s.order(a, "disconnected: %d\n")(s.post(ctx, a, "/disconnect", struct {
		skein.Target

		Code   int    `json:"code,omitempty"`
		Reason string `json:"reason,omitempty"`
	}{t, s.Code, s.Reason}))
}

// kickCmd takes sessions out of a channel.
type kickCmd struct {
	apiFlags    `embed:""`
	targetFlags `embed:""`
	Message     string `placeholder:"TEXT" help:"Why, for the clients."`
	Channel     string `arg:"" help:"Channel."`
}

// Run says how many were in it.
func (s *kickCmd) Run(ctx context.Context, a *app) error {
	t, err := s.target()
	if err != nil {
		return err
	}
	return s.order(a, "kicked: %d\n")(s.post(ctx, a, "/kick", struct {
		skein.Target

		Channel string `json:"channel"`
		Message string `json:"message,omitempty"`
	}{t, s.Channel, s.Message}))
}

// tokenSetCmd gives sessions a token.
type tokenSetCmd struct {
	apiFlags    `embed:""`
	targetFlags `embed:""`
	Claims      string `arg:"" help:"Claims, a JSON object; - reads them from standard input."`
}

// Run says how many have got it.
func (s *tokenSetCmd) Run(ctx context.Context, a *app) error {
	t, err := s.target()
	if err != nil {
		return err
	}
	claims, err := a.claims(s.Claims)
	if err != nil {
		return err
	}
	return s.order(a, "tokens set: %d\n")(s.post(ctx, a, "/set-token", struct {
		skein.Target

		Claims json.RawMessage `json:"claims"`
	}{t, claims}))
}

// tokenRemoveCmd takes the token from sessions.
type tokenRemoveCmd struct {
	apiFlags    `embed:""`
	targetFlags `embed:""`
}

// Run says how many had one.
func (s *tokenRemoveCmd) Run(ctx context.Context, a *app) error {
	t, err := s.target()
	if err != nil {
		return err
	}
	return s.order(a, "tokens removed: %d\n")(s.post(ctx, a, "/remove-token", t))
}
