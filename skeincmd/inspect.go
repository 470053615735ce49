package skeincmd

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein"
)

// pluginsCmd lists plugins and hooks.
type pluginsCmd struct {
	nodeFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
	Available bool `help:"List the plugins of this binary, used or not."`
}

// wiring is what plugins --json prints.
type wiring struct {
	Plugins []skein.PluginInfo `json:"plugins"`
	Hooks   []skein.HookInfo   `json:"hooks"`
}

// Run prints them.
func (s *pluginsCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	if s.Available {
		return a.available(s.JSON)
	}
	var w wiring
	err := a.setUp(ctx, k, &s.nodeFlags, func(n *node) {
		w = wiring{n.Plugins(), append([]skein.HookInfo{}, n.Hooks()...)} // in JSON none are [], not null
	})
	if err != nil {
		return err
	}
	if s.JSON {
		return a.json(w)
	}
	return errors.Join(a.table(w.pluginRows()), a.table(w.hookRows()))
}

func (w wiring) pluginRows() [][]string {
	rows := [][]string{{"", "PLUGIN", "VERSION", "PREFIX", "NEEDS", "FROM"}}
	for i, p := range w.Plugins {
		needs := strings.Join(slices.Concat(p.Requires, p.After), " ")
		rows = append(rows, []string{strconv.Itoa(i + 1), p.Name, p.Version, p.Prefix, needs, p.Source})
	}
	return rows
}

// hookRows number the hooks of each point as they run.
func (w wiring) hookRows() [][]string {
	if len(w.Hooks) == 0 {
		return [][]string{nil, {"no hooks"}}
	}
	rows := [][]string{nil, {"", "HOOK", "PATTERN", "PLUGIN"}}
	n := 0
	for i, h := range w.Hooks {
		if n++; i > 0 && w.Hooks[i-1].Point != h.Point {
			n = 1
		}
		rows = append(rows, []string{strconv.Itoa(n), h.Point, h.Pattern, h.Plugin})
	}
	return rows
}

func (a *app) available(asJSON bool) error {
	type entry struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	list := []entry{}
	rows := [][]string{{"PLUGIN", "VERSION"}}
	for _, name := range a.catalog.Names() {
		p, _ := a.catalog.New(name)
		list = append(list, entry{name, p.Meta().Version})
		rows = append(rows, []string{name, p.Meta().Version})
	}
	if asJSON {
		return a.json(list)
	}
	return a.table(rows)
}

// routesCmd lists routes.
type routesCmd struct {
	nodeFlags `embed:""`
	JSON      bool `name:"json" help:"Print JSON."`
}

// Run prints them.
func (s *routesCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	var routes []skein.Route
	if err := a.setUp(ctx, k, &s.nodeFlags, func(n *node) { routes = n.Routes() }); err != nil {
		return err
	}
	if s.JSON {
		return a.json(routes)
	}
	rows := [][]string{{"METHOD", "PATH", "KIND", "PLUGIN"}}
	for _, r := range routes {
		rows = append(rows, []string{cmp.Or(r.Method, "*"), r.Path, r.Kind, cmp.Or(r.Plugin, "-")})
	}
	return a.table(rows)
}

// setUp puts the configured node together without starting it, and looks at it.
func (a *app) setUp(ctx context.Context, k *kong.Context, flags *nodeFlags, look func(*node)) error {
	n, err := a.quietNode(k, flags)
	if err != nil {
		return err
	}
	if err := n.Inspect(ctx); err != nil {
		return err
	}
	look(n)
	return nil
}

// table prints rows in columns. An empty row is an empty line.
func (a *app) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		line := strings.TrimRight(strings.Join(row, "\t"), "\t")
		if _, err := w.Write([]byte(line + "\n")); err != nil {
			return err
		}
	}
	return w.Flush()
}
