package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// bill is a software bill of materials in CycloneDX's form.
type bill struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	URL        string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// licensed is under which licences a module's packages are.
type licensed map[string][]string

func licensedOf(list []notices) licensed {
	all := licensed{}
	for _, n := range list {
		all[n.path] = n.licenses()
	}
	return all
}

// billOf lists what the linker has noted in the binary. It is the same for the same binary and time.
func billOf(binary string, known licensed, at time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	content, err := read(binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	main := library(&info.Main, []string{"Apache-2.0"})
	main.Type, main.Name, main.Hashes = "application", "skein", []hash{{"SHA-256", hex.EncodeToString(sum[:])}}
	for _, s := range info.Settings {
		if !strings.HasPrefix(s.Key, "-") || s.Key == "-trimpath" || s.Key == "-ldflags" {
			main.Properties = append(main.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	b := bill{
		Format: "CycloneDX", Spec: "1.6", Serial: "urn:uuid:" + uuid(sum), Version: 1,
		Metadata: metadata{at.UTC().Format(time.RFC3339), main},
	}
	uses := dependency{Ref: main.Ref}
	modules := append(slices.Clone(info.Deps), &debug.Module{Path: goLibrary, Version: strings.TrimPrefix(info.GoVersion, "go")})
	for _, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		names := known[m.Path]
		if len(names) == 0 {
			return nil, fmt.Errorf("%s: the licence of %s %s is not known", binary, m.Path, m.Version)
		}
		c := library(m, names)
		b.Components, uses.DependsOn = append(b.Components, c), append(uses.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{uses}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(b)
	return out.Bytes(), err
}

func library(m *debug.Module, names []string) component {
	c := component{Type: "library", Name: m.Path, Version: m.Version, URL: "pkg:golang/" + m.Path + "@" + url.QueryEscape(m.Version)}
	c.Ref = c.URL
	for _, name := range names {
		var l license
		l.License.ID = name
		c.Licenses = append(c.Licenses, l)
	}
	// What go.sum has: a SHA-256 of the list of the SHA-256 of the module's files.
	if sum, ok := strings.CutPrefix(m.Sum, "h1:"); ok {
		if b, err := base64.StdEncoding.DecodeString(sum); err == nil {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(b)}}
		}
	}
	return c
}

// uuid is one of version 8, whose bits are ours to choose: those of the binary's sum.
func uuid(sum [sha256.Size]byte) string {
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// billFile is the bill's name in an archive.
const billFile = "sbom.cdx.json"

// writeBill writes that of one binary.
func (r repository) writeBill(ctx context.Context, w io.Writer, binary, out string) error {
	list, err := r.notices(ctx, platforms())
	if err != nil {
		return err
	}
	at, err := r.epoch(ctx)
	if err != nil {
		return err
	}
	b, err := billOf(binary, licensedOf(list), at)
	if err != nil {
		return err
	}
	file := filepath.Join(out, filepath.Base(binary)+".cdx.json")
	if _, err := fmt.Fprintln(w, file); err != nil {
		return err
	}
	return write(file, b)
}
