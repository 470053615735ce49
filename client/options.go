package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// Options say which server to dial, and how. Only URL is needed.
type Options struct {
	// URL is the server's endpoint, like ws://127.0.0.1:8000/socketcluster/. No path means /socketcluster/.
	URL string
	// Header is sent with the opening handshake, say Origin or Authorization.
	Header http.Header
	// TLS is the configuration for wss; nil: the defaults of crypto/tls.
	TLS *tls.Config
	// NetDial opens the connection below the WebSocket; nil: a net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Compression offers permessage-deflate.
	Compression bool

	// Codec is "json" (the default) or "minbin". It must be the server's.
	Codec string
	// Protocol is 2 (the default) or 1, the generation of servers up to version 14. With the wrong one everything
	// works until the first ping time-out.
	Protocol int
	// NoPing keeps a connection on which the server sends no pings, because it was told not to.
	NoPing bool

	// Token is a signed token to begin with. It goes before the one in Tokens.
	Token string
	// Tokens keeps the token beyond the client's life; nil: nothing does.
	Tokens TokenStore

	// Reconnect says when a lost connection is dialled again.
	Reconnect Backoff
	// ConnectTimeout bounds each attempt to connect, up to the WebSocket's handshake. 0 means 20 s.
	ConnectTimeout time.Duration
	// CallTimeout bounds the protocol's handshake, and every operation whose context has no deadline. 0 means 10 s.
	CallTimeout time.Duration

	// Queue is the most bytes that wait for the consumer of one Stream; beyond, the oldest messages are dropped
	// and counted, and the consumer is told by a Gap. Each message costs 128 bytes more than its data. 0 means 1 MiB.
	Queue int
	// Outbox is the most bytes that wait for the network. Beyond, calls and publications wait, and what cannot
	// wait returns ErrBusy. It also bounds what one packet may be. 0 means 4 MiB.
	Outbox int
	// MaxMessage is the largest message taken from the server, after inflating. 0 means 16 MiB.
	MaxMessage int

	// Setup is called with the client before it connects: the place to register procedures and receivers, so that
	// nothing is missed that the server sends first. It must not wait for the client.
	Setup func(*Client)
	// OnState is told of each change of state, in order, with the reason for Waiting and Closed. It must neither
	// block nor call Close.
	OnState func(s State, reason error)
	// Logger is told what nobody is returned; nil: discarded.
	Logger *slog.Logger
}

// TokenStore keeps a client's token. Its methods are called one at a time; they must not call the client, and as long
// as Save takes the client receives nothing.
type TokenStore interface {
	// Load returns the token kept, or "". It is called once, by Dial.
	Load(ctx context.Context) (string, error)
	// Save keeps the token in place of the earlier one; "" means that there is none any more.
	Save(ctx context.Context, token string) error
}

// Backoff says when a lost connection is dialled again. The n-th attempt in a row waits between one and two times
// Initial × Factorⁿ, at random, and never longer than Max. After a ping time-out or a close without status the first
// attempt is immediate, but not twice within Initial.
type Backoff struct {
	// Off ends the client with its first connection.
	Off bool
	// Initial is the shortest wait. 0 means 10 s.
	Initial time.Duration
	// Max is the longest wait. 0 means 60 s.
	Max time.Duration
	// Factor makes each wait longer than the one before. 0 means 1.5.
	Factor float64
}

// defaultPath is where servers of SocketCluster usually are.
const defaultPath = "/socketcluster/"

// wait returns how long the given attempt waits, counted from 0. Half of it is chance, at the maximum too, so that
// clients who lost the same server do not come back together.
func (b Backoff) wait(attempt int) time.Duration {
	base := float64(b.Initial)
	limit := float64(b.Max) / 2
	for i := 0; i < attempt && base < limit; i++ {
		base *= b.Factor
	}
	base = min(base, limit)
	return time.Duration(base + base*rand.Float64()) //nolint:gosec // spreads load; nobody gains by guessing it
}

const (
	// What may wait for the network beyond Outbox: pongs, answers, subscriptions. They are bounded by what
	// the server asks and by the number of waiting callers.
	outboxReserve = 1 << 20
	// The most that one message of resubscriptions holds; servers bound what they take.
	batchSize = 64 << 10
	// Procedures that run at once. The server is told when it asks for more.
	maxServed = 128
	// How long a server that refused the handshake may take to close.
	refusalWait = 2 * time.Second
	// How often a full outbox is looked at again.
	busyPause = 2 * time.Millisecond
	// The longest ping time-out believed.
	maxPingTimeout = 24 * time.Hour
)

// config is what Options say once they are checked.
type config struct {
	Options
	codec  wire.Codec
	dial   ws.DialOptions
	legacy bool // protocol 1
}

func (o Options) check() (config, error) {
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 20*time.Second)
	o.CallTimeout = cmp.Or(o.CallTimeout, 10*time.Second)
	o.Queue = cmp.Or(o.Queue, 1<<20)
	o.Outbox = cmp.Or(o.Outbox, 4<<20)
	o.MaxMessage = cmp.Or(o.MaxMessage, 16<<20)
	o.Protocol = cmp.Or(o.Protocol, 2)
	o.Reconnect.Initial = cmp.Or(o.Reconnect.Initial, 10*time.Second)
	o.Reconnect.Max = cmp.Or(o.Reconnect.Max, 60*time.Second)
	o.Reconnect.Factor = cmp.Or(o.Reconnect.Factor, 1.5)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	k := config{Options: o, legacy: o.Protocol == 1}
	k.dial = ws.DialOptions{Header: o.Header, TLS: o.TLS, NetDial: o.NetDial, Options: ws.Options{
		MaxMessage: o.MaxMessage, Inbox: o.MaxMessage, Outbox: o.Outbox + outboxReserve, Compression: o.Compression,
	}}
	var endpoint, codec error
	k.URL, endpoint = checkURL(o.URL)
	k.codec, codec = checkCodec(o.Codec)
	return k, errors.Join(endpoint, codec, o.checkRanges())
}

// checkRanges expects the defaults to be filled in.
func (o Options) checkRanges() error {
	var errs []error
	if o.Protocol != 1 && o.Protocol != 2 {
		errs = append(errs, fmt.Errorf("protocol %d: there are 1 and 2", o.Protocol))
	}
	if b := o.Reconnect; b.Initial < 0 || b.Max < b.Initial || b.Factor < 1 {
		errs = append(errs, fmt.Errorf("reconnect: want 0 <= Initial <= Max and Factor >= 1, got %v, %v and %v", b.Initial, b.Max, b.Factor))
	}
	if o.Queue < 0 || o.Outbox < 0 || o.MaxMessage < 0 {
		errs = append(errs, errors.New("queue, outbox and maxMessage must not be negative"))
	}
	if o.ConnectTimeout < 0 || o.CallTimeout < 0 {
		errs = append(errs, errors.New("time-outs must not be negative"))
	}
	return errors.Join(errs...)
}

func checkCodec(name string) (wire.Codec, error) {
	switch name {
	case "", "json":
		return wire.JSON, nil
	case "minbin":
		return wire.MinBin, nil
	default:
		return wire.JSON, fmt.Errorf("codec %q: there are json and minbin", name)
	}
}

func checkURL(s string) (string, error) {
	u, err := url.Parse(s)
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return "", fmt.Errorf("url: %w", wrong.Err) // without the URL, in which there may be a secret
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return "", fmt.Errorf("url %q: want ws:// or wss://", ws.Shown(s))
	}
	if u.Host == "" {
		return "", fmt.Errorf("url %q: no host", ws.Shown(s))
	}
	if u.Path == "" {
		u.Path = defaultPath
	}
	return u.String(), nil
}
