package startpage_test

import (
	"context"
	"strings"
	"testing"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/startpage"
	"github.com/skeinrt/skein/skeintest"
)

func TestClientIsServedForOtherPages(t *testing.T) {
	t.Parallel()
	mine := skein.Func("mine", func(_ context.Context, h *skein.Host) error {
		h.HandleFunc("GET /app/socket.js", startpage.ServeClient)
		return nil
	})
	p := get(t, skeintest.Start(t, skein.Options{}, mine), "/app/socket.js", nil)
	contains(t, p, "export class Client", "call(procedure, data)", "'#setAuthToken'")
	if kind := p.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/javascript") {
		t.Errorf("got the type %s, want text/javascript", kind)
	}
	if p.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("the type may be guessed")
	}
}
