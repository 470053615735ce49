// Package jwks has the keys that an issuer of tokens publishes at a URL, a JSON
// Web Key Set (RFC 7517), as Auth0, Keycloak and all of OpenID Connect do.
//
// The URL is fixed, with https, and a redirect may not lead to another host. Keys
// are fetched ahead of time, and at most once a minute for a token whose key is
// not known; when that fails, the keys before stay. Only public keys that are
// strong and for signatures are taken, each for one algorithm: the one that the set
// names, or else RS256, that of the curve, or EdDSA.
package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/skeinrt/skein/auth"
)

// Options of a Set. URL is required.
type Options struct {
	// URL of the set. Its scheme is https; http is for loopback addresses alone.
	URL string
	// Timeout of one fetch, from connecting to the last octet. 0 is 5 s.
	Timeout time.Duration
	// Refresh is how old keys may become where the answer says nothing by
	// Cache-Control, whose max-age counts from 5 minutes to a day. 0 is one hour.
	Refresh time.Duration
	// Transport makes the requests. nil is that of net/http, with proxies from the
	// environment and TLS from 1.2 on.
	Transport http.RoundTripper
	// Logger gets what operators must know. nil discards it.
	Logger *slog.Logger
}

const (
	defaultTimeout = 5 * time.Second
	defaultRefresh = time.Hour
	soonest        = 5 * time.Minute // of a refresh
	latest         = 24 * time.Hour
	pause          = time.Minute // between fetches that tokens ask for
)

var errUnknown = errors.New("jwks: the key is not known, and the set was looked at less than a minute ago")

// Set is an [auth.KeySource]. Make it with New, and let Run keep it fresh.
type Set struct {
	options Options
	host    string
	client  *http.Client
	wake    chan struct{} // has a value where Run is to look

	mu      sync.Mutex
	running bool
	keys    []auth.Key // never changed, only replaced
	tried   time.Time  // when they were last asked for
	due     time.Time  // when Run asks again
	failed  int        // times in a row
	said    string     // about keys that were not taken
	flight  *flight    // nil: nobody asks, and nobody waits
}

// flight is a fetch that some wait for, or will be.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

var _ auth.KeySource = (*Set)(nil)

// New checks the options. It fetches nothing.
func New(o Options) (*Set, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("jwks: %q is not a URL such as https://issuer.example/.well-known/jwks.json", shown(o.URL))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, fmt.Errorf("jwks: %q must begin with https: whoever can change the answer can sign tokens", shown(o.URL))
	}
	if o.Timeout < 0 || o.Refresh < 0 {
		return nil, errors.New("jwks: Timeout and Refresh must not be negative")
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Refresh == 0 {
		o.Refresh = defaultRefresh
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Set{options: o, host: u.Host, wake: make(chan struct{}, 1)}
	s.client = &http.Client{Transport: o.Transport, Timeout: o.Timeout, CheckRedirect: s.mayFollow}
	return s, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// mayFollow keeps redirects on the host, and with https.
func (s *Set) mayFollow(r *http.Request, before []*http.Request) error {
	switch {
	case r.URL.Host != s.host:
		return fmt.Errorf("it redirects to another host, %q", r.URL.Host)
	case r.URL.Scheme != before[0].URL.Scheme:
		return fmt.Errorf("it redirects to %s", r.URL.Scheme)
	case len(before) > 3:
		return errors.New("it redirects more than three times")
	default:
		return nil
	}
}

// Keys returns the keys that are good now. Where none has the id, or there are none
// at all, Run fetches them anew, for all who ask once a minute at most, and the
// caller waits for it. The error says that it is not known whether there is such a
// key.
func (s *Set) Keys(id string) ([]auth.Key, error) {
	f, err := s.want(id)
	if f == nil {
		return s.current(), err
	}
	patience := time.NewTimer(s.options.Timeout + time.Second)
	defer patience.Stop()
	select {
	case <-f.done:
		return s.current(), f.err
	case <-patience.C:
		return s.current(), errUnknown
	}
}

func (s *Set) current() []auth.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys
}

// want returns the fetch to wait for, or nil where there is no need of one (without
// an error), or none to be had.
func (s *Set) want(id string) (*flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case slices.ContainsFunc(s.keys, func(k auth.Key) bool { return id == "" || k.ID == "" || k.ID == id }):
		return nil, nil //nolint:nilnil // see above
	case s.flight != nil:
		return s.flight, nil
	case !s.running || time.Since(s.tried) < pause:
		return nil, errUnknown
	}
	s.flight = &flight{done: make(chan struct{})}
	s.due = time.Time{}
	select {
	case s.wake <- struct{}{}:
	default: // it is about to look
	}
	return s.flight, nil
}

// Run fetches the keys when they become old, or are asked for, until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	s.setRunning(true)
	defer s.setRunning(false)
	for ctx.Err() == nil {
		timer := time.NewTimer(s.left())
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
			if err := s.Fetch(ctx); err != nil && ctx.Err() == nil {
				s.options.Logger.LogAttrs(ctx, slog.LevelWarn, "the keys of an issuer cannot be had; those before stay", slog.Any("error", err))
			}
		}
		timer.Stop()
	}
	return nil
}

func (s *Set) setRunning(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = on
	if f := s.flight; !on && f != nil { // nobody will fetch for those who wait
		s.flight, f.err = nil, errUnknown
		close(f.done)
	}
}

// left is how long the keys are fresh.
func (s *Set) left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, time.Until(s.due))
}

// Fetch fetches the keys once. Where that fails those before stay. It is for the
// time before Run, which calls it by itself; two at once are one too many.
func (s *Set) Fetch(ctx context.Context) error {
	s.mu.Lock()
	s.tried = time.Now()
	if s.flight == nil { // so that whoever comes meanwhile waits for it
		s.flight = &flight{done: make(chan struct{})}
	}
	s.mu.Unlock()
	keys, passed, fresh, err := s.get(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys, s.failed = keys, 0
		if passed != "" && passed != s.said {
			s.options.Logger.LogAttrs(ctx, slog.LevelWarn, "keys of an issuer are not taken", slog.String("why", passed))
		}
		s.said = passed
	} else {
		s.failed++
		fresh = again(s.failed)
	}
	s.due = time.Now().Add(jitter(fresh))
	if f := s.flight; f != nil {
		s.flight, f.err = nil, err
		close(f.done)
	}
	return err
}

// again is how long to wait after so many failures.
func again(failed int) time.Duration {
	return min(5*time.Second<<min(failed-1, 10), soonest)
}

// jitter is d, less up to a quarter, so that nodes do not ask all at once.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/4+1)) //nolint:gosec // spreads requests, guards nothing
}
