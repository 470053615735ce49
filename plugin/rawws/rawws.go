// Package rawws is a plain WebSocket endpoint by configuration: what it receives is published to one channel.
//
// JSON text is published as it is, other text as a JSON string, binary as {"base64":true,"data":…}. A sender's messages
// reach each subscriber in its order. The sender gets nothing back: a message that a hook refuses is dropped, counted
// and, the first of a connection, logged at debug level, and the connection lives on.
package rawws

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/skeinrt/skein"
)

// Plugin is the endpoint. The zero value takes what comes to /ws into testChannel.
type Plugin struct {
	// Path of the endpoint. "" is /ws.
	Path string `default:"/ws" doc:"path of the endpoint"`
	// Channel that the messages are published to. "" is testChannel.
	Channel string `default:"testChannel" doc:"channel that the messages are published to"`
	// Require is "token" to let in only who shows a token of the server, as "Authorization: Bearer JWT" or, from a
	// browser, as one of the subprotocols ["skein", "bearer.JWT"]. "" lets in everybody whose origin is allowed.
	Require string `doc:"token: only who shows a token of the server gets in" enum:",token"`
	// Origins that may connect, in SocketCluster's syntax. nil is the server's.
	Origins []string `doc:"origins that may connect, in place of the server's"`
	// MaxMessage is the largest message in bytes; a larger one is closed with 1009. 0 is the server's limit.
	MaxMessage int `doc:"largest message in bytes, in place of the server's"`
	// Compression accepts permessage-deflate.
	Compression bool `doc:"accept permessage-deflate"`

	published, refused atomic.Uint64
}

// Protocol is the subprotocol that is agreed on where tokens are required. A browser, which can show its token only as a
// subprotocol and insists on an answer, offers this one beside it; otherwise the answer is the token.
const Protocol = "skein"

const requireToken = "token"

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "rawws"} }

// Validate checks the options.
func (p *Plugin) Validate() error {
	switch {
	case p.Path != "" && !strings.HasPrefix(p.Path, "/"):
		return fmt.Errorf("path is %q: it must start with %q", p.Path, "/")
	case p.Require != "" && p.Require != requireToken:
		return fmt.Errorf("require is %q: it may be %q or empty", p.Require, requireToken)
	case p.MaxMessage < 0:
		return fmt.Errorf("maxMessage is %d: it must not be negative", p.MaxMessage)
	}
	return nil
}

// Setup registers the endpoint.
func (p *Plugin) Setup(_ context.Context, h *skein.Host) error {
	o := skein.RawOptions{
		Limits:      skein.Limits{MaxMessage: p.MaxMessage},
		Origins:     p.Origins,
		Compression: p.Compression,
	}
	if p.Require == requireToken {
		o.Protocols = []string{Protocol, "bearer.*"}
		o.Authorize = func(ctx context.Context, r *http.Request) (*skein.Token, error) {
			return authorize(ctx, h.Server(), r)
		}
	}
	in := inlet{plugin: p, host: h, channel: cmp.Or(p.Channel, "testChannel")}
	h.HandleWS(cmp.Or(p.Path, "/ws"), in.serve, o)
	h.Metrics(p.metrics)
	return nil
}

// inlet is where messages enter the server.
type inlet struct {
	plugin  *Plugin
	host    *skein.Host
	channel string
}

func (in inlet) serve(c *skein.RawConn) error {
	told := false
	for m := range c.Messages() {
		err := in.host.Publish(c.Context(), in.channel, m.Data)
		if err == nil {
			in.plugin.published.Add(1)
			continue
		}
		in.plugin.refused.Add(1)
		if !told {
			told = true
			in.host.Logger().LogAttrs(c.Context(), slog.LevelDebug, "a raw message was not published",
				slog.String("channel", in.channel), slog.String("from", c.RemoteAddr()), slog.Any("error", err))
		}
	}
	return c.Err()
}

func (p *Plugin) metrics(yield func(skein.Metric)) {
	yield(skein.Metric{
		Name: "rawws_published_total", Help: "Raw messages published.", Kind: "counter",
		Value: float64(p.published.Load()),
	})
	yield(skein.Metric{
		Name: "rawws_refused_total", Help: "Raw messages that a hook or the engine refused.", Kind: "counter",
		Value: float64(p.refused.Load()),
	})
}
