package ws

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// names reports whether a header, a list of tokens, has one: slowly, and without regard to quotes, which tokens cannot have.
func names(h http.Header, name, token string) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if strings.EqualFold(strings.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}

// FuzzUpgrade reads requests as the server does. Whatever is let in has all that RFC 6455 wants, and a client accepts the
// answer to it.
func FuzzUpgrade(f *testing.F) {
	good := "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + sampleKey + "\r\n"
	for _, more := range []string{
		"\r\n", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", "Sec-WebSocket-Protocol: b, a\r\n\r\n",
		"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Sec-WebSocket-Key: " + sampleKey + "\r\n\r\n",
	} {
		f.Add([]byte(good + more))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(octets)))
		if err != nil {
			return
		}
		if refusal := CheckUpgrade(r); refusal != nil {
			if refusal.Status < 400 || refusal.Status > 505 || refusal.Message == "" {
				t.Fatalf("%q: refused with %d %q", octets, refusal.Status, refusal.Message)
			}
			return
		}
		key := r.Header.Get("Sec-WebSocket-Key")
		nonce, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(nonce) != 16 || r.Method != http.MethodGet || r.Host == "" || r.ContentLength != 0 ||
			!names(r.Header, "Upgrade", "websocket") || !names(r.Header, "Connection", "upgrade") ||
			strings.Join(r.Header.Values("Sec-WebSocket-Version"), ",") != "13" || len(r.Header.Values("Sec-WebSocket-Key")) != 1 {
			t.Fatalf("%q was let in", octets)
		}
		checkAnswer(t, r, key)
	})
}

// recorder is a connection that keeps what is written.
type recorder struct {
	net.Conn
	out bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) { return r.out.Write(b) }

func (r *recorder) SetDeadline(time.Time) error { return nil }

// checkAnswer has a client that offers what the request offers judge the answer.
func checkAnswer(t *testing.T, r *http.Request, key string) {
	t.Helper()
	ours := []string{"a", "b"}
	protocol := chooseProtocol(r.Header, ours)
	extension, _ := answerDeflate(r.Header)
	var written recorder
	if err := answer(&written, key, protocol, extension); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(&written.out), r)
	if err != nil {
		t.Fatalf("the answer to %q cannot be read: %v", r.Header, err)
	}
	defer res.Body.Close() //nolint:errcheck // there is none
	agreed, err := judge(res.Header, key, Options{Protocols: ours, Compression: true})
	if err != nil || agreed.protocol != protocol || (agreed.window != 0) != (extension != "") {
		t.Fatalf("a client that asked %q judges the answer %q as %+v, %v", r.Header, res.Header, agreed, err)
	}
	if protocol != "" && !strings.Contains(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), protocol) {
		t.Fatalf("%q was agreed on, of %q", protocol, r.Header.Values("Sec-WebSocket-Protocol"))
	}
}

// FuzzAnswer reads what a server may say to an opening handshake.
func FuzzAnswer(f *testing.F) {
	good := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	for _, more := range []string{
		"\r\n", "Sec-WebSocket-Extensions: " + deflateOffer + "\r\n\r\n", "Sec-WebSocket-Protocol: a\r\n\r\n",
		"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n", "Sec-WebSocket-Extensions: x\r\n\r\n",
	} {
		f.Add([]byte(good + more))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(octets)), nil)
		if err != nil {
			return
		}
		defer res.Body.Close() //nolint:errcheck // it is not read
		agreed, err := judge(res.Header, sampleKey, Options{Protocols: []string{"a"}})
		if err != nil {
			return
		}
		if agreed.window != 0 || agreed.protocol != "" && agreed.protocol != "a" ||
			res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || !names(res.Header, "Upgrade", "websocket") {
			t.Fatalf("%q was taken as %+v", octets, agreed)
		}
	})
}
