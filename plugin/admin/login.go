package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/skeinrt/skein"
)

const (
	cookieName = "skein_admin"
	// How many wrong keys an address may show within the window before it has to wait.
	mostWrong = 5
	window    = time.Minute
	// How many addresses are told apart; when there are more, the rest share one count.
	mostAddresses = 1024
)

// login knows the key and who has shown it. It keeps nothing for a login: the cookie is the time at which it ends, signed
// with the key, so that it is good on every node with that key.
type login struct {
	key    [sha256.Size]byte // hashed, so that comparing takes the same time for every length
	last   time.Duration
	path   string
	server *skein.Server // knows who asks, behind proxies, too
	mu     sync.Mutex
	wrong  map[netip.Prefix]*tally
}

// tally is how many wrong keys came from an address, until when it counts.
type tally struct {
	count int
	until time.Time
}

func newLogin(key string, last time.Duration, path string, server *skein.Server) *login {
	return &login{key: sha256.Sum256([]byte(key)), last: last, path: path, server: server, wrong: map[netip.Prefix]*tally{}}
}

func (l *login) matches(key string) bool {
	shown := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(shown[:], l.key[:]) == 1
}

// try checks a key typed in. A pause means that the address has to wait, whatever it shows.
func (l *login) try(remote netip.Addr, key string) (pause time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	from := l.tallied(block(remote), now)
	if t := l.wrong[from]; t != nil && t.count >= mostWrong && now.Before(t.until) {
		return t.until.Sub(now), false
	}
	if l.matches(key) {
		delete(l.wrong, from)
		return 0, true
	}
	t := l.wrong[from]
	if t == nil || !now.Before(t.until) {
		t = &tally{until: now.Add(window)}
		l.wrong[from] = t
	}
	t.count++
	return 0, false
}

// tallied is the address under which wrong keys are counted; it makes room where there is none.
func (l *login) tallied(from netip.Prefix, now time.Time) netip.Prefix {
	if l.wrong[from] != nil || len(l.wrong) < mostAddresses {
		return from
	}
	for other, t := range l.wrong {
		if !now.Before(t.until) {
			delete(l.wrong, other)
		}
	}
	if len(l.wrong) < mostAddresses {
		return from
	}
	return netip.Prefix{}
}

// block is who is likely to be one and the same: an IPv4 address, or an IPv6 network of a household.
func block(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // an invalid address has the invalid prefix
	return p
}

// holds reports whether the request shows the key, or a login that has not ended.
func (l *login) holds(r *http.Request) bool {
	if key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		pause, ok := l.try(l.server.ClientAddr(r), key)
		return ok && pause == 0
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	ends := time.Unix(int64(binary.BigEndian.Uint64(raw[:8])), 0) //nolint:gosec // signed below: it is what sign has written
	return hmac.Equal(raw, l.sign(ends)) && time.Now().Before(ends)
}

func (l *login) sign(ends time.Time) []byte {
	raw := binary.BigEndian.AppendUint64(nil, uint64(ends.Unix())) //nolint:gosec // after 1970
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write([]byte("skein admin login"))
	mac.Write(raw)
	return mac.Sum(raw)
}

// cookie is a new login. That a proxy claims https only makes the cookie stricter.
func (l *login) cookie(r *http.Request) *http.Cookie {
	scheme, _ := l.server.ClientTarget(r)
	return &http.Cookie{ //nolint:gosec // Secure where there is TLS: without it the browser would not send it back
		Name: cookieName, Value: base64.RawURLEncoding.EncodeToString(l.sign(time.Now().Add(l.last))),
		Path: l.path, MaxAge: int(l.last.Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: scheme == "https" || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}
