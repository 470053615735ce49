// Command node is the stock binary with procedures that the soak program calls.
//
//	go build -o bin/soaknode ./e2e/soak/node && go run ./e2e/soak -binary bin/soaknode
package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/bundled"
	"github.com/skeinrt/skein/skeincmd"
)

func main() {
	skeincmd.Main(bundled.Catalog().With("soak", func() skein.Plugin { return skein.Func("soak", procedures) }))
}

// login asks for a token.
type login struct {
	User string        `json:"user"`
	Life time.Duration `json:"life"` // in nanoseconds
}

func procedures(_ context.Context, h *skein.Host) error {
	skein.Procedure(h, "echo", func(_ context.Context, _ *skein.Session, in json.RawMessage) (json.RawMessage, error) {
		return in, nil
	})
	skein.Procedure(h, "sum", func(_ context.Context, _ *skein.Session, in []float64) (sum float64, err error) {
		for _, n := range in {
			sum += n
		}
		return sum, nil
	})
	skein.Procedure(h, "slow", func(ctx context.Context, _ *skein.Session, in time.Duration) (time.Duration, error) {
		timer := time.NewTimer(in)
		defer timer.Stop()
		select {
		case <-timer.C:
			return in, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	skein.Procedure(h, "fail", func(_ context.Context, _ *skein.Session, in string) (skein.Nothing, error) {
		return skein.Nothing{}, &skein.Error{Name: "SoakError", Message: in}
	})
	skein.Procedure(h, "back", func(ctx context.Context, s *skein.Session, in json.RawMessage) (json.RawMessage, error) {
		return s.Call(ctx, "back", in)
	})
	skein.Procedure(h, "login", func(ctx context.Context, s *skein.Session, in login) (skein.Nothing, error) {
		return skein.Nothing{}, s.SetToken(ctx, map[string]any{"username": in.User}, skein.TokenOptions{Expiry: in.Life})
	})
	return nil
}
