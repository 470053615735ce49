package skein_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/skeintest"
)

// keeping are the options of a node that keeps its revocations in a file.
func keeping(t *testing.T, file string) skein.Options {
	t.Helper()
	return skein.Options{Tokens: newTokens(t, auth.Options{}, testKey), Revocations: skein.Revocations{File: file}}
}

func TestRevocationsSurviveTheEndOfAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ann, bob := of("ann"), of("bob")
		var first []*skeintest.Server
		for i, e := range skeintest.Link(2) {
			o := keeping(t, filepath.Join(dir, fmt.Sprint(i)))
			o.Engine, o.Node = e, string(rune('a'+i))
			first = append(first, start(t, o, noSetup))
		}
		revoke(t, first[0], skein.Revocation{User: "ann"})
		revoke(t, first[1], skein.Revocation{User: "bob"})
		revoke(t, first[1], skein.Revocation{TokenID: "t", Until: time.Now().Add(time.Minute)})
		if err := first[0].Unrevoke(t.Context(), skein.Revocation{User: "bob"}); err != nil {
			t.Fatal(err)
		}
		for _, srv := range first {
			if err := srv.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		for i := range 2 { // each has all
			srv := start(t, keeping(t, filepath.Join(dir, fmt.Sprint(i))), noSetup)
			checkAll(t, []*skeintest.Server{srv}, "ann", ann, "revoked")
			checkAll(t, []*skeintest.Server{srv}, "bob", bob, "good")
			if got := srv.Revocations(); len(got) != 1 {
				t.Errorf("got %+v, want ann's alone", got)
			}
		}
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) != 2 {
			t.Errorf("got %q, %v, want the two files alone", names, err)
		}
	})
}

func TestFileThatIsNotWholeStopsTheStart(t *testing.T) {
	t.Parallel()
	const head, good = `{"skein":"revocations","version":1}` + "\n", `{"user":"ann","before":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"}` + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", ":1: it is empty"},
		"another file":      {"listen: x\n", ":1: it does not begin as a file of revocations"},
		"another version":   {strings.Replace(head, "1", "2", 1) + good, ":1: it does not begin"},
		"cut off":           {head + good + good[:30], ":3: "},
		"unknown member":    {head + `{"users":"ann","at":"2026-01-01T00:00:00Z"}`, `:2: json: unknown field "users"`},
		"two in a line":     {head + strings.TrimSpace(good) + good, ":2: the line goes on behind its value"},
		"no time":           {head + `{"user":"ann"}`, ":2: it is no revocation"},
		"two targets":       {head + `{"user":"ann","tokenId":"t","at":"2026-01-01T00:00:00Z"}`, ":2: it is no revocation"},
		"an endless line":   {head + `{"user":"` + strings.Repeat("x", 20_000), ":2: "},
		"not a time":        {head + `{"user":"ann","at":"soon"}`, ":2: "},
		"a year too far":    {head + `{"user":"ann","at":"2026-01-01T00:00:00Z","until":"9999-12-31T23:59:59-05:00"}`, ":2: it is no revocation"},
		"an empty line":     {head + "\n" + good, ":2: "},
		"a zero at the end": {head + good + "\x00", ":3: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "revocations")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			wantContains(t, startError(t, keeping(t, file)), "read the revocations: "+file+c.want)
		})
	}
	wantContains(t, startError(t, keeping(t, t.TempDir())), "read the revocations: ")
}

func TestFileThatCannotBeWrittenStopsTheStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "absent", "revocations")
	why := startError(t, keeping(t, file))
	wantContains(t, why, "the revocations cannot be kept in "+file+" (Revocations.File, --revocations): ")
	wantContains(t, why, ": open ")
}

func TestManyRevocationsAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "revocations")
	srv := start(t, keeping(t, file), noSetup)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if _, err := srv.Revoke(t.Context(), skein.Revocation{TokenID: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), fmt.Sprintf("\"tokenId\":\"%d\"", i)) {
				t.Errorf("%d is not in the file when Revoke has returned (%v)", i, err)
			}
		})
	}
	all.Wait()
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("got %v, %v, want a file for its owner alone", info.Mode(), err)
	}
}

// What cannot be written is in force all the same, is told, and is tried again.
func TestRevocationThatCannotBeKeptIsToldAndInForce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "kept")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "revocations")
		var log journal
		o := keeping(t, file)
		o.Logger = log.logger()
		srv := start(t, o, noSetup)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err) // which also says that the start has left nothing in it
		}
		ann := of("ann")
		_, err := srv.Revoke(t.Context(), skein.Revocation{User: "ann"})
		if e := new(skein.NodeError); !errors.As(err, &e) || !strings.Contains(err.Error(), "keep the revocations, which are in force until the node ends") {
			t.Errorf("got %v, want that they are not kept", err)
		}
		checkAll(t, []*skeintest.Server{srv}, "ann", ann, "revoked")
		pass(10 * time.Second)
		wantContains(t, log.String(), "revocations are not kept")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), `"user":"ann"`) {
			t.Errorf("got %s, %v, want that it has been tried again", text, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = srv.Revoke(ctx, skein.Revocation{User: "bob"}) // nobody waits for it
		checkAll(t, []*skeintest.Server{srv}, "bob", of("bob"), "revoked")
	})
}
