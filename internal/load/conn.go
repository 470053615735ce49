package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	readBuffer = 4 << 10
	mostOfBody = 512 // of a refused upgrade, in an error

	// The key of RFC 6455's example: what the server makes of it says nothing that its status has not said.
	upgrade = "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

// conn is a connection whose owner waits for it.
type conn struct {
	nc       net.Conn
	in       *bufio.Reader
	buf      []byte
	frames   splitter
	protocol Protocol
	calls    uint64
	timeout  time.Duration
}

// open connects, completes the handshake, and subscribes.
func (b *bench) open(ctx context.Context, n int, channels []string) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.Timeout, fmt.Errorf("no answer within %v", b.Timeout))
	defer cancel()
	u, err := url.Parse(b.URLs[n%len(b.URLs)])
	if err != nil {
		return nil, err
	}
	nc, err := b.connect(ctx, u, n)
	if err != nil {
		return nil, err
	}
	c := b.newConn(nc)
	err = c.within(ctx, func() error {
		if err := c.enter(u); err != nil {
			return err
		}
		return c.subscribe(channels)
	})
	if err != nil {
		_ = nc.Close() // already failing
		return nil, err
	}
	return c, nil
}

func (b *bench) newConn(nc net.Conn) *conn {
	return &conn{
		nc: nc, in: bufio.NewReaderSize(nc, readBuffer), buf: make([]byte, readBuffer), protocol: b.Protocol, timeout: b.Timeout,
	}
}

// connect makes the connection below the WebSocket.
func (b *bench) connect(ctx context.Context, u *url.URL, n int) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	dial := b.NetDial
	if dial == nil {
		dial = (&net.Dialer{LocalAddr: source(u.Hostname(), n)}).DialContext
	}
	nc, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil || u.Scheme == "ws" {
		return nc, err
	}
	tc := tls.Client(nc, &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // already failing
		return nil, err
	}
	return tc, nil
}

// within has fn, which waits for the server, end with the context.
func (c *conn) within(ctx context.Context, fn func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(time.Unix(1, 0)) }) // it is to fail
	err := fn()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// enter makes the connection a session.
func (c *conn) enter(u *url.URL) error {
	origin := map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	if _, err := fmt.Fprintf(c.nc, upgrade, u.RequestURI(), u.Host, origin, u.Host); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(io.LimitReader(res.Body, mostOfBody)) // what has come is told
		return errors.Join(fmt.Errorf("upgrade refused: %s %s", res.Status, body), res.Body.Close())
	}
	return c.call("handshake", func(uint64) []byte { return c.protocol.Hello() })
}

// subscribe joins channels, one after the other.
func (c *conn) subscribe(channels []string) error {
	for _, name := range channels {
		if err := c.call("subscribe", func(call uint64) []byte { return c.protocol.Subscribe(name, call) }); err != nil {
			return err
		}
	}
	return nil
}

// call waits for the answer to a message. What else comes is answered or passed over.
func (c *conn) call(what string, message func(call uint64) []byte) error {
	c.calls++
	if err := c.send(newFrame(opText, message(c.calls))); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	a := &answer{conn: c, to: c.calls}
	for !a.come {
		if err := c.pump(a); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if a.refused != nil {
		return fmt.Errorf("%s refused: %w", what, a.refused)
	}
	return nil
}

// pump passes on what one read brings.
func (c *conn) pump(to receiver) error {
	n, err := c.in.Read(c.buf)
	if n > 0 {
		return c.frames.feed(c.buf[:n], to)
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the server has ended the connection")
	}
	return err
}

// Write sends frames. It may be called from several goroutines: a net.Conn writes each slice in one piece.
func (c *conn) Write(frames []byte) (int, error) {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.nc.Write(frames)
}

// send is Write for those who send what there is, if there is something.
func (c *conn) send(frames []byte) error {
	if len(frames) == 0 {
		return nil
	}
	_, err := c.Write(frames)
	return err
}

// Close says goodbye, as far as the server listens.
func (c *conn) Close() error {
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second)) // either way it is over
	_, _ = c.nc.Write(goodbye())
	return c.nc.Close()
}

// answer waits for the answer to one call.
type answer struct {
	conn    *conn
	to      uint64
	come    bool
	refused error
}

func (a *answer) frame(op byte, payload []byte) error {
	reply, done, err := routine(a.conn.protocol, op, payload)
	if err != nil || done {
		return errors.Join(err, a.conn.send(reply))
	}
	a.conn.protocol.Answers(payload, func(call uint64, refused error) {
		if call == a.to {
			a.come, a.refused = true, refused
		}
	})
	return nil
}
