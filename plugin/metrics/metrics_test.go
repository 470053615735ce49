package metrics_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/metrics"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "scrape-key-scrape-key"

// scrape asks for the figures as if over a connection to the address; "" is inside the process.
func scrape(t *testing.T, srv *skeintest.Server, local, host, authorization string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if local != "" {
		addr, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return send(t, srv, r)
}

func send(t *testing.T, srv *skeintest.Server, r *http.Request) (int, string) {
	t.Helper()
	res := srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// lines are the samples, by name with labels.
func lines(text string) map[string]string {
	samples := map[string]string{}
	for in := bufio.NewScanner(strings.NewReader(text)); in.Scan(); {
		if name, value, ok := strings.Cut(in.Text(), " "); ok && name != "#" {
			samples[name] = value
		}
	}
	return samples
}

// meter brings figures of its own, a bad one among them where told.
func meter(bad bool) skein.Plugin {
	return skein.Func("meter", func(_ context.Context, h *skein.Host) error {
		h.Metrics(func(yield func(skein.Metric)) {
			yield(skein.Metric{Name: "rooms", Help: "Open rooms.", Kind: "gauge", Value: 3, Labels: map[string]string{"size": `lar"ge`}})
			yield(skein.Metric{Name: "doors_total", Help: "Doors opened.", Kind: "counter", Value: 7})
			if bad {
				yield(skein.Metric{Name: "doors_total", Help: "Said again.", Kind: "counter", Value: 8})
			}
		})
		h.Limited("windows")
		return nil
	})
}

func TestScrapeHasTheFiguresOfAll(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, metrics.New(), meter(false))
	if err := srv.Publish(t.Context(), "c", []byte("1")); err != nil {
		t.Fatal(err)
	}
	status, text := scrape(t, srv, "", "memory", "")
	if status != http.StatusOK {
		t.Fatalf("got %d %q, want 200", status, text)
	}
	got := lines(text)
	for name, want := range map[string]string{
		"skein_published_total":                      "1",
		"skein_sessions":                             "0",
		`skein_rooms{plugin="meter",size="lar\"ge"}`: "3",
		`skein_doors_total{plugin="meter"}`:          "7",
		// Limits of the server and of plugins are one family.
		`skein_limited_total{limit="message"}`:                "0",
		`skein_limited_total{limit="windows",plugin="meter"}`: "1",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	for _, line := range []string{"# TYPE skein_published_total counter", "# TYPE skein_sessions gauge", "# HELP skein_rooms Open rooms."} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the line %q is missing", line)
		}
	}
}

func TestBadFigureHidesNoOther(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	o := skein.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	srv := skeintest.Start(t, o, metrics.New(), meter(true))
	status, text := scrape(t, srv, "", "memory", "")
	if got := lines(text)[`skein_rooms{plugin="meter",size="lar\"ge"}`]; status != http.StatusOK || got != "3" {
		t.Errorf("got %d, rooms %q, want 200 and the good figures", status, got)
	}
	if !strings.Contains(log.String(), "figures were left out") || !strings.Contains(log.String(), "doors_total") {
		t.Errorf("got the log %q, want it to name the figure", log.String())
	}
}

func TestWhoMayScrape(t *testing.T) {
	t.Parallel()
	const loopback, outside = "127.0.0.1:8000", "192.0.2.7:8000"
	for _, c := range []struct {
		name, local, host, authorization string
		plugin                           metrics.Plugin
		want                             int
	}{
		{"this machine", loopback, "127.0.0.1:8000", "", metrics.Plugin{}, 200},
		{"this machine by name", loopback, "localhost:8000", "", metrics.Plugin{}, 200},
		{"this machine by IPv6", "[::1]:8000", "[::1]:8000", "", metrics.Plugin{}, 200},
		{"a web page with a rebound name", loopback, "evil.example:8000", "", metrics.Plugin{}, 401},
		{"another machine", outside, "127.0.0.1", "", metrics.Plugin{}, 401},
		{"another machine, open", outside, "skein.example", "", metrics.Plugin{Open: true}, 200},
		{"this machine without the key", loopback, "127.0.0.1", "", metrics.Plugin{Key: key}, 401},
		{"another machine with the key", outside, "skein.example", "Bearer " + key, metrics.Plugin{Key: key}, 200},
		{"the wrong key", outside, "skein.example", "Bearer wrong", metrics.Plugin{Key: key}, 401},
		{"the key without its scheme", outside, "skein.example", key, metrics.Plugin{Key: key}, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := skeintest.Start(t, skein.Options{}, &c.plugin)
			if got, body := scrape(t, srv, c.local, c.host, c.authorization); got != c.want {
				t.Errorf("got %d %.60q, want %d", got, body, c.want)
			}
		})
	}
}

// A proxy on this machine passes on what comes from anywhere.
func TestProxiedRequestIsNotLocal(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, metrics.New())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.9")
	if got, body := send(t, srv, r); got != http.StatusUnauthorized {
		t.Errorf("got %d %.60q, want 401", got, body)
	}
}

func TestUnknownKindOfListenerIsNotLocal(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, metrics.New())
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "/run/skein", Net: "unix"}))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, body := send(t, srv, r); got != http.StatusUnauthorized {
		t.Errorf("got %d %.60q, want 401", got, body)
	}
}

func TestFiguresAreServedOverAConnection(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, &metrics.Plugin{Path: "/figures"})
	r, err := srv.HTTP().Get("http://memory/figures")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200 at the path of the options", r.StatusCode)
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]*metrics.Plugin{
		"path":         {Path: "metrics"},
		"key and open": {Key: key, Open: true},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
}
