package skein

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/skeinrt/skein/engine"
)

// Once runs fn in the background on one node of the cluster, chosen by the name among the nodes that have registered it.
// When that node goes, or another one comes that the choice falls on, its context ends and fn runs there. It is restarted
// like that of Go; one that returns nil has ended for this node. While the members change two nodes may run it for a moment,
// and on each side of a cut one does: what it does must stand that. Before Options.MinNodes have been there it runs nowhere.
func (h *Host) Once(name string, fn func(ctx context.Context) error) {
	h.register("Once "+name, func() error {
		key := h.name + "/" + name
		switch err := checkName(name); {
		case err != nil:
			return err
		case fn == nil:
			return errors.New("the function is nil")
		case slices.Contains(h.wide.onces, key):
			return errors.New("the plugin has registered it already")
		}
		work := &task{host: h, name: name, fn: fn}
		h.wide.onces = append(h.wide.onces, key)
		h.tasks = append(h.tasks, &task{host: h, name: name, fn: func(ctx context.Context) error {
			h.server.whileMine(ctx, key, work.run)
			return nil
		}})
		return nil
	})
}

// lookAgain is how often the choice is looked at besides at changes of the members: what they have registered comes with
// their heartbeats.
const lookAgain = 5 * time.Second

// whileMine runs fn whenever the choice falls on this node, until fn has ended by itself or ctx ends.
func (s *Server) whileMine(ctx context.Context, key string, fn func(ctx context.Context)) {
	for {
		changed := s.cluster.change() // before the look, so that no change is missed
		if !s.chosen(key) {
			if !changes(ctx, changed) {
				return
			}
			continue
		}
		if s.holding(ctx, key, fn) {
			return
		}
	}
}

// holding runs fn, and reports whether it has ended by itself; where the choice falls on another node its context ends.
func (s *Server) holding(ctx context.Context, key string, fn func(ctx context.Context)) (over bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(ctx)
	}()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		changed := s.cluster.change()
		if !s.chosen(key) {
			cancel()
			<-done
			return false
		}
		select {
		case <-done:
			return true
		case <-changed:
		case <-look.C:
		}
	}
}

// changes waits for a change, or until it is time to look again, and reports whether ctx goes on.
func changes(ctx context.Context, changed <-chan struct{}) bool {
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// chosen reports whether the choice falls on this node: of those that have registered the work, the one whose name and
// the work's hash highest. When a node comes or goes, only the work moves that it takes or leaves.
func (s *Server) chosen(key string) bool {
	if !s.cluster.enough.Load() {
		return false
	}
	var best uint64
	mine := false
	for _, m := range s.cluster.Members() {
		if !m.Local && !registered(m, key) {
			continue
		}
		if w := weight(key, m.Name); w >= best {
			best, mine = w, m.Local
		}
	}
	return mine
}

func registered(m engine.Member, key string) bool {
	var r NodeReport
	return json.Unmarshal(m.Info, &r) == nil && slices.Contains(r.Tasks, key)
}

func weight(key, node string) uint64 {
	sum := sha256.Sum256([]byte(key + "\x00" + node))
	return binary.BigEndian.Uint64(sum[:])
}
