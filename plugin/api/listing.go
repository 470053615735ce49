package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/skeinrt/skein"
)

// look refuses who may not list.
func look(g grant) error {
	if !g.all {
		return problem(http.StatusForbidden, skein.NameAuth, "the token lets you publish, not list")
	}
	return nil
}

func (s *service) channels(r *http.Request, g grant) (any, error) {
	if err := look(g); err != nil {
		return nil, err
	}
	limit, q := 100, r.URL.Query()
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostChannels {
			return nil, malformed("limit is %q: it may be 1 to %d", cut(text), mostChannels)
		}
		limit = n
	}
	list, err := s.server.ListChannels(r.Context(), q.Get("prefix"), limit)
	if list == nil {
		list = []skein.ChannelInfo{}
	}
	return outcome(map[string]any{"channels": list}, err)
}

func (s *service) channel(r *http.Request, g grant) (any, error) {
	if err := look(g); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	n, err := s.server.CountSubscribers(r.Context(), name)
	return outcome(map[string]any{"name": name, "subscribers": n}, err)
}

func (s *service) sessions(r *http.Request, g grant) (any, error) {
	if err := look(g); err != nil {
		return nil, err
	}
	return counted(s.server.CountSessions(r.Context()))
}

// node is what is told about a node.
type node struct {
	Name        string          `json:"name"`
	Address     string          `json:"address,omitempty"`
	Version     string          `json:"version,omitempty"`
	State       skein.NodeState `json:"state"`
	Local       bool            `json:"local"`
	Started     time.Time       `json:"started"`
	Uptime      float64         `json:"uptime"` // seconds
	Seen        time.Time       `json:"seen"`
	Lag         float64         `json:"lag"` // milliseconds
	Connections int             `json:"connections"`
	Sessions    int             `json:"sessions"`
	Channels    int             `json:"channels"`
	Published   uint64          `json:"published"`
	Delivered   uint64          `json:"delivered"`
	PublishRate float64         `json:"publishRate"`
	DeliverRate float64         `json:"deliverRate"`
	Gaps        uint64          `json:"gaps"`
}

func (s *service) nodes(_ *http.Request, g grant) (any, error) {
	if err := look(g); err != nil {
		return nil, err
	}
	list := []node{}
	for _, n := range s.server.Nodes() {
		list = append(list, node{
			Name: n.Name, Address: n.Address, Version: n.Version, State: n.State, Local: n.Local,
			Started: n.Started, Uptime: n.Uptime.Seconds(), Seen: n.Seen, Lag: n.Lag.Seconds() * 1000,
			Connections: n.Conns, Sessions: n.Sessions, Channels: n.Channels, Published: n.Published, Delivered: n.Delivered,
			PublishRate: n.PublishRate, DeliverRate: n.DeliverRate, Gaps: n.Gaps,
		})
	}
	return map[string]any{"nodes": list}, nil
}

// counted is the outcome of what was done with sessions.
func counted(n int, err error) (any, error) {
	return outcome(map[string]any{"sessions": n}, err)
}

// outcome is what was done, and on which nodes it has failed.
func outcome(done map[string]any, err error) (any, error) {
	if err == nil {
		return done, nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) // only the outermost error is a list
	if !ok {
		return nil, err
	}
	p := &partial{done: done, failed: map[string]*skein.Error{}}
	for _, one := range joined.Unwrap() {
		of, ok := errors.AsType[*skein.NodeError](one)
		if !ok {
			return nil, err
		}
		e := problem(http.StatusServiceUnavailable, "NodeError", "%v", of)
		p.failed[of.Node] = e
		if p.first == nil {
			p.first = e
		}
	}
	return nil, p
}
