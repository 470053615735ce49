package skeintest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
)

// Message is one whole WebSocket message.
type Message struct {
	// Binary tells a binary message from text.
	Binary bool
	// Data is what it carries.
	Data []byte
}

// CloseError is how a connection has ended.
type CloseError struct {
	// Code of the server's close frame: 1005 where it has none, and 1006 where none has come.
	Code int
	// Reason of the close frame.
	Reason string
}

// Error tells code and reason.
func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %q", e.Code, e.Reason) }

// RefusedError is a server's answer to an upgrade that it does not allow.
type RefusedError struct {
	// Status is the HTTP status.
	Status int
	// Header of the answer.
	Header http.Header
	// Body of the answer.
	Body string
}

// Error tells status and body.
func (e *RefusedError) Error() string { return fmt.Sprintf("refused with %d %q", e.Status, e.Body) }

// Conn is a WebSocket connection of which each message is the test's own. It reads only when it is asked to: what the
// server sends waits in a buffer of 64 KiB, and then in the server. Its methods are for one goroutine; Terminate is for
// any.
type Conn struct {
	// Header of the server's answer to the upgrade.
	Header http.Header

	nc     *end
	unread []byte // what has come and is not decoded
	parts  []byte // of a fragmented message
	binary bool
	ended  *CloseError
	bye    bool // our close frame is sent
}

const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10

	fin         = 0x80
	noStatus    = 1005
	abnormal    = 1006
	sampleNonce = "c2tlaW4gdGVzdCBub25jZQ=="
)

// Upgrade asks for a WebSocket connection at a path. A refusal is a *RefusedError.
func (s *Server) Upgrade(ctx context.Context, path string, header http.Header) (*Conn, error) {
	nc, err := s.Listener.DialContext(ctx, "", "")
	if err != nil {
		return nil, err
	}
	return Upgrade(ctx, nc, path, header)
}

// Upgrade is Server.Upgrade over a connection of Listener.DialContext or Listener.DialFrom. Header replaces what an
// upgrade has by itself, Host included.
func Upgrade(ctx context.Context, nc net.Conn, path string, header http.Header) (*Conn, error) {
	near, ok := nc.(*end)
	if !ok {
		return nil, fmt.Errorf("upgrade: %T is not a connection of a Listener", nc)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://memory"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {sampleNonce},
	}
	maps.Copy(r.Header, header)
	r.Host = cmp.Or(header.Get("Host"), r.Host)
	stop := context.AfterFunc(ctx, func() { _ = near.Close() })
	defer stop()
	return ask(near, r)
}

// ask sends the request and reads the answer.
func ask(nc *end, r *http.Request) (*Conn, error) {
	if err := r.Write(nc); err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	in := bufio.NewReader(nc)
	answer, err := http.ReadResponse(in, r)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it has been read
	if answer.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			return nil, fmt.Errorf("upgrade: refused with %s: %w", answer.Status, err)
		}
		return nil, &RefusedError{answer.StatusCode, answer.Header, string(body)}
	}
	early, _ := in.Peek(in.Buffered()) // it is there
	return &Conn{Header: answer.Header, nc: nc, unread: bytes.Clone(early)}, nil
}

// Send sends a text message. The error says that the connection is closed.
func (c *Conn) Send(text string) error { return c.frame(fin|opText, []byte(text)) }

// SendBinary sends a binary message.
func (c *Conn) SendBinary(data []byte) error { return c.frame(fin|opBinary, data) }

// SendFrame sends one frame as it is said: the first octet has the bits and the opcode.
func (c *Conn) SendFrame(first byte, data []byte) error { return c.frame(first, data) }

// frame masks with zeros: that is a mask, and leaves the octets legible.
func (c *Conn) frame(first byte, data []byte) error {
	b := []byte{first}
	switch n := len(data); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(append(b, 0, 0, 0, 0), data...)
	if _, err := c.nc.Write(b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Close sends a close frame; code 0 is one without a code. The server's answer is read like a message.
func (c *Conn) Close(code int, reason string) error {
	c.bye = true
	var data []byte
	if code != 0 {
		data = append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...) //nolint:gosec // a close code
	}
	return c.frame(fin|opClose, data)
}

// Terminate cuts the connection.
func (c *Conn) Terminate() { _ = c.nc.Close() } // it never fails

// Read waits for the next message. The end is a *CloseError. Pings of the WebSocket layer and close frames are answered.
func (c *Conn) Read() (Message, error) {
	for {
		m, ok, err := c.next(false)
		if ok || err != nil {
			return m, err
		}
		buf := make([]byte, 4096)
		n, err := c.nc.Read(buf)
		c.unread = append(c.unread, buf[:n]...)
		if err != nil {
			c.end(abnormal, "")
		}
	}
}

// TryRead returns a message that has come, and does not wait for one: ok reports whether there was one. In a synctest
// bubble, synctest.Wait before it makes sure that everything has come that will come by now.
func (c *Conn) TryRead() (m Message, ok bool, err error) {
	data, ended := c.nc.in.take()
	c.unread = append(c.unread, data...)
	return c.next(ended)
}

// next decodes a message; ended says that nothing more will come.
func (c *Conn) next(ended bool) (m Message, ok bool, err error) {
	for c.ended == nil {
		first, data, whole := c.cut()
		if !whole {
			if ended {
				c.end(abnormal, "")
				break
			}
			return Message{}, false, nil
		}
		if m, ok = c.take(first, data); ok {
			return m, true, nil
		}
	}
	return Message{}, false, c.ended
}

// cut takes one frame off what has come, where it is whole. A server's frames are not masked.
func (c *Conn) cut() (first byte, data []byte, whole bool) {
	b := c.unread
	if len(b) < 2 {
		return 0, nil, false
	}
	size, head := uint64(b[1]), uint64(2)
	switch {
	case size == 126 && len(b) >= 4:
		size, head = uint64(binary.BigEndian.Uint16(b[2:])), 4
	case size == 127 && len(b) >= 10:
		size, head = binary.BigEndian.Uint64(b[2:]), 10
	case size >= 126:
		return 0, nil, false
	}
	if uint64(len(b)) < head+size {
		return 0, nil, false
	}
	c.unread = b[head+size:]
	return b[0], b[head : head+size], true
}

// take acts on a frame and returns the message that it completes.
func (c *Conn) take(first byte, data []byte) (Message, bool) {
	switch op := first & 0x0f; op {
	case opPing:
		_ = c.frame(fin|opPong, data) // the server has gone, and that is read next
	case opPong:
	case opClose:
		code, reason := noStatus, ""
		if len(data) >= 2 {
			code, reason = int(binary.BigEndian.Uint16(data)), string(data[2:])
		}
		if !c.bye {
			c.bye = true
			_ = c.frame(fin|opClose, data) // the server may not wait for it
		}
		c.end(code, reason)
	case opText, opBinary, opContinuation:
		if op != opContinuation {
			c.parts, c.binary = nil, op == opBinary
		}
		c.parts = append(c.parts, data...)
		if first&fin != 0 {
			return Message{c.binary, c.parts}, true
		}
	}
	return Message{}, false
}

// end closes our direction; what the server still sends is thrown away, as it would be with a socket.
func (c *Conn) end(code int, reason string) {
	if c.ended == nil {
		c.ended = &CloseError{code, reason}
	}
	_ = c.nc.Close() // it never fails
}
