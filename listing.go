package skein

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// mostListed is how many channels a listing of all nodes has at most.
const mostListed = 10_000

// ListChannels lists the channels that have subscribers on any node, with how many there are on all: those that begin with
// prefix, sorted, the first limit of them (0 and more than 10,000 are 10,000). What nodes have not said is missing in it: see
// Disconnect.
func (s *Server) ListChannels(ctx context.Context, prefix string, limit int) ([]ChannelInfo, error) {
	if limit <= 0 || limit > mostListed {
		limit = mostListed
	}
	if !s.life.stood.Load() {
		return nil, ErrStopped
	}
	members := s.cluster.Members()
	lists, errs := make([][]ChannelInfo, len(members)), make([]error, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() { lists[i], errs[i] = s.listNode(ctx, m.Name, listing{Prefix: prefix, Limit: limit}) })
	}
	asked.Wait()
	return merged(lists, limit), errors.Join(errs...)
}

// listing asks for a node's first channels; of a long answer, for the page that begins behind After.
type listing struct {
	Prefix string  `json:"prefix"`
	Limit  int     `json:"limit"`
	After  *string `json:"after,omitempty"`
}

type page struct {
	Channels []ChannelInfo `json:"channels"`
	More     bool          `json:"more,omitempty"`
}

// listNode asks for one page after the other.
func (s *Server) listNode(ctx context.Context, node string, l listing) (list []ChannelInfo, err error) {
	question, err := marshal(l)
	for err == nil {
		var p page
		if p, err = askNode[page](ctx, s, node, askChannels, question); err != nil {
			break
		}
		list = append(list, p.Channels...)
		if !p.More || len(p.Channels) == 0 {
			return list, nil
		}
		l.After = &list[len(list)-1].Name
		question, err = marshal(l)
	}
	return list, err
}

// pageSize is about how many bytes of names a page has, so that with its counts and escapes it fits into an answer.
const pageSize = 64 * kib

// listPage is a page of this node's channels.
func (s *Server) listPage(l listing) (p page, _ error) {
	names := s.Channels(l.Prefix, l.Limit)
	if l.After != nil {
		i, found := slices.BinarySearch(names, *l.After)
		if found {
			i++
		}
		names = names[i:]
	}
	size := 0
	for _, name := range names {
		if size += len(name) + 8; size > pageSize && len(p.Channels) > 0 {
			p.More = true
			break
		}
		p.Channels = append(p.Channels, ChannelInfo{name, s.Count(name)})
	}
	return p, nil
}

// merged adds up the first channels of the nodes. The first of all are among the first of each node that has them, so that
// no count is missing.
func merged(lists [][]ChannelInfo, limit int) []ChannelInfo {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b ChannelInfo) int { return strings.Compare(a.Name, b.Name) })
	sums := all[:0]
	for _, c := range all {
		if n := len(sums); n > 0 && sums[n-1].Name == c.Name {
			sums[n-1].Subscribers += c.Subscribers
			continue
		}
		sums = append(sums, c)
	}
	return sums[:min(limit, len(sums))]
}
