package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/client"
)

func TestReadmePrintsThisProgram(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(program)+"```") {
		t.Error("README.md has no block of Go that is main.go to the letter")
	}
}

// The program is run as it is: it has no seam for a test, because its reader has none either.
func TestRawMessageReachesASubscriber(t *testing.T) {
	t.Parallel()
	addr := run(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := dial(ctx, t, addr)
	s, err := c.Subscribe(ctx, "testChannel")
	if err != nil {
		t.Fatal(err)
	}
	sendRaw(t, addr, `{"hello":1}`, "no JSON")
	for _, want := range []string{`{"hello":1}`, `"no JSON"`} {
		if m, err := s.Next(ctx); err != nil || string(m.Data) != want {
			t.Errorf("got %s and %v, want %s", m.Data, err, want)
		}
	}
}

// run builds and starts the program on a port that was free a moment ago: it does not say where it listens.
func run(t *testing.T) (addr string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "seed.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), binary)
	c.Env = append(os.Environ(), "ADDR="+addr)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() }) // killed by the end of the test's context
	return addr
}

// dial tries until the program listens.
func dial(ctx context.Context, t *testing.T, addr string) *client.Client {
	t.Helper()
	for {
		c, err := client.Dial(ctx, client.Options{URL: "ws://" + addr})
		if err == nil {
			t.Cleanup(func() { _ = c.Close() }) // the program may have ended before
			return c
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// sendRaw is a plain WebSocket by hand: the upgrade, and a frame for each message, masked with zeros.
func sendRaw(t *testing.T, addr string, messages ...string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the program may have ended before
	_, _ = fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr) // the answer tells
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v and %v, want an upgrade", res, err)
	}
	_ = res.Body.Close() // an upgrade has none
	for _, m := range messages {
		frame := append([]byte{0x81, 0x80 | byte(len(m)), 0, 0, 0, 0}, m...)
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
}
