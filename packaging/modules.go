package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// repository is a working tree of skein.
type repository struct{ dir string }

// command is the package that is built.
const command = "./cmd/skein"

// platform is what a binary is for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

// platforms are those that archives are made for.
func platforms() []platform {
	var list []platform
	for _, system := range []string{"darwin", "linux", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			list = append(list, platform{system, arch})
		}
	}
	return list
}

// environment is the process's own, but for what could change the bytes of a binary.
func (p platform) environment(more ...string) []string {
	return append(append(os.Environ(),
		"CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-trimpath", "GOWORK=off"), more...)
}

// output runs a program in the repository and returns what it prints.
func (r repository) output(ctx context.Context, env []string, program string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, program, args...) //nolint:gosec // go and git, from here alone
	c.Dir, c.Env = r.dir, env
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, &complaint)
	}
	return out, nil
}

// source is a module that is linked into the binary, or Go's own library.
type source struct {
	path, version string
	dir           string
	packages      map[string]bool // folders of those packages that are linked
}

// goLibrary is the name of Go's own library, as of a module.
const goLibrary = "std"

// listed is what go list tells of a package.
type listed struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// sources lists what is linked on any of the platforms, sorted by path.
func (r repository) sources(ctx context.Context, targets []platform) ([]source, error) {
	found := map[string]source{goLibrary: {
		path: goLibrary, version: strings.TrimPrefix(runtime.Version(), "go"), packages: map[string]bool{},
	}}
	goRoot, err := r.output(ctx, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	library := found[goLibrary]
	library.dir = strings.TrimSpace(string(goRoot))
	library.packages[library.dir] = true
	found[goLibrary] = library
	for _, p := range targets {
		out, err := r.output(ctx, p.environment(), "go", "list", "-deps", "-json=Dir,Module", command)
		if err != nil {
			return nil, err
		}
		if err := addPackages(found, json.NewDecoder(bytes.NewReader(out))); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b source) int { return cmp.Compare(a.path, b.path) }), nil
}

func addPackages(found map[string]source, packages *json.Decoder) error {
	for {
		var p listed
		switch err := packages.Decode(&p); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("go list: %w", err)
		case p.Module == nil || p.Module.Main:
			continue
		}
		m, known := found[p.Module.Path]
		if !known {
			m = source{p.Module.Path, p.Module.Version, p.Module.Dir, map[string]bool{}}
			found[m.path] = m
		}
		// What a folder above says is said of the package, too.
		for dir := p.Dir; len(dir) >= len(m.dir); dir = filepath.Dir(dir) {
			m.packages[dir] = true
		}
	}
}
