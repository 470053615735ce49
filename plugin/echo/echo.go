// Package echo is a raw WebSocket endpoint that sends every message back as it came: text as text, binary as binary.
// It shows that a connection works, and is what WebSocket test suites run against. Nothing is published.
package echo

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/skeinrt/skein"
)

const defaultMaxMessage = 16 << 20

// Plugin is the endpoint. The zero value works.
type Plugin struct {
	// Path of the endpoint. "" is /echo.
	Path string `default:"/echo" doc:"path of the endpoint"`
	// MaxMessage is the largest message in bytes; a larger one is closed with 1009. 0 is 16 MiB.
	MaxMessage int `default:"16777216" doc:"largest message in bytes"`
	// Compression accepts permessage-deflate.
	Compression bool `doc:"accept permessage-deflate"`
	// Origins that may connect, in SocketCluster's syntax. nil is the server's.
	Origins []string `doc:"origins that may connect, in place of the server's"`
}

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "echo"} }

// Validate checks the options.
func (p *Plugin) Validate() error {
	if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
		return fmt.Errorf("path is %q: it must start with %q", p.Path, "/")
	}
	if p.MaxMessage < 0 {
		return fmt.Errorf("maxMessage is %d: it must not be negative", p.MaxMessage)
	}
	return nil
}

// Setup registers the endpoint.
func (p *Plugin) Setup(_ context.Context, h *skein.Host) error {
	most := cmp.Or(p.MaxMessage, defaultMaxMessage)
	h.HandleWS(cmp.Or(p.Path, "/echo"), echo, skein.RawOptions{
		// What waits to be sent back must have room for what may come in.
		Limits:      skein.Limits{MaxMessage: most, Inbox: 2 * most, Outbox: 2 * most},
		Origins:     p.Origins,
		Compression: p.Compression,
	})
	return nil
}

func echo(c *skein.RawConn) error {
	for m := range c.Messages() {
		send := c.Send
		if m.Binary {
			send = c.SendBinary
		}
		if err := send(m.Raw); err != nil {
			return err
		}
	}
	return c.Err()
}
