package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// unpack reads a .tar.gz: what is in it, and how.
func unpack(t *testing.T, content []byte) (files map[string][]byte, listing []string) {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	r := tar.NewReader(plain)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, listing
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		listing = append(listing, fmt.Sprintf("%s %o %d %s%d", h.Name, h.Mode, h.ModTime.Unix(), h.Uname, h.Uid))
	}
}

// TestTwoFoldersMakeTheSameRelease is why somebody else can check what has been handed out.
func TestTwoFoldersMakeTheSameRelease(t *testing.T) {
	t.Parallel()
	var made [2]map[string][]byte
	for i, name := range []string{"first", "the second, elsewhere"} {
		r, out := commit(t, filepath.Join(t.TempDir(), name)), t.TempDir()
		if err := r.release(t.Context(), io.Discard, out, []platform{here()}); err != nil {
			t.Fatal(err)
		}
		made[i] = map[string][]byte{}
		names, err := filepath.Glob(filepath.Join(out, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range names {
			if made[i][filepath.Base(file)], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(made[0]) != 3 {
		t.Errorf("got %d files, want an archive, a bill and the sums", len(made[0]))
	}
	for name, content := range made[0] {
		if !bytes.Equal(content, made[1][name]) {
			t.Errorf("%s differs", name)
		}
	}
	checkRelease(t, made[0])
}

func checkRelease(t *testing.T, made map[string][]byte) {
	t.Helper()
	base := "skein_0.9.8_" + here().String()
	for _, name := range []string{base + ".tar.gz", base + ".cdx.json"} {
		if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(made[name]), name); !strings.Contains(string(made["SHA256SUMS"]), want) {
			t.Errorf("got the sums\n%s, want among them\n%s", made["SHA256SUMS"], want)
		}
	}
	files, listing := unpack(t, made[base+".tar.gz"])
	var want []string
	for _, name := range []string{"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", noticesFile, billFile, "skein", "skein.service"} {
		if mode := map[bool]string{true: "755", false: "644"}[name == "skein"]; name != "skein.service" || here().os == "linux" {
			want = append(want, base+"/"+name+" "+mode+" 1700000000 0")
		}
	}
	if !slices.Equal(listing, want) {
		t.Errorf("got\n%q, want\n%q", listing, want)
	}
	if !bytes.Equal(files[base+"/"+billFile], made[base+".cdx.json"]) {
		t.Error("the bill in the archive is not the one beside it")
	}
	binary := filepath.Join(t.TempDir(), "skein")
	if err := os.WriteFile(binary, files[base+"/skein"], 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary, "version").CombinedOutput()
	if want := regexp.MustCompile(`^skein v0\.9\.8 \([0-9a-f]{12}, go1`); err != nil || !want.Match(out) {
		t.Errorf("version: got %v and %s, want %s", err, out, want)
	}
}

func TestTheBinaryDoesNotTellWhereItWasBuilt(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(skein)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte(folder)) {
		t.Errorf("the binary has the folder %s in it, in which it was built", folder)
	}
}

func TestWhatIsNotCommittedIsNotHandedOut(t *testing.T) {
	t.Parallel()
	r := commit(t, t.TempDir())
	if err := write(filepath.Join(r.dir, "README.md"), []byte("changed")); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	err := r.release(t.Context(), io.Discard, out, []platform{here()})
	if err == nil || !strings.Contains(err.Error(), "README.md") {
		t.Errorf("got %v, want the name of what has changed", err)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("got %v and %v, want nothing made", left, err)
	}
}

func TestTheTimeIsThatOfTheCommitOrOfTheEnvironment(t *testing.T) {
	r := repository{t.TempDir()}
	if err := write(filepath.Join(r.dir, "x"), nil); err != nil {
		t.Fatal(err)
	}
	git(t, r.dir, "init", "--quiet")
	git(t, r.dir, "add", "x")
	git(t, r.dir, "commit", "--quiet", "--message", "x")
	for text, want := range map[string]int64{"": 1700000000, "1800000000": 1800000000} {
		t.Setenv("SOURCE_DATE_EPOCH", text)
		if got, err := r.epoch(t.Context()); err != nil || got.Unix() != want {
			t.Errorf("SOURCE_DATE_EPOCH=%s: got %v and %v, want %d", text, got, err, want)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := r.epoch(t.Context()); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("got %v, want the variable's name", err)
	}
}

func TestAnArchiveForWindowsIsAZip(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 0)
	content, ending, err := archive(platform{"windows", "amd64"}, []entry{{"d/b", []byte("2"), 0o644}, {"d/a.exe", []byte("1"), 0o755}}, at)
	if err != nil || ending != ".zip" {
		t.Fatalf("got %q and %v, want .zip", ending, err)
	}
	again, _, err := archive(platform{"windows", "amd64"}, []entry{{"d/a.exe", []byte("1"), 0o755}, {"d/b", []byte("2"), 0o644}}, at)
	if err != nil || !bytes.Equal(content, again) {
		t.Errorf("got another archive of the same entries (%v)", err)
	}
	r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var listing []string
	for _, f := range r.File {
		listing = append(listing, fmt.Sprintf("%s %o %d", f.Name, f.Mode(), f.Modified.Unix()))
	}
	if want := []string{"d/a.exe 755 1700000000", "d/b 644 1700000000"}; !slices.Equal(listing, want) {
		t.Errorf("got %q, want %q", listing, want)
	}
}

func TestThereIsAnArchiveForEveryPlatform(t *testing.T) {
	t.Parallel()
	want := []platform{{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"}}
	if got := platforms(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAWrongCommandIsToldWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"dist"}, {"dist", ".."}, {"frob", "..", "x"}, {"reproduce", "..", "x"}, {"sbom", "..", "x"}} {
		if err := run(t.Context(), io.Discard, args); !errors.Is(err, errUsage) {
			t.Errorf("%q: got %v, want %v", args, err, errUsage)
		}
	}
}
