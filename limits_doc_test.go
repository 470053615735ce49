package skein_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skeinrt/skein"
)

// limitRows are the rows of the tables of docs/limits.md, cell by cell.
func limitRows(t *testing.T) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| limit ") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 {
			t.Fatalf("%d cells, want 6: %s", len(cells), line)
		}
		rows = append(rows, cells)
	}
	return rows
}

var quoted = regexp.MustCompile("`([^`]*)`")

// words are what stands in backquotes.
func words(cell string) (list []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		list = append(list, m[1])
	}
	return list
}

func TestTheDocumentationNamesEachLimitThatIsCounted(t *testing.T) {
	t.Parallel()
	var counted []string
	for _, m := range skein.New(skein.Options{}).Metrics() {
		if m.Name == "limited_total" {
			counted = append(counted, m.Labels["limit"])
		}
	}
	var written []string
	for _, row := range limitRows(t) {
		for _, name := range words(row[5]) {
			if name != `plugin="api"` && !slices.Contains(written, name) {
				written = append(written, name)
			}
		}
	}
	slices.Sort(counted)
	slices.Sort(written)
	if !slices.Equal(counted, written) {
		t.Errorf("docs/limits.md does not name what is counted:\ngot  %q\nwant %q", written, counted)
	}
}

// isOption reports whether a path, such as Rates.User.Calls, leads to a field.
func isOption(roots map[string]reflect.Type, path string) bool {
	root, rest, _ := strings.Cut(path, ".")
	at := roots[root]
	for name := range strings.SplitSeq(rest, ".") {
		if at == nil || at.Kind() != reflect.Struct {
			return false
		}
		f, ok := at.FieldByName(name)
		if !ok {
			return false
		}
		at = f.Type
	}
	return true
}

func TestTheDocumentationNamesOptionsThatThereAre(t *testing.T) {
	t.Parallel()
	roots := map[string]reflect.Type{"Endpoint": reflect.TypeFor[skein.Endpoint]()}
	var missing []string
	for f := range reflect.TypeFor[skein.Options]().Fields() {
		roots[f.Name] = f.Type
	}
	written := map[string]bool{}
	for _, row := range limitRows(t) {
		for _, path := range words(row[1]) {
			written[path] = true
			if !isOption(roots, path) {
				t.Errorf("docs/limits.md names the option %s, which there is not", path)
			}
		}
	}
	for name, of := range map[string]reflect.Type{"Limits": roots["Limits"], "Conns": roots["Conns"]} {
		for f := range of.Fields() {
			if path := name + "." + f.Name; !written[path] && path != "Limits.Rates" {
				missing = append(missing, path)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("docs/limits.md lacks %q", missing)
	}
}
