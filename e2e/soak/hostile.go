package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// upgrade opens a WebSocket by hand, with the key of RFC 6455's example.
const upgrade = "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// frame is one of a client, masked with zeros.
func frame(head byte, payload []byte) []byte {
	b := []byte{head, 0x80}
	switch n := len(payload); {
	case n < 126:
		b[1] |= byte(n)
	case n < 1<<16:
		b[1] |= 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] |= 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

func textFrame(text string) []byte { return frame(0x81, []byte(text)) }

// open connects to a random node itself, without the proxy, whose buffers would take what nobody reads.
func (h *hand) open(ctx context.Context) net.Conn {
	dialer := net.Dialer{Timeout: patience}
	c, err := dialer.DialContext(ctx, "tcp", h.node().addr)
	if err != nil {
		h.tally.add("connections refused or broken", 1)
		return nil
	}
	return c
}

// until has a connection end with the context.
func until(ctx context.Context, c net.Conn) (stop func()) {
	end := context.AfterFunc(ctx, func() { _ = c.Close() }) // it is the member's end
	return func() { end(); _ = c.Close() }
}

// enter makes a connection a session that is subscribed to the flood, with small buffers.
func (h *hand) enter(c net.Conn) error {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetReadBuffer(4 << 10) // the system's choice does as well
	}
	subscribe := textFrame(`{"event":"#subscribe","data":{"channel":"` + floodChannel + `"},"cid":2}`)
	hello := textFrame(`{"event":"#handshake","data":{"authToken":null},"cid":1}`)
	_, err := c.Write(append(fmt.Appendf(nil, upgrade, "/socketcluster/", c.RemoteAddr()), append(hello, subscribe...)...))
	return err
}

// neverRead subscribes and takes nothing. The server has to end that.
func neverRead(ctx context.Context, h *hand) {
	c := h.open(ctx)
	if c == nil {
		return
	}
	defer until(ctx, c)()
	if h.enter(c) != nil {
		return
	}
	for began := time.Now(); pause(ctx, 250*time.Millisecond); {
		if _, err := c.Write(textFrame("{}")); err != nil { // writing tells of the end without reading
			h.tally.add("clients that never read, closed", 1)
			return
		}
		if time.Since(began) > 2*patience {
			h.tally.violation("a client that never reads was kept for %v", 2*patience)
			return
		}
	}
}

// readSlowly takes a little at a time.
func readSlowly(ctx context.Context, h *hand) {
	c := h.open(ctx)
	if c == nil {
		return
	}
	defer until(ctx, c)()
	if h.enter(c) != nil {
		return
	}
	for buf := make([]byte, 2<<10); pause(ctx, 100*time.Millisecond); {
		if _, err := c.Read(buf); err != nil {
			h.tally.add("slow clients, closed", 1)
			return
		}
	}
}

// attacks are what hostile clients send; the server must end the connection, or the client does.
func attacks(h *hand) map[string][]byte {
	session := fmt.Appendf(nil, upgrade, "/socketcluster/", "127.0.0.1")
	hello := textFrame(`{"event":"#handshake","data":{},"cid":1}`)
	garbage := make([]byte, 4<<10)
	for i := range garbage {
		garbage[i] = byte(h.rand.IntN(256)) //nolint:gosec // it is less than 256
	}
	with := func(frames ...[]byte) []byte { return append(bytes.Clone(session), bytes.Join(frames, nil)...) }
	return map[string][]byte{
		"garbage":            garbage,
		"silence":            nil,
		"half a request":     []byte("GET /socketcluster/ HTTP/1.1\r\nHost: a\r\nX-"),
		"endless header":     []byte("GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10)),
		"no handshake":       session,
		"garbage for frames": with(garbage),
		"unmasked":           with([]byte{0x81, 2, '{', '}'}),
		"reserved bits":      with(frame(0xf1, []byte("{}"))),
		"huge frame":         with(hello, []byte{0x81, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 2, 3, 4}),
		"top bit":            with(hello, []byte{0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}),
		"too large":          with(hello, frame(0x81, bytes.Repeat([]byte{' '}, 2<<20))),
		"no text":            with(hello, frame(0x81, []byte{'"', 0xff, 0xfe, '"'})),
		"large ping":         with(hello, frame(0x89, make([]byte, 126))),
		"empty fragments":    with(hello, bytes.Repeat(frame(0x01, nil), 1), bytes.Repeat(frame(0x00, nil), 3000)),
		"no map":             with(hello, frame(0x82, garbage)),
		"deep":               with(hello, textFrame(strings.Repeat("[", 100<<10))),
		"unasked answers":    with(hello, textFrame(`[`+strings.Repeat(`{"rid":1},`, 5000)+`{"rid":1e999}]`)),
		"bad frame":          with(frame(0x83, nil)),
		"bad close":          with(hello, frame(0x88, []byte{3})),
	}
}

// harmless are those that the server may keep: they are sessions, or it waits for their pongs.
func harmless(attack string) bool {
	return attack == "no map" || attack == "deep" || attack == "unasked answers"
}

func attack(ctx context.Context, h *hand) {
	all := attacks(h)
	names := sorted(all)
	name := names[h.rand.IntN(len(names))]
	c := h.open(ctx)
	if c == nil {
		return
	}
	defer until(ctx, c)()
	_ = c.SetDeadline(time.Now().Add(patience)) // TCP has deadlines
	_, err := c.Write(all[name])
	if err == nil && !harmless(name) {
		_, err = io.Copy(io.Discard, c)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
		h.tally.violation("the connection of a hostile client was kept for %v: %s", patience, name)
	}
	h.tally.add("hostile: "+name, 1)
}
