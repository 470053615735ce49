package ws

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

func handshake() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set(headerVersion, "13")
	r.Header.Set(headerKey, sampleKey)
	return r
}

func TestOpeningHandshakeIsJudged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"good", func(*http.Request) {}, 0},
		{"lists in any case", func(r *http.Request) {
			r.Header.Set("Connection", "keep-alive, UPGRADE")
			r.Header.Set("Upgrade", "WebSocket")
		}, 0},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, 405},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, 505},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 505},
		{"no Host", func(r *http.Request) { r.Host = "" }, 400},
		{"no Upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, 426},
		{"Connection without upgrade", func(r *http.Request) { r.Header.Set("Connection", "keep-alive") }, 426},
		{"version 12", func(r *http.Request) { r.Header.Set(headerVersion, "12") }, 426},
		{"no version", func(r *http.Request) { r.Header.Del(headerVersion) }, 426},
		{"two versions", func(r *http.Request) { r.Header.Add(headerVersion, "13") }, 426},
		{"no key", func(r *http.Request) { r.Header.Del(headerKey) }, 400},
		{"two keys", func(r *http.Request) { r.Header.Add(headerKey, sampleKey) }, 400},
		{"short key", func(r *http.Request) { r.Header.Set(headerKey, "c2hvcnQ=") }, 400},
		{"key not base64", func(r *http.Request) { r.Header.Set(headerKey, strings.Repeat("!", 24)) }, 400},
		{"a body", func(r *http.Request) { r.ContentLength = 3 }, 400},
		{"a body of unknown length", func(r *http.Request) { r.ContentLength = -1 }, 400},
		{"Transfer-Encoding", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 400},
	} {
		r := handshake()
		tc.change(r)
		e := CheckUpgrade(r)
		got := 0
		if e != nil {
			got = e.Status
		}
		if got != tc.status {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.status)
		}
	}
}

func TestRefusalNamesTheVersionAndClosesTheConnection(t *testing.T) {
	t.Parallel()
	r := handshake()
	r.Header.Set(headerVersion, "8")
	w := httptest.NewRecorder()
	CheckUpgrade(r).Write(w)
	h := w.Result().Header
	if w.Code != 426 || h.Get("Sec-WebSocket-Version") != "13" || h.Get("Upgrade") != "websocket" || h.Get("Connection") != "close" {
		t.Errorf("got %d %v", w.Code, h)
	}
	if w.Body.String() == "" {
		t.Error("got no body, want the reason")
	}
}

func TestPlainRequestIsNoUpgrade(t *testing.T) {
	t.Parallel()
	if IsUpgrade(httptest.NewRequest(http.MethodGet, "/", nil)) {
		t.Error("a plain GET: got an upgrade")
	}
	bad := handshake()
	bad.Header.Set(headerVersion, "12")
	if !IsUpgrade(bad) {
		t.Error("a bad handshake: got no upgrade")
	}
}

// serve answers handshakes on loopback with connections of h, and gives the address.
func serve(tb testing.TB, r *Runtime, o Options, h func() Handler) string {
	tb.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		c, err := r.Accept(w, req, o)
		if refusal := new(UpgradeError); errors.As(err, &refusal) {
			refusal.Write(w)
			return
		}
		if err != nil {
			tb.Errorf("accepting: %v", err)
			return
		}
		c.Start(h())
	}))
	tb.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestFrameThatComesWithTheHandshakeIsNotLost(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		addr := serve(t, r, Options{Protocols: []string{"b", "a"}, Compression: true}, func() Handler { s := newSpy(); s.on = echo; return s })
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
		head := "GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Key: " + sampleKey + "\r\n\r\n"
		early := wire(text("early"), text("second"))
		if _, err := io.WriteString(nc, head+string(early[:len(early)-3])); err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(nc)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		for name, want := range map[string]string{
			"Upgrade": "websocket", "Connection": "Upgrade", headerAccept: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
			headerProtocol: "b", headerExtensions: deflateOffer,
		} {
			if got := resp.Header.Get(name); resp.StatusCode != http.StatusSwitchingProtocols || got != want {
				t.Errorf("%d, %s: got %q, want %q", resp.StatusCode, name, got, want)
			}
		}
		wantFrame(t, br, 0x81, "early")
		_, _ = nc.Write(early[len(early)-3:])
		wantFrame(t, br, 0x81, "second")
	})
}

func TestRefusedHandshakeIsAnsweredByTheCaller(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		addr := serve(t, r, Options{}, func() Handler { return newSpy() })
		resp, err := http.Get("http://" + addr + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusUpgradeRequired || string(body) != "WebSocket only" || !resp.Close {
			t.Errorf("got %d %q, close %v", resp.StatusCode, body, resp.Close)
		}
		if n := r.Conns(); n != 0 {
			t.Errorf("got %d connections, want none", n)
		}
	})
}

func TestAcceptNeedsAServerThatHandsOver(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	_, err := r.Accept(httptest.NewRecorder(), handshake(), Options{})
	if e := new(UpgradeError); !errors.As(err, &e) || e.Status != http.StatusInternalServerError || !strings.Contains(e.Error(), "500") {
		t.Errorf("got %v, want status 500", err)
	}
}

// hijackable hands a connection over that cannot be written to.
type hijackable struct {
	*httptest.ResponseRecorder

	nc net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.nc, bufio.NewReadWriter(bufio.NewReader(h.nc), bufio.NewWriter(h.nc)), nil
}

func TestAcceptTellsThatThePeerIsGone(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	var refusal *UpgradeError
	if _, err := r.Accept(hijackable{httptest.NewRecorder(), ours}, handshake(), Options{}); err == nil || errors.As(err, &refusal) {
		t.Errorf("got %v, want an error that is not a refusal", err)
	}
	if _, err := ours.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection was not closed: %v", err)
	}
}

func TestAcceptAfterTheRuntimeIsClosed(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	r.Close()
	ours, theirs := memoryPipe()
	_, err := r.adopt(ours, terms{}, Options{})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	wantEOF(t, theirs)
}

func TestRunningTLSConnectionIsCutAtOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *Runtime) {
		t.Helper()
		conns := make(chan *Conn, 1)
		h := newSpy()
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			c, err := r.Accept(w, req, Options{Outbox: 1 << 30})
			if err != nil {
				t.Errorf("accepting: %v", err)
				return
			}
			c.Start(h)
			conns <- c
		}))
		defer s.Close()
		peer, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = peer.Close() }()
		if err := handshake().Write(peer); err != nil {
			t.Fatal(err)
		}
		c := <-conns
		big := NewFrame(true, noise(100000))
		for range 300 { // far more than the socket takes: the writer is blocked, and so would be an alert of TLS
			_ = c.Send(big)
		}
		begin := time.Now()
		c.Terminate()
		_ = h.wantClosed(t, CodeAbnormal, true)
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("got the end after %v, want it at once", took)
		}
	})
}
