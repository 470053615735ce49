package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// notice is a file that must go along with the code beside it.
type notice struct {
	file string // within its module
	text string
	says []string // licences; none for files that grant none, as NOTICE
}

// notices are those of a source that is linked.
type notices struct {
	source
	files []notice
}

var (
	noticeFile  = regexp.MustCompile(`(?i)^(licen[sc]e|unlicense|copying|copyright|notice|patents)([.-].*)?$`)
	licenseFile = regexp.MustCompile(`(?i)^(licen[sc]e|unlicense|copying)`)
)

// licenses names those of all files.
func (n notices) licenses() []string {
	var names []string
	for _, f := range n.files {
		names = append(names, f.says...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// check tells why the source may not be linked into a binary that is handed out, or that nobody knows whether it may.
func (n notices) check() error {
	var errs []error
	if len(n.licenses()) == 0 {
		errs = append(errs, fmt.Errorf("%s %s: no licence that is known", n.path, n.version))
	}
	for _, f := range n.files {
		switch bad := forbidden(f.says); {
		case licenseFile.MatchString(filepath.Base(f.file)) && len(f.says) == 0:
			errs = append(errs, fmt.Errorf("%s %s: %s: no licence that is known", n.path, n.version, f.file))
		case len(bad) > 0:
			errs = append(errs, fmt.Errorf("%s %s: %s: %s is not among those allowed: %s",
				n.path, n.version, f.file, strings.Join(bad, ", "), strings.Join(allowed(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// notices reads what the sources say of themselves. Beside an error it returns all the same what it has found.
func (r repository) notices(ctx context.Context, targets []platform) ([]notices, error) {
	sources, err := r.sources(ctx, targets)
	if err != nil {
		return nil, err
	}
	var list []notices
	var errs []error
	for _, s := range sources {
		n, err := s.notices()
		list, errs = append(list, n), append(errs, cmp.Or(err, n.check()))
	}
	return list, errors.Join(errs...)
}

// notices finds the files in the folders of the packages that are linked, and those above.
func (s source) notices() (notices, error) {
	n := notices{source: s}
	for _, dir := range slices.Sorted(maps.Keys(s.packages)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return n, err
		}
		for _, e := range entries {
			if e.IsDir() || !noticeFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			text, err := read(filepath.Join(dir, e.Name()))
			if err != nil {
				return n, err
			}
			file, err := filepath.Rel(s.dir, filepath.Join(dir, e.Name()))
			if err != nil {
				return n, err
			}
			n.files = append(n.files, notice{filepath.ToSlash(file), string(text), licenses(string(text))})
		}
	}
	return n, nil
}

// noticesFile is where the texts are in an archive.
const noticesFile = "THIRD_PARTY_LICENSES.txt"

// page is all texts, one after the other.
func page(list []notices) []byte {
	var b bytes.Buffer
	b.WriteString("skein is linked with the following modules. Each is used under its own licence, whose text follows.\n")
	for _, n := range list {
		for _, f := range n.files {
			fmt.Fprintf(&b, "\n%s\n%s %s: %s\n%[1]s\n\n%[5]s\n", strings.Repeat("=", 100), n.path, n.version, f.file, strings.TrimSpace(f.text))
		}
	}
	return b.Bytes()
}

// writeNotices checks the licences on all platforms, lists them, and writes their texts.
func (r repository) writeNotices(ctx context.Context, w io.Writer, out string) error {
	list, err := r.notices(ctx, platforms())
	if err != nil {
		return err
	}
	for _, n := range list {
		if _, err := fmt.Fprintf(w, "%-50s %-40s %s\n", n.path, n.version, strings.Join(n.licenses(), " AND ")); err != nil {
			return err
		}
	}
	return write(filepath.Join(out, noticesFile), page(list))
}

// write makes the folder, too.
func write(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // for everybody to read
		return err
	}
	return os.WriteFile(file, content, 0o644) //nolint:gosec // for everybody to read
}

// read is os.ReadFile for files whose names are made here.
func read(file string) ([]byte, error) { return os.ReadFile(file) } //nolint:gosec // see above
