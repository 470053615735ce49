// Package limit is a server that does nothing but what the kernel needs for a delivery: one write(2) each.
//
// It upgrades, answers every call of SocketCluster with its number, and sends each publication to everybody who has
// subscribed to anything, as many loops at once as there are processors. The frames are the very bytes that a
// SocketCluster server sends, so that the same client can measure both. It keeps no sessions, checks nothing, never
// batches and never pings.
package limit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
)

const (
	opText  = 1
	opClose = 8

	magic      = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	readBuffer = 512
	mostOfOne  = 16 << 20
	mostOfHead = 10
)

// Serve serves until ctx is done.
func Serve(ctx context.Context, l net.Listener) error {
	r := newRoom(runtime.GOMAXPROCS(0))
	defer r.close()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // ends accepting
	defer stop()
	var serving sync.WaitGroup
	defer serving.Wait()
	for n := 0; ; n++ {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		serving.Go(func() {
			defer nc.Close() //nolint:errcheck // whatever it was, it is over
			end := context.AfterFunc(ctx, func() { _ = nc.Close() })
			defer end()
			c := &client{room: r, n: n, nc: nc, in: bufio.NewReaderSize(nc, readBuffer)}
			defer c.leave()
			_ = c.serve() // the client sees that it has ended
		})
	}
}

// client is one connection.
type client struct {
	room   *room
	n      int
	nc     net.Conn
	in     *bufio.Reader
	joined bool
}

func (c *client) serve() error {
	if err := c.upgrade(); err != nil {
		return err
	}
	for {
		op, payload, err := readFrame(c.in)
		if err != nil || op == opClose {
			return err
		}
		if op == opText {
			err = c.take(payload)
		}
		if err != nil {
			return err
		}
	}
}

func (c *client) upgrade() error {
	req, err := http.ReadRequest(c.in)
	if err != nil {
		return err
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + magic)) //nolint:gosec // RFC 6455 says so
	_, err = fmt.Fprintf(c.nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	return err
}

// take answers a message, after it has been passed on.
func (c *client) take(payload []byte) error {
	switch {
	case bytes.Contains(payload, []byte(`"#publish"`)):
		c.room.send(newFrame(payload))
	case bytes.Contains(payload, []byte(`"#subscribe"`)) && !c.joined:
		if err := c.join(); err != nil {
			return err
		}
	}
	if call := number(payload); call > 0 {
		answer := strconv.AppendUint([]byte(`{"rid":`), call, 10)
		_, err := c.nc.Write(newFrame(append(answer, '}')))
		return err
	}
	return nil
}

// join has the room write to the connection's descriptor, which stays Go's: nothing else writes to it from then on but
// answers to further calls.
func (c *client) join() error {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok {
		return errors.New("not TCP")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	c.joined = true
	return raw.Control(func(fd uintptr) { c.room.join(c.n, int(fd)) })
}

// leave must come before the descriptor is closed, and so used again.
func (c *client) leave() {
	if c.joined {
		c.room.leave(c.n)
	}
}

// number is that of a call, which ends the packet. 0: none.
func number(packet []byte) uint64 {
	const key = `,"cid":`
	i := bytes.LastIndex(packet, []byte(key))
	if i < 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.TrimSuffix(packet[i+len(key):], []byte("}"))), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// readFrame reads a frame of a client that masks with zeros, as the load generator does.
func readFrame(in *bufio.Reader) (op byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return 0, nil, err
	}
	op = head[0] & 15
	n := uint64(head[1] & 127)
	switch n {
	case 126:
		_, err = io.ReadFull(in, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(in, head[:])
		n = binary.BigEndian.Uint64(head[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if n > mostOfOne {
		return 0, nil, errors.New("the frame is too large")
	}
	payload = make([]byte, 4+n)
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, nil, err
	}
	if binary.BigEndian.Uint32(payload) != 0 {
		return 0, nil, errors.New("the frame is masked in earnest")
	}
	return op, payload[4:], nil
}

// newFrame makes a server's text frame.
func newFrame(payload []byte) []byte {
	dst := append(make([]byte, 0, len(payload)+mostOfHead), 0x80|opText)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}
