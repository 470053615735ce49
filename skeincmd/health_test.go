package skeincmd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
)

// clinic answers as nodes do that are well or not, and as others do.
func clinic() http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, status int, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // the client's loss
		})
	}
	answer("/readyz", http.StatusOK, `{"status":"ready","node":"n"}`)
	answer("/ill", http.StatusServiceUnavailable, `{"status":"not ready","node":"n","failing":["engine: alone","disk: \u001b[2J"]}`)
	answer("/page", http.StatusOK, "<html>")
	answer("/other", http.StatusOK, "{}")
	mux.Handle("GET /moved", http.RedirectHandler("/readyz", http.StatusFound))
	return mux
}

func TestHealthIsTheAnswerOfTheNode(t *testing.T) {
	t.Parallel()
	node := httptest.NewServer(clinic())
	t.Cleanup(node.Close)
	secure := httptest.NewTLSServer(clinic())
	t.Cleanup(secure.Close)
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{node.URL + "/readyz"}, exitOK, `^ready\n$`, `^$`},
		{[]string{node.URL}, exitOK, `^ready\n$`, `^$`},
		{[]string{node.URL + "/ill"}, exitFailed, `^$`, `(?s)/ill: not ready\n.*engine: alone\n.*"disk: \\x1b\[2J"\n$`},
		{[]string{node.URL + "/page"}, exitFailed, `^$`, `answers with 200 OK: is it a health check of a node\?`},
		{[]string{node.URL + "/other"}, exitFailed, `^$`, `answers with 200 OK: is it a health check`},
		{[]string{node.URL + "/moved"}, exitFailed, `^$`, `answers with 302 Found: is it a health check`},
		{[]string{secure.URL}, exitFailed, `^$`, `certificate`},
		{[]string{secure.URL, "--insecure"}, exitOK, `^ready\n$`, `^$`},
		{[]string{"127.0.0.1:8000"}, exitUsage, `^$`, `"127.0.0.1:8000" is not a URL such as http://127.0.0.1:8000/readyz`},
		{[]string{"ftp://127.0.0.1"}, exitUsage, `^$`, `is not a URL`},
	} {
		out, errs, code := outcome(t, inDir(t, nil, nil), append([]string{"health"}, c.args...)...)
		if code != c.code || !regexp.MustCompile(c.out).MatchString(out) || !regexp.MustCompile(c.errs).MatchString(errs) {
			t.Errorf("%q: got %d, %q and %q, want %d, %q and %q", c.args, code, out, errs, c.code, c.out, c.errs)
		}
	}
}

func TestHealthOfANodeThatIsNotThere(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(clinic())
	gone.Close()
	_, errs, code := outcome(t, inDir(t, nil, nil), "health", gone.URL)
	if want := regexp.MustCompile(`connection refused; is a node running there\?`); code != exitFailed || !want.MatchString(errs) {
		t.Errorf("got %d and %q, want %d and %s", code, errs, exitFailed, want)
	}
}

func TestHealthOfANodeThatSaysNothing(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	_, errs, code := outcome(t, inDir(t, nil, nil), "health", "--timeout", "50ms", silent.URL)
	if want := regexp.MustCompile(`no answer within 50ms`); code != exitFailed || !want.MatchString(errs) {
		t.Errorf("got %d and %q, want %d and %s", code, errs, exitFailed, want)
	}
}
