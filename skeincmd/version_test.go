package skeincmd

import (
	"runtime/debug"
	"slices"
	"testing"
)

func TestLinkedModulesAreThoseThatWereBuilt(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{Deps: []*debug.Module{
		{Path: "example.com/a", Version: "v1.0.0", Sum: "h1:a"},
		{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1", Sum: "h1:c"}},
	}}
	want := []module{{"example.com/a", "v1.0.0", "h1:a"}, {"example.com/fork", "v1.0.1", "h1:c"}}
	if got := linked(info); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := linked(nil); len(got) != 0 {
		t.Errorf("without a note of the linker: got %v, want none", got)
	}
}
