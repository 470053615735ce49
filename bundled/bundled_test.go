package bundled_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/bundled"
)

func TestEveryPluginIsNewAndHasItsOwnName(t *testing.T) {
	t.Parallel()
	catalog := bundled.Catalog()
	want := []string{"admin", "api", "echo", "health", "metrics", "rawws", "startpage"}
	if got := catalog.Names(); !slices.Equal(got, want) {
		t.Errorf("names: got %q, want %q", got, want)
	}
	for _, name := range catalog.Names() {
		p, ok := catalog.New(name)
		if !ok || p.Meta().Name != name {
			t.Errorf("%s: got %v and the name %q", name, ok, p.Meta().Name)
		}
		if other, _ := catalog.New(name); p == other {
			t.Errorf("%s: two uses share one plugin, so that their options would be the same", name)
		}
	}
}

func TestEveryOptionIsDescribed(t *testing.T) {
	t.Parallel()
	for _, name := range bundled.Catalog().Names() {
		p, _ := bundled.Catalog().New(name)
		for f := range reflect.TypeOf(p).Elem().Fields() {
			if f.IsExported() && f.Tag.Get("doc") == "" {
				t.Errorf("%s.%s has no doc tag: the configuration's schema and documentation say nothing about it", name, f.Name)
			}
		}
	}
}

func TestAllPluginsStartTogether(t *testing.T) {
	t.Parallel()
	server := skein.New(skein.Options{})
	for _, name := range bundled.Catalog().Names() {
		p, _ := bundled.Catalog().New(name)
		if err := server.Register(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := len(server.Plugins()), len(bundled.Catalog().Names()); got != want {
		t.Errorf("got %d plugins, want %d", got, want)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
