package skeincmd

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd prints what this binary was built from.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// build is what the linker has noted.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints the version.
func (v *versionCmd) Run(a *app) error {
	b := builtFrom(debug.ReadBuildInfo())
	if v.JSON {
		return a.json(b)
	}
	a.printf("%s\n", b)
	return nil
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
