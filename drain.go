package skein

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/skeinrt/skein/internal/ws"
)

// Shutdown takes the server down: not ready, a moment later no new connections, the plugins' OnDrain, clients sent away, background work
// ended, OnStop in reverse, the engine closed. Sending clients away is spread over Timeouts.Drain, and over as soon as none
// is left; until then publications are taken and delivered. All the rest takes Timeouts.Stop at most, and a second more where
// plugins or the engine do not end by themselves. When ctx ends first, everything is cut short. Another call waits for the
// first one.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.enter(running, draining) {
		return s.awaitEnd(ctx)
	}
	t := s.options.Timeouts
	began := time.Now()
	ctx, cancel := atMost(ctx, max(0, t.Drain)+t.Stop)
	defer cancel()
	closing, cut := context.WithCancel(ctx)
	defer cut()
	s.showUnready(ctx)
	silent := s.stopServers(closing, false)
	err := s.askToDrain(ctx)
	asked := time.Since(began)
	s.usher(ctx, s.window(ctx, began)-asked)
	ctx, cancel = atMost(ctx, t.Stop-asked)
	defer cancel()
	defer context.AfterFunc(ctx, cut)()
	for s.runtime.Conns() > 0 && wait(ctx, drainTick) {
		continue
	}
	silent()
	s.stopServers(closing, true)()
	return errors.Join(err, s.fall(ctx, ErrStopped))
}

func atMost(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("it took longer than %v", d))
}

// showUnready leaves whoever asks for readiness the time to hear that there is none, where clients are to be sent away:
// behind it the listeners are closed, so that nobody comes back to this node.
func (s *Server) showUnready(ctx context.Context) {
	notice := min(s.options.Timeouts.Drain/10, longestNotice)
	for began := time.Now(); s.runtime.Conns() > 0 && time.Since(began) < notice && wait(ctx, drainTick); {
		continue
	}
}

const longestNotice = 500 * time.Millisecond

// window is how long sending away may take: less than Timeouts.Drain where ctx ends too soon for the rest.
func (s *Server) window(ctx context.Context, began time.Time) time.Duration {
	t := s.options.Timeouts
	end, _ := ctx.Deadline() // Shutdown sets one
	left := end.Sub(began)
	return min(t.Drain, left-min(left/2, t.Stop))
}

// awaitEnd waits for a shutdown that another has begun.
func (s *Server) awaitEnd(ctx context.Context) error {
	s.mu.Lock()
	ending := s.phase == draining || s.phase == stopped
	s.mu.Unlock()
	if !ending {
		return ErrStopped
	}
	select {
	case <-s.life.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// askToDrain calls the plugins' OnDrain.
func (s *Server) askToDrain(ctx context.Context) error {
	var errs []error
	for _, r := range slices.Backward(s.plugins) {
		for _, fn := range slices.Backward(r.host.stages.drain) {
			if err := guarded(ctx, s.options.Timeouts.Stop, fn); err != nil {
				errs = append(errs, r.blame(fmt.Errorf("OnDrain: %w", err)))
			}
		}
	}
	return errors.Join(errs...)
}

// guest is whose connection it is: a session's, opened or not, or a raw one.
type guest interface {
	// goAway closes the connection behind what has been sent. code is for those who know what it means.
	goAway(code int)
}

func (s *Session) goAway(code int) { s.shut(code, "") }

func (c *RawConn) goAway(int) { c.conn.Close(CloseGoingAway, "") }

// keep notes a connection, and reports whether it may stay: a server that drains, or has lost its cluster, keeps none.
func (s *Server) keep(c *ws.Conn, g guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running || s.isolated() {
		return false
	}
	s.conns[c] = g
	return true
}

func (s *Server) drop(c *ws.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

const drainTick = 10 * time.Millisecond

// usher closes the connections that are there, spread evenly over a time, until none is left or ctx ends. Clients of all
// generations return at once from CloseNoStatus, and after a pause of 10 s or more from other codes: the spreading takes the
// place of the pause.
func (s *Server) usher(ctx context.Context, window time.Duration) {
	s.mu.Lock()
	guests := slices.Collect(maps.Values(s.conns))
	s.mu.Unlock()
	code := CloseNoStatus
	if s.options.Timeouts.Drain < 0 {
		code = CloseGoingAway
	}
	began, gone := time.Now(), 0
	for {
		due := len(guests)
		if d := time.Since(began); d < window {
			due = min(due, int(float64(due)*d.Seconds()/window.Seconds())+1)
		}
		for _, g := range guests[gone:due] {
			g.goAway(code)
		}
		gone = due
		if gone == len(guests) || s.runtime.Conns() == 0 || !wait(ctx, drainTick) {
			return
		}
	}
}

// stopServers closes the listeners of clients or of operators, and the connections that wait for a request. The function
// that it returns waits for requests that are served, until ctx ends.
func (s *Server) stopServers(ctx context.Context, operators bool) (await func()) {
	s.mu.Lock()
	servers := maps.Clone(s.servers)
	s.mu.Unlock()
	var closing sync.WaitGroup
	for h, one := range servers {
		if one.operators == operators {
			closing.Go(func() { stopServer(ctx, h) })
		}
	}
	return closing.Wait
}

func stopServer(ctx context.Context, h *http.Server) {
	if err := h.Shutdown(ctx); err != nil {
		_ = h.Close() // ctx has ended: what is left is cut
	}
}
