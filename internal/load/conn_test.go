package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

// memoryBench is a bench whose connections go to l.
func memoryBench(l *skeintest.Listener) *bench {
	o := Options{NetDial: l.DialContext, Timeout: time.Second}
	return &bench{Options: o.withDefaults(), start: time.Now()}
}

func TestCallsPassOverWhatIsNotTheirAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := skeintest.NewListener()
		f := &fake{on: func(p wire.Packet, send func(string)) bool {
			if p.Kind != wire.Publish {
				return false
			}
			for _, payload := range []string{
				`no packet`, `{"rid":99,"data":1}`, `{"event":"#publish","data":{"channel":"a","data":1}}`, ``,
				`[{"event":"x"},{"rid":` + string(p.CID) + `,"data":{"n":3}},{"event":"y"}]`,
			} {
				send(text(payload))
			}
			send(serverFrame(final|opPing, "p"))
			return true
		}}
		f.start(t, l)
		c, err := memoryBench(l).open(t.Context(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // the ping behind an answer is answered with the next call
			if err := c.call("publish", func(call uint64) []byte { return c.protocol.Publish("a", "b", call) }); err != nil {
				t.Errorf("got %v, want the answer", err)
			}
		}
		_ = c.Close()
		synctest.Wait()
		if pings, pongs, byes := f.seen(opText), f.seen(opPong), f.seen(opClose); pings != 3 || pongs < 2 || byes != 1 {
			t.Errorf("got %d answers to pings, %d pongs and %d goodbyes, want 3, 2 or more, and 1", pings, pongs, byes)
		}
	})
}

func TestHandshakeCarriesTheToken(t *testing.T) {
	t.Parallel()
	for token, want := range map[string]string{"": "null", `a"b`: `"a\"b"`} {
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			var got string
			f := &fake{on: func(p wire.Packet, _ func(string)) bool {
				got = string(p.Token)
				return false
			}}
			f.start(t, l)
			b := memoryBench(l)
			b.Protocol = socketCluster{token: token}
			c, err := b.open(t.Context(), 0, nil)
			if err != nil || got != want {
				t.Fatalf("got the token %s, %v, want %s", got, err, want)
			}
			_ = c.Close()
		})
	}
}

func TestAnswersThatAreNoneAreErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"no object":         {`{"rid":1,"data":5}`, "handshake refused: answer: json"},
		"not authenticated": {`{"rid":1,"data":{"isAuthenticated":false,"authError":{"name":"E","message":"old"}}}`, "handshake refused: the token: E: old"},
		"no reason":         {`{"rid":1,"data":{}}`, "handshake refused: the token: "},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			f := &fake{on: func(_ wire.Packet, send func(string)) bool {
				send(text(c.answer))
				return true
			}}
			f.start(t, l)
			b := memoryBench(l)
			b.Protocol = socketCluster{token: "t"}
			if _, err := b.open(t.Context(), 0, nil); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		})
	}
}

func TestErrorsOfTheServerAreToldInWords(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"name":"A","message":"b"}`: "A: b", `{"message":"b"}`: ": b", `"text"`: `"text"`, `{}`: `{}`, ``: ``, `{"code":5}`: `{"code":5}`,
	} {
		if got := refusal(json.RawMessage(data)).Error(); got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}

func TestAConnectionThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = far.Close() }()
		b := &bench{Options: Options{NetDial: func(context.Context, string, string) (net.Conn, error) { return near, nil }, Timeout: time.Minute}.withDefaults()}
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("had enough")
		time.AfterFunc(time.Second, func() { cancel(reason) })
		begin := time.Now()
		if _, err := b.open(ctx, 0, nil); !errors.Is(err, reason) {
			t.Errorf("got %v, want %v", err, reason)
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %v, want 1s", took)
		}
		if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

func TestPortsAreThoseOfTheScheme(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ws://127.0.0.1/": "127.0.0.1:80", "wss://127.0.0.1/x": "127.0.0.1:443", "ws://[::1]:5/": "[::1]:5",
	} {
		var got string
		stop := errors.New("stop")
		b := &bench{Options: Options{URLs: []string{text}, NetDial: func(_ context.Context, network, addr string) (net.Conn, error) {
			got = network + " " + addr
			return nil, stop
		}}.withDefaults()}
		if _, err := b.open(t.Context(), 0, nil); !errors.Is(err, stop) || got != "tcp "+want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}

// The upgrade and everything behind it is the same over TLS.
func TestSessionsOverTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(nil) // for its certificate
	defer srv.Close()
	l, _ := listen(t)
	f := &fake{}
	f.start(t, tls.NewListener(l, &tls.Config{Certificates: srv.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	nc, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Options: Options{Conns: 1}.withDefaults(), start: time.Now(), fail: func(err error) { t.Error(err) }}
	c := b.newConn(nc)
	if err := c.enter(&url.URL{Scheme: "wss", Host: "example.com", Path: "/"}); err != nil {
		t.Fatal(err)
	}
	cr := &crowd{bench: b}
	if err := cr.admit(t.Context(), 0, c); err != nil {
		t.Fatal(err)
	}
	if _, ok := cr.members[0].out.(*conn); !ok {
		t.Error("a loop reads what only TLS can")
	}
	cr.close()
}
