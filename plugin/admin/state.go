package admin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/secure"
)

// mostChannels are listed; the page is no place for more.
const mostChannels = 100

// state is what the page reads again and again.
type state struct {
	Node      string               `json:"node"`
	Version   string               `json:"version"`
	Go        string               `json:"go"`
	Uptime    float64              `json:"uptime"` // seconds
	Stats     skein.Stats          `json:"stats"`
	Nodes     []nodeState          `json:"nodes"`
	Figures   []figure             `json:"figures"`
	Channels  []channelState       `json:"channels"`
	Endpoints []skein.EndpointInfo `json:"endpoints"`
	Plugins   []pluginState        `json:"plugins"`
	Hooks     []pointState         `json:"hooks"`
	Routes    []skein.Route        `json:"routes"`
	Pages     []pageLink           `json:"pages"`
}

type figure struct {
	Name   string            `json:"name"`
	Help   string            `json:"help"`
	Kind   string            `json:"kind"`
	Value  float64           `json:"value"`
	Labels map[string]string `json:"labels,omitempty"`
}

// nodeState is a node with its times in seconds.
type nodeState struct {
	skein.NodeInfo

	Uptime float64 `json:"uptime"`
	Lag    float64 `json:"lag"`
}

type channelState struct {
	Name        string `json:"name"`
	Subscribers int    `json:"subscribers"`
}

// pluginState is a plugin with the hooks that it has.
type pluginState struct {
	skein.PluginInfo
	Hooks []string `json:"hooks"`
}

// pointState is who is asked at a point, in order.
type pointState struct {
	Point   string   `json:"point"`
	Plugins []string `json:"plugins"`
}

type pageLink struct {
	Title  string `json:"title"`
	Href   string `json:"href"`
	Plugin string `json:"plugin"`
}

func (d *desk) state(w http.ResponseWriter, r *http.Request) {
	if !d.login.holds(r) {
		d.ask(w, "")
		return
	}
	s := d.server
	stats := s.Stats()
	now := state{
		Node: s.Node(), Version: d.version, Go: runtime.Version(), Uptime: stats.Uptime.Seconds(), Stats: stats, Nodes: nodes(s),
		Figures: figures(s), Channels: channels(s), Endpoints: s.Endpoints(), Plugins: plugins(s), Hooks: points(s),
		Routes: s.Routes(), Pages: d.links(),
	}
	secure.Data(w.Header())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(now) // the reader has gone
}

func figures(s *skein.Server) []figure {
	list := []figure{}
	for _, m := range s.Metrics() {
		list = append(list, figure(m))
	}
	return list
}

func nodes(s *skein.Server) []nodeState {
	list := []nodeState{}
	for _, n := range s.Nodes() {
		list = append(list, nodeState{n, n.Uptime.Seconds(), n.Lag.Seconds()})
	}
	return list
}

func channels(s *skein.Server) []channelState {
	list := []channelState{}
	for _, name := range s.Channels("", mostChannels) {
		list = append(list, channelState{name, s.Count(name)})
	}
	return list
}

func plugins(s *skein.Server) []pluginState {
	list := []pluginState{}
	for _, info := range s.Plugins() {
		p := pluginState{info, []string{}}
		for _, hook := range s.Hooks() {
			if hook.Plugin == info.Name {
				p.Hooks = append(p.Hooks, label(hook.Point, hook.Pattern))
			}
		}
		list = append(list, p)
	}
	return list
}

func points(s *skein.Server) []pointState {
	list := []pointState{}
	for _, hook := range s.Hooks() {
		i := slices.IndexFunc(list, func(p pointState) bool { return p.Point == hook.Point })
		if i < 0 {
			i, list = len(list), append(list, pointState{Point: hook.Point})
		}
		list[i].Plugins = append(list[i].Plugins, label(hook.Plugin, hook.Pattern))
	}
	return list
}

// label leaves out the pattern that says nothing.
func label(name, pattern string) string {
	return strings.TrimSuffix(name+" "+pattern, " *")
}

// links are to the pages of other plugins.
func (d *desk) links() []pageLink {
	list := []pageLink{}
	for _, p := range d.server.AdminPages() {
		list = append(list, pageLink{p.Title, d.base + "/pages/" + p.Plugin + p.Path, p.Plugin})
	}
	slices.SortFunc(list, func(a, b pageLink) int { return cmp.Compare(a.Title, b.Title) })
	return list
}
