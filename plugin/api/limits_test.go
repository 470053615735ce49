package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/api"
	"github.com/skeinrt/skein/skeintest"
)

func TestLimitsOfTheAPIAreCounted(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, &api.Plugin{MaxBody: 5000})
	met := func(limit string) float64 {
		for _, m := range srv.Metrics() {
			if m.Name == "limited_total" && m.Labels["plugin"] == "api" && m.Labels["limit"] == limit {
				return m.Value
			}
		}
		return 0
	}
	for i, c := range []struct {
		limit, body string
		status      int
	}{
		{"body", `{"channel":"` + strings.Repeat("x", 5000) + `","data":1}`, http.StatusRequestEntityTooLarge},
		{"channels", `{"channels":["a"` + strings.Repeat(`,"a"`, 1000) + `],"data":1}`, http.StatusBadRequest},
		{"channel_name", `{"channel":"a","data":1}`, http.StatusOK},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/publish", strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		got := srv.Inject(r)
		_ = got.Body.Close()
		want := 1.0
		if c.status == http.StatusOK {
			want = 0
		}
		if got.StatusCode != c.status || met(c.limit) != want {
			t.Errorf("request %d: got %d, and %s met %v times; want %d and %v", i, got.StatusCode, c.limit, met(c.limit), c.status, want)
		}
	}
}

func TestALongChannelNameIsRefused(t *testing.T) {
	t.Parallel()
	srv := skeintest.Start(t, skein.Options{}, api.New())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/publish",
		strings.NewReader(`{"channel":"`+strings.Repeat("x", 8193)+`","data":1}`))
	if err != nil {
		t.Fatal(err)
	}
	got := srv.Inject(r)
	_ = got.Body.Close()
	if got.StatusCode != http.StatusBadRequest || srv.Stats().Published != 0 {
		t.Errorf("got %d and %d publications, want 400 and none", got.StatusCode, srv.Stats().Published)
	}
}
