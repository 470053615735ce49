// Package secure has what all pages and answers of ours have in common: headers that let a browser do no more with them
// than is needed.
package secure

import (
	"io/fs"
	"net/http"
	"path"
)

// Page sets the headers of a page, and of its parts: it runs no code but its own, talks to nobody but its server, and is
// shown in no frame. Nobody keeps it.
func Page(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	common(h)
}

// Data sets the headers of an answer that is no page, whatever it is taken for. Its type is the caller's to set.
func Data(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	common(h)
}

func common(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make the origin of a form "null"
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// Assets serves the files of a folder under a path that ends without "/". Those who have seen them may keep them, and ask
// whether they have changed.
func Assets(files fs.FS, folder, base string) (http.Handler, error) {
	dir, err := fs.Sub(files, folder)
	if err != nil {
		return nil, err
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	serve := http.StripPrefix(base, http.FileServerFS(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Page(w.Header(), kinds[path.Ext(r.URL.Path)])
		w.Header().Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	}), nil
}
