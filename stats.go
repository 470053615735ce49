package skein

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// counters of what has happened since Start.
type counters struct {
	opened, closed                             atomic.Uint64
	published, delivered, refused, unpublished atomic.Uint64
	panics, pongTimeouts                       atomic.Uint64
	refusedOrigins, refusedUpgrades            atomic.Uint64
	gaps, cuts                                 atomic.Uint64
	limited                                    tally
	dropped                                    [4]atomic.Uint64 // by SlowPolicy
	revoked, withdrawn, unrevoked              atomic.Uint64
}

// Stats is a snapshot of a server's figures.
type Stats struct {
	// Node is the server's name.
	Node string `json:"node"`
	// Uptime since Start.
	Uptime time.Duration `json:"uptime"`
	// Conns is how many WebSocket connections there are, raw ones and those before the handshake included.
	Conns int `json:"conns"`
	// Sessions is how many have completed the handshake.
	Sessions int `json:"sessions"`
	// Channels is how many have subscribers on this node.
	Channels int `json:"channels"`
	// Published counts publications that were handed to the engine.
	Published uint64 `json:"published"`
	// Delivered counts messages put into the queues of clients.
	Delivered uint64 `json:"delivered"`
	// Refused counts publications that hooks refused.
	Refused uint64 `json:"refused"`
	// Unpublished counts publications that the engine did not take over.
	Unpublished uint64 `json:"unpublished"`
	// Panics counts those of plugins and of message handling; each cost one request, event or connection.
	Panics uint64 `json:"panics"`
	// Slow counts clients closed because they read too slowly.
	Slow uint64 `json:"slow"`
	// PongTimeouts counts clients closed because they were silent.
	PongTimeouts uint64 `json:"pongTimeouts"`
	// Gaps counts channels of which messages from other nodes may have been missing; their sessions were told.
	Gaps uint64 `json:"gaps"`
	// Dropped counts messages for slow sessions that were delivered, but have not left.
	Dropped Dropped `json:"dropped"`
}

// Dropped counts messages that slow sessions have missed, by the policies of their channels.
type Dropped struct {
	// Oldest were of channels with SlowDropOldest.
	Oldest uint64 `json:"dropOldest"`
	// Newest were of channels with SlowDropNewest.
	Newest uint64 `json:"dropNewest"`
	// Latest were of channels with SlowKeepLatest: a newer one has taken their place, as a rule.
	Latest uint64 `json:"keepLatest"`
}

// Stats returns the server's figures.
func (s *Server) Stats() Stats {
	c := &s.counters
	st := Stats{
		Node: s.options.Node, Channels: s.hub.Len(),
		Published: c.published.Load(), Delivered: c.delivered.Load(), Refused: c.refused.Load(),
		Unpublished: c.unpublished.Load(), Panics: s.panicked(), Slow: c.limited[limitOutbox].Load(), PongTimeouts: c.pongTimeouts.Load(),
		Gaps:    c.gaps.Load(),
		Dropped: Dropped{c.dropped[SlowDropOldest].Load(), c.dropped[SlowDropNewest].Load(), c.dropped[SlowKeepLatest].Load()},
	}
	s.mu.Lock()
	st.Sessions = len(s.sessions)
	st.Conns = s.doorman.count()
	if !s.life.began.IsZero() {
		st.Uptime = time.Since(s.life.began)
	}
	s.mu.Unlock()
	return st
}

func (d *doorman) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}

// Metric is one figure.
type Metric struct {
	// Name in the form of Prometheus, without the prefix skein_.
	Name string
	// Help is one sentence.
	Help string
	// Kind is counter or gauge.
	Kind string
	// Value at the time of reading.
	Value float64
	// Labels are fixed for a figure. The metrics of a plugin carry its name as "plugin".
	Labels map[string]string
}

const (
	counterKind = "counter"
	gaugeKind   = "gauge"
)

// Metrics returns the server's figures and those of its plugins.
func (s *Server) Metrics() []Metric {
	st := s.Stats()
	c := &s.counters
	list := []Metric{
		{Name: "uptime_seconds", Help: "Seconds since the start.", Kind: gaugeKind, Value: st.Uptime.Seconds()},
		{Name: "connections", Help: "Open WebSocket connections.", Kind: gaugeKind, Value: float64(st.Conns)},
		{Name: "sessions", Help: "Sessions that have completed the handshake.", Kind: gaugeKind, Value: float64(st.Sessions)},
		{Name: "channels", Help: "Channels with subscribers on this node.", Kind: gaugeKind, Value: float64(st.Channels)},
		counted("sessions_opened_total", "Completed handshakes.", &c.opened),
		counted("sessions_closed_total", "Ended connections.", &c.closed),
		counted("published_total", "Publications handed to the engine.", &c.published),
		counted("publish_failed_total", "Publications that the engine did not take over.", &c.unpublished),
		counted("publish_refused_total", "Publications that a hook refused.", &c.refused),
		counted("delivered_total", "Messages put into the queues of clients.", &c.delivered),
		counted("slow_closed_total", "Clients closed because they read too slowly.", &c.limited[limitOutbox]),
		counted("pong_timeouts_total", "Clients closed because they were silent.", &c.pongTimeouts),
		counted("origins_refused_total", "Upgrades refused for their origin.", &c.refusedOrigins),
		counted("upgrades_refused_total", "Upgrades refused by a hook.", &c.refusedUpgrades),
	}
	for p := SlowDropOldest; p <= SlowKeepLatest; p++ {
		list = append(list, Metric{
			Name: "dropped_total", Help: "Messages that sessions have missed because they read too slowly.", Kind: counterKind,
			Value: float64(c.dropped[p].Load()), Labels: map[string]string{"policy": p.String()},
		})
	}
	return slices.Concat(list, c.limited.metrics(), s.revocationMetrics(), s.clusterMetrics(), s.pluginMetrics())
}

// revocationMetrics are about tokens that are good no longer.
func (s *Server) revocationMetrics() []Metric {
	return []Metric{
		{Name: "revocations", Help: "Revocations in force.", Kind: gaugeKind, Value: float64(len(s.Revocations()))},
		counted("revoked_tokens_total", "Tokens refused because they are revoked.", &s.counters.revoked),
		counted("revoked_sessions_total", "Sessions and raw connections that have lost a revoked token.", &s.counters.withdrawn),
		counted("revocations_refused_total", "Revocations refused because there were too many.", &s.counters.unrevoked),
	}
}

// clusterMetrics are about the other nodes.
func (s *Server) clusterMetrics() []Metric {
	cutOff := 0.0
	if s.cluster.lost.Load() {
		cutOff = 1
	}
	return []Metric{
		{Name: "nodes", Help: "Nodes of the cluster that this one sees, itself included.", Kind: gaugeKind, Value: float64(s.visible())},
		{Name: "cut_off", Help: "1 while this node has lost all others, else 0.", Kind: gaugeKind, Value: cutOff},
		counted("cuts_total", "Times that this node has lost all others.", &s.counters.cuts),
		counted("gaps_total", "Channels of which messages of other nodes may have been missing, and whose sessions were told.", &s.counters.gaps),
	}
}

// visible counts the nodes.
func (s *Server) visible() int {
	if !s.life.stood.Load() {
		return 0
	}
	return len(s.cluster.Members())
}

func counted(name, help string, v *atomic.Uint64) Metric {
	return Metric{Name: name, Help: help, Kind: counterKind, Value: float64(v.Load())}
}

// pluginMetrics are counted for the plugins, and what they add themselves.
func (s *Server) pluginMetrics() []Metric {
	list := []Metric{{Name: "panics_total", Help: "Panics outside of hooks.", Kind: counterKind, Value: float64(s.counters.panics.Load())}}
	for _, r := range s.standing() {
		list = append(list, Metric{
			Name: "plugin_panics_total", Help: "Panics of a plugin's hooks.", Kind: counterKind,
			Value: float64(r.host.hookPanics()), Labels: map[string]string{"plugin": r.name},
		})
		for _, l := range r.host.listeners {
			list = append(list, Metric{
				Name: "plugin_dropped_total", Help: "Messages that a plugin's queue had no room for.", Kind: counterKind,
				Value: float64(l.dropped.Load()), Labels: map[string]string{"plugin": r.name, "channel": l.channel},
			})
		}
		list = append(list, r.host.ownMetrics()...)
	}
	return list
}

// ownMetrics are what a plugin adds; one that panics adds what it had until then.
func (h *Host) ownMetrics() (list []Metric) {
	defer h.recovered(h.server.life.ctx, new(error)) // which logs and counts
	list = h.figures.limits(h.name)
	for _, fn := range h.figures.metrics {
		fn(func(m Metric) { list = append(list, m.of(h.name)) })
	}
	return list
}

// limits are what Host.Limited has counted.
func (f *figures) limits(plugin string) (list []Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range sortedKeys(f.limited) {
		list = append(list, limitMetric(name, f.limited[name]).of(plugin))
	}
	return list
}

func (m Metric) of(plugin string) Metric {
	labels := map[string]string{"plugin": plugin}
	maps.Copy(labels, m.Labels)
	m.Labels = labels
	return m
}

func (h *Host) hookPanics() (n uint64) {
	for _, c := range h.hooks {
		for _, k := range c {
			n += k.panics.Load()
		}
	}
	return n
}

// panicked counts all panics.
func (s *Server) panicked() uint64 {
	n := s.counters.panics.Load()
	for _, r := range s.standing() {
		n += r.host.hookPanics()
	}
	return n
}

// standing lists the plugins that have been set up.
func (s *Server) standing() []*registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == created || s.phase == starting {
		return nil
	}
	var list []*registration
	for _, r := range s.plugins {
		if r.host != nil {
			list = append(list, r)
		}
	}
	return list
}
