package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// flags are those of every binary that is handed out; what else could change its bytes is in platform.environment.
func flags() []string { return []string{"-trimpath", "-ldflags=-s -w", "-buildvcs=true"} }

// build builds the command. The version is the one that Go notes: the commit's tag, or its date and hash.
func (r repository) build(ctx context.Context, p platform, binary string, env ...string) error {
	args := append([]string{"build"}, flags()...)
	_, err := r.output(ctx, p.environment(env...), "go", append(args, "-o", binary, command)...)
	return err
}

// git returns one line of its output.
func (r repository) git(ctx context.Context, args ...string) (string, error) {
	out, err := r.output(ctx, nil, "git", args...)
	return strings.TrimSpace(string(out)), err
}

// epoch is the time of everything that is made: SOURCE_DATE_EPOCH, or else the commit's.
func (r repository) epoch(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = r.git(ctx, "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// clone copies the commit, and nothing that is not in it, to a folder that does not exist.
func (r repository) clone(ctx context.Context, dir string) (repository, error) {
	if changed, err := r.git(ctx, "status", "--porcelain", "--untracked-files=no"); err != nil || changed != "" {
		return repository{}, errors.Join(err, fmt.Errorf("what is handed out is a commit, and there are changes beside it:\n%s", changed))
	}
	head, err := r.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return repository{}, err
	}
	if _, err := r.git(ctx, "clone", "--quiet", "--no-hardlinks", "--no-checkout", r.dir, dir); err != nil {
		return repository{}, err
	}
	c := repository{dir}
	_, err = c.git(ctx, "checkout", "--quiet", "--detach", head)
	return c, err
}

// release makes an archive and a bill for each platform, and the sums of all of them.
func (r repository) release(ctx context.Context, w io.Writer, out string, targets []platform) (err error) {
	work, err := os.MkdirTemp("", "skein-dist")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	c, err := r.clone(ctx, filepath.Join(work, "source"))
	if err != nil {
		return err
	}
	at, err := r.epoch(ctx)
	if err != nil {
		return err
	}
	texts, err := c.notices(ctx, targets)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, p := range targets {
		made, err := c.pack(ctx, p, filepath.Join(work, p.String()), texts, at)
		if err != nil {
			return err
		}
		for _, e := range made {
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(e.content), e.name)
			if err := write(filepath.Join(out, e.name), e.content); err != nil {
				return err
			}
		}
	}
	if _, err := w.Write(sums.Bytes()); err != nil {
		return err
	}
	return write(filepath.Join(out, "SHA256SUMS"), sums.Bytes())
}

// pack builds for one platform, and returns what is handed out for it.
func (r repository) pack(ctx context.Context, p platform, binary string, texts []notices, at time.Time) ([]entry, error) {
	if err := r.build(ctx, p, binary); err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	bill, err := billOf(binary, licensedOf(texts), at)
	if err != nil {
		return nil, err
	}
	base := fmt.Sprintf("skein_%s_%s", strings.TrimPrefix(info.Main.Version, "v"), p)
	entries := []entry{{noticesFile, page(texts), 0o644}, {billFile, bill, 0o644}}
	files := map[string]string{"README.md": "README.md", "LICENSE": "LICENSE", "CHANGELOG.md": "CHANGELOG.md", "SECURITY.md": "SECURITY.md"}
	if p.os == "linux" {
		files["skein.service"] = "packaging/skein.service"
	}
	for name, file := range files {
		text, err := read(filepath.Join(r.dir, file))
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name, text, 0o644})
	}
	program, err := read(binary)
	if err != nil {
		return nil, err
	}
	name := "skein"
	if p.os == "windows" {
		name += ".exe"
	}
	entries = append(entries, entry{name, program, 0o755})
	for i := range entries {
		entries[i].name = base + "/" + entries[i].name
	}
	packed, ending, err := archive(p, entries, at)
	return []entry{{base + ending, packed, 0o644}, {base + ".cdx.json", bill, 0o644}}, err
}

// reproduce builds the commit twice, in two folders and with two empty caches each, and compares the bytes.
func (r repository) reproduce(ctx context.Context, w io.Writer) (err error) {
	work, err := os.MkdirTemp("", "skein-twice")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	downloads, err := r.output(ctx, nil, "go", "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	// Modules come from what has been downloaded, and are checked by go.sum.
	proxy := "file://" + filepath.ToSlash(filepath.Join(strings.TrimSpace(string(downloads)), "cache", "download"))
	var sums [2][sha256.Size]byte
	for i, name := range []string{"first", "the second, elsewhere"} {
		dir := filepath.Join(work, name)
		c, err := r.clone(ctx, filepath.Join(dir, "source"))
		if err != nil {
			return err
		}
		binary := filepath.Join(dir, "skein")
		err = c.build(ctx, platform{"linux", "amd64"}, binary, "GOPROXY="+proxy, "GOSUMDB=off",
			"GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(dir, "modules"), "GOCACHE="+filepath.Join(dir, "cache"))
		if err != nil {
			return err
		}
		content, err := read(binary)
		if err != nil {
			return err
		}
		sums[i] = sha256.Sum256(content)
		if _, err := fmt.Fprintf(w, "%x  %s\n", sums[i], name); err != nil {
			return err
		}
	}
	if sums[0] != sums[1] {
		return errors.New("two builds of one commit differ")
	}
	return nil
}
