package skein

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/skeinrt/skein/internal/wire"
)

// gaps are the channels of which messages may be missing, until that has been told. There are no more of them than the
// node has joined, however often they are reported.
type gaps struct {
	told chan struct{} // has a value while there is something to tell

	mu       sync.Mutex
	channels map[string]struct{}
	all      bool // of every channel
}

func (g *gaps) add(channels []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.channels == nil {
		g.channels = map[string]struct{}{}
	}
	for _, c := range channels {
		g.channels[c] = struct{}{}
	}
	g.wake()
}

func (g *gaps) addAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = true
	g.wake()
}

func (g *gaps) wake() {
	select {
	case g.told <- struct{}{}:
	default:
	}
}

// take returns what has to be told, and forgets it.
func (g *gaps) take() (channels []string, all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	channels, all = sortedKeys(g.channels), g.all
	g.channels, g.all = nil, false
	return channels, all
}

// gapped is the engine's: messages of these channels have not arrived, or perhaps not.
func (s *Server) gapped(channels []string) { s.cluster.gaps.add(channels) }

// tellGaps runs until ctx ends. Whoever reports a gap does not wait for hooks and sessions.
func (s *Server) tellGaps(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.cluster.gaps.told:
		}
		channels, all := s.cluster.gaps.take()
		if all {
			channels = append(channels, s.hub.Channels("", 0)...)
			channels = append(channels, sortedKeys(s.listeners)...)
			slices.Sort(channels)
			channels = slices.Compact(channels)
		}
		for _, c := range channels {
			s.tellGap(ctx, c)
		}
	}
}

// tellGap tells the plugins, and then the sessions that are in the channel.
func (s *Server) tellGap(ctx context.Context, channel string) {
	s.counters.gaps.Add(1)
	if h := s.hooks[onGap]; len(h) > 0 {
		h.tell(ctx, channel, &Event{Channel: channel})
	}
	data := gapData(channel)
	s.hub.Each(channel, func(x *Session) { _ = x.Transmit("#gap", data) }) // a closed session needs to know nothing
}

// gapData is what the event #gap carries.
func gapData(channel string) json.RawMessage {
	return append(wire.AppendString([]byte(`{"channel":`), channel), '}')
}
