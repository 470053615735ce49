package skeincmd

import (
	"context"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/natsengine"
)

// registerFigures adds those of the engine to the server's.
func (n *node) registerFigures(e engine.Engine) error {
	nats, ok := e.(*natsengine.Engine)
	if !ok {
		return nil
	}
	key := "clusterListen"
	if n.config.Cluster.ClusterListen == "" {
		key = "nats"
	}
	return n.Register(skein.Func("cluster", func(_ context.Context, h *skein.Host) error {
		h.Metrics(func(yield func(skein.Metric)) { figures(nats.Stats(), yield) })
		return nil
	}), skein.Use{Source: n.config.source(key)})
}

func figures(s natsengine.Stats, yield func(skein.Metric)) {
	for _, f := range []struct {
		name, help, kind string
		value            float64
	}{
		{"engine_published_total", "Messages that this node has sent to others.", "counter", float64(s.Published)},
		{"engine_received_total", "Messages of other nodes that have arrived.", "counter", float64(s.Received)},
		{"engine_gaps_total", "Channels for which messages may have been missing, once for each time.", "counter", float64(s.Gaps)},
		{"engine_duplicates_total", "Messages dropped because they had been heard, or told as missing, before.", "counter", float64(s.Duplicates)},
		{"engine_barriers_total", "Batches of subscriptions that all nodes have acknowledged.", "counter", float64(s.Barriers)},
		{"engine_barriers_resent_total", "Batches of subscriptions that had to be announced again.", "counter", float64(s.Resent)},
		{"engine_malformed_total", "What others publish under the prefix and is no message between nodes.", "counter", float64(s.Malformed)},
		{"engine_dropped_total", "Packets between nodes that found no room or no connection.", "counter", float64(s.Dropped)},
		{"engine_losses_total", "Times that the connection to NATS was lost.", "counter", float64(s.Losses)},
		{"engine_joined", "Channels subscribed to at the other nodes.", "gauge", float64(s.Joined)},
		{"engine_lingering", "Channels that were left lately and are still subscribed to.", "gauge", float64(s.Lingering)},
		{"engine_waiting", "Messages that have arrived and wait for delivery.", "gauge", float64(s.Waiting)},
		{"engine_route_pending_bytes", "Bytes that wait for the slowest of the other nodes.", "gauge", float64(s.RoutePending)},
	} {
		yield(skein.Metric{Name: f.name, Help: f.help, Kind: f.kind, Value: f.value})
	}
}
