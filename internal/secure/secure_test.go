package secure_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/skeinrt/skein/internal/secure"
)

func TestHeadersLetABrowserDoLittle(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(h http.Header){
		"page": func(h http.Header) { secure.Page(h, "text/html; charset=utf-8") },
		"data": secure.Data,
	} {
		h := http.Header{}
		set(h)
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
				t.Errorf("%s: got the policy %q, want %s", name, policy, want)
			}
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := h.Get(header); got != want {
				t.Errorf("%s: %s: got %q, want %q", name, header, got, want)
			}
		}
	}
}

func TestAssetsAreTheFilesOfAFolder(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a/x.js": {Data: []byte("1")}, "a/x.css": {Data: []byte("2")}, "a/x.svg": {Data: []byte("<svg/>")}, "secret.html": {Data: []byte("3")}}
	assets, err := secure.Assets(files, "a", "/x/assets")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/x/assets/x.js": "200 text/javascript; charset=utf-8", "/x/assets/x.css": "200 text/css; charset=utf-8", "/x/assets/x.svg": "200 image/svg+xml",
		"/x/assets/secret.html": "404", "/x/assets/../secret.html": "404", "/secret.html": "404",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		assets.ServeHTTP(w, r)
		got := http.StatusText(w.Code)
		if status, kind, ok := strings.Cut(want, " "); got != map[string]string{"200": "OK", "404": "Not Found"}[status] || ok && w.Header().Get("Content-Type") != kind {
			t.Errorf("%s: got %d %q, want %s", path, w.Code, w.Header().Get("Content-Type"), want)
		}
		if w.Code == http.StatusOK && (w.Header().Get("Cache-Control") != "no-cache" || w.Header().Get("Content-Security-Policy") == "") {
			t.Errorf("%s: got the header %v", path, w.Header())
		}
	}
	if _, err := secure.Assets(files, "../a", "/"); err == nil {
		t.Error("a folder outside is served")
	}
}
