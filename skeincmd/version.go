package skeincmd

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd prints what this binary was built from.
type versionCmd struct {
	Modules bool `help:"Print the modules that are in this binary, too, with their checksums."`
	JSON    bool `name:"json" help:"Print JSON."`
}

// build is what the linker has noted.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`

	Modules []module `json:"modules,omitempty"`
}

// module is one that the binary was linked from.
type module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum,omitempty"`
}

// Run prints the version.
func (v *versionCmd) Run(a *app) error {
	info, ok := debug.ReadBuildInfo()
	b := builtFrom(info, ok)
	if v.Modules {
		b.Modules = linked(info)
	}
	if v.JSON {
		return a.json(b)
	}
	a.printf("%s\n", b)
	for _, m := range b.Modules {
		a.printf("%s %s %s\n", m.Path, m.Version, m.Sum)
	}
	return nil
}

// linked lists the modules of others, as they were built: what replaces one stands in its place.
func linked(info *debug.BuildInfo) []module {
	list := []module{}
	if info == nil {
		return list
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, module{m.Path, m.Version, m.Sum})
	}
	return list
}

func builtFrom(info *debug.BuildInfo, ok bool) build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// String is one line: skein v1.2.3 (0123456789ab, go1.26, linux/amd64).
func (b build) String() string {
	from := ""
	if b.Revision != "" {
		from = b.Revision + ", "
	}
	if b.Modified {
		from = b.Revision + " modified, "
	}
	return fmt.Sprintf("%s %s (%s%s, %s)", name, b.Version, from, b.Go, b.Platform)
}

// json prints v, indented.
func (a *app) json(v any) error {
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
