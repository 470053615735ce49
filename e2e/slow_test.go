package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/client"
)

// deaf opens a session that subscribes to the channel and reads nothing after that.
func deaf(t *testing.T, addr, channel string) net.Conn {
	t.Helper()
	nc, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	_, _ = fmt.Fprintf(nc, "GET /socketcluster/ HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	in := bufio.NewReader(nc)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", answer, err)
	}
	_ = answer.Body.Close()
	for _, packet := range []string{`{"event":"#handshake","data":{},"cid":1}`, `{"event":"#subscribe","data":{"channel":"` + channel + `"},"cid":2}`} {
		_, _ = nc.Write(append([]byte{0x81, 0x80 | byte(len(packet)), 0, 0, 0, 0}, packet...))
	}
	for said := ""; !strings.Contains(said, `{"rid":2}`); {
		b, err := in.ReadByte()
		if err != nil {
			t.Fatal(err)
		}
		said += string(b)
	}
	return nc
}

// figure asks the node's metrics.
func figure(t *testing.T, at, name string) float64 {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(answer.Body) // what is missing is noticed below
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no figure %s", name)
	return 0
}

// flood publishes until enough has been sent, or stop says so, and returns the highest resident memory.
func flood(t *testing.T, at string, messages int, stop func() bool) (most float64) {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{URL: strings.Replace(at, "http", "ws", 1) + "/socketcluster/"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	data := json.RawMessage(`"` + strings.Repeat("x", 8000) + `"`)
	for i := range messages {
		if err := c.Publish(t.Context(), "busy", data); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 {
			most = max(most, figure(t, at, "process_resident_memory_bytes"))
			if stop() {
				break
			}
		}
	}
	return most
}

// Subscribers of a busy channel that never read cost at most what their outboxes may hold, and nothing when they have
// gone. SKEIN_DEAF is how many there are, for more than an ordinary run.
func TestMemoryOfSubscribersThatNeverReadIsBounded(t *testing.T) {
	sessions := 100
	if n, err := strconv.Atoi(os.Getenv("SKEIN_DEAF")); err == nil {
		sessions = n
	}
	const mib = 1 << 20
	slack := 0.0
	if sessions < 500 {
		slack = 40 * mib // memory is given back when a crowd has gone; until then there may be this much of garbage
	}
	binary := build(t, "./cmd/skein")
	for _, policy := range []string{"close", "dropOldest", "dropNewest", "keepLatest"} {
		t.Run(policy, func(t *testing.T) {
			config := t.TempDir() + "/skein.yaml"
			if err := os.WriteFile(config, []byte("channels:\n  - { pattern: busy, slow: "+policy+" }\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := url.Parse(serve(t, fixtureURL, binary, "serve", "--addr", "127.0.0.1:0", "--metrics", "--config", config))
			if err != nil {
				t.Fatal(err)
			}
			addr, at := found.Host, "http://"+found.Host
			var deafOnes []net.Conn
			for range sessions {
				deafOnes = append(deafOnes, deaf(t, addr, "busy"))
			}
			base := figure(t, at, "process_resident_memory_bytes")
			missed := func() bool {
				if policy == "close" {
					return figure(t, at, "skein_slow_closed_total") == float64(sessions)
				}
				return figure(t, at, `skein_dropped_total{policy="`+policy+`"}`) > float64(200*sessions)
			}
			most := flood(t, at, 10_000, missed)
			if limit := base + 1.2*float64(sessions)*mib; most > limit {
				t.Errorf("got %.1f MiB resident, want at most %.1f", most/mib, limit/mib)
			}
			t.Logf("%d sessions: %.1f MiB before, %.1f at most", sessions, base/mib, most/mib)
			for _, c := range deafOnes {
				_ = c.Close()
			}
			most = 1.1*base + slack
			after := figure(t, at, "process_resident_memory_bytes")
			for deadline := time.Now().Add(90 * time.Second); after > most && time.Now().Before(deadline); <-time.After(250 * time.Millisecond) {
				after = figure(t, at, "process_resident_memory_bytes")
			}
			t.Logf("%d sessions: %.1f MiB afterwards", sessions, after/mib)
			if after > most {
				t.Errorf("got %.1f MiB resident afterwards, want those %.1f of before", after/mib, base/mib)
			}
		})
	}
}
