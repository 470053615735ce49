package skein

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/internal/ws"
)

// Options of a Server. The zero value works.
type Options struct {
	// Addr is where Run listens. "" is 127.0.0.1:8000.
	Addr string
	// Node is the name of this node, unique in its cluster. "" is a random one.
	Node string
	// Version of the program, for the listings of all nodes. "" is what it was built from.
	Version string
	// Endpoints are the paths that speak SocketCluster. None means one at /socketcluster/ that finds out protocol and
	// codec for each connection.
	Endpoints []Endpoint
	// Engine carries messages between nodes. nil is engine.NewMemory().
	Engine engine.Engine
	// EngineName chooses an engine that a plugin provides, instead of Engine.
	EngineName string
	// MinNodes is how many nodes of the cluster, itself included, this one must have seen before it lets clients in: until
	// then Ready says why not, and upgrades are answered with 503. Once they have been there, a node serves with fewer too;
	// see CutOff. 0 waits for nobody.
	MinNodes int
	// CutOff says what to do when all other nodes are lost. The zero value serves alone.
	CutOff CutOff
	// Tokens signs and verifies tokens where an endpoint has none of its own. nil is HS256 with a random key:
	// tokens then end with the process.
	Tokens *auth.Tokens
	// Revocations bound what Server.Revoke has revoked, and say where it is kept.
	Revocations Revocations
	// Origins lists the web origins that may connect, in SocketCluster's syntax (host:port, host:*, *:port, *:*, and
	// *.host for subdomains). nil allows the server's own host, and clients that send no Origin.
	Origins []string
	// Channels are options for channels by their names.
	Channels []ChannelOptions
	// Limits bound one connection where its endpoint says nothing else.
	Limits Limits
	// Conns bounds connections before anything is allocated for them.
	Conns ConnLimits
	// Rates bound what connections of one user or address do together.
	Rates SharedRates
	// Timeouts bound the phases of the server's life and the slow hooks.
	Timeouts Timeouts
	// Driver is how connections wait for input: "epoll", a few loops for all TCP connections without TLS, on Linux alone, or
	// "park", a goroutine for each, which works everywhere and takes four times the memory. "" is epoll where there is it.
	Driver string
	// TLS makes Serve speak TLS, 1.2 at least where it does not say more.
	TLS *tls.Config
	// Door says how connections come in: through which proxies, and whether operators have a listener of their own.
	Door Door
	// Logger gets what operators must know. nil discards it.
	Logger *slog.Logger
}

// Protocol is a generation of SocketCluster's ping: the only thing in which the two differ on the wire.
type Protocol uint8

// Protocols of an Endpoint.
const (
	Detect Protocol = iota // both pings are sent until the client has answered one
	V1                     // "#1" and "#2": clients up to 14
	V2                     // empty frames: clients from 15 on
)

// Endpoint is one path that speaks SocketCluster. Endpoints of a server share channels and procedures.
type Endpoint struct {
	// Path of the upgrade request, matched exactly. "" is /socketcluster/.
	Path string
	// Source is where the endpoint was written, such as skein.yaml:12:5; errors begin with it.
	Source string
	// Protocol is the generation; the zero value detects it.
	Protocol Protocol
	// Codec is "json", "minbin", one that a plugin provides, or "" to detect JSON and min-bin by the first frame.
	Codec string
	// Ping is how silence is found out.
	Ping Ping
	// HandshakeTimeout closes connections that do not send #handshake. 0 is 10 s.
	HandshakeTimeout time.Duration
	// CallTimeout ends calls to the client that are not answered. 0 is 10 s.
	CallTimeout time.Duration
	// Limits of a connection. Zero fields take the server's.
	Limits Limits
	// Tokens of this endpoint. nil is the server's.
	Tokens *auth.Tokens
	// AuthScheme names a scheme of a plugin that verifies and signs instead of Tokens.
	AuthScheme string
	// Origins of this endpoint. nil is the server's.
	Origins []string
	// Subprotocols are those that may be agreed on, the preferred one first; one that ends with "*" is a prefix. nil agrees
	// on the first that a client offers. SocketCluster's own clients offer none.
	Subprotocols []string
	// Lax serves packets that come before the handshake instead of closing with CloseBeforeHandshake.
	Lax bool
	// Batch collects what is sent after the handshake into arrays. Zero sends at once.
	Batch Batch
	// NoPublish refuses publications of clients.
	NoPublish bool
	// Compression accepts permessage-deflate. It costs memory and CPU for each message.
	Compression bool
	// AnswerUnknown answers a call of an unknown procedure with an error at once, where SocketCluster lets it time out.
	AnswerUnknown bool
	// Inbound sees every message before it is decoded. An error drops the message.
	Inbound func(ctx context.Context, s *Session, m RawMessage) error
}

// Ping is how an endpoint finds out that a client is gone.
type Ping struct {
	// Interval between pings. 0 is 8 s. It must be shorter than Timeout.
	Interval time.Duration
	// Timeout after which a silent client is closed with ClosePongTimeout; clients use it in the other direction.
	// 0 is 30 s.
	Timeout time.Duration
	// Off sends no pings and closes nobody; clients need the same setting.
	Off bool
}

// Batch is how long and how often outgoing packets are collected into arrays.
type Batch struct {
	// Duration after the handshake for which packets are collected. 0 is never.
	Duration time.Duration
	// Interval between the arrays. 0 is 50 ms.
	Interval time.Duration
}

// Limits bound what one connection may cost. docs/limits.md lists all limits of a server.
type Limits struct {
	// MaxMessage is the largest message in bytes, after inflating; beyond it the connection is closed with 1009.
	// 0 is 1 MiB.
	MaxMessage int
	// Depth is how many objects and arrays may stand within one another in a message; beyond it the connection is closed
	// with CloseTooBig. 0 is 512.
	Depth int
	// Batch is how many packets one message may have; at one more the connection is closed with CloseTooBig. 0 is 20,000,
	// more than a client can subscribe to in 1 MiB.
	Batch int
	// Inbox is how many received bytes wait to be handled before reading stops. 0 is 1 MiB.
	Inbox int
	// Outbox is how many bytes wait for a slow client before it is closed with CloseSlow: for one that does not take what
	// it is sent; in a burst that the server itself has not sent yet it is four times as many. 0 is 1 MiB.
	Outbox int
	// Channels is how many channels a session may subscribe to. 0 is no limit.
	Channels int
	// Calls is how many procedures a session may have running; further ones wait. 0 is 1,024.
	Calls int
	// OpenCalls is how many calls to the client may wait for its answer; further ones fail. 0 is 1,024.
	OpenCalls int
	// ChannelName is the longest channel name in bytes. 0 is 8 KiB.
	ChannelName int
	// Stall is how long a send may make no progress before the client is closed with CloseSlow. 0 is 10 s.
	Stall time.Duration
	// Rates of one session, or raw connection. It has no Connects.
	Rates Rates
}

// ConnLimits bound connections; beyond them, PerUser apart, an upgrade is answered with 503 and Retry-After.
type ConnLimits struct {
	// Total open WebSocket connections. 0 is the limit of open files less 2,000, or half of one below 4,000. Up to 1,000
	// more connections, and half of Total at most, may have plain requests or be about to upgrade.
	Total int
	// PerAddress is how many one address may open (IPv6: one /64); loopback is not limited. 0 is 100, negative is no limit.
	PerAddress int
	// PerSecond is how many upgrades a second are accepted. 0 is no limit.
	PerSecond float64
	// Pending is how many may have their handshake still to do. 0 is half of Total, and 1,000 at least; negative is no
	// limit.
	Pending int
	// PendingPerAddress is the same for one address. 0 is PerAddress, negative is no limit.
	PendingPerAddress int
	// PerUser is how many connections may have tokens of one user on this node; SharedRates.UserClaim names the user. A
	// handshake beyond it is refused with CloseConns, an upgrade of a raw endpoint with 429, and a later authentication
	// fails. 0 is no limit.
	PerUser int
}

// Timeouts bound the phases of the server's life and the hooks that may be slow.
type Timeouts struct {
	// Start of the engine and of each plugin. 0 is 30 s.
	Start time.Duration
	// Drain is over how long Shutdown spreads sending the clients away, so that they do not all come to the other nodes at
	// once; it is over as soon as nobody is left. Clients are closed with CloseNoStatus and return at once. 0 is 5 s.
	// Negative sends them away at once, with CloseGoingAway, so that they return after a pause of their own.
	Drain time.Duration
	// Stop is how long Shutdown may take besides Drain; what does not end by itself gets half a second more, and all that
	// does not a second together. 0 is 2 s.
	Stop time.Duration
	// Hook is the deadline of the handshake, authenticate and call hooks. 0 is 10 s.
	Hook time.Duration
	// Header is how long a request's header may take. 0 is 5 s.
	Header time.Duration
	// Body is how long a request's body may take. 0 is 30 s.
	Body time.Duration
	// Answer is how long a request and its answer may take, from the end of the request's header on, upgrades apart. A handler that
	// goes on for longer moves its own deadline, with http.ResponseController.SetWriteDeadline. 0 is 1 min.
	Answer time.Duration
}

// check reports what no server can work with.
func (o *Options) check() error {
	t := o.Timeouts
	return errors.Join(
		negative("Timeouts", map[string]float64{
			"Start": t.Start.Seconds(), "Stop": t.Stop.Seconds(), "Hook": t.Hook.Seconds(), "Header": t.Header.Seconds(), "Body": t.Body.Seconds(),
			"Answer": t.Answer.Seconds(),
		}),
		negative("Rates.User", o.Rates.User.numbers()), negative("Rates.Address", o.Rates.Address.numbers()),
		negative("Conns", map[string]float64{
			"Total": float64(o.Conns.Total), "PerSecond": o.Conns.PerSecond, "PerUser": float64(o.Conns.PerUser),
		}),
		negative("Options", map[string]float64{"MinNodes": float64(o.MinNodes)}),
		negative("Revocations", map[string]float64{"Max": float64(o.Revocations.Max)}),
		o.Limits.check(), o.checkDriver(), o.checkCutOff(), o.Door.check(),
	)
}

func (o *Options) checkCutOff() error {
	if o.CutOff > CloseSessions {
		return fmt.Errorf("the option CutOff is %d: there are ServeAlone and CloseSessions", o.CutOff)
	}
	return nil
}

func (o *Options) checkDriver() error {
	if d := ws.Driver(o.Driver); o.Driver != "" && !slices.Contains(ws.Drivers(), d) {
		return fmt.Errorf("the option Driver is %q: on this system there are %q", o.Driver, ws.Drivers())
	}
	return nil
}

// check reports negative limits: none of them means "no limit".
func (l Limits) check() error {
	err := errors.Join(negative("Limits", map[string]float64{
		"MaxMessage": float64(l.MaxMessage), "Depth": float64(l.Depth), "Batch": float64(l.Batch), "Inbox": float64(l.Inbox),
		"Outbox": float64(l.Outbox), "Channels": float64(l.Channels), "Calls": float64(l.Calls), "OpenCalls": float64(l.OpenCalls),
		"ChannelName": float64(l.ChannelName), "Stall": l.Stall.Seconds(),
	}), negative("Limits.Rates", l.Rates.numbers()))
	if l.Rates.Connects != (Rate{}) {
		err = errors.Join(err, errors.New("the option Limits.Rates.Connects is given: a session connects once; there are Rates.User and Rates.Address"))
	}
	return err
}

func negative(of string, options map[string]float64) error {
	var errs []error
	for _, name := range sortedKeys(options) {
		if n := options[name]; n < 0 {
			errs = append(errs, fmt.Errorf("the option %s.%s is %v: it must not be negative", of, name, n))
		}
	}
	return errors.Join(errs...)
}

const (
	defaultAddr = "127.0.0.1:8000"
	defaultPath = "/socketcluster/"
	kib         = 1 << 10
	mib         = 1 << 20
)

// or returns v, or fallback where v is zero.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func (l Limits) over(base Limits) Limits {
	return Limits{
		MaxMessage:  or(l.MaxMessage, or(base.MaxMessage, mib)),
		Inbox:       or(l.Inbox, or(base.Inbox, mib)),
		Outbox:      or(l.Outbox, or(base.Outbox, mib)),
		Channels:    or(l.Channels, base.Channels),
		Calls:       or(l.Calls, or(base.Calls, kib)),
		ChannelName: or(l.ChannelName, or(base.ChannelName, 8*kib)),
		Stall:       or(l.Stall, or(base.Stall, 10*time.Second)),
		Depth:       or(l.Depth, or(base.Depth, 512)),
		Batch:       or(l.Batch, or(base.Batch, 20_000)),
		OpenCalls:   or(l.OpenCalls, or(base.OpenCalls, kib)),
		Rates:       l.Rates.over(base.Rates),
	}
}

func (t Timeouts) withDefaults() Timeouts {
	return Timeouts{
		Start:  or(t.Start, 30*time.Second),
		Drain:  or(t.Drain, 5*time.Second),
		Stop:   or(t.Stop, 2*time.Second),
		Hook:   or(t.Hook, 10*time.Second),
		Header: or(t.Header, 5*time.Second),
		Body:   or(t.Body, 30*time.Second),
		Answer: or(t.Answer, time.Minute),
	}
}
