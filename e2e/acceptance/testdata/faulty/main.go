// Faulty is the skein command with plugins that make trouble, each in a way of its own.
package main

import (
	"bytes"
	"context"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/bundled"
	"github.com/skeinrt/skein/skeincmd"
)

func main() {
	skeincmd.Main(bundled.Catalog().
		With("needy", plugin(skein.Meta{Name: "needy", Requires: []string{"absent"}}, nothing)).
		With("chicken", plugin(skein.Meta{Name: "chicken", After: []string{"egg"}}, nothing)).
		With("egg", plugin(skein.Meta{Name: "egg", After: []string{"chicken"}}, nothing)).
		With("squatter", plugin(skein.Meta{Name: "squatter"}, func(h *skein.Host) {
			h.HandleWS("/ws", func(c *skein.RawConn) error { return c.Err() })
		})).
		With("panicky", plugin(skein.Meta{Name: "panicky"}, func(h *skein.Host) {
			h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
				if bytes.Contains(e.Data, []byte("boom")) {
					panic("boom")
				}
				return nil
			})
		})))
}

type faulty struct {
	meta  skein.Meta
	setUp func(*skein.Host)
}

func plugin(meta skein.Meta, setUp func(*skein.Host)) func() skein.Plugin {
	return func() skein.Plugin { return &faulty{meta, setUp} }
}

func nothing(*skein.Host) {}

func (f *faulty) Meta() skein.Meta { return f.meta }

func (f *faulty) Setup(_ context.Context, h *skein.Host) error {
	f.setUp(h)
	return nil
}
