package skeincmd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// tokenCmd is about tokens.
type tokenCmd struct {
	Sign    tokenSignCmd    `cmd:"" help:"Sign claims with the node's key, which must be given, and print the token."`
	Verify  tokenVerifyCmd  `cmd:"" help:"Verify a token as a node with these keys would, and print its claims. A key must be given."`
	Inspect tokenInspectCmd `cmd:"" help:"Print what a token says, without verifying it."`
	Set     tokenSetCmd     `cmd:"" help:"Give sessions of a cluster a token with these claims, on whatever node they are."`
	Remove  tokenRemoveCmd  `cmd:"" help:"End the authentication of sessions of a cluster, on whatever node they are."`

	Revoke      tokenRevokeCmd      `cmd:"" help:"Make tokens of a cluster good for nothing, those that sessions have and those that clients keep, on all nodes."`
	Revocations tokenRevocationsCmd `cmd:"" help:"List what is revoked."`
}

// keyFlags are the keys of a node, from the same places.
type keyFlags struct {
	Config string       `placeholder:"FILE" help:"Configuration file. Default: skein.yaml in the working directory, if it is there."`
	Auth   authSettings `embed:"" group:"auth"`
}

// tokens are those of the keys; fetch also gets the keys that an issuer publishes, which verify.
func (f *keyFlags) tokens(ctx context.Context, a *app, k *kong.Context, fetch bool) (*auth.Tokens, error) {
	c, err := a.load(k, f.Config, &settings{Auth: f.Auth})
	if err != nil {
		return nil, err
	}
	if err := c.findPublished(slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if c.published != nil && fetch {
		if err := c.published.Fetch(ctx); err != nil {
			return nil, c.blame("authJWKS", err)
		}
	}
	t, random, err := c.tokens(a)
	if random {
		return nil, usageError("no key: give --auth-key, --auth-private-key or --auth-public-key, or a configuration file that has one")
	}
	return t, err
}

type tokenSignCmd struct {
	keyFlags `embed:""`
	Expires  time.Duration `placeholder:"TIME" help:"How long the token lives. Default: --auth-expiry."`
	Claims   string        `arg:"" optional:"" default:"{}" help:"Claims, a JSON object; - reads them from standard input."`
}

// Run prints the token.
func (s *tokenSignCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	tokens, err := s.tokens(ctx, a, k, false)
	if err != nil {
		return err
	}
	claims, err := a.claims(s.Claims)
	if err != nil {
		return err
	}
	token, err := tokens.Sign(claims, auth.SignOptions{Expiry: s.Expires})
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	a.printf("%s\n", token)
	return nil
}

// claims are those of an argument.
func (a *app) claims(argument string) (json.RawMessage, error) {
	text, err := a.argument(argument)
	if err != nil {
		return nil, err
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &object) != nil || object == nil {
		return nil, usageError(fmt.Sprintf(`the claims %s are not a JSON object, as in '{"username":"ann"}'`, text))
	}
	return json.RawMessage(text), nil
}

type tokenVerifyCmd struct {
	keyFlags `embed:""`
	Token    string `arg:"" help:"Token; - reads it from standard input."`
}

// Run prints the claims of a good token.
func (s *tokenVerifyCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	tokens, err := s.tokens(ctx, a, k, true)
	if err != nil {
		return err
	}
	token, err := a.argument(s.Token)
	if err != nil {
		return err
	}
	claims, err := tokens.Verify(token)
	if refused, ok := errors.AsType[*auth.Error](err); ok {
		return fmt.Errorf("%s: %w (%s)", refused.Name, refused, refused.Reason)
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	a.printf("%s\n", claims.Raw)
	return nil
}

type tokenInspectCmd struct {
	Token string `arg:"" help:"Token; - reads it from standard input."`
}

// inspected is what a token says of itself.
type inspected struct {
	Header  json.RawMessage `json:"header"`
	Claims  json.RawMessage `json:"claims"`
	Issued  string          `json:"issued,omitempty"`
	Expires string          `json:"expires,omitempty"`
}

// Run prints what the token says.
func (s *tokenInspectCmd) Run(a *app) error {
	token, err := a.argument(s.Token)
	if err != nil {
		return err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("this is not a token: a token has three parts with dots between")
	}
	var t inspected
	if t.Header, err = section(parts[0], "header"); err != nil {
		return err
	}
	if t.Claims, err = section(parts[1], "claims"); err != nil {
		return err
	}
	var times struct {
		Iat, Exp *float64
	}
	if err := json.Unmarshal(t.Claims, &times); err != nil {
		return fmt.Errorf("the claims: %w", err)
	}
	now := time.Now()
	t.Issued, t.Expires = moment(times.Iat, now), moment(times.Exp, now)
	return a.json(t)
}

func section(text, what string) (json.RawMessage, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || !json.Valid(b) {
		return nil, fmt.Errorf("this is not a token: its %s is not JSON in base64url", what)
	}
	return b, nil
}

// moment is a time of a token, and how far from now it is.
func moment(seconds *float64, now time.Time) string {
	if seconds == nil {
		return ""
	}
	t := time.Unix(int64(*seconds), 0).UTC()
	distance := t.Sub(now).Round(time.Second)
	if distance < 0 {
		return fmt.Sprintf("%s (%s ago)", t.Format(time.RFC3339), conf.Duration(-distance))
	}
	return fmt.Sprintf("%s (in %s)", t.Format(time.RFC3339), conf.Duration(distance))
}

// argument is an argument of the command line, or what standard input has in place of "-".
func (a *app) argument(s string) (string, error) {
	if s != "-" {
		return s, nil
	}
	b, err := io.ReadAll(io.LimitReader(a.In, 1<<20))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
