package skein

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
)

// HookFunc answers one question about an event: nil goes on, an error refuses, an edit of the event passes on.
// Observers (OnConnect, OnAuthChange, OnSubscribed, OnUnsubscribe, OnDisconnect, OnGap) cannot refuse; their errors are logged.
type HookFunc = func(ctx context.Context, e *Event) error

// Source says through which door a publication came in.
type Source uint8

// Sources of an Event.
const (
	SourceClient Source = iota // a SocketCluster session
	SourceAPI                  // Server.Publish: the program itself, or HTTP
	SourcePlugin               // Host.Publish
)

// String returns client, api or plugin.
func (s Source) String() string {
	switch s {
	case SourceClient:
		return "client"
	case SourcePlugin:
		return "plugin"
	default:
		return "api"
	}
}

// AuthChange says what happened to a session's token.
type AuthChange uint8

// What OnAuthChange tells.
const (
	Authenticated   AuthChange = iota + 1 // a token was set; Event.Token is the new one
	Deauthenticated                       // the token was removed, has expired or is revoked; Event.Token is the old one
	TokenRefused                          // a bad token was shown; Event.Err says why
)

// Event is what a hook is asked about. Which fields are set depends on the point; it is valid during the call only.
type Event struct {
	// Session is the client, nil where no client is involved and before the handshake of OnUpgrade.
	Session *Session
	// Request is the upgrade request, at OnUpgrade and OnHandshake.
	Request *http.Request
	// Channel of a subscription, publication, delivery or gap. OnPublish may redirect by changing it.
	Channel string
	// Name of the procedure or event, at OnCall and OnTransmit.
	Name string
	// Data is JSON text: the payload of a publication or call, or the application data of a subscription. nil is
	// undefined. An edit replaces it, never changes its bytes.
	Data json.RawMessage
	// Source and Plugin say where a publication came from.
	Source Source
	// Plugin is the name of the plugin that published, where Source is SourcePlugin.
	Plugin string
	// Token is the one about to be set, at OnAuthenticate, and what OnAuthChange tells about.
	Token *Token
	// First reports whether the session was not authenticated before, at OnAuthChange.
	First bool
	// Expired is set when the session's token has been found expired on this very event.
	Expired *Error
	// Change says what happened, at OnAuthChange.
	Change AuthChange
	// Err is why the token shown at the handshake was not taken, at OnHandshake, OnConnect and OnAuthChange.
	Err error
	// Code is the close code at OnDisconnect.
	Code int
	// Reason is the close reason at OnDisconnect.
	Reason string
	// Opened reports whether the handshake had been completed, at OnDisconnect.
	Opened bool
}

// point is a place where hooks are run.
type point uint8

const (
	onUpgrade point = iota
	onHandshake
	onConnect
	onAuthenticate
	onAuthChange
	onSubscribe
	onSubscribed
	onUnsubscribe
	onPublish
	onDeliver
	onCall
	onTransmit
	onDisconnect
	onGap
	points
)

func (p point) String() string {
	return [points]string{
		"OnUpgrade", "OnHandshake", "OnConnect", "OnAuthenticate", "OnAuthChange", "OnSubscribe", "OnSubscribed",
		"OnUnsubscribe", "OnPublish", "OnDeliver", "OnCall", "OnTransmit", "OnDisconnect",
		"OnGap",
	}[p]
}

// Hook is a registered hook, to say more about its place.
type Hook struct {
	host          *Host
	point         point
	pattern       pattern
	written       string // the pattern as written, "" where the point has none
	fn            HookFunc
	before, after []string
	failOpen      bool
	panics        atomic.Uint64
}

// Before puts the hook before those of the named plugins, where they are there.
func (k *Hook) Before(plugins ...string) *Hook {
	k.before = append(k.before, plugins...)
	return k
}

// After puts the hook behind those of the named plugins, where they are there.
func (k *Hook) After(plugins ...string) *Hook {
	k.after = append(k.after, plugins...)
	return k
}

// FailOpen lets the event go on when the hook panics. It is for hooks that only watch.
func (k *Hook) FailOpen() *Hook {
	k.failOpen = true
	return k
}

// chain is the hooks of one point, in the order in which they run.
type chain []*Hook

// applies reports whether a hook of the chain matches the name.
func (c chain) applies(name string) bool {
	for _, k := range c {
		if k.pattern.matches(name) {
			return true
		}
	}
	return false
}

// ask runs the hooks that match the name until one refuses. One recover serves the whole chain: its index names the
// culprit.
func (c chain) ask(ctx context.Context, name string, e *Event) error {
	for i := 0; i < len(c); {
		next, err := c.from(ctx, i, name, e)
		if err != nil {
			return err
		}
		i = next
	}
	return nil
}

// from runs hooks i and on; it comes back early, without an error, behind a hook that panicked and fails open.
func (c chain) from(ctx context.Context, i int, name string, e *Event) (next int, err error) {
	defer func() {
		if v := recover(); v != nil {
			next, err = i+1, c[i].panicked(ctx, v)
		}
	}()
	for ; i < len(c); i++ {
		if k := c[i]; k.pattern.matches(name) {
			if err := k.fn(ctx, e); err != nil {
				return 0, err
			}
		}
	}
	return i, nil
}

func (k *Hook) panicked(ctx context.Context, v any) error {
	k.panics.Add(1)
	k.host.log.LogAttrs(ctx, slog.LevelError, "plugin panicked",
		slog.String("hook", k.point.String()), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	if k.failOpen {
		return nil
	}
	return &Error{Name: NamePlugin, Message: fmt.Sprintf("plugin %q failed", k.host.name), Props: map[string]any{"plugin": k.host.name}}
}

// tell runs observers: each one is told, whatever the others say.
func (c chain) tell(ctx context.Context, name string, e *Event) {
	for i := range c {
		if _, err := c[i:i+1].from(ctx, 0, name, e); err != nil {
			c[i].host.log.LogAttrs(ctx, slog.LevelError, "observer failed",
				slog.String("hook", c[i].point.String()), slog.Any("error", err))
		}
	}
}
