package censor_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/examples/plugin/censor"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// published is what a subscriber gets of a message; nil is published without data.
func published(t *testing.T, srv *skeintest.Server, channel string, message json.RawMessage) string {
	t.Helper()
	c := srv.Dial(t, client.Options{})
	s, err := c.Subscribe(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Publish(t.Context(), channel, message); err != nil {
		t.Fatal(err)
	}
	m, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Data)
}

func TestWordsAreMaskedAndEverythingElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, &censor.Censor{Channels: "*", Words: []string{"darn", "Heck", "ñandú", "x_1"}, Mask: "***"})
		for message, want := range map[string]string{
			`"darn"`:                      `"***"`,
			`"DARN, what the heck?"`:      `"***, what the ***?"`,
			`"darned checks, x_1 x_12"`:   `"darned checks, *** x_12"`,
			`"a ñandú, Ñandú and ñandús"`: `"a ***, *** and ñandús"`,
			`"one\ndarn"`:                 `"one\n***"`,
			`"d\u0061rn"`:                 `"***"`,
			`["darn",{"darn":["heck"]}]`:  `["***",{"darn":["***"]}]`,
			`{"n":1.50,"big":9007199254740993,"said":"darn"}`: `{"big":9007199254740993,"n":1.50,"said":"***"}`,
			`{"b":1.50, "a":"fine","b":2}`:                    `{"b":1.50, "a":"fine","b":2}`,
			`null`:                                            `null`,
			`true`:                                            `true`,
		} {
			if got := published(t, srv, "news", json.RawMessage(message)); got != want {
				t.Errorf("%s: got %s, want %s", message, got, want)
			}
		}
		if got := published(t, srv, "news", nil); got != "" {
			t.Errorf("without data: got %s, want nothing", got)
		}
	})
}

func TestOtherChannelsAreNotCensored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{}, &censor.Censor{Channels: "public/*", Words: []string{"darn"}, Mask: "-"})
		for channel, want := range map[string]string{"public/1": `"-"`, "private": `"darn"`} {
			if got := published(t, srv, channel, json.RawMessage(`"darn"`)); got != want {
				t.Errorf("%s: got %s, want %s", channel, got, want)
			}
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, words := range [][]string{nil, {""}, {"darn", " "}, {"two words"}, {"a-b"}, {"(?i)"}} {
		srv := skein.New(skein.Options{})
		srv.MustRegister(&censor.Censor{Channels: "*", Words: words})
		err := srv.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), `plugin "censor"`) || !strings.Contains(err.Error(), "words") {
			t.Errorf("words %q: got %v, want an error that names plugin and option", words, err)
		}
	}
	if err := censor.New().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestWordsAreListedBelowThePrefixAndMaskingIsCounted(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{})
	if err := srv.Register(censor.New(), skein.Use{Prefix: "/moderation"}); err != nil {
		t.Fatal(err)
	}
	running := skeintest.Serve(t, srv)
	for _, message := range []string{`"darn"`, `"fine"`, `"darn heck"`} {
		if err := srv.Publish(t.Context(), "news", json.RawMessage(message)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://memory/moderation/words", nil)
	if err != nil {
		t.Fatal(err)
	}
	res := running.Inject(r)
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(body)); res.StatusCode != http.StatusOK || got != `["darn","heck"]` {
		t.Errorf("got %s %s, want the words", res.Status, got)
	}
	for _, m := range srv.Metrics() {
		if m.Name == "censor_masked_total" && m.Value == 2 && m.Labels["plugin"] == "censor" {
			return
		}
	}
	t.Errorf("got %v, want censor_masked_total to be 2", srv.Metrics())
}

// Of several plugins each one says with Before and After where it wants to be asked.
func TestCensorIsAskedInItsPlaceAmongOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := ""
		log := skein.Func("log", func(_ context.Context, h *skein.Host) error {
			h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
				seen = string(e.Data)
				return nil
			}).After("censor")
			return nil
		})
		srv := skeintest.Start(t, skein.Options{}, log, censor.New())
		if err := srv.Publish(t.Context(), "news", json.RawMessage(`"darn"`)); err != nil || seen != `"***"` {
			t.Errorf("the log saw %s (%v), want what the censor has left", seen, err)
		}
	})
}
