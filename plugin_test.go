package skein_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
)

// made is a plugin with everything in its Meta.
type made struct {
	meta    skein.Meta
	invalid error
	set     func(ctx context.Context, h *skein.Host) error
}

func (m made) Meta() skein.Meta { return m.meta }

func (m made) Validate() error { return m.invalid }

func (m made) Setup(ctx context.Context, h *skein.Host) error {
	if m.set == nil {
		return nil
	}
	return m.set(ctx, h)
}

func TestRegisterRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		plugin skein.Plugin
		use    []skein.Use
		want   string
	}{
		"no name":         {plugin("", nil), nil, `plugin "": the name "": a name is lower-case letters, digits, '.', '-' and '_'`},
		"capitals":        {plugin("Big", nil), nil, `plugin "Big": the name "Big": a name is`},
		"space":           {plugin("a b", nil), nil, `the name "a b"`},
		"bad other name":  {plugin("good", nil), []skein.Use{{As: "not good", Source: "skein.yaml:3:1"}}, `skein.yaml:3:1: plugin "not good": the name "not good"`},
		"relative prefix": {plugin("good", nil), []skein.Use{{Prefix: "api"}}, `plugin "good": the prefix "api": a prefix starts with '/', does not end with it and is a plain path`},
		"slash behind":    {plugin("good", nil), []skein.Use{{Prefix: "/api/"}}, `the prefix "/api/"`},
		"wild prefix":     {plugin("good", nil), []skein.Use{{Prefix: "/{x}"}}, `the prefix "/{x}"`},
		"two uses":        {plugin("good", nil), []skein.Use{{}, {}}, "register: at most one Use"},
		"taken":           {plugin("there", nil), []skein.Use{{Source: "skein.yaml:9:3"}}, `skein.yaml:9:3: plugin "there": the name is taken by plugin "there" (skein.yaml:1:1); give one of them another name (as)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := skein.New(skein.Options{})
			if err := srv.Register(plugin("there", nil), skein.Use{Source: "skein.yaml:1:1"}); err != nil {
				t.Fatal(err)
			}
			err := srv.Register(test.plugin, test.use...)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestNothingIsRegisteredWithAStartedServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		if err := srv.Register(plugin("late", nil)); !errors.Is(err, skein.ErrStarted) {
			t.Errorf("got %v, want %v", err, skein.ErrStarted)
		}
		defer func() {
			if v := recover(); v == nil {
				t.Error("MustRegister has not panicked")
			}
		}()
		srv.MustRegister(plugin("late", nil))
	})
}

func TestMustRegisterTakesSeveral(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{})
	srv.MustRegister(plugin("a", nil), plugin("b", nil))
	if got := names(srv.Plugins()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v, want [a b]", got)
	}
}

func names(list []skein.PluginInfo) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Name)
	}
	return out
}

// ordered registers plugins of these metas and returns the order in which they are set up, or the error.
func ordered(t *testing.T, metas []skein.Meta, uses map[string]skein.Use) ([]string, error) {
	t.Helper()
	srv := skein.New(skein.Options{})
	var order []string
	for _, m := range metas {
		p := made{meta: m, set: func(_ context.Context, h *skein.Host) error {
			order = append(order, h.Name())
			return nil
		}}
		if err := srv.Register(p, uses[m.Name]); err != nil {
			t.Fatal(err)
		}
	}
	err := srv.Start(t.Context())
	if err == nil {
		if got := names(srv.Plugins()); !slices.Equal(got, order) {
			t.Errorf("Plugins lists %v, set up was %v", got, order)
		}
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return order, err
}

func TestPluginsAreSetUpBehindWhatTheyNeed(t *testing.T) {
	t.Parallel()
	m := func(name string, requires, after string) skein.Meta {
		return skein.Meta{Name: name, Requires: strings.Fields(requires), After: strings.Fields(after)}
	}
	for name, test := range map[string]struct {
		metas []skein.Meta
		uses  map[string]skein.Use
		want  string
	}{
		"as registered":      {[]skein.Meta{m("c", "", ""), m("a", "", ""), m("b", "", "")}, nil, "c a b"},
		"requires":           {[]skein.Meta{m("a", "c", ""), m("b", "", ""), m("c", "", "")}, nil, "c a b"},
		"after":              {[]skein.Meta{m("a", "", "b"), m("b", "", "")}, nil, "b a"},
		"after who is not":   {[]skein.Meta{m("a", "", "nobody"), m("b", "", "")}, nil, "a b"},
		"chain":              {[]skein.Meta{m("a", "b", ""), m("b", "c", ""), m("c", "d", ""), m("d", "", "")}, nil, "d c b a"},
		"of another name":    {[]skein.Meta{m("a", "b", ""), m("b", "", "")}, map[string]skein.Use{"b": {As: "b2"}}, "b2 a"},
		"by its other name":  {[]skein.Meta{m("a", "b2", ""), m("b", "", "")}, map[string]skein.Use{"b": {As: "b2"}}, "b2 a"},
		"diamond":            {[]skein.Meta{m("top", "l r", ""), m("l", "base", ""), m("r", "base", ""), m("base", "", "")}, nil, "base l r top"},
		"twice the same dep": {[]skein.Meta{m("a", "b b", "b"), m("b", "", "")}, nil, "b a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			order, err := ordered(t, test.metas, test.uses)
			if got := strings.Join(order, " "); err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestMissingAndCircularDependenciesNameThePlugins(t *testing.T) {
	t.Parallel()
	_, err := ordered(t, []skein.Meta{{Name: "a", Requires: []string{"nobody", "b"}}, {Name: "b", After: []string{"c"}}, {Name: "c", Requires: []string{"b"}}},
		map[string]skein.Use{"a": {Source: "skein.yaml:4:5"}, "c": {Source: "skein.yaml:9:5"}})
	if err == nil {
		t.Fatal("it has started")
	}
	wantContains(t, err.Error(),
		`skein.yaml:4:5: plugin "a": it requires plugin "nobody", which is not registered; there are a, b, c`,
		`plugins wait for each other: "b" → "c" (skein.yaml:9:5) → "b"`)
}

func TestSetUpFailuresAreAllToldWithTheirPlugins(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{})
	for _, p := range []made{
		{meta: skein.Meta{Name: "invalid"}, invalid: errors.New("size is -1: it must be positive")},
		{meta: skein.Meta{Name: "failing"}, set: func(context.Context, *skein.Host) error { return errors.New("no disk") }},
		{meta: skein.Meta{Name: "panicking"}, set: func(context.Context, *skein.Host) error { panic("oops") }},
		{meta: skein.Meta{Name: "fine"}},
	} {
		if err := srv.Register(p, skein.Use{Source: p.meta.Name + ".yaml:1:1"}); err != nil {
			t.Fatal(err)
		}
	}
	err := srv.Start(t.Context())
	if err == nil {
		t.Fatal("it has started")
	}
	wantContains(t, err.Error(),
		`invalid.yaml:1:1: plugin "invalid": options: size is -1: it must be positive`,
		`failing.yaml:1:1: plugin "failing": no disk`,
		`panicking.yaml:1:1: plugin "panicking": set-up panicked: oops`)
	if strings.Contains(err.Error(), "fine.yaml") {
		t.Errorf("got %v, want nothing about the plugin that is fine", err)
	}
}

func TestSetUpHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got := startError(t, skein.Options{Timeouts: skein.Timeouts{Start: time.Second}}, made{
			meta: skein.Meta{Name: "slow"},
			set: func(ctx context.Context, h *skein.Host) error {
				<-ctx.Done()
				pass(time.Second) // it goes on all the same
				h.Receive("late", nil)
				return nil
			},
		})
		wantContains(t, got, `plugin "slow": set-up took longer than 1s`)
		if d := time.Since(began); d != time.Second {
			t.Errorf("took %v, want 1s", d)
		}
		pass(2 * time.Second)
	})
}

func TestRegisteringBehindSetUpIsIgnoredAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var host *skein.Host
		var log journal
		srv := start(t, skein.Options{Logger: log.logger()}, func(h *skein.Host) { host = h })
		host.HandleFunc("/late", nil)
		host.OnPublish("*", func(context.Context, *skein.Event) error { return errors.New("too late") })
		wantContains(t, log.String(), `msg="registered after Setup: ignored"`, "plugin=test", `what="route /late"`, `what="OnPublish *"`)
		if err := srv.Publish(t.Context(), "x", nil); err != nil {
			t.Errorf("got %v, want nil: the hook came too late", err)
		}
	})
}

func TestCatalogMakesPluginsByName(t *testing.T) {
	t.Parallel()
	empty := skein.NewCatalog()
	one := empty.With("a", func() skein.Plugin { return plugin("a", nil) })
	two := one.With("b", func() skein.Plugin { return plugin("b", nil) })
	other := two.With("a", func() skein.Plugin { return plugin("another", nil) })
	for _, test := range []struct {
		catalog skein.Catalog
		names   []string
	}{{empty, []string{}}, {one, []string{"a"}}, {two, []string{"a", "b"}}, {other, []string{"a", "b"}}} {
		if got := test.catalog.Names(); !slices.Equal(got, test.names) {
			t.Errorf("got %v, want %v", got, test.names)
		}
	}
	if p, ok := two.New("a"); !ok || p.Meta().Name != "a" {
		t.Errorf("got %v, %v, want a", p, ok)
	}
	if p, ok := other.New("a"); !ok || p.Meta().Name != "another" {
		t.Errorf("got %v, %v, want the later one", p, ok)
	}
	if p, ok := one.New("b"); ok {
		t.Errorf("got %v, want none: With must not change the catalog", p)
	}
}

func TestHostKnowsItsPlugin(t *testing.T) {
	t.Parallel()
	var log journal
	srv := skein.New(skein.Options{Node: "n1", Logger: log.logger()})
	p := made{meta: skein.Meta{Name: "p", Version: "1.2"}, set: func(_ context.Context, h *skein.Host) error {
		if h.Name() != "first" || h.Prefix() != "/api" || h.Server() != srv || h.Server().Node() != "n1" {
			t.Errorf("got %s at %s of %s, want first at /api of n1", h.Name(), h.Prefix(), h.Server().Node())
		}
		h.Logger().Info("hello")
		skein.Procedure(h, "z", func(context.Context, *skein.Session, skein.Nothing) (skein.Nothing, error) {
			return skein.Nothing{}, nil
		})
		return nil
	}}
	if err := srv.Register(p, skein.Use{As: "first", Prefix: "/api", Source: "skein.yaml:1:2"}); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
	wantContains(t, log.String(), "node=n1", "plugin=first", "msg=hello")
	want := []skein.PluginInfo{{Name: "first", Version: "1.2", Prefix: "/api", Source: "skein.yaml:1:2", Procedures: []string{"z"}}}
	if got := srv.Plugins(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

type greeter interface{ Greet() string }

type english struct{}

func (english) Greet() string { return "hello" }

func TestServicesArePassedByTheirType(t *testing.T) {
	t.Parallel()
	var got string
	var missing error
	srv := skein.New(skein.Options{})
	srv.MustRegister(
		made{meta: skein.Meta{Name: "user", Requires: []string{"provider"}}, set: func(_ context.Context, h *skein.Host) error {
			g, err := skein.Service[greeter](h)
			if err != nil {
				return err
			}
			got = g.Greet()
			_, missing = skein.Service[english](h)
			return nil
		}},
		made{meta: skein.Meta{Name: "provider"}, set: func(_ context.Context, h *skein.Host) error {
			skein.Provide[greeter](h, english{})
			return nil
		}})
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
	if got != "hello" {
		t.Errorf("got %q, want hello", got)
	}
	if missing == nil || missing.Error() != "no plugin has provided a skein_test.english yet: name its provider in Meta.Requires" {
		t.Errorf("got %v, want that nobody provides it", missing)
	}
}

func TestServiceIsProvidedOnce(t *testing.T) {
	t.Parallel()
	provide := func(h *skein.Host) { skein.Provide[greeter](h, english{}) }
	got := startError(t, skein.Options{}, plugin("one", provide), plugin("two", provide))
	wantContains(t, got, `plugin "two": `, `Provide skein_test.greeter: plugin "one" provides one already`, "plugin_test.go:")
}
