package e2e_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skeinrt/skein/client"
)

// site is a node under attack, with two honest clients.
type site struct {
	*program

	host   string
	tls    bool
	http   *http.Client
	canary *canary
	base   vitals

	mu    sync.Mutex
	peers []*peer
}

// newSite runs the stock binary.
func newSite(t *testing.T, binary string, args ...string) *site {
	t.Helper()
	p := launch(t, anyURL, binary, append([]string{"serve", "--addr", "127.0.0.1:0", "--metrics"}, args...)...)
	url := p.found(t)
	s := &site{program: p, host: hostOf(t, url), tls: strings.HasPrefix(url, "wss:")}
	config := &tls.Config{InsecureSkipVerify: true}
	s.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}, Timeout: longest}
	for range 50 { // what is made once is made before anything is measured
		(&assault{s, t}).session().reset()
	}
	s.hangUp()
	s.canary = newCanary(t, client.Options{URL: url, TLS: config, CallTimeout: longest})
	s.canary.check(t)
	s.base = s.settled(t, func(v vitals) bool { return v.connections == 2 })
	return s
}

// url is that of a path over HTTP.
func (s *site) url(path string) string {
	if s.tls {
		return "https://" + s.host + path
	}
	return "http://" + s.host + path
}

// vitals are what must be the same before and after an attack.
type vitals struct{ goroutines, descriptors, connections, sessions, channels, panics, megabytes int }

func (v vitals) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d connections, %d sessions, %d channels, %d panics, %d MiB",
		v.goroutines, v.descriptors, v.connections, v.sessions, v.channels, v.panics, v.megabytes)
}

func (s *site) vitals(t *testing.T) (v vitals) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/metrics"), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatalf("the node does not answer: %v", err)
	}
	defer res.Body.Close() //nolint:errcheck // it is read
	into := map[string]*int{
		"go_goroutines": &v.goroutines, "process_open_fds": &v.descriptors, "skein_connections": &v.connections, "skein_sessions": &v.sessions,
		"skein_channels": &v.channels, "skein_panics_total": &v.panics, "process_resident_memory_bytes": &v.megabytes,
	}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if to := into[name]; to != nil {
			n, _ := strconv.ParseFloat(value, 64) // Prometheus writes numbers
			*to = int(n)
		}
	}
	v.megabytes >>= 20
	return v
}

// settled waits until the vitals are as wanted.
func (s *site) settled(t *testing.T, wanted func(vitals) bool) vitals {
	t.Helper()
	v := s.vitals(t)
	for patience := time.After(longest); !wanted(v); v = s.vitals(t) {
		select {
		case <-patience:
			t.Fatalf("the node does not come to rest: %v", v)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return v
}

// recovered checks that an attack is over: the node is as before, and honest clients have not noticed.
func (s *site) recovered(t *testing.T) {
	t.Helper()
	const kept = 16 + 16 // executors, and those who let clients in, for the next work
	var last vitals
	s.settled(t, func(v vitals) bool {
		last = v
		return v.connections <= s.base.connections && v.sessions <= s.base.sessions && v.channels <= s.base.channels &&
			v.goroutines <= s.base.goroutines+kept && v.descriptors <= s.base.descriptors+2
	})
	if last.panics != 0 {
		t.Errorf("got %d panics, want none:\n%s", last.panics, s.out)
	}
	s.canary.check(t)
}

// canary is an honest publisher and an honest subscriber, at work all the time.
type canary struct {
	pub, sub *client.Client
	ids      [2]string

	mu       sync.Mutex
	sent     int
	received int
	fault    error
	news     chan struct{} // has a value behind each message
}

func newCanary(t *testing.T, o client.Options) *canary {
	t.Helper()
	c := &canary{news: make(chan struct{}, 1)}
	for _, to := range []**client.Client{&c.pub, &c.sub} {
		var err error
		if *to, err = client.Dial(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = (*to).Close() }) // the test is over
	}
	c.ids = [2]string{c.pub.ID(), c.sub.ID()}
	news, err := c.sub.Subscribe(t.Context(), "canary")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		working.Wait()
	})
	working.Go(func() { c.publish(ctx) })
	working.Go(func() {
		for {
			m, err := news.Next(ctx)
			if ctx.Err() != nil {
				return
			}
			c.hear(string(m.Data), err)
			if err != nil {
				return
			}
		}
	})
	return c
}

func (c *canary) publish(ctx context.Context) {
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		err := c.pub.Publish(ctx, "canary", c.sent)
		c.mu.Lock()
		if c.sent++; err != nil && ctx.Err() == nil && c.fault == nil {
			c.fault = fmt.Errorf("publish %d: %w", c.sent-1, err)
		}
		c.mu.Unlock()
	}
}

func (c *canary) hear(data string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := strconv.Itoa(c.received); c.fault == nil && (err != nil || data != want) {
		c.fault = fmt.Errorf("the subscriber got %s, %w, want %s", data, err, want)
	}
	c.received++
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// check waits for what is sent now, and that all has come, once and in order, to clients that were never cut off.
func (c *canary) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	goal := c.sent + 2
	c.mu.Unlock()
	for patience := time.After(longest); ; {
		c.mu.Lock()
		received, fault := c.received, c.fault
		c.mu.Unlock()
		if fault != nil {
			t.Fatalf("an honest client was hurt: %v", fault)
		}
		if received >= goal {
			break
		}
		select {
		case <-c.news:
		case <-patience:
			t.Fatalf("an honest client has got %d messages for a minute, want %d", received, goal)
		}
	}
	if now := [2]string{c.pub.ID(), c.sub.ID()}; now != c.ids {
		t.Fatalf("an honest client was cut off: it has the sessions %q, and had %q", now, c.ids)
	}
}
