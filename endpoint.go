package skein

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// endpoint is an Endpoint made ready, with its defaults filled in.
type endpoint struct {
	Endpoint
	server  *Server
	scheme  AuthScheme
	origins origins
	spoken  subprotocols
	rules   *rules // of a session; nil: none
	codec   *codec // nil: found out by the first frame
	json    *codec
	minbin  *codec
	pending atomic.Int64
	opened  atomic.Int64
}

// EndpointInfo is a SocketCluster endpoint as it is served, for listings.
type EndpointInfo struct {
	// Path of the endpoint.
	Path string `json:"path"`
	// Pending is how many connections have not completed the handshake.
	Pending int `json:"pending"`
	// Sessions is how many have.
	Sessions int `json:"sessions"`
	// Ping is the effective setting.
	Ping Ping `json:"ping"`
}

// Endpoints lists the SocketCluster endpoints, in the order of the options. It is empty before Start.
func (s *Server) Endpoints() []EndpointInfo {
	list := make([]EndpointInfo, len(s.endpoints))
	for i, e := range s.endpoints {
		list[i] = EndpointInfo{e.Path, int(e.pending.Load()), int(e.opened.Load()), e.Ping}
	}
	return list
}

// newEndpoint fills in the defaults and resolves names; it reports all that is wrong.
func (s *Server) newEndpoint(o Endpoint, d drivers) (*endpoint, error) {
	limitsErr := o.Limits.check()
	o.Limits = o.Limits.over(s.options.Limits)
	o.Ping.Interval = or(o.Ping.Interval, 8*time.Second)
	o.Ping.Timeout = or(o.Ping.Timeout, 30*time.Second)
	o.HandshakeTimeout = or(o.HandshakeTimeout, 10*time.Second)
	o.CallTimeout = or(o.CallTimeout, 10*time.Second)
	o.Batch.Interval = or(o.Batch.Interval, 50*time.Millisecond)
	if o.Origins == nil {
		o.Origins = s.options.Origins
	}
	e := &endpoint{Endpoint: o, server: s, scheme: s.scheme, rules: newRules(ofSession, o.Limits.Rates), json: &codec{wire: wire.JSON}, minbin: &codec{wire: wire.MinBin}}
	var originErr, protocolErr error
	e.origins, originErr = parseOrigins(o.Origins)
	e.spoken, protocolErr = parseSubprotocols(o.Subprotocols)
	if err := o.blame(append(e.check(), limitsErr, e.chooseCodec(d), e.chooseScheme(d), originErr, protocolErr)...); err != nil {
		return nil, err
	}
	return e, nil
}

// blame puts the endpoint, and where it was written, in front of each error.
func (o *Endpoint) blame(errs ...error) error {
	var told []error
	for _, err := range errs {
		if err == nil {
			continue
		}
		err = fmt.Errorf("endpoint %s: %w", o.Path, err)
		if o.Source != "" {
			err = fmt.Errorf("%s: %w", o.Source, err)
		}
		told = append(told, err)
	}
	return errors.Join(told...)
}

// at is where the endpoint was written, for the error of another one.
func (o *Endpoint) at() string {
	if o.Source == "" {
		return ""
	}
	return " (" + o.Source + ")"
}

func (e *endpoint) check() (errs []error) {
	if e.Path[0] != '/' {
		errs = append(errs, errors.New("the path must start with '/'"))
	}
	if e.Protocol > V2 {
		errs = append(errs, fmt.Errorf("protocol %d: there are Detect, V1 and V2", e.Protocol))
	}
	times := map[string]time.Duration{
		"ping interval": e.Ping.Interval, "ping timeout": e.Ping.Timeout, "handshake timeout": e.HandshakeTimeout,
		"call timeout": e.CallTimeout, "batch interval": e.Batch.Interval,
	}
	for _, name := range sortedKeys(times) {
		if times[name] < 0 {
			errs = append(errs, fmt.Errorf("the %s is negative: %v", name, times[name]))
		}
	}
	if !e.Ping.Off && e.Ping.Interval >= e.Ping.Timeout {
		errs = append(errs, fmt.Errorf("the ping interval %v must be shorter than the ping timeout %v, or clients leave between two pings",
			e.Ping.Interval, e.Ping.Timeout))
	}
	return errs
}

func (e *endpoint) chooseCodec(d drivers) error {
	switch e.Codec {
	case "":
	case "json":
		e.codec = e.json
	case "minbin":
		e.codec = e.minbin
	default:
		c, ok := d.codecs[e.Codec]
		if !ok {
			return unknownDriver("codec", e.Codec, append(sortedKeys(d.codecs), "json", "minbin"))
		}
		e.codec = &codec{driver: c}
	}
	return nil
}

func (e *endpoint) chooseScheme(d drivers) error {
	switch {
	case e.AuthScheme != "" && e.Tokens != nil:
		return errors.New("both Tokens and AuthScheme are given: choose one")
	case e.AuthScheme != "":
		a, ok := d.schemes[e.AuthScheme]
		if !ok {
			return unknownDriver("auth scheme", e.AuthScheme, sortedKeys(d.schemes))
		}
		e.scheme = a
	case e.Tokens != nil:
		e.scheme = jsonWebTokens{e.Tokens}
	}
	return nil
}

func unknownDriver(kind, name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("no plugin offers the %s %q, nor any other", kind, name)
	}
	return fmt.Errorf("no plugin offers the %s %q; there are %q", kind, name, known)
}

// codecOf is the codec of a connection that begins with this message.
func (e *endpoint) codecOf(m ws.Message) *codec {
	switch {
	case e.codec != nil:
		return e.codec
	case wire.Detect(m.Binary, m.Data) == wire.MinBin:
		return e.minbin
	default:
		return e.json
	}
}

func (e *endpoint) count(opened bool, n int64) {
	if opened {
		e.opened.Add(n)
	} else {
		e.pending.Add(n)
	}
}

// ServeHTTP upgrades a request to a session: the form, the hooks, the origin, and only then the connection.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	addr, ok := e.server.letIn(w, r, e.question(r), e.origins, true)
	if !ok {
		return
	}
	conn, err := e.server.runtime.Accept(w, r, ws.Options{
		MaxMessage: e.Limits.MaxMessage, Inbox: e.Limits.Inbox, Outbox: e.Limits.Outbox, Stall: e.Limits.Stall,
		SlowCode: CloseSlow, Compression: e.Compression, Protocols: e.spoken.offered(r),
	})
	if err != nil {
		e.server.doorman.leave(addr, true)
		e.server.brokeOff(w, r, err)
		return
	}
	s := &Session{
		server: e.server, endpoint: e, conn: conn, id: newID(),
		request: r.WithContext(e.server.life.ctx), //nolint:contextcheck // the request's own context ends with the upgrade
	}
	s.visitor, s.meter = e.visitorOf(r), e.server.doorman.newMeter(e.rules, addr)
	e.count(false, 1)
	*s.clock.at(handshakeAlarm) = e.server.now() + instant(e.HandshakeTimeout)
	stays := e.server.keep(conn, s)
	conn.Start((*receiver)(s))
	if !stays {
		s.goAway(CloseNoStatus)
	}
	s.watch() // the handshake may have come already
}

// visitorOf keeps what is asked for later, if anything.
func (e *endpoint) visitorOf(r *http.Request) *visitor {
	v := visitor{address: e.server.forwardedFor(r), query: r.URL.RawQuery}
	if v == (visitor{}) {
		return nil
	}
	return &v
}

// question asks the hooks about an upgrade; nil where there are none.
func (e *endpoint) question(r *http.Request) func(ctx context.Context) error {
	h := e.server.hooks[onUpgrade]
	if len(h) == 0 {
		return nil
	}
	return func(ctx context.Context) error { return h.ask(ctx, "", &Event{Request: r}) }
}

// subprotocols are those that an endpoint agrees on, the preferred one first. nil is whatever is offered first.
type subprotocols []pattern

func parseSubprotocols(list []string) (subprotocols, error) {
	if list == nil {
		return nil, nil
	}
	parsed := make(subprotocols, 0, len(list))
	for _, text := range list {
		p, err := parsePattern(text)
		if err != nil {
			return nil, fmt.Errorf("the subprotocol %q: %w", text, err)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// offered lists what a client has offered and may be agreed on, the preferred one first.
func (s subprotocols) offered(r *http.Request) []string {
	all := headerTokens(r.Header.Values("Sec-WebSocket-Protocol"))
	if s == nil {
		return all
	}
	var list []string
	for _, p := range s {
		for _, one := range all {
			if p.matches(one) {
				list = append(list, one)
			}
		}
	}
	return list
}

// newID is 20 characters of base64url, 120 random bits, like SocketCluster's.
func newID() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// randomTokens sign with a key that ends with the process.
func randomTokens() *auth.Tokens {
	key, err := auth.NewHMAC([]byte(auth.GenerateSecret()))
	if err != nil {
		panic(err) // a bug: the secret is as long as it must be
	}
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{key}})
	if err != nil {
		panic(err) // the same
	}
	return tokens
}

// rawMessage gives a WebSocket message the form in which it can be published.
func rawMessage(m ws.Message) RawMessage {
	return RawMessage{Binary: m.Binary, Raw: m.Data, Data: jsonOf(m)}
}

func jsonOf(m ws.Message) json.RawMessage {
	switch {
	case m.Binary:
		return wire.Binary(m.Data)
	case wire.Valid(m.Data):
		return m.Data
	default:
		return wire.AppendString(nil, string(m.Data))
	}
}
