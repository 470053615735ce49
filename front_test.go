package skein_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// plainUpgrade is what clients send.
const plainUpgrade = "GET /socketcluster/?x=1 HTTP/1.1\r\nHost: memory\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// request sends octets over a new connection.
func request(t *testing.T, l *skeintest.Listener, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	nc, err := l.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	return nc, bufio.NewReader(nc)
}

// answered reads an answer, with its body.
func answered(t *testing.T, r *bufio.Reader) (status int, body string) {
	t.Helper()
	a, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err.Error()
	}
	defer a.Body.Close() //nolint:errcheck // it has been read
	if a.StatusCode == http.StatusSwitchingProtocols {
		return a.StatusCode, ""
	}
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

// oddUpgrades are requests at the edge of what is one for an upgrade.
func oddUpgrades() map[string]string {
	with := func(old, with string) string { return strings.Replace(plainUpgrade, old, with, 1) }
	return map[string]string{
		"plain":                  plainUpgrade,
		"a raw endpoint":         with("/socketcluster/", "/ws"),
		"another path":           with("/socketcluster/", "/nowhere"),
		"below the path":         with("/socketcluster/", "/socketcluster/x"),
		"a path with dots":       with("/socketcluster/", "/x/../socketcluster/"),
		"an escaped path":        with("/socketcluster/", "/%73ocketcluster/"),
		"a whole URL":            with("/socketcluster/", "http://memory/socketcluster/"),
		"a bad escape":           with("?x=1", "?x=%zz"),
		"a fragment":             with("?x=1", "#x"),
		"a space in the query":   with("?x=1", "?x= 1"),
		"a small method":         with("GET", "get"),
		"another method":         with("GET", "POST"),
		"HTTP/1.0":               with("HTTP/1.1", "HTTP/1.0"),
		"HTTP/2":                 with("HTTP/1.1", "HTTP/2.0"),
		"no host":                with("Host: memory\r\n", ""),
		"an empty host":          with("memory", ""),
		"two hosts":              with("Host: memory\r\n", "Host: memory\r\nHost: other\r\n"),
		"a bad host":             with("memory", "mem ory"),
		"a host with a slash":    with("memory", "mem/ory"),
		"no upgrade":             with("Upgrade: websocket\r\n", ""),
		"another upgrade":        with("websocket", "h2c"),
		"two upgrades":           with("Upgrade: websocket\r\n", "Upgrade: h2c\r\nUpgrade: websocket\r\n"),
		"a list of upgrades":     with("websocket", "h2c, websocket"),
		"a folded line":          with("Connection:", "X-A: b\r\n c\r\nConnection:"),
		"a space before a colon": with("Connection:", "Connection :"),
		"a bare newline":         with("memory\r\n", "memory\n"),
		"a bare return":          with("memory\r\n", "mem\rory\r\n"),
		"a zero":                 with("memory\r\n", "memory\r\nX-A: \x00\r\n"),
		"a name with a slash":    with("Connection:", "X/A: b\r\nConnection:"),
		"no colon":               with("Connection:", "what\r\nConnection:"),
		"octets above ASCII":     with("Connection:", "X-A: \xff\xc3\xa9\r\nConnection:"),
		"a length":               with("Connection:", "Content-Length: 4\r\nConnection:") + "body",
		"a length of 0":          with("Connection:", "Content-Length: 0\r\nConnection:"),
		"two lengths":            with("Connection:", "Content-Length: 4\r\nContent-Length: 5\r\nConnection:") + "body!",
		"chunks":                 with("Connection:", "Transfer-Encoding: chunked\r\nConnection:") + "0\r\n\r\n",
		"an expectation":         with("Connection:", "Expect: 100-continue\r\nConnection:"),
		"a strange expectation":  with("Connection:", "Expect: what\r\nConnection:"),
		"101 fields":             with("Connection:", strings.Repeat("X-A: b\r\n", 101)+"Connection:"),
		"5 KiB":                  with("Connection:", "Cookie: "+strings.Repeat("a", 5<<10)+"\r\nConnection:"),
		"17 KiB":                 with("Connection:", "Cookie: "+strings.Repeat("a", 17<<10)+"\r\nConnection:"),
		"a long URI":             with("?x=1", "?"+strings.Repeat("a", 9<<10)),
		"an old version":         with("13", "8"),
		"a short key":            with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
		"a foreign origin":       with("Connection:", "Origin: http://elsewhere\r\nConnection:"),
		"its own origin":         with("Connection:", "Origin: http://memory\r\nConnection:"),
		"an empty line before":   "\r\n" + plainUpgrade,
		"nothing of HTTP":        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"the preface of HTTP/2":  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	}
}

// Two ways to read a request must not differ in what they let in.
func TestOddUpgradesAreAnsweredAsByNetHTTP(t *testing.T) {
	t.Parallel()
	for name, text := range oddUpgrades() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{}, func(h *skein.Host) { h.HandleWS("/ws", echo) })
				bare := skeintest.NewListener()
				h := &http.Server{Handler: srv.Server, ReadHeaderTimeout: time.Second, MaxHeaderBytes: 12 << 10}
				go func() { _ = h.Serve(bare) }()
				_, r := request(t, bare, text)
				want, wantBody := answered(t, r)
				_, r = request(t, srv.Listener, text)
				if got, body := answered(t, r); got != want || body != wantBody {
					t.Errorf("got %d %q, want %d %q", got, body, want, wantBody)
				}
				_ = h.Close()
			})
		})
	}
}

func TestUpgradesComeInPiecesAndWithFramesBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		handshake := `{"event":"#handshake","cid":1}`
		frame := "\x81" + string([]byte{0x80 | byte(len(handshake))}) + "\x00\x00\x00\x00" + handshake
		nc, r := request(t, srv.Listener, "")
		for _, octet := range []byte(plainUpgrade + frame[:9]) {
			if _, err := nc.Write([]byte{octet}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if status, body := answered(t, r); status != http.StatusSwitchingProtocols {
			t.Fatalf("got %d %q, want 101", status, body)
		}
		if _, err := io.WriteString(nc, frame[9:]); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 2)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, head[1])
		if _, err := io.ReadFull(r, body); err != nil || !strings.HasPrefix(string(body), `{"rid":1,`) {
			t.Errorf("got %q, %v, want the answer to the handshake", body, err)
		}
	})
}

// The second request of a connection has a time-out of its own.
func TestRequestsThatAreNoUpgradesMayPrecedeOne(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"at once": 0, "behind the time-out of the first": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{}, func(*skein.Host) {})
				nc, r := request(t, srv.Listener, "GET /nowhere HTTP/1.1\r\nHost: memory\r\n\r\n")
				if status, _ := answered(t, r); status != http.StatusNotFound {
					t.Fatalf("got %d, want 404", status)
				}
				<-time.After(pause)
				if _, err := io.WriteString(nc, plainUpgrade); err != nil {
					t.Fatal(err)
				}
				if status, body := answered(t, r); status != http.StatusSwitchingProtocols {
					t.Errorf("got %d %q, want 101", status, body)
				}
			})
		})
	}
}

// The answer would be lost if the connection were closed while the client still sends.
func TestRefusedClientsMaySendForAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		began := time.Now()
		nc, r := request(t, srv.Listener, strings.Replace(plainUpgrade, "13", "8", 1))
		if status, body := answered(t, r); status != http.StatusUpgradeRequired || body == "" {
			t.Errorf("got %d %q, want 426 and why", status, body)
		}
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as it comes
			t.Errorf("got %v, want the end", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v, want less than a second", took)
		}
	})
}

func TestClientsThatSayNothingAreSentAway(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{"at all": "", "but a beginning": plainUpgrade[:50]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{Timeouts: skein.Timeouts{Header: 3 * time.Second}}, func(*skein.Host) {})
				began := time.Now()
				nc, _ := request(t, srv.Listener, said)
				if _, err := nc.Read(make([]byte, 1)); err == nil {
					t.Error("got an answer, want the end")
				}
				if took := time.Since(began); took != 3*time.Second {
					t.Errorf("it took %v, want 3 s", took)
				}
			})
		})
	}
}

func TestShutdownEndsThoseWhoHaveSaidNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		nc, _ := request(t, srv.Listener, plainUpgrade[:50])
		synctest.Wait()
		began := time.Now()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v, want no wait for somebody silent", took)
		}
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("got an answer, want the end")
		}
	})
}

// Whatever is sent is answered as by net/http alone. A header without an end is not: net/http answers some of these.
func FuzzUpgradeRequests(f *testing.F) {
	for _, text := range oddUpgrades() {
		if len(text) < 1<<10 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		text += "\r\n\r\n"
		synctest.Test(t, func(t *testing.T) {
			srv := start(t, skein.Options{}, func(*skein.Host) {})
			bare := skeintest.NewListener()
			h := &http.Server{Handler: srv.Server, ReadHeaderTimeout: time.Second, MaxHeaderBytes: 12 << 10}
			go func() { _ = h.Serve(bare) }()
			within := func(l *skeintest.Listener) (int, string) {
				nc, r := request(t, l, text)
				defer time.AfterFunc(time.Minute, func() { _ = nc.Close() }).Stop()
				return answered(t, r)
			}
			want, wantBody := within(bare)
			if got, body := within(srv.Listener); got != want || body != wantBody {
				t.Errorf("got %d %q, want %d %q", got, body, want, wantBody)
			}
			_ = h.Close()
		})
	})
}

// net/http answers, or gives up, what can be no upgrade, without waiting for the end of a header.
func TestWhatCanBeNoUpgradeIsLeftAtOnce(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"bare newlines":  "GET /nowhere HTTP/1.0\n\n",
		"no HTTP":        "hello there\r\n",
		"TLS":            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
		"another method": "HEAD /nowhere HTTP/1.0\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := start(t, skein.Options{}, func(*skein.Host) {})
				began := time.Now()
				nc, _ := request(t, srv.Listener, text)
				answer := make([]byte, 12)
				if _, err := io.ReadFull(nc, answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.") {
					t.Errorf("got %q, %v, want an answer", answer, err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("it took %v, want no wait", took)
				}
			})
		})
	}
}

// Octets that come at the last moment must not buy another time-out.
func TestAHeaderHasOneTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		began := time.Now()
		nc, _ := request(t, srv.Listener, "GET /socketcluster/ HTTP/1.1\r\nHost: memory\r\n")
		<-time.After(4500 * time.Millisecond)
		if _, err := io.WriteString(nc, "Cookie: "+strings.Repeat("a", 5<<10)); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, nc); err != nil && n > 0 {
			t.Errorf("got %d octets, %v, want the end", n, err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v, want 5 s", took)
		}
	})
}

func TestRefusalsKeepWhatTheySayOfTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		_, r := request(t, srv.Listener, strings.Replace(plainUpgrade, "Connection: Upgrade", "Connection: close", 1))
		answer, err := io.ReadAll(r)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 426 ") || !strings.Contains(string(answer), "\r\nConnection: Upgrade, close\r\n") {
			t.Errorf("got %q, %v, want 426 and Connection: Upgrade, close", answer, err)
		}
	})
}
