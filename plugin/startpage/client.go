package startpage

import (
	"net/http"

	"github.com/skeinrt/skein/internal/secure"
)

// ServeClient serves the page's SocketCluster client, for pages of one's own that have no build step: an ES module that
// exports Client and needs nothing else. It publishes, subscribes, calls procedures and shows a token.
func ServeClient(w http.ResponseWriter, r *http.Request) {
	secure.Page(w.Header(), "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, files, "assets/client.js")
}
