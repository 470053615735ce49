// Seed is the smallest skein: what arrives at /ws reaches every client that has subscribed to testChannel.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/skeinrt/skein"
)

func main() {
	srv := skein.New(skein.Options{Addr: os.Getenv("ADDR"), Logger: slog.Default()}) // "" is 127.0.0.1:8000
	srv.MustRegister(skein.Func("ingest", func(_ context.Context, h *skein.Host) error {
		h.HandleWS("/ws", func(c *skein.RawConn) error {
			for m := range c.Messages() {
				if err := h.Publish(c.Context(), "testChannel", m.Data); err != nil {
					return err
				}
			}
			return c.Err()
		})
		return nil
	}))
	log.Fatal(srv.Run(context.Background()))
}
