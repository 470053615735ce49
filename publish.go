package skein

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/wire"
)

// publish serves #publish.
func (s *Session) publish(p *wire.Packet) {
	expired := s.expire()
	if s.endpoint.NoPublish {
		s.fail(p.CID, invalidAction("Client publish feature is disabled"))
		return
	}
	if !p.Named {
		s.fail(p.CID, invalidAction("Publish channel name was malformatted"))
		return
	}
	if n := s.endpoint.Limits.ChannelName; len(p.Channel) > n {
		s.server.counters.limited.add(limitChannelName)
		s.fail(p.CID, invalidAction(fmt.Sprintf("Publish channel name is longer than %d bytes", n)))
		return
	}
	e := Event{Session: s, Channel: p.Channel, Data: p.Payload, Source: SourceClient, Expired: expired}
	if err := s.server.publish(s.contextFor(s.server.asksAt(onPublish)), &e); err != nil {
		s.fail(p.CID, refusal(err, "publishIn", "inbound"))
		return
	}
	s.reply(p.CID, nil)
}

// Publish sends a message to every subscriber of the channel on every node. The OnPublish hooks are asked, with
// SourceAPI. data is JSON text, or nil for undefined; it is copied. nil means that the engine has taken it over and
// that this node's subscribers have it in their queues.
func (s *Server) Publish(ctx context.Context, channel string, data json.RawMessage) error {
	return s.publish(ctx, &Event{Channel: channel, Data: data, Source: SourceAPI})
}

// publish is the one way in: every publication of every kind comes through here.
func (s *Server) publish(ctx context.Context, e *Event) error {
	if e.Source != SourceClient {
		if !s.life.stood.Load() {
			return ErrStopped
		}
		if e.Data != nil && !wire.Valid(e.Data) {
			return &Error{Name: NameInvalidArgument, Message: "the data is not JSON text"}
		}
		if err := s.admitFrom(ctx, e); err != nil {
			return err
		}
		e.Data = append(json.RawMessage(nil), e.Data...)
	}
	if h := s.hooks[onPublish]; len(h) > 0 {
		asked := *e // only what hooks may keep is allocated
		err := s.askPublish(ctx, h, &asked)
		*e = asked
		if err != nil {
			s.counters.refused.Add(1)
			return err
		}
	}
	m := engine.Message{Channel: e.Channel, Data: e.Data}
	if e.Session != nil {
		m.Origin = e.Session.id
	}
	s.counters.published.Add(1)
	if err := s.engine.Publish(ctx, m); err != nil {
		s.counters.unpublished.Add(1)
		return brokerError(fmt.Sprintf("the message to channel %q was not taken over: %v", e.Channel, err))
	}
	return nil
}

// admitFrom applies the limits to a publication that is not a session's own.
func (s *Server) admitFrom(ctx context.Context, e *Event) error {
	if n := s.options.Limits.over(Limits{}).ChannelName; len(e.Channel) > n {
		s.counters.limited.add(limitChannelName)
		return &Error{Name: NameInvalidArgument, Status: http.StatusBadRequest, Message: fmt.Sprintf("the channel name is longer than %d bytes", n)}
	}
	return payFor(ctx)
}

// askPublish asks the hooks; one that redirects makes those of the new channel be asked as well, from the start, once.
func (s *Server) askPublish(ctx context.Context, h chain, e *Event) error {
	asked := e.Channel
	if err := h.ask(ctx, asked, e); err != nil {
		return err
	}
	if e.Channel != asked {
		redirected := e.Channel
		if err := h.ask(ctx, redirected, e); err != nil {
			return err
		}
		if e.Channel != redirected {
			return fmt.Errorf("a publication to %q was redirected to %q and then to %q: once is allowed", asked, redirected, e.Channel)
		}
	}
	if e.Data != nil && !wire.Valid(e.Data) {
		return errors.New("a hook has replaced the data by what is not JSON text")
	}
	return nil
}
