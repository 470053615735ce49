package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/health"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type answer struct {
	Status, Node string
	Failing      []string
}

func ask(t *testing.T, srv *skeintest.Server, path string) (int, answer) {
	t.Helper()
	r := srv.Inject(request(t, path))
	defer func() { _ = r.Body.Close() }()
	var a answer
	if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
		t.Fatalf("GET %s: %d: %v", path, r.StatusCode, err)
	}
	if got := r.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("GET %s: got Cache-Control %q, want no-store", path, got)
	}
	return r.StatusCode, a
}

func request(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://memory"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// patient has two checks that fail while it is ill.
func patient(ill *atomic.Bool) skein.Plugin {
	return skein.Func("patient", func(_ context.Context, h *skein.Host) error {
		for _, organ := range []string{"heart", "lungs"} {
			h.Health(organ, func(context.Context) error {
				if ill.Load() {
					return errors.New("weak")
				}
				return nil
			})
		}
		return nil
	})
}

func TestReadinessFollowsTheChecksAndLifeDoesNot(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	srv := skeintest.Start(t, skein.Options{Node: "n1"}, health.New(), patient(&ill))
	for _, want := range []struct {
		ill     bool
		status  int
		failing []string
	}{
		{false, http.StatusOK, nil},
		{true, http.StatusServiceUnavailable, []string{"heart: weak", "lungs: weak"}},
		{false, http.StatusOK, nil},
	} {
		ill.Store(want.ill)
		status, a := ask(t, srv, "/readyz")
		if status != want.status || !slices.Equal(a.Failing, want.failing) || a.Node != "n1" {
			t.Errorf("ready: got %d %+v, want %d %v", status, a, want.status, want.failing)
		}
		if status, a := ask(t, srv, "/healthz"); status != http.StatusOK || a.Status != "ok" || a.Node != "n1" {
			t.Errorf("alive: got %d %+v, want 200 ok", status, a)
		}
	}
}

func TestPathsAreOptions(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, &health.Plugin{Live: "/live", Ready: "/ready"})
	for _, path := range []string{"/live", "/ready"} {
		if status, a := ask(t, srv, path); status != http.StatusOK {
			t.Errorf("GET %s: got %d %+v, want 200", path, status, a)
		}
	}
	r := srv.Inject(request(t, "/healthz"))
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("GET /healthz: got %d, want 404 where the path is another", r.StatusCode)
	}
}

func TestNodeThatIsLeavingIsNotReady(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{})
	ready := request(t, "/readyz")
	status := 0
	srv.MustRegister(health.New(), skein.Func("leaving", func(_ context.Context, h *skein.Host) error {
		h.OnDrain(func(context.Context) error {
			r := srv.Inject(ready)
			status = r.StatusCode
			return r.Body.Close()
		})
		return nil
	}))
	if err := skeintest.Serve(t, srv).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status != http.StatusServiceUnavailable {
		t.Errorf("while draining: got %d, want 503", status)
	}
}

func TestNodeWithoutItsClusterIsNotReady(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{Node: "a", MinNodes: 2, Engine: skeintest.Link(1)[0]}, health.New())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://memory/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res := srv.Inject(r)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	const want = `{"status":"not ready","node":"a","failing":["the node waits for its cluster: 1 of 2 nodes are there"]}`
	if err != nil || res.StatusCode != http.StatusServiceUnavailable || strings.TrimSpace(string(body)) != want {
		t.Errorf("got %d %s, %v, want 503 %s", res.StatusCode, body, err, want)
	}
}
