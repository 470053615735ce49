package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/skeinrt/skein/internal/wire"
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
	nc      net.Conn
	in      *bufio.Reader
	buf     []byte
	frames  splitter
	calls   uint64
	timeout time.Duration
}

// open connects, completes the handshake, and subscribes unless channel is empty.
func (b *bench) open(ctx context.Context, n int, channel string) (*conn, error) {
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
	c := &conn{nc: nc, in: bufio.NewReaderSize(nc, readBuffer), buf: make([]byte, readBuffer), timeout: b.Timeout}
	err = c.within(ctx, func() error {
		if err := c.enter(u, b.Token); err != nil || channel == "" {
			return err
		}
		_, err := c.call("#subscribe", fmt.Appendf(nil, `{"channel":%s}`, wire.AppendString(nil, channel)))
		return err
	})
	if err != nil {
		_ = nc.Close() // already failing
		return nil, err
	}
	return c, nil
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
func (c *conn) enter(u *url.URL, token string) error {
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
	data := []byte(`{"authToken":null}`)
	if token != "" {
		data = fmt.Appendf(nil, `{"authToken":%s}`, wire.AppendString(nil, token))
	}
	answer, err := c.call("#handshake", data)
	if err != nil || token == "" {
		return err
	}
	var welcome struct {
		IsAuthenticated bool
		AuthError       json.RawMessage
	}
	if err := json.Unmarshal(answer, &welcome); err != nil {
		return fmt.Errorf("handshake: answer: %w", err)
	}
	if !welcome.IsAuthenticated {
		return fmt.Errorf("the server refused the token: %s", refusal(welcome.AuthError))
	}
	return nil
}

// call waits for the answer to an event. What else comes is answered or passed over.
func (c *conn) call(event string, data []byte) (json.RawMessage, error) {
	c.calls++
	if err := c.send(newFrame(opText, wire.JSON.AppendEvent(nil, event, data, c.calls))); err != nil {
		return nil, fmt.Errorf("%s: %w", event, err)
	}
	a := &answer{conn: c, to: wire.Number(strconv.FormatUint(c.calls, 10))}
	for !a.come {
		if err := c.pump(a); err != nil {
			return nil, fmt.Errorf("%s: %w", event, err)
		}
	}
	if a.Error != nil {
		return nil, fmt.Errorf("%s: %s", event, refusal(a.Error))
	}
	return a.Data, nil
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

// answer waits for the response to one call.
type answer struct {
	wire.Packet

	conn *conn
	to   wire.Number
	come bool
}

func (a *answer) frame(op byte, payload []byte) error {
	reply, done, err := routine(op, payload)
	if err != nil || done {
		return errors.Join(err, a.conn.send(reply))
	}
	for p := range wire.JSON.Packets(payload) {
		if p.Kind == wire.Response && string(p.RID) == string(a.to) {
			p.Data = append(json.RawMessage(nil), p.Data...) // the payload is lent
			a.Packet, a.come = p, true
		}
	}
	return nil
}

// refusal is an error of the server in words.
func refusal(data json.RawMessage) string {
	var e struct{ Name, Message string }
	if json.Unmarshal(data, &e) != nil || e.Name+e.Message == "" {
		return string(data)
	}
	return e.Name + ": " + e.Message
}
