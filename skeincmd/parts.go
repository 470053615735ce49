package skeincmd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// part is a plugin with its options and the way it is used.
type part struct {
	plugin  skein.Plugin
	from    string // its name in the catalog
	use     skein.Use
	path    string      // of its entry in the file; "" where only a flag has asked for it
	places  conf.Places // of its options in the file, by full path
	options []option    // that settings have given it
}

// name is that of the instance.
func (p part) name() string {
	if p.use.As != "" {
		return p.use.As
	}
	return p.plugin.Meta().Name
}

// stock is a plugin that a flag starts.
type stock struct {
	name    string
	key     string // the setting that switches it; "" is none
	on      bool
	options []option
}

// option is what a setting says to a plugin.
type option struct {
	name  string
	value any
	key   string // the setting
}

// leastKey is the least length of a key in octets: what is shorter can be guessed.
const leastKey = 16

// stock lists what the flags ask for, in the order of set-up.
func (c *config) stock(a *app) ([]stock, error) {
	f, o := c.Features, c.Operators
	apiKey, err := a.secret(f.APIKey)
	operatorKey, wrong := a.secret(o.OperatorKey)
	if wrong == nil && operatorKey != "" && len(operatorKey) < leastKey {
		wrong = fmt.Errorf("it has %d octets: it must have %d or more", len(operatorKey), leastKey)
	}
	raw := c.rawPath()
	startPage := f.StartPage && (raw != "" || c.source("startPage") != "") // it shows the raw endpoint
	compression := option{"compression", f.Compression, "compression"}
	channel := option{"channel", f.RawChannel, "rawChannel"}
	key := option{"key", operatorKey, "operatorKey"}
	list := []stock{
		{"health", "", true, nil},
		{"rawws", "raw", raw != "", []option{{"path", raw, "raw"}, channel, compression}},
		{"startpage", "startPage", startPage, c.startPageOptions()},
		{"echo", "echo", f.Echo != "", []option{{"path", f.Echo, "echo"}, compression}},
		{"api", "api", f.API, []option{{"operators", o.OperatorAPI, "operatorAPI"}}},
		{"metrics", "metrics", o.Metrics, []option{key}},
		{"admin", "admin", o.Admin, []option{key}},
	}
	if apiKey != "" {
		list[4].options = append(list[4].options, option{"keys", []string{apiKey}, "apiKey"})
	}
	return list, errors.Join(c.blame("apiKey", err), c.blame("operatorKey", wrong))
}

// startPageOptions tell the page where the raw endpoint is, also where the file has moved it.
func (c *config) startPageOptions() []option {
	o := struct{ Path, Channel string }{c.rawPath(), c.Features.RawChannel}
	for _, u := range c.Lists.Plugins {
		if (stock{name: "rawws"}).replacedBy(u) {
			_, _ = u.Options.Decode(&o) // what is wrong is told where the plugin itself takes them
			o.Path = u.Prefix + cmp.Or(o.Path, "/ws")
		}
	}
	return []option{{"raw", o.Path, "raw"}, {"channel", o.Channel, "rawChannel"}}
}

// parts are the plugins of the node: those that flags ask for, and those of the file, in its order. An entry of the file
// that has the name of a flag's plugin takes its place, and its options go before those of flags.
func (c *config) parts(a *app) ([]part, error) {
	standard, err := c.stock(a)
	errs := []error{err}
	var parts []part
	for _, s := range standard {
		if !s.on || slices.ContainsFunc(c.Lists.Plugins, s.replacedBy) {
			continue
		}
		p, err := c.standardPart(a.catalog, s)
		errs = append(errs, err)
		if p.plugin != nil {
			parts = append(parts, p)
		}
	}
	for i, u := range c.Lists.Plugins {
		p, err := c.listedPart(a.catalog, standard, u, conf.Item("plugins", i))
		errs = append(errs, err)
		if p.plugin != nil {
			parts = append(parts, p)
		}
	}
	return parts, errors.Join(errs...)
}

func (s stock) replacedBy(u use) bool { return u.Use == s.name && (u.As == "" || u.As == s.name) }

// standardPart makes a plugin for a flag. One that nobody has asked for may be missing from a catalog of one's own.
func (c *config) standardPart(catalog skein.Catalog, s stock) (part, error) {
	p, ok := catalog.New(s.name)
	source := ""
	if s.key != "" {
		source = c.source(s.key)
	}
	if !ok && source == "" {
		return part{}, nil
	}
	if !ok {
		return part{}, c.blame(s.key, fmt.Errorf("this binary has no plugin %q%s", s.name, conf.Hint(s.name, catalog.Names())))
	}
	made := part{plugin: p, from: s.name, use: skein.Use{Source: source}, options: s.options}
	if err := s.setOptions(p); err != nil {
		return made, err
	}
	key := s.blamed(c)
	if c.told[key] {
		return made, nil
	}
	return made, c.blame(key, validate(p))
}

// blamed is the setting that is probably wrong where the plugin does not like its options.
func (s stock) blamed(c *config) string {
	for _, o := range s.options {
		if c.source(o.key) != "" {
			return o.key
		}
	}
	return s.key
}

// validate asks a plugin about its options before anything is started.
func validate(p skein.Plugin) error {
	if v, ok := p.(skein.Validator); ok {
		if err := v.Validate(); err != nil {
			return fmt.Errorf("plugin %q: %w", p.Meta().Name, err)
		}
	}
	return nil
}

// setOptions gives a plugin what the settings say, in the way of a file's options.
func (s stock) setOptions(p skein.Plugin) error {
	given := map[string]any{}
	for _, o := range s.options {
		if o.value != "" && o.value != false {
			given[o.name] = o.value
		}
	}
	b, err := json.Marshal(given)
	if err != nil {
		return fmt.Errorf("options of %s: %w", s.name, err)
	}
	root, err := conf.Parse("settings of "+s.name, b)
	if err != nil {
		return err
	}
	_, err = root.Decode(p)
	return err
}

func (c *config) listedPart(catalog skein.Catalog, standard []stock, u use, path string) (part, error) {
	if u.Use == "" {
		return part{}, c.blame(path, errors.New("use is missing: the name of the plugin"))
	}
	p, ok := catalog.New(u.Use)
	if !ok {
		return part{}, c.blame(conf.Join(path, "use"),
			fmt.Errorf("this binary has no plugin %q%s", u.Use, conf.Hint(u.Use, catalog.Names())))
	}
	made := part{plugin: p, from: u.Use, path: path, use: skein.Use{As: u.As, Prefix: u.Prefix, Source: c.places[path].String()}}
	for _, s := range standard {
		if !s.replacedBy(u) {
			continue
		}
		made.options = s.options
		if err := s.setOptions(p); err != nil {
			return made, err
		}
	}
	if u.Options.Absent() {
		return made, c.blame(path, validate(p))
	}
	var err error
	if made.places, err = u.Options.Decode(p); err != nil {
		return made, err
	}
	return made, c.blame(conf.Join(path, "options"), validate(p))
}
