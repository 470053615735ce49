package skein

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/skeinrt/skein/internal/ws"
)

// doorman counts connections and lets in what the limits allow.
type doorman struct {
	limits    ConnLimits
	proxies   []netip.Prefix
	slow      time.Duration // a request's header
	turns     turnstile
	users     *parties // own locks, as addresses and tally
	addresses *parties
	tally     *tally

	mu      sync.Mutex
	total   int
	pending int // of total, before their handshake
	near    map[netip.Prefix]neighbours
	rate    bucket
	plain   map[net.Conn]*newcomer // connections that have not upgraded
}

// neighbours are the connections from one address.
type neighbours struct{ open, pending, plain int }

// newcomer is a connection that has not upgraded.
type newcomer struct {
	place  netip.Prefix
	end    func()    // of its turn
	came   time.Time // zero behind its first request
	unread bool      // a request has begun, and nobody has got it
}

// InForce returns the limits with their defaults filled in.
func (l ConnLimits) InForce() ConnLimits {
	files := or(openFileLimit(), 1<<20) // a system that tells no limit
	l.Total = or(l.Total, files-min(2000, files/2))
	l.PerAddress = or(l.PerAddress, 100)
	l.Pending = or(l.Pending, max(1000, l.Total/2))
	l.PendingPerAddress = or(l.PendingPerAddress, l.PerAddress)
	return l
}

// spare is how many connections may be open besides the upgraded ones.
func (d *doorman) spare() int { return max(16, min(1000, d.limits.Total/2)) }

// introduce makes the connection of a request known to heard.
func (d *doorman) introduce(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, plainKey{}, c)
}

type plainKey struct{}

// watch counts the connections of a listener until they upgrade or end. What is too much is closed without a word: the
// client has not said one yet.
func (d *doorman) watch(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if d.knows(c) { // front has met it
			return
		}
		end := d.turns.pass() // what waits is the accepting
		if l, ok := d.greet(c, parseAddress(c.RemoteAddr().String()), end); !ok {
			d.tally.add(l)
			_ = c.Close() // it is the refusal
			end()
		}
	case http.StateActive:
		d.hear(c, true)
	case http.StateHijacked, http.StateClosed:
		d.part(c, state == http.StateClosed)
	case http.StateIdle:
	}
}

func (d *doorman) knows(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, known := d.plain[c]
	return known
}

// heard is told that a request has been read, of which net/http says no more than that one has begun.
func (d *doorman) heard(r *http.Request) {
	if c, ok := r.Context().Value(plainKey{}).(net.Conn); ok {
		d.hear(c, false)
		if v, ok := c.(*entrant); ok {
			_ = v.lift() // a connection that is gone is found so by the next read
		}
	}
}

func (d *doorman) hear(c net.Conn, unread bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.plain[c]; a != nil {
		a.unread = unread
		if !unread {
			a.came = time.Time{}
		}
	}
}

func (d *doorman) greet(c net.Conn, addr netip.Addr, end func()) (limit, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	place := neighbourhood(addr)
	if d.total+len(d.plain) >= d.limits.Total+d.spare() {
		return limitPlain, false
	}
	if d.limited(addr) && d.limits.PerAddress > 0 && d.near[place].plain >= d.limits.PerAddress {
		return limitAddressPlain, false
	}
	if d.plain == nil {
		d.plain = map[net.Conn]*newcomer{}
	}
	d.plain[c] = &newcomer{place: place, end: end, came: time.Now()}
	d.note(place, neighbours{plain: 1})
	return 0, true
}

// part forgets a connection that has upgraded or ended. One that has ended in its request is one that net/http has refused
// or given up.
func (d *doorman) part(c net.Conn, ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.plain[c]
	if a == nil {
		return
	}
	a.end()
	delete(d.plain, c)
	d.note(a.place, neighbours{plain: -1})
	switch {
	case !ended || d.tally == nil:
	case !a.came.IsZero() && d.slow > 0 && time.Since(a.came) >= d.slow:
		d.tally.add(limitHeaderTime)
	case a.unread:
		d.tally.add(limitHeader)
	}
}

// note adds to what is known of an address.
func (d *doorman) note(place netip.Prefix, n neighbours) {
	if d.near == nil {
		d.near = map[netip.Prefix]neighbours{}
	}
	now := d.near[place]
	now = neighbours{now.open + n.open, now.pending + n.pending, now.plain + n.plain}
	if now == (neighbours{}) {
		delete(d.near, place)
		return
	}
	d.near[place] = now
}

// known reports whether an address is a client's own; a trusted proxy speaks for others.
func (d *doorman) known(addr netip.Addr) bool { return addr.IsValid() && !within(d.proxies, addr) }

// limited reports whether the connections of an address are bounded.
func (d *doorman) limited(addr netip.Addr) bool { return d.known(addr) && !addr.IsLoopback() }

// enter counts a connection in, or says why not. pending is one that has a handshake to do.
func (d *doorman) enter(addr netip.Addr, pending bool) *Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l, why := d.room(addr, pending); why != "" {
		d.tally.add(l)
		return &Error{Name: NameResourceLimit, Status: http.StatusServiceUnavailable, Message: why}
	}
	n := neighbours{open: 1}
	if pending {
		n.pending = 1
		d.pending++
	}
	d.total++
	d.note(neighbourhood(addr), n)
	return nil
}

// room says which limit leaves no room for a connection, and why; "" is that there is room.
func (d *doorman) room(addr netip.Addr, pending bool) (limit, string) {
	l, near, limited := &d.limits, d.near[neighbourhood(addr)], d.limited(addr)
	switch {
	case d.total >= l.Total:
		return limitConnections, "too many connections"
	case limited && l.PerAddress > 0 && near.open >= l.PerAddress:
		return limitAddressConnections, "too many connections from your address"
	case pending && l.Pending > 0 && d.pending >= l.Pending:
		return limitPending, "too many connections before their handshake"
	case limited && pending && l.PendingPerAddress > 0 && near.pending >= l.PendingPerAddress:
		return limitAddressPending, "too many connections from your address before their handshake"
	case !d.rate.take(&rule{perSecond: l.PerSecond, burst: max(1, l.PerSecond)}, 1):
		return limitAccepts, "too many connections a second"
	}
	return 0, ""
}

// shaken is told that a connection's handshake is over.
func (d *doorman) shaken(addr netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending--
	d.note(neighbourhood(addr), neighbours{pending: -1})
}

// leave undoes enter; pending is a connection whose handshake is not over.
func (d *doorman) leave(addr netip.Addr, pending bool) {
	if pending {
		d.shaken(addr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	d.note(neighbourhood(addr), neighbours{open: -1})
}

// knock charges an upgrade to its address.
func (d *doorman) knock(addr netip.Addr) *Error {
	if !d.known(addr) {
		return nil
	}
	return d.addresses.visit(neighbourhood(addr).String(), rateConnects, 1)
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

// letIn decides about an upgrade request, before anything is allocated for its connection: is it one, does its address
// come too often, may it come (the question, if there is one), is its origin allowed, is there room; pending is one that
// has a handshake to do. It answers refusals itself. Who is let in owes doorman.leave.
func (s *Server) letIn(w http.ResponseWriter, r *http.Request, question func(ctx context.Context) error, o origins, pending bool) (from netip.Addr, ok bool) {
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
	from = s.ClientAddr(r)
	if err := s.doorman.knock(from); err != nil {
		turnAway(w, err)
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
	if err := s.doorman.enter(from, pending); err != nil {
		turnAway(w, err)
		return from, false
	}
	return from, true
}

// turnAway answers whoever has come too often, or too many.
func turnAway(w http.ResponseWriter, err *Error) {
	w.Header().Set("Retry-After", "5")
	plainError(w, err.Status, err.Message)
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
