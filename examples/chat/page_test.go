package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// fetch asks for a path without a network.
func fetch(t *testing.T, srv *skeintest.Server, path string) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://chat"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res := srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func TestPageAndItsFilesAreServedWithTheStrictPolicy(t *testing.T) {
	t.Parallel()
	srv := skeintest.Serve(t, newServer(skein.Options{}))
	for path, want := range map[string]struct{ kind, part string }{
		"/":               {"text/html", "<title>skein chat</title>"},
		"/page/chat.css":  {"text/css", "--indigo"},
		"/page/chat.js":   {"text/javascript", "from './client.js'"},
		"/page/view.js":   {"text/javascript", "textContent"},
		"/page/client.js": {"text/javascript", "export class Client"},
		"/page/icon.svg":  {"image/svg+xml", "<svg"},
	} {
		status, header, text := fetch(t, srv, path)
		if kind := header.Get("Content-Type"); status != http.StatusOK || !strings.HasPrefix(kind, want.kind) || !strings.Contains(text, want.part) {
			t.Errorf("%s: got %d %s, want %s with %q", path, status, kind, want.kind, want.part)
		}
		if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: got the policy %q", path, csp)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the type may be guessed", path)
		}
	}
	for _, path := range []string{"/page/nothing.js", "/page/", "/page/chat.html/", "/nothing"} {
		if status, _, _ := fetch(t, srv, path); status != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", path, status)
		}
	}
}

// The policy stops scripts; this stops the page from being rewritten by a message.
func TestScriptsNeverWriteMarkup(t *testing.T) {
	t.Parallel()
	markup := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|eval\(|new Function`)
	for _, name := range []string{"page/chat.js", "page/view.js"} {
		text, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if found := markup.Find(text); found != nil {
			t.Errorf("%s has %s", name, found)
		}
	}
	page, err := files.ReadFile("page/chat.html")
	if err != nil {
		t.Fatal(err)
	}
	if inline := regexp.MustCompile(`<style|style="|<script(?: type="module")?>| on[a-z]+="`).Find(page); inline != nil {
		t.Errorf("the page has inline code: %s", inline)
	}
}
