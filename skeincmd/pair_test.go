package skeincmd

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Otherwise certificates are read at every handshake, and keys each second.
func TestOnlyChangedFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look := func() stamp {
		t.Helper()
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return stamp{info}
	}
	write(file, "a")
	first := look()
	if !first.is(look()) {
		t.Error("got a change of a file that nobody has touched")
	}
	write(file, "longer")
	second := look()
	if second.is(first) {
		t.Error("got no change of a file that has become longer")
	}
	if err := os.Chtimes(file, time.Time{}, second.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	third := look()
	if third.is(second) {
		t.Error("got no change of a file that was written later")
	}
	write(file+".new", "longer")
	if err := os.Chtimes(file+".new", time.Time{}, third.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	if look().is(third) {
		t.Error("got no change where another file has taken its place")
	}
	if (stamp{}).is(third) || third.is(stamp{}) {
		t.Error("got no change where there was no file")
	}
}
