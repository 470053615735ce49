package skeintest_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

// A plugin that lets nobody publish to the lobby but with a name.
func lobby() skein.Plugin {
	return skein.Func("lobby", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("lobby", func(_ context.Context, e *skein.Event) error {
			var said struct{ Name string }
			if json.Unmarshal(e.Data, &said) != nil || said.Name == "" {
				return errors.New("say who you are")
			}
			return nil
		})
		return nil
	})
}

// In a test file of its own this is a test of a plugin: no port is opened, and time is virtual.
func Example() {
	var t *testing.T // of a test such as TestNobodyIsNameless
	_ = func() {
		synctest.Test(t, func(t *testing.T) {
			srv := skeintest.Start(t, skein.Options{}, lobby())
			alice := srv.Dial(t, client.Options{})
			if err := alice.Publish(t.Context(), "lobby", map[string]string{"text": "hi"}); err == nil {
				t.Error("a publication without a name was accepted")
			}
		})
	}
	// Output:
}
