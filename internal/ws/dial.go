package ws

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what a server may send before the handshake is over.
	maxAnswer = 64 << 10

	// maxRefusal bounds what is kept of the body of a refusal.
	maxRefusal = 4 << 10
)

// DialOptions are Options and what the client side of a handshake needs.
type DialOptions struct {
	Options

	// Header is sent with the handshake. A Host in it replaces the URL's.
	Header http.Header
	// TLS is for wss. nil means the usual checks.
	TLS *tls.Config
	// NetDial makes the connection. nil means net.Dialer's.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Dial connects to a ws or wss URL. The context counts until Dial returns. A refusal is an *UpgradeError with the
// status and the beginning of the body.
func (r *Runtime) Dial(ctx context.Context, rawURL string, o DialOptions) (*Conn, error) {
	c, err := r.dial(ctx, rawURL, o)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", Shown(rawURL), err)
	}
	return c, nil
}

// Shown is a URL for errors and logs: without the user and the parameters in it, which may be secrets.
func Shown(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "…"
	}
	u.User, u.Fragment = nil, ""
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return u.String()
}

func (r *Runtime) dial(ctx context.Context, rawURL string, o DialOptions) (*Conn, error) {
	u, err := url.Parse(rawURL)
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return nil, wrong.Err // without the URL
	}
	nc, err := connect(ctx, u, o)
	if err != nil {
		return nil, err
	}
	// Cancelling must end blocked reads and writes, but not touch a connection handed over.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	t, err := shake(ctx, nc, u, o)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = nc.Close() // already failing
		return nil, err
	}
	return r.adopt(nc, t, o.Options)
}

// connect opens the connection that the URL asks for, with TLS if need be.
func connect(ctx context.Context, u *url.URL, o DialOptions) (net.Conn, error) {
	port, secure := "80", false
	switch u.Scheme {
	case "ws":
	case "wss":
		port, secure = "443", true
	default:
		return nil, errors.New("scheme must be ws or wss")
	}
	if u.Hostname() == "" {
		return nil, errors.New("no host")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	netDial := o.NetDial
	if netDial == nil {
		netDial = new(net.Dialer).DialContext
	}
	nc, err := netDial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil || !secure {
		return nc, err
	}
	return secured(ctx, nc, u.Hostname(), o.TLS)
}

func secured(ctx context.Context, nc net.Conn, host string, config *tls.Config) (net.Conn, error) {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	} else {
		config = config.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = host
	}
	config.NextProtos = []string{"http/1.1"}
	tc := tls.Client(nc, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // already failing
		return nil, err
	}
	return tc, nil
}

// shake performs the client's handshake on a fresh connection.
func shake(ctx context.Context, nc net.Conn, u *url.URL, o DialOptions) (terms, error) {
	var nonce [keySize]byte
	_, _ = rand.Read(nonce[:]) // never fails: it would end the program
	key := base64.StdEncoding.EncodeToString(nonce[:])
	req, err := request(ctx, u, key, o)
	if err != nil {
		return terms{}, err
	}
	if err := req.Write(nc); err != nil {
		return terms{}, err
	}
	br := bufio.NewReader(io.LimitReader(nc, maxAnswer))
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return terms{}, fmt.Errorf("read the answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // of a 101 there is none
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what has come is told
		return terms{}, &UpgradeError{Status: resp.StatusCode, Header: resp.Header, Message: string(bytes.TrimSpace(body))}
	}
	t, err := judge(resp.Header, key, o.Options)
	if err != nil {
		return terms{}, err
	}
	t.early = make([]byte, br.Buffered())
	_, _ = br.Read(t.early) // it is there
	return t, nil
}

// request makes the opening handshake of RFC 6455 §4.1.
func request(ctx context.Context, u *url.URL, key string, o DialOptions) (*http.Request, error) {
	target := *u
	target.Scheme = strings.Replace(target.Scheme, "ws", "http", 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	if o.Header != nil {
		req.Header = o.Header.Clone()
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	req.Header.Set("Upgrade", "websocket")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set(headerVersion, "13")
	req.Header.Set(headerKey, key)
	req.Header.Del(headerExtensions)
	if o.Compression {
		req.Header.Set(headerExtensions, deflateOffer)
	}
	if len(o.Protocols) > 0 {
		req.Header.Set(headerProtocol, strings.Join(o.Protocols, ", "))
	}
	return req, nil
}

// judge checks a 101 (RFC 6455 §4.1).
func judge(h http.Header, key string, o Options) (terms, error) {
	t := terms{client: true, protocol: h.Get(headerProtocol)}
	agreed, ok := acceptDeflate(h)
	if agreed {
		t.window = maxWindow
	}
	switch {
	case !hasToken(h, "Upgrade", "websocket") || !hasToken(h, "Connection", "Upgrade"):
		return t, errors.New("the answer does not upgrade to websocket")
	case !isOnly(h[headerAccept], acceptKey(key)):
		return t, errors.New("the answer's Sec-WebSocket-Accept is wrong")
	case t.protocol != "" && !slices.Contains(o.Protocols, t.protocol), len(h[headerProtocol]) > 1:
		return t, errors.New("the answer names a subprotocol that was not offered")
	case !ok || agreed && !o.Compression:
		return t, errors.New("the answer names extensions that were not offered")
	}
	return t, nil
}
