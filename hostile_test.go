package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// pieces are what hostile messages are put together of.
func pieces() []string {
	return []string{
		`{"event":"#handshake","data":{"authToken":"x"},"cid":1}`, `{"event":"#authenticate","data":"a.b.c","cid":2}`, `{"event":"#removeAuthToken"}`,
		`{"event":"#subscribe","data":{"channel":"a"},"cid":3}`, `{"event":"#unsubscribe","data":"a","cid":4}`, `{"event":"#publish","data":{"channel":"a","data":[1]},"cid":5}`,
		`{"event":"echo","data":{"deep":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `},"cid":6}`, `{"event":"fail","data":"panic","cid":7}`,
		`{"event":"panic"}`, `{"rid":1,"data":1}`, `{"rid":1e999,"error":{}}`, `{"event":"#disconnect","data":{"code":1000}}`, `{"event":"#publish","data":{"channel":"no/panic"},"cid":8}`,
		"[", "]", "{", "}", ",", ":", `"`, "\\u0000", "null", "1e400", "-", "\xff", "\x00", "#1", "#2", "", " ", "\ufeff", `{"event":"__proto__","cid":9}`,
		"\x81\xa1\x65\x93\xaa#handshake\x81\xa9authToken\xc0\x01", "\xdf\xff\xff\xff\xff", "\xc1", "\x91",
	}
}

// hostile makes a message of pieces, cut and repeated.
func hostile(r *rand.Rand) []byte {
	all := pieces()
	var b strings.Builder
	for range 1 + r.IntN(6) {
		p := all[r.IntN(len(all))]
		switch r.IntN(4) {
		case 0:
			p = p[:r.IntN(len(p)+1)]
		case 1:
			p = "[" + p + "," + p + "]"
		}
		b.WriteString(p)
	}
	return []byte(b.String())
}

func TestHostileMessagesCostOnlyTheirConnection(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := skein.Options{Endpoints: []skein.Endpoint{{Lax: seed%2 == 0, Ping: skein.Ping{Off: true}}}, Tokens: newTokens(t, authOptions(), testKey)}
				srv := skeintest.Start(t, o, fixture())
				good, _ := open(t, srv, "/socketcluster/")
				r := rand.New(rand.NewPCG(seed, 1))
				for range 60 {
					attack(t, srv, r)
				}
				pass(10 * time.Second)
				synctest.Wait()
				if got := ask(t, good, `{"event":"echo","data":"fine","cid":2}`); got != `{"rid":2,"data":"fine"}` {
					t.Errorf("the good client got %s, want fine", got)
				}
				if st := srv.Stats(); st.Conns != 1 || st.Sessions != 1 || st.Channels != 0 {
					t.Errorf("got %d connections, %d sessions and %d channels, want 1, 1 and 0", st.Conns, st.Sessions, st.Channels)
				}
			})
		})
	}
}

// attack opens a connection, sends hostile messages and cuts it.
func attack(t *testing.T, srv *skeintest.Server, r *rand.Rand) {
	t.Helper()
	c, err := srv.Upgrade(t.Context(), "/socketcluster/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Terminate()
	if r.IntN(3) > 0 {
		_ = c.Send(`{"event":"#handshake","cid":1}`) // it may be over already
	}
	for range 1 + r.IntN(8) {
		m := hostile(r)
		switch r.IntN(5) {
		case 0:
			err = c.SendBinary(m)
		case 1:
			err = c.SendFrame(byte(r.IntN(256)), m[:min(len(m), 125)])
		default:
			err = c.Send(string(m))
		}
		if err != nil {
			return
		}
	}
	synctest.Wait()
	for ok := true; ok && err == nil; {
		_, ok, err = c.TryRead()
	}
}

// FuzzSession has the fuzzer be the client.
func FuzzSession(f *testing.F) {
	for _, p := range pieces() {
		f.Add([]byte(p), false)
		f.Add([]byte(p), true)
	}
	f.Fuzz(func(t *testing.T, message []byte, binary bool) {
		synctest.Test(t, func(t *testing.T) {
			srv := skeintest.Start(t, skein.Options{Endpoints: []skein.Endpoint{{Lax: true}}, Tokens: newTokens(t, authOptions(), testKey)}, fixture())
			c := srv.Conn(t, "/socketcluster/", nil)
			for range 2 { // before the handshake, and behind it
				send := c.Send(string(message))
				if binary {
					send = c.SendBinary(message)
				}
				if send != nil {
					break
				}
				_ = c.Send(`{"event":"#handshake","cid":1}`) // the next round tells
			}
			synctest.Wait()
			panics := 0.0
			for _, m := range srv.Metrics() {
				if m.Name == "panics_total" {
					panics = m.Value
				}
			}
			if asked := strings.Contains(string(message), "panic"); panics > 0 && !asked {
				t.Errorf("got %v panics from %q", panics, message)
			}
		})
	})
}

// An endpoint's own filter is code of the program: a panic of it ends one connection.
func TestPanicOfAFilterEndsOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		filter := func(ctx context.Context, s *skein.Session, m skein.RawMessage) error {
			if skein.FromContext(ctx) != s {
				t.Error("the context is not the session's")
			}
			if string(m.Raw) == "boom" {
				panic("as asked")
			}
			if string(m.Data) == `"drop"` {
				return errors.New("dropped")
			}
			return nil
		}
		srv := start(t, skein.Options{Endpoints: []skein.Endpoint{{Inbound: filter}}}, func(*skein.Host) {})
		a, _ := open(t, srv, "/socketcluster/")
		b, _ := open(t, srv, "/socketcluster/")
		if got := ask(t, a, "drop"); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		if got := ask(t, a, "boom"); !strings.HasPrefix(got, "closed with 1011 ") {
			t.Errorf("got %s, want a close with 1011", got)
		}
		if got := ask(t, b, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`); got != `{"rid":2}` {
			t.Errorf("the other session got %s, want {\"rid\":2}", got)
		}
		if got := srv.Stats().Panics; got != 1 {
			t.Errorf("got %d panics, want 1", got)
		}
	})
}

func TestSlowHooksHaveADeadline(t *testing.T) {
	t.Parallel()
	wait := func(ctx context.Context, _ *skein.Event) error {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	for name, test := range map[string]struct {
		set    setup
		packet string
		want   string
	}{
		"handshake":    {func(h *skein.Host) { h.OnHandshake(wait) }, `{"event":"#handshake","cid":1}`, `{"rid":1,"error":{"message":"context deadline exceeded"}}`},
		"authenticate": {func(h *skein.Host) { h.OnAuthenticate(wait) }, `{"event":"#authenticate","data":"$bob","cid":1}`, `{"rid":1,"data":{"isAuthenticated":false,"authError":{"message":"context deadline exceeded"}}}`},
		"call":         {func(h *skein.Host) { h.OnCall("*", wait) }, `{"event":"x","cid":1}`, `{"rid":1,"error":{"message":"context deadline exceeded"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o := skein.Options{Timeouts: skein.Timeouts{Hook: 3 * time.Second}, Endpoints: []skein.Endpoint{{Lax: true, Protocol: skein.V2}}, Tokens: newTokens(t, authOptions(), testKey)}
				c := start(t, o, test.set).Conn(t, "/socketcluster/", nil)
				if got := ask(t, c, strings.ReplaceAll(test.packet, "$bob", tokensByName()["$bob"])); got != "" {
					t.Errorf("got %s at once", got)
				}
				pass(3 * time.Second)
				if got := next(t, c); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			})
		})
	}
	t.Run("upgrade", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			srv := start(t, skein.Options{Timeouts: skein.Timeouts{Hook: 3 * time.Second}}, func(h *skein.Host) { h.OnUpgrade(wait) })
			_, err := srv.Upgrade(t.Context(), "/socketcluster/", nil)
			if want := `refused with 401 "context deadline exceeded"`; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	})
}

func TestClientThatLeavesDuringTheHandshakeIsNotOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			observing(&seen)(h)
			h.OnHandshake(func(_ context.Context, e *skein.Event) error {
				e.Session.Terminate()
				return nil
			})
		})
		c := srv.Conn(t, "/socketcluster/", nil)
		if got := ask(t, c, `{"event":"#handshake","cid":1}`); got != `closed with 1006 ""` {
			t.Errorf("got %s, want a cut connection", got)
		}
		if got := seen.lines(); len(got) != 1 || got[0] != "disconnect code=1006 opened=false" {
			t.Errorf("got %q, want only the end", got)
		}
		if st := srv.Stats(); st.Sessions != 0 || st.Conns != 0 || srv.Endpoints()[0].Pending != 0 {
			t.Errorf("got %+v, want nobody", st)
		}
	})
}

// Who asks and does not read the answer holds its connection for a while, and not for ever.
func TestAnswersHaveADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrote := make(chan error, 1)
		write := func(w http.ResponseWriter) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64<<10))
			}
			wrote <- err
		}
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleFunc("GET /much", func(w http.ResponseWriter, _ *http.Request) { write(w) })
			h.HandleFunc("GET /stream", func(w http.ResponseWriter, _ *http.Request) {
				if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
				write(w)
			})
		})
		for path, want := range map[string]time.Duration{"/much": time.Minute, "/stream": time.Hour} {
			nc, err := srv.Listener.DialContext(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := nc.Write([]byte("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			if err := <-wrote; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: got %v, want a deadline", path, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("%s: got the end after %v, want %v", path, took, want)
			}
			_ = nc.Close() // the server has closed it
		}
	})
}

// A request with a length and with chunks has two ends. Whatever is behind either is not read.
func TestChunkedRequestIsTheLastOneOfItsConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		})
		nc, err := srv.Listener.DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		request := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
		if _, err := nc.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(nc)
		if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 || err != nil {
			t.Errorf("got %d answers, %v, want one and the end: %s", n, err, answer)
		}
	})
}

// A plugin's errors may say what a client has sent, as long as it is and with all that is in it.
func TestErrorsThatRepeatWhatClientsSendAreShortInTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		srv := start(t, skein.Options{Logger: log.logger()}, func(h *skein.Host) {
			h.Receive("say", func(_ context.Context, _ *skein.Session, data json.RawMessage) error { return errors.New(string(data)) })
		})
		c, _ := open(t, srv, "/socketcluster/")
		for range 100 {
			ask(t, c, `{"event":"say","data":"`+strings.Repeat("é", 50000)+`\nlevel=ERROR"}`)
		}
		told := 0
		for _, line := range log.lines() {
			if strings.Contains(line, "éé") {
				told++
			}
			if len(line) > 10<<10 || strings.HasPrefix(line, "level=ERROR\"") || !utf8.ValidString(line) {
				t.Errorf("got a line of %d octets: %.100q", len(line), line)
			}
		}
		if told == 0 || told > 20 {
			t.Errorf("got %d lines for 100 errors, want at most 20, and one", told)
		}
	})
}
