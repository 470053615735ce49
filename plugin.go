package skein

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// Plugin is a named part of a server. Its options are its exported fields: set in Go, or decoded strictly from its
// section of the configuration.
type Plugin interface {
	// Meta tells name and dependencies. It is called often and must always answer the same.
	Meta() Meta
	// Setup registers what the plugin brings with the host, in the order of dependency, under the deadline of
	// Timeouts.Start. It runs once, before the engine starts and before any client is served.
	Setup(ctx context.Context, h *Host) error
}

// Meta describes a plugin.
type Meta struct {
	// Name is lower-case letters, digits, ".", "-" and "_", and unique in a server.
	Name string
	// Version is free text, for listings.
	Version string
	// Requires names plugins that must be there and are set up before.
	Requires []string
	// After names plugins that are set up before, where they are there.
	After []string
}

// Validator is a plugin that checks its options before Setup. The error should name the option and what is allowed.
type Validator interface {
	Validate() error
}

// Use says how a plugin is used, where its own words are not enough.
type Use struct {
	// As is the name of this instance; "" is the plugin's name. Needed to use one plugin twice.
	As string
	// Prefix goes in front of the path of all of its routes. It starts with "/" and does not end with it.
	Prefix string
	// Source is where the use was written, such as skein.yaml:12:5; errors begin with it.
	Source string
}

// Func makes a plugin of a function.
func Func(name string, setup func(ctx context.Context, h *Host) error) Plugin {
	return funcPlugin{name, setup}
}

type funcPlugin struct {
	name  string
	setup func(ctx context.Context, h *Host) error
}

func (p funcPlugin) Meta() Meta { return Meta{Name: p.name} }

func (p funcPlugin) Setup(ctx context.Context, h *Host) error { return p.setup(ctx, h) }

// Catalog is a set of plugins by name, from which a configuration chooses. It is a value: With returns another one.
type Catalog struct {
	entries map[string]func() Plugin
}

// NewCatalog returns an empty catalog.
func NewCatalog() Catalog { return Catalog{} }

// With returns the catalog with one more plugin, or with another one of that name. create returns a plugin with its
// default options.
func (c Catalog) With(name string, create func() Plugin) Catalog {
	entries := map[string]func() Plugin{name: create}
	for n, f := range c.entries {
		if n != name {
			entries[n] = f
		}
	}
	return Catalog{entries}
}

// New returns a new plugin with its default options, and whether there is one of that name.
func (c Catalog) New(name string) (Plugin, bool) {
	f, ok := c.entries[name]
	if !ok {
		return nil, false
	}
	return f(), true
}

// Names returns the names, sorted.
func (c Catalog) Names() []string { return sortedKeys(c.entries) }

// registration is a plugin with its use and, from its Setup on, its host.
type registration struct {
	plugin Plugin
	meta   Meta
	use    Use
	name   string
	host   *Host
}

// blame puts the plugin's name, and where it was written, in front of an error.
func (r *registration) blame(err error) error {
	if r.use.Source != "" {
		return fmt.Errorf("%s: plugin %q: %w", r.use.Source, r.name, err)
	}
	return fmt.Errorf("plugin %q: %w", r.name, err)
}

// where names the registration in an error about another one.
func (r *registration) where() string {
	if r.use.Source != "" {
		return fmt.Sprintf("%q (%s)", r.name, r.use.Source)
	}
	return fmt.Sprintf("%q", r.name)
}

func (r *registration) answersTo(name string) bool { return r.name == name || r.meta.Name == name }

// Register adds a plugin; it is set up by Start. A bad or taken name, a bad prefix and a started server are errors.
func (s *Server) Register(p Plugin, use ...Use) error {
	if len(use) > 1 {
		return errors.New("register: at most one Use")
	}
	r := &registration{plugin: p, meta: p.Meta()}
	if len(use) == 1 {
		r.use = use[0]
	}
	r.name = or(r.use.As, r.meta.Name)
	if err := checkName(r.name); err != nil {
		return r.blame(err)
	}
	if err := checkPrefix(r.use.Prefix); err != nil {
		return r.blame(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != created {
		return r.blame(ErrStarted)
	}
	for _, other := range s.plugins {
		if other.name == r.name {
			return r.blame(fmt.Errorf("the name is taken by plugin %s; give one of them another name (as)", other.where()))
		}
	}
	s.plugins = append(s.plugins, r)
	return nil
}

// MustRegister registers plugins and panics where Register fails. It is for main functions and tests.
func (s *Server) MustRegister(plugins ...Plugin) {
	for _, p := range plugins {
		if err := s.Register(p); err != nil {
			panic(err)
		}
	}
}

func checkName(name string) error {
	ok := name != "" && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
	if !ok {
		return fmt.Errorf("the name %q: a name is lower-case letters, digits, '.', '-' and '_'", name)
	}
	return nil
}

func checkPrefix(prefix string) error {
	if prefix != "" && (!strings.HasPrefix(prefix, "/") || strings.HasSuffix(prefix, "/") || strings.ContainsAny(prefix, "{} ?#")) {
		return fmt.Errorf("the prefix %q: a prefix starts with '/', does not end with it and is a plain path", prefix)
	}
	return nil
}

// inOrder sorts registrations so that each comes behind those that it requires or goes after, and otherwise as they
// were registered.
func inOrder(all []*registration) ([]*registration, error) {
	var errs []error
	needs := map[*registration][]*registration{}
	find := func(name string) []*registration {
		var found []*registration
		for _, r := range all {
			if r.answersTo(name) {
				found = append(found, r)
			}
		}
		return found
	}
	for _, r := range all {
		for _, name := range r.meta.Requires {
			found := find(name)
			if len(found) == 0 {
				errs = append(errs, r.blame(fmt.Errorf("it requires plugin %q, which is not registered; there are %s", name, namesOf(all))))
			}
			needs[r] = append(needs[r], found...)
		}
		for _, name := range r.meta.After {
			needs[r] = append(needs[r], find(name)...)
		}
	}
	sorted, err := topological(all, needs, (*registration).where)
	if err != nil {
		errs = append(errs, fmt.Errorf("plugins wait for each other: %w", err))
	}
	return sorted, errors.Join(errs...)
}

func namesOf(all []*registration) string {
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.name
	}
	return strings.Join(names, ", ")
}

// topological sorts so that each item comes behind what it needs, keeping the given order otherwise. The error is the
// cycle, by the names of its members.
func topological[T comparable](all []T, needs map[T][]T, name func(T) string) ([]T, error) {
	const walking, done = 1, 2
	state := map[T]int{}
	var sorted, path []T
	var visit func(x T) error
	visit = func(x T) error {
		switch state[x] {
		case done:
			return nil
		case walking:
			cycle := append(slices.Clone(path[slices.Index(path, x):]), x)
			names := make([]string, len(cycle))
			for i, c := range cycle {
				names[i] = name(c)
			}
			return errors.New(strings.Join(names, " → "))
		}
		state[x], path = walking, append(path, x)
		for _, need := range needs[x] {
			if err := visit(need); err != nil {
				return err
			}
		}
		state[x], path = done, path[:len(path)-1]
		sorted = append(sorted, x)
		return nil
	}
	for _, x := range all {
		if err := visit(x); err != nil {
			return all, err
		}
	}
	return sorted, nil
}

// setUp validates and sets up one plugin, under a deadline and a recover.
func (r *registration) setUp(ctx context.Context, s *Server) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.Timeouts.Start, fmt.Errorf("set-up took longer than %v", s.options.Timeouts.Start))
	defer cancel()
	r.host = newHost(s, r)
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("set-up panicked: %v\n%s", v, debug.Stack())
			}
		}()
		if v, ok := r.plugin.(Validator); ok {
			if err := v.Validate(); err != nil {
				done <- fmt.Errorf("options: %w", err)
				return
			}
		}
		done <- r.plugin.Setup(ctx, r.host)
	}()
	select {
	case err := <-done:
		return r.host.seal(err)
	case <-ctx.Done():
		return r.host.seal(context.Cause(ctx))
	}
}
