package main

import (
	"embed"
	"net/http"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/startpage"
)

//go:embed page
var files embed.FS

// policy lets the page run no code but its own and talk to nobody but its server: whatever somebody manages to write
// into a message stays text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// servePage serves the page and its files. The SocketCluster client of the page is the start page's: a small module. An
// application with a build step takes socketcluster-client from npm.
func servePage(h *skein.Host) error {
	h.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, "chat.html") })
	h.HandleFunc("GET /page/{file}", func(w http.ResponseWriter, r *http.Request) { serveFile(w, r, r.PathValue("file")) })
	h.HandleFunc("GET /page/client.js", startpage.ServeClient)
	return nil
}

func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, files, "page/"+name) //nolint:gosec // there is nothing in it but the page
}
