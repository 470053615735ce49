// Package startpage is the page at / on which a person sees the server work: a raw sender and two subscribers, live, and
// the code to copy. It speaks to the server's own endpoints as any client does, and needs nothing from elsewhere.
package startpage

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/secure"
)

//go:embed page.html assets
var files embed.FS

// Plugin serves the page. The zero value works.
type Plugin struct {
	// Raw is the path of the raw endpoint that the page sends to. "" is /ws.
	Raw string `default:"/ws" doc:"path of the raw endpoint that the page sends to"`
	// Channel is the one that Raw publishes to, and that the page subscribes to. "" is testChannel.
	Channel string `default:"testChannel" doc:"channel that the raw endpoint publishes to"`
	// Version is shown on the page. "" is what the program was built from.
	Version string `doc:"version shown on the page"`
}

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "startpage"} }

// Validate checks the options.
func (p *Plugin) Validate() error {
	if p.Raw != "" && !strings.HasPrefix(p.Raw, "/") {
		return fmt.Errorf("raw is %q: it must start with %q", p.Raw, "/")
	}
	return nil
}

// Setup registers the page and its assets.
func (p *Plugin) Setup(_ context.Context, h *skein.Host) error {
	shown, err := template.ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	static, err := secure.Assets(files, "assets", h.Prefix()+"/assets")
	if err != nil {
		return err
	}
	v := view{
		server: h.Server(), page: shown, Raw: cmp.Or(p.Raw, "/ws"), Channel: cmp.Or(p.Channel, "testChannel"),
		Version: cmp.Or(p.Version, builtVersion()), Subscribers: []int{1, 2},
	}
	h.HandleFunc("GET /{$}", v.serve)
	h.Handle("GET /assets/{file}", static)
	return nil
}

// view is what the page shows.
type view struct {
	server      *skein.Server
	page        *template.Template
	Raw         string
	Channel     string
	Version     string
	Subscribers []int

	// Of one request.
	Node     string
	Endpoint string
	Served   []served
	Snippets []snippet
}

// served is one row of the table of paths.
type served struct{ Path, What, Owner string }

func (v view) serve(w http.ResponseWriter, r *http.Request) {
	v.Node = v.server.Node()
	v.Endpoint, v.Served = paths(v.server)
	scheme, host := v.server.ClientTarget(r)
	at := target(scheme, host, v.Endpoint, v.Channel)
	at.Publish = publishPath(v.server)
	v.Snippets = snippets(at)
	var body bytes.Buffer
	if err := v.page.Execute(&body, v); err != nil {
		panic(err) // the template does not fit its view: a bug
	}
	secure.Page(w.Header(), "text/html; charset=utf-8")
	_, _ = w.Write(body.Bytes()) // the reader has gone
}

// paths lists what a visitor may want to open, WebSocket endpoints first, and the endpoint to connect to. What is below
// another path of its plugin is left out: it is a part of that.
func paths(s *skein.Server) (endpoint string, rows []served) {
	for _, e := range s.Endpoints() {
		endpoint = cmp.Or(endpoint, e.Path)
	}
	above := map[string]string{} // plugin → the path last listed
	for _, r := range s.Routes() {
		at := strings.TrimSuffix(r.Path, "{$}")
		below := at == above[r.Plugin] || strings.HasPrefix(at, strings.TrimSuffix(above[r.Plugin], "/")+"/")
		if r.Audience == skein.Operators {
			continue // no visitor's business, and maybe not found here
		}
		if r.Kind == "http" && (r.Method == "" || r.Plugin != "" && above[r.Plugin] != "" && below) {
			continue
		}
		above[r.Plugin] = at
		rows = append(rows, served{at, what(r), cmp.Or(r.Plugin, "server")})
	}
	slices.SortStableFunc(rows, func(a, b served) int { return cmp.Compare(b.What, a.What) })
	return endpoint, rows
}

// publishPath finds the HTTP API by its operation, wherever it has been put.
func publishPath(s *skein.Server) string {
	for _, r := range s.Routes() {
		if r.Audience != skein.Operators && r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/publish") {
			return r.Path
		}
	}
	return ""
}

func what(r skein.Route) string {
	switch r.Kind {
	case "socketcluster":
		return "WebSocket, for SocketCluster clients"
	case "websocket":
		return "WebSocket, plain"
	default:
		return "HTTP " + r.Method
	}
}

// builtVersion is the version of the program.
func builtVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return "unknown"
}
