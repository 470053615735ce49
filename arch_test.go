package skein_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/skeinrt/skein"

// arrows is the table of ARCHITECTURE.md: which packages of ours a package may import. "" is the root; a name that ends
// with "/..." is a whole tree. Test files are free.
func arrows() map[string][]string {
	root := []string{"engine", "auth", "internal/wire", "internal/hub", "internal/ws", "internal/proxyproto", "internal/secure"}
	return map[string][]string{
		"":                    root,
		"engine":              {},
		"engine/enginetest":   {"engine"},
		"engine/natsengine":   {"engine"},
		"auth":                {},
		"auth/jwks":           {"auth"},
		"internal/wire":       {},
		"internal/hub":        {},
		"internal/ws":         {},
		"internal/proxyproto": {},
		"internal/secure":     {},
		"client":              {"internal/wire", "internal/ws"},
		"internal/load":       {"client", "internal/wire", "internal/ws"},
		"skeintest":           {"", "client", "engine"},
		"plugin/...":          {"", "auth", "internal/secure"},
		"bundled":             {"", "engine", "auth", "plugin/..."},
		"skeincmd/...":        {"", "engine", "auth", "auth/jwks", "client", "plugin/...", "skeincmd/...", "internal/load", "internal/secure", "engine/natsengine"},
		"cmd/skein":           {"skeincmd", "bundled"},
		"examples/...":        {"", "engine", "auth", "client", "bundled", "skeincmd", "skeintest", "plugin/...", "examples/..."},
		"e2e/...":             {"", "engine", "engine/natsengine", "auth", "client", "skeincmd", "bundled", "internal/wire", "internal/ws", "e2e/..."},
	}
}

// only lists who may import a module of others: heavy or telling ones.
func only() map[string][]string {
	return map[string][]string{
		"github.com/gobwas/":               {"internal/ws"},
		"github.com/klauspost/":            {"internal/ws"},
		"github.com/nats-io/":              {"engine/natsengine"},
		"github.com/alecthomas/kong":       {"skeincmd/..."},
		"github.com/caddyserver/":          {"skeincmd/..."},
		"go.uber.org/zap":                  {"skeincmd/..."},
		"github.com/goccy/go-yaml":         {"skeincmd/..."},
		"github.com/golang-jwt/":           {"auth"},
		"github.com/prometheus/":           {"plugin/metrics"},
		"github.com/vmihailenco/msgpack/":  {"internal/wire"},
		"flag":                             {"skeincmd/...", "e2e/...", "examples/..."},
		"github.com/chromedp/":             {"e2e/..."},
		"github.com/rogpeppe/go-internal/": {"skeincmd/..."},
	}
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	for dir, imports := range importsOfCode(t) {
		allowed, known := allowedFor(dir)
		if !known {
			t.Errorf("package %q is not in the table of arrows", dir)
			continue
		}
		for _, imported := range imports {
			own, ours := strings.CutPrefix(imported, module)
			switch own = strings.TrimPrefix(own, "/"); {
			case ours && own != dir && !matchesAny(allowed, own):
				t.Errorf("%q imports %q: the table allows %q", dir, own, allowed)
			case !ours:
				checkForeign(t, dir, imported)
			}
		}
	}
}

func checkForeign(t *testing.T, dir, imported string) {
	t.Helper()
	for prefix, owners := range only() {
		if strings.HasPrefix(imported, prefix) && (imported == prefix || strings.HasSuffix(prefix, "/") || strings.HasPrefix(imported, prefix+"/")) && !matchesAny(owners, dir) {
			t.Errorf("%q imports %s, which belongs to %q", dir, imported, owners)
		}
	}
}

// TestPluginsDoNotKnowEachOther holds what the table cannot say: plugin/... may not import plugin/....
func TestPluginsDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	for dir, imports := range importsOfCode(t) {
		if !strings.HasPrefix(dir, "plugin/") {
			continue
		}
		for _, imported := range imports {
			if strings.HasPrefix(imported, module+"/plugin/") {
				t.Errorf("%q imports the plugin %q", dir, imported)
			}
		}
	}
}

func allowedFor(dir string) ([]string, bool) {
	table := arrows()
	if allowed, ok := table[dir]; ok {
		return allowed, true
	}
	for key, allowed := range table {
		if matchesAny([]string{key}, dir) {
			return allowed, true
		}
	}
	return nil, false
}

func matchesAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		tree, whole := strings.CutSuffix(p, "/...")
		return p == dir || whole && (dir == tree || strings.HasPrefix(dir, tree+"/"))
	})
}

// isModule reports whether a folder is a module of its own.
func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// importsOfCode reads the imports of every package of the module, test files aside.
func importsOfCode(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || isModule(name)):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(path.Dir(filepath.ToSlash(name)), ".")
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			all[dir] = append(all[dir], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found %d packages: the walk is wrong", len(all))
	}
	return all
}
