package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/skeinrt/skein"
)

// publication is the body of a publish request.
type publication struct {
	Channel  *string         `json:"channel"`
	Channels []string        `json:"channels"`
	Data     json.RawMessage `json:"data"` // nil is absent, which is not null
}

// targets returns the channels, which must be given in exactly one of the two ways.
func (p publication) targets() ([]string, error) {
	switch {
	case (p.Channel == nil) == (p.Channels == nil):
		return nil, malformed(`give either "channel", a string, or "channels", a list of strings`)
	case p.Channel != nil:
		return []string{*p.Channel}, nil
	case len(p.Channels) == 0 || len(p.Channels) > mostChannels:
		return nil, malformed(`"channels" has %d entries: it may have 1 to %d`, len(p.Channels), mostChannels)
	default:
		return p.Channels, nil
	}
}

func (s *service) publish(r *http.Request, g grant) (any, error) {
	var p publication
	if err := decode(r, &p, `{"channel": …, "data": …}`); err != nil {
		return nil, err
	}
	channels, err := p.targets()
	if len(p.Channels) > mostChannels {
		s.host.Limited("channels")
	}
	if err != nil {
		return nil, err
	}
	if p.Data == nil {
		return nil, malformed(`"data" is missing: give a value, or null`)
	}
	ctx := r.Context()
	if g.client {
		ctx = s.server.ClientContext(ctx, r, g.token)
	}
	published := []string{}
	outcome := partial{failed: map[string]*skein.Error{}}
	for _, channel := range channels {
		err := s.publishTo(ctx, g, channel, p.Data)
		if err == nil {
			published = append(published, channel)
			continue
		}
		e := judged(err)
		outcome.failed[channel] = e
		outcome.first = cmp.Or(outcome.first, e)
	}
	switch {
	case outcome.first == nil:
		return struct{}{}, nil
	case len(channels) == 1:
		return nil, outcome.first
	default:
		outcome.done = map[string]any{"published": published}
		return nil, &outcome
	}
}

func (s *service) publishTo(ctx context.Context, g grant, channel string, data json.RawMessage) error {
	if !g.covers(channel) {
		return problem(http.StatusForbidden, skein.NameAuth, "the token does not let you publish to %q", cut(channel))
	}
	return s.server.Publish(ctx, channel, data)
}

// mayBeJSON also takes what fetch and curl call a body when they are told nothing. A page of another site could send these
// without being asked for permission; the door refuses foreign origins before.
func mayBeJSON(kind string) bool {
	media, _, err := mime.ParseMediaType(kind)
	switch media {
	case "application/json", "text/plain", "application/x-www-form-urlencoded":
		return err == nil
	}
	return kind == "" || err == nil && strings.HasSuffix(media, "+json")
}

// decode reads the body strictly and says what is wrong with it, and what to send.
func decode(r *http.Request, into any, send string) error {
	if kind := r.Header.Get("Content-Type"); !mayBeJSON(kind) {
		return problem(http.StatusUnsupportedMediaType, "ContentTypeError", "the content type is %q: send application/json", cut(kind))
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return undecodable(err, send)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("the body goes on behind its JSON value")
	}
	return nil
}

func undecodable(err error, send string) error {
	var large *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	text := strings.TrimPrefix(err.Error(), "json: ")
	switch {
	case errors.As(err, &large):
		return problem(http.StatusRequestEntityTooLarge, nameTooLarge, "the body is larger than %d bytes", large.Limit)
	case errors.As(err, &kind):
		return malformed("%s is %s: send %s", cmp.Or(kind.Field, "the body"), withArticle(kind.Value), send)
	case errors.Is(err, io.EOF):
		return malformed("the body is empty: send %s", send)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return malformed("the body is cut off: its JSON does not end")
	case strings.HasPrefix(text, "unknown field"):
		return malformed("the body has the %s: send %s", cut(text), send)
	default:
		return malformed("the body is not JSON: %s", cut(text))
	}
}

// withArticle names a kind of JSON value.
func withArticle(kind string) string {
	if strings.ContainsRune("aeiou", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}
