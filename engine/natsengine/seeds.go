package natsengine

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// Names are looked up again after that long, less often while nothing
	// changes.
	lookupFirst = time.Second
	lookupLast  = 30 * time.Second
	// maxSeeds bounds the addresses of all names together.
	maxSeeds = 256
)

// lookup finds the addresses of a name.
type lookup func(ctx context.Context, host string) ([]string, error)

// seeds are the addresses at which other nodes are looked for. nats-server
// tries each of them, with back-off, until it is connected. Names are looked up
// here and not there: it would connect to one of a name's addresses and be
// content, so that nodes that started at the same time could form two clusters.
type seeds struct {
	lookup lookup
	names  []string            // as given
	own    []string            // where this node is
	found  map[string][]string // hosts of names, as last looked up; of resolve alone

	mu        sync.Mutex
	addresses []string // sorted
	failed    map[string]error
}

// resolve looks all seeds up, and reports whether that has changed anything.
// A name that cannot be looked up for now has the addresses that it had last:
// to take one away would cut the connection that leads there.
func (s *seeds) resolve(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	var addresses []string
	failed := make(map[string]error)
	if s.found == nil {
		s.found = make(map[string][]string)
	}
	for _, name := range s.names {
		host, port, err := hostPort(name)
		if err != nil {
			continue // check has found it
		}
		hosts := []string{host}
		if !ip(host) {
			if hosts, err = s.lookup(ctx, host); err != nil {
				failed[name] = err
				hosts = s.found[name]
			}
			s.found[name] = hosts
		}
		for _, h := range hosts {
			addresses = append(addresses, net.JoinHostPort(h, strconv.Itoa(port)))
		}
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	addresses = addresses[:min(len(addresses), maxSeeds)]
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := !slices.Equal(addresses, s.addresses)
	s.addresses, s.failed = addresses, failed
	return changed
}

func (s *seeds) known() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses
}

// lone reports whether no seed leads to another node.
func (s *seeds) lone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failed) == 0 && len(s.others()) == 0
}

// others returns the addresses that are not this node's own.
func (s *seeds) others() []string {
	var others []string
	for _, address := range s.addresses {
		if !slices.ContainsFunc(s.own, func(own string) bool { return leads(address, own) }) {
			others = append(others, address)
		}
	}
	return others
}

// seek keeps the routes at what the names lead to.
func (s *embedded) seek(ctx context.Context) {
	if !slices.ContainsFunc(s.Seeds, func(seed string) bool {
		host, _, err := hostPort(seed)
		return err == nil && !ip(host)
	}) {
		return
	}
	routes := s.seeds.known()
	for wait := lookupFirst; ; wait = min(wait*2, lookupLast) {
		next := time.NewTimer(wait/2 + rand.N(wait)) //nolint:gosec // jitter
		select {
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return
		}
		if s.seeds.resolve(ctx) && ctx.Err() == nil {
			wait = lookupFirst
			routes = s.reroute(ctx, routes)
		}
	}
}

// reroute gives nats-server other routes. One that leads to a living node is
// kept, because taking it away would cut it.
func (s *embedded) reroute(ctx context.Context, former []string) []string {
	wanted := slices.Clone(s.seeds.known())
	for _, living := range s.engine.members.addresses() {
		if slices.Contains(former, living) && !slices.Contains(wanted, living) {
			wanted = append(wanted, living)
		}
	}
	if err := s.server.ReloadOptions(s.routed(wanted)); err != nil {
		s.engine.log.LogAttrs(ctx, slog.LevelError, "routes to other seeds cannot be set", slog.Any("error", err))
		return former
	}
	return wanted
}

// diagnose tries the seeds that should have answered.
func (s *embedded) diagnose(ctx context.Context) []string {
	s.seeds.mu.Lock()
	others := s.seeds.others()
	var reasons []string
	for name, err := range s.seeds.failed {
		reasons = append(reasons, fmt.Sprintf("%s: %v", name, err))
	}
	s.seeds.mu.Unlock()
	slices.Sort(reasons)
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	for _, address := range others {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			reasons = append(reasons, err.Error())
			continue
		}
		_ = conn.Close() // it was a trial
		reasons = append(reasons, address+" accepts connections, but no member answers: compare secret, TLS and cluster name")
	}
	if last := s.log.lately(); last != "" {
		reasons = append(reasons, last)
	}
	return reasons
}
