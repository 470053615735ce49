package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/skeinrt/skein"
)

// root is the context that main would make; examples have no caller.
func root() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background()) //nolint:forbidigo // stands for main
}

// A server is made of plugins. This one takes messages over HTTP, and another refuses words in them.
func Example() {
	ctx, cancel := root()
	defer cancel()
	srv := skein.New(skein.Options{})
	srv.MustRegister(
		skein.Func("ingest", func(_ context.Context, h *skein.Host) error {
			skein.Operation(h, "POST /rooms/{room}", func(ctx context.Context, in struct {
				Room string `path:"room"`
				Text string `json:"text"`
			},
			) (skein.Nothing, error) {
				data, err := json.Marshal(in.Text)
				if err != nil {
					return skein.Nothing{}, err
				}
				return skein.Nothing{}, h.Publish(ctx, in.Room, data)
			})
			return nil
		}),
		skein.Func("censor", func(_ context.Context, h *skein.Host) error {
			h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
				if strings.Contains(string(e.Data), "darn") {
					return &skein.Error{Name: "LanguageError", Message: "mind your language"}
				}
				return nil
			})
			return nil
		}))
	if err := srv.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = srv.Shutdown(ctx) }() // nothing is left to be done about it
	for _, text := range []string{`{"text":"hello"}`, `{"text":"darn"}`} {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/rooms/lobby", strings.NewReader(text))
		if err != nil {
			return
		}
		answer := srv.Inject(r)
		body, _ := io.ReadAll(answer.Body) // it is in memory
		_ = answer.Body.Close()
		fmt.Println(answer.StatusCode, string(body))
	}
	// Output:
	// 200 {}
	// 403 {"error":{"message":"mind your language","name":"LanguageError"}}
}

// Start reports everything that is wrong, each with the plugin that it is about.
func ExampleServer_Start() {
	ctx, cancel := root()
	defer cancel()
	srv := skein.New(skein.Options{EngineName: "nats"})
	srv.MustRegister(skein.Func("shop", func(_ context.Context, h *skein.Host) error {
		h.Every("restock", 0, func(context.Context) error { return nil })
		return errors.New("the shop is closed")
	}))
	fmt.Println(srv.Start(ctx))
	// Output:
	// plugin "shop": the shop is closed
	// plugin "shop": example_test.go:75: Every restock: the interval 0s is not positive
}

// A procedure answers the calls of clients. Its input and output are encoded as JSON.
func ExampleProcedure() {
	_ = skein.Func("calculator", func(_ context.Context, h *skein.Host) error {
		skein.Procedure(h, "divide", func(_ context.Context, _ *skein.Session, in struct{ A, B float64 }) (float64, error) {
			if in.B == 0 {
				return 0, &skein.Error{Name: "MathError", Message: "the divisor is zero"}
			}
			return in.A / in.B, nil
		})
		return nil
	})
}

// A hook that returns an error refuses; one that changes the event passes the change on.
func ExampleHost_OnPublish() {
	_ = skein.Func("stamp", func(_ context.Context, h *skein.Host) error {
		h.OnPublish("chat/*", func(_ context.Context, e *skein.Event) error {
			if e.Session != nil && e.Session.Token() == nil {
				return errors.New("log in first")
			}
			e.Data = json.RawMessage(`{"room":` + string(e.Data) + `}`)
			return nil
		}).After("censor")
		return nil
	})
}
