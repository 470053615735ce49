package client_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/skeinrt/skein/client"
)

// Watch a channel, and know where something may be missing.
func ExampleSubscription() {
	watch := func(ctx context.Context) error {
		c, err := client.Dial(ctx, client.Options{URL: "ws://127.0.0.1:8000/socketcluster/"})
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // Done and Err tell it
		sub, err := c.Subscribe(ctx, "prices")
		if err != nil {
			return err
		}
		for {
			m, err := sub.Next(ctx)
			switch {
			case err != nil:
				return err
			case m.Gap != client.NoGap:
				fmt.Println("ask for all prices again:", m.Gap)
			default:
				fmt.Println("price:", string(m.Data))
			}
		}
	}
	_ = watch
}

// Answer calls of the server, from its first on.
func ExampleClient_Handle() {
	options := client.Options{
		URL: "ws://127.0.0.1:8000/socketcluster/",
		Setup: func(c *client.Client) {
			c.Handle("double", func(_ context.Context, data json.RawMessage) (any, error) {
				var n int
				if err := json.Unmarshal(data, &n); err != nil {
					return nil, &client.Error{Name: "InvalidArgumentsError", Message: "want a number"}
				}
				return 2 * n, nil
			})
		},
	}
	_ = options
}
