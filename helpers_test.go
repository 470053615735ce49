package skein_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

// setup is what a plugin made of a function does.
type setup = func(h *skein.Host)

// plugin makes a plugin of a function that cannot fail.
func plugin(name string, fn setup) skein.Plugin {
	return skein.Func(name, func(_ context.Context, h *skein.Host) error {
		fn(h)
		return nil
	})
}

// start starts a server with one plugin.
func start(t *testing.T, o skein.Options, fn setup) *skeintest.Server {
	t.Helper()
	return skeintest.Start(t, o, plugin("test", fn))
}

// startError starts a server with plugins and returns why it does not start.
func startError(t *testing.T, o skein.Options, plugins ...skein.Plugin) string {
	t.Helper()
	srv := skein.New(o)
	for _, p := range plugins {
		if err := srv.Register(p); err != nil {
			t.Fatal(err)
		}
	}
	err := srv.Start(t.Context())
	if err == nil {
		t.Error("the server has started")
		_ = srv.Shutdown(t.Context()) // it should not be there
		return ""
	}
	return err.Error()
}

// open opens a session with a handshake. The endpoint's protocol may be any.
func open(t *testing.T, srv *skeintest.Server, path string) (*skeintest.Conn, *skein.Session) {
	t.Helper()
	return openFrom(t, srv, "memory", path)
}

// openFrom opens a session as if from an address.
func openFrom(t *testing.T, srv *skeintest.Server, from, path string) (*skeintest.Conn, *skein.Session) {
	t.Helper()
	c, err := upgradeFrom(t, srv, from, path)
	if err != nil {
		t.Fatal(err)
	}
	hello := ask(t, c, `{"event":"#handshake","data":{},"cid":1}`)
	var answer struct{ Data struct{ ID string } }
	if err := json.Unmarshal([]byte(hello), &answer); err != nil {
		t.Fatalf("got %s, want an answer to the handshake", hello)
	}
	s := srv.Session(answer.Data.ID)
	if s == nil {
		t.Fatalf("got %s, want a session", hello)
	}
	return c, s
}

// upgradeFrom opens a connection as if from an address, or is refused.
func upgradeFrom(t *testing.T, srv *skeintest.Server, from, path string) (*skeintest.Conn, error) {
	t.Helper()
	nc, err := srv.Listener.DialFrom(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	c, err := skeintest.Upgrade(t.Context(), nc, path, nil)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	t.Cleanup(c.Terminate)
	return c, nil
}

// ask sends a packet and returns the next message that is not a ping; "" is none.
func ask(t *testing.T, c *skeintest.Conn, packet string) string {
	t.Helper()
	if err := c.Send(packet); err != nil {
		t.Fatal(err)
	}
	return next(t, c)
}

// next returns the next message that is not a ping; "" is none.
func next(t *testing.T, c *skeintest.Conn) string {
	t.Helper()
	for {
		synctest.Wait()
		m, ok, err := c.TryRead()
		if err != nil {
			return err.Error()
		}
		if !ok {
			return ""
		}
		if text := string(m.Data); text != "" && text != "#1" {
			return text
		}
	}
}

// journal is a log and a list of events for tests. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// note adds a line.
func (j *journal) note(line string) { _, _ = j.Write([]byte(line + "\n")) }

// lines returns what has been noted, and forgets it.
func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := strings.TrimSpace(j.text.String())
	j.text.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// logger writes records without the time.
func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "stack" {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// wantContains complains where text lacks one of the parts.
func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("got %q, want %q in it", text, part)
		}
	}
}
