// Package metrics serves the server's figures to Prometheus, those of its plugins included, with those of the Go runtime
// and the process. They are read at each scrape; between scrapes it costs nothing.
package metrics

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/secure"
)

// Plugin serves the figures. The zero value serves them at /metrics to this machine only.
type Plugin struct {
	// Path of the figures. "" is /metrics.
	Path string `default:"/metrics" doc:"path of the figures"`
	// Key that has to be shown as "Authorization: Bearer KEY". "" needs none, and answers only requests that come over
	// loopback, unless Open.
	Key string `doc:"key to be shown as a bearer token; needed from elsewhere than this machine" secret:"true"`
	// Open serves whoever can reach the server, without a key. Names of plugins and all figures are then public.
	Open bool `doc:"serve everybody without a key"`
}

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "metrics"} }

// Validate checks the options.
func (p *Plugin) Validate() error {
	if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
		return fmt.Errorf("path is %q: it must start with %q", p.Path, "/")
	}
	if p.Key != "" && p.Open {
		return errors.New("key and open: give one of them, a key that is not asked for protects nothing")
	}
	return nil
}

// Setup registers the route.
func (p *Plugin) Setup(_ context.Context, h *skein.Host) error {
	registry := prometheus.NewRegistry()
	err := errors.Join(
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		registry.Register(collector{h.Server()}),
	)
	if err != nil {
		return err
	}
	// One plugin's bad figure must not hide all the others.
	scrape := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: complaints{h.Logger()}})
	h.HandleFunc("GET "+cmp.Or(p.Path, "/metrics"), func(w http.ResponseWriter, r *http.Request) {
		secure.Data(w.Header())
		if !p.admits(h.Server(), r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="skein metrics"`)
			http.Error(w, "metrics need their key as a bearer token, or a request over loopback where no key is set", http.StatusUnauthorized)
			return
		}
		scrape.ServeHTTP(w, r)
	}, skein.Operators)
	return nil
}

func (p *Plugin) admits(s *skein.Server, r *http.Request) bool {
	if p.Key == "" {
		return p.Open || s.Local(r)
	}
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	want, got := sha256.Sum256([]byte(p.Key)), sha256.Sum256([]byte(shown))
	return ok && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// collector reads the server's figures. It describes none of them beforehand, since plugins decide what there is.
type collector struct {
	server *skein.Server
}

// Describe describes nothing, which makes the collector an unchecked one.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, m := range c.server.Metrics() {
		kind := prometheus.GaugeValue
		if m.Kind == "counter" {
			kind = prometheus.CounterValue
		}
		desc := prometheus.NewDesc("skein_"+m.Name, m.Help, nil, m.Labels)
		metric, err := prometheus.NewConstMetric(desc, kind, m.Value)
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, fmt.Errorf("figure %q: %w", m.Name, err))
		}
		out <- metric
	}
}

// complaints passes what promhttp has to say to the plugin's logger.
type complaints struct{ log *slog.Logger }

// Println logs the words.
func (c complaints) Println(words ...any) {
	c.log.Warn("figures were left out", slog.String("why", fmt.Sprint(words...)))
}
