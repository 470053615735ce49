package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// longest is how long anything may take that has to happen at all.
const longest = time.Minute

const (
	text, binaryData   = 0x81, 0x82
	closing, ping      = 0x88, 0x89
	textPart, lastPart = 0x01, 0x80
	part, squeezed     = 0x00, 0xc1
)

// frame is one frame of a client. The mask of zeros is a legal one, and leaves the payload as it is.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = append(b, 0x80|byte(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// say is a text frame.
func say(format string, args ...any) []byte { return frame(text, fmt.Sprintf(format, args...)) }

// quoted is a JSON string.
func quoted(s string) string {
	b, _ := json.Marshal(s) // never fails
	return string(b)
}

// peer is a client that sends anything it is told to.
type peer struct {
	net.Conn

	t *testing.T
	r *bufio.Reader
}

func (s *assault) connect() *peer {
	s.Helper()
	dialer := net.Dialer{Timeout: longest}
	nc, err := dialer.DialContext(s.Context(), "tcp", s.host)
	if err != nil {
		s.Fatal(err)
	}
	if s.tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	if err := nc.SetDeadline(time.Now().Add(2 * longest)); err != nil {
		s.Fatal(err)
	}
	p := &peer{Conn: nc, t: s.T, r: bufio.NewReader(nc)}
	s.mu.Lock()
	s.peers = append(s.peers, p)
	s.mu.Unlock()
	return p
}

func (p *peer) end() { _ = p.Close() } // it may be closed already

// hangUp ends all connections of an attack.
func (s *site) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.end()
	}
	s.peers = nil
}

// reset ends TCP without a word.
func (p *peer) reset() {
	nc := p.Conn
	if secured, ok := nc.(*tls.Conn); ok {
		nc = secured.NetConn()
	}
	_ = nc.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // what has been dialled
	_ = nc.Close()
}

// send sends octets; whether anybody takes them is not said.
func (p *peer) send(octets ...[]byte) bool {
	_, err := p.Write(bytes.Join(octets, nil))
	return err == nil
}

// upgrading is an upgrade request, with further headers.
func (s *site) upgrading(path string, headers ...string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: c2tlaW4gdGVzdCBub25jZQ==\r\n%s\r\n", path, s.host, strings.Join(append(headers, ""), "\r\n"))
}

// status reads an answer of HTTP whole; 0 for none.
func (p *peer) status() int {
	res, err := http.ReadResponse(p.r, nil)
	if err != nil {
		return 0
	}
	defer res.Body.Close() //nolint:errcheck // it is read
	if res.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.Copy(io.Discard, res.Body) // may be cut
	}
	return res.StatusCode
}

// open upgrades a new connection.
func (s *assault) open(path string, headers ...string) *peer {
	s.Helper()
	p := s.connect()
	p.send([]byte(s.upgrading(path, headers...)))
	if got := p.status(); got != http.StatusSwitchingProtocols {
		s.Fatalf("the upgrade of %s was answered with %d", path, got)
	}
	return p
}

// session opens a connection that has had its handshake.
func (s *assault) session() *peer {
	s.Helper()
	p := s.open("/socketcluster/")
	p.send(say(`{"event":"#handshake","data":{"authToken":null},"cid":1}`))
	p.wantReply(`"rid":1,`)
	return p
}

// next reads one frame; op 0xff for the end of the connection.
func (p *peer) next() (op byte, payload []byte) {
	const over = 0xff
	var head [2]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return over, nil
	}
	n := uint64(head[1] & 0x7f)
	if long := map[uint64]int{126: 2, 127: 8}[n]; long > 0 {
		var size [8]byte
		if _, err := io.ReadFull(p.r, size[8-long:]); err != nil {
			return over, nil
		}
		n = binary.BigEndian.Uint64(size[:])
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(p.r, payload); err != nil {
		return over, nil
	}
	return head[0] & 0x0f, payload
}

// wantReply reads until a message with that text has come.
func (p *peer) wantReply(with string) {
	p.t.Helper()
	for {
		switch op, payload := p.next(); {
		case op == 1 && strings.Contains(string(payload), with):
			return
		case op == 8 || op == 0xff:
			p.t.Fatalf("the connection ended with %q, want a message with %s", payload, with)
		}
	}
}

// code reads to the end and gives the code of the close frame; 0 for none.
func (p *peer) code() (code int) {
	for {
		switch op, payload := p.next(); {
		case op == 0xff:
			return code
		case op == 8 && len(payload) > 1:
			code = int(binary.BigEndian.Uint16(payload))
		case op == 8:
			code = 1005
		}
	}
}

// wantCode reads to the end, which must have one of the codes.
func (p *peer) wantCode(codes ...int) {
	p.t.Helper()
	got := p.code()
	if slices.Contains(codes, got) {
		return
	}
	p.t.Errorf("closed with %d, want %v", got, codes)
}

// wantAlive has the session answer.
func (p *peer) wantAlive() {
	p.t.Helper()
	name := fmt.Sprintf("alive-%p", p)
	p.send(say(`{"event":"#subscribe","data":{"channel":%q},"cid":987654}`, name), say(`{"event":"#unsubscribe","data":%q,"cid":987655}`, name))
	p.wantReply(`"rid":987655`)
}
