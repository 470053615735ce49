package skein

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"unicode/utf8"

	"github.com/skeinrt/skein/internal/ws"
)

// doorman counts WebSocket connections and lets in what the limits allow.
type doorman struct {
	limits  ConnLimits
	proxies []netip.Prefix
	rates   rates // own locks
	turns   turnstile

	mu    sync.Mutex
	total int
	by    map[netip.Prefix]int
	rate  bucket
	plain map[net.Conn]arrival // connections that have not upgraded
	near  map[netip.Prefix]int // of plain
}

// arrival is a connection that has not upgraded.
type arrival struct {
	place netip.Prefix
	end   func() // of its turn
}

// InForce returns the limits with their defaults filled in.
func (l ConnLimits) InForce() ConnLimits {
	files := or(openFileLimit(), 1<<20) // a system that tells no limit
	l.Total = or(l.Total, files-min(2000, files/2))
	l.PerAddress = or(l.PerAddress, 100)
	return l
}

// spare is how many connections may be open besides the upgraded ones.
func (d *doorman) spare() int { return max(16, min(1000, d.limits.Total/2)) }

// watch counts the connections of a listener until they upgrade or end. What is too much is closed without a word: the
// client has not said one yet.
func (d *doorman) watch(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		end := d.turns.pass() // what waits is the accepting
		if !d.greet(c, parseAddress(c.RemoteAddr().String()), end) {
			_ = c.Close() // it is the refusal
			end()
		}
	case http.StateHijacked, http.StateClosed:
		d.part(c)
	case http.StateActive, http.StateIdle:
	}
}

func (d *doorman) greet(c net.Conn, addr netip.Addr, end func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	place := neighbourhood(addr)
	if d.total+len(d.plain) >= d.limits.Total+d.spare() || d.limited(addr) && d.near[place] >= d.limits.PerAddress {
		return false
	}
	if d.plain == nil {
		d.plain, d.near = map[net.Conn]arrival{}, map[netip.Prefix]int{}
	}
	d.plain[c] = arrival{place, end}
	d.near[place]++
	return true
}

func (d *doorman) part(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, greeted := d.plain[c]
	if !greeted {
		return
	}
	a.end()
	delete(d.plain, c)
	if d.near[a.place]--; d.near[a.place] == 0 {
		delete(d.near, a.place)
	}
}

// limited reports whether an address may open PerAddress connections only; a trusted proxy opens them for others.
func (d *doorman) limited(addr netip.Addr) bool {
	return d.limits.PerAddress > 0 && addr.IsValid() && !addr.IsLoopback() && !within(d.proxies, addr)
}

// enter counts a connection in, or says why not.
func (d *doorman) enter(addr netip.Addr) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.total >= d.limits.Total {
		return errors.New("too many connections")
	}
	if r := d.limits.PerSecond; r > 0 && !d.rate.take(r, max(1, r)) {
		return errors.New("too many connections a second")
	}
	if d.limited(addr) {
		place := neighbourhood(addr)
		if d.by[place] >= d.limits.PerAddress {
			return errors.New("too many connections from your address")
		}
		if d.by == nil {
			d.by = map[netip.Prefix]int{}
		}
		d.by[place]++
	}
	d.total++
	return nil
}

// leave undoes enter.
func (d *doorman) leave(addr netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	if !d.limited(addr) {
		return
	}
	place := neighbourhood(addr)
	if d.by[place]--; d.by[place] == 0 {
		delete(d.by, place)
	}
}

// neighbourhood is what counts as one address: all of it, or an IPv6 /64, which one customer has.
func neighbourhood(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() && !addr.Is4In6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // an invalid address has the invalid prefix
	return p
}

// letIn decides about an upgrade request, before anything is allocated for its connection: is it one, may it come (the
// question, if there is one), is its origin allowed, is there room. It answers refusals itself. Who is
// let in owes doorman.leave.
func (s *Server) letIn(w http.ResponseWriter, r *http.Request, question func(ctx context.Context) error, o origins) (from netip.Addr, ok bool) {
	if why := s.closed(); why != "" {
		unavailable(w, why)
		return from, false
	}
	if !ws.IsUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		plainError(w, http.StatusUpgradeRequired, "This path speaks WebSocket: connect with ws:// or wss://")
		return from, false
	}
	if err := ws.CheckUpgrade(r); err != nil {
		err.Write(w)
		return from, false
	}
	if err := s.ask(r.Context(), question); err != nil {
		s.counters.refusedUpgrades.Add(1)
		err = refusal(err, "handshakeWS", "handshake")
		plainError(w, statusOf(err, http.StatusUnauthorized), messageOf(err))
		return from, false
	}
	if !s.allows(o, r) {
		s.refuseOrigin(w, r)
		return from, false
	}
	from = s.ClientAddr(r)
	if err := s.doorman.enter(from); err != nil {
		s.counters.refusedConns.Add(1)
		w.Header().Set("Retry-After", "5")
		plainError(w, http.StatusServiceUnavailable, err.Error())
		return from, false
	}
	return from, true
}

// ask asks what there is to ask about an upgrade, under the hooks' deadline.
func (s *Server) ask(ctx context.Context, question func(ctx context.Context) error) error {
	if question == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeouts.Hook)
	defer cancel()
	return question(ctx)
}

// brokeOff is told of an upgrade that was allowed and has failed. The client is told where it still can be.
func (s *Server) brokeOff(w http.ResponseWriter, r *http.Request, err error) {
	s.log.DebugContext(r.Context(), "the upgrade broke off", slog.Any("error", err))
	if refusal, ok := errors.AsType[*ws.UpgradeError](err); ok {
		refusal.Write(w)
	}
}

// statusOf is the HTTP status of a refusal.
func statusOf(err error, fallback int) int {
	if e, ok := errors.AsType[*Error](err); ok && e.Status != 0 {
		return e.Status
	}
	return fallback
}

// withStatus is the error with an HTTP status, where it has none of its own.
func withStatus(err error, status int) *Error {
	told := Error{Message: err.Error()}
	if e, ok := errors.AsType[*Error](err); ok {
		told = *e
	}
	told.Status = or(told.Status, status)
	return &told
}

func messageOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Message
	}
	return err.Error()
}

// plainError answers with one line of text and ends the connection, whose next octets may be WebSocket frames.
func plainError(w http.ResponseWriter, status int, message string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	if status == http.StatusUpgradeRequired {
		h.Set("Connection", "Upgrade, close")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(message)) //nolint:gosec // plain text, with nosniff
}

// attrQuoted is an attribute of a client's string: logs are cut at 256 octets, and slog quotes them.
func attrQuoted(key, value string) slog.Attr { return slog.String(key, cut(value, 256)) }

// cut shortens s to at most n bytes, on a rune boundary.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
