// Package health answers the two questions of a supervisor: whether the process is alive (/healthz), and whether it
// should get traffic (/readyz). Both are open to everybody; they tell the names of checks, never secrets.
package health

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/secure"
)

// Plugin serves the two paths. The zero value works.
type Plugin struct {
	// Live is the path that answers 200 as long as the process serves. "" is /healthz.
	Live string `default:"/healthz" doc:"path that answers 200 as long as the process serves"`
	// Ready is the path that answers 503 while the node should get no traffic. "" is /readyz.
	Ready string `default:"/readyz" doc:"path that answers 503 while the node should get no traffic"`
}

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "health"} }

// status is the body of both answers.
type status struct {
	Status  string   `json:"status"`
	Node    string   `json:"node"`
	Failing []string `json:"failing,omitempty"`
}

// Setup registers the routes.
func (p *Plugin) Setup(_ context.Context, h *skein.Host) error {
	server := h.Server()
	h.HandleFunc("GET "+cmp.Or(p.Live, "/healthz"), func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, status{Status: "ok", Node: server.Node()})
	}, skein.Everybody)
	h.HandleFunc("GET "+cmp.Or(p.Ready, "/readyz"), func(w http.ResponseWriter, r *http.Request) {
		if failing := causes(server.Ready(r.Context())); len(failing) > 0 {
			write(w, http.StatusServiceUnavailable, status{"not ready", server.Node(), failing})
			return
		}
		write(w, http.StatusOK, status{Status: "ready", Node: server.Node()})
	}, skein.Everybody)
	return nil
}

// causes lists what errors.Join has joined.
func causes(err error) []string {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) // only the outermost error is a list
	if !ok {
		return []string{err.Error()}
	}
	var list []string
	for _, e := range joined.Unwrap() {
		list = append(list, e.Error())
	}
	return list
}

func write(w http.ResponseWriter, code int, body status) {
	secure.Data(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // whoever asked has gone
}
