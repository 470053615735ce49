package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Steps 1 to 8: one node.

func serveAlone(ctx context.Context, l *lab) (string, error) {
	// No flag, no file; the variable is for the port, which may be taken on this machine.
	p, err := spawn(ctx, l.root, environment("SKEIN_ADDR=127.0.0.1:0"), func(string) {}, "go", "run", "./cmd/skein", "serve")
	if err != nil {
		return "", err
	}
	defer p.stop()
	var found []string
	for _, expression := range []string{
		`(?m)^skein (\S+)`, `(?m)^node +(\S+)$`, `(?m)^SocketCluster +ws://(127\.0\.0\.1:\d+)/socketcluster/$`,
		`(?m)^raw +ws://(127\.0\.0\.1:\d+)/ws$`, `(?m)^start page +(http://127\.0\.0\.1:\d+/)$`, `(?m)^API +(http://127\.0\.0\.1:\d+/api/)$`,
	} {
		text, err := p.find(ctx, expression)
		if err != nil {
			return "", err
		}
		found = append(found, text)
	}
	status, body, err := request(ctx, http.MethodGet, "http://"+found[2]+"/healthz", "")
	return fmt.Sprintf("version %s, node %s", found[0], found[1]), answers("/healthz", http.StatusOK, status, body, err)
}

func seed(ctx context.Context, l *lab) (string, error) {
	code, err := os.ReadFile(filepath.Join(l.root, "examples/seed/main.go"))
	if err != nil {
		return "", err
	}
	readme, err := os.ReadFile(filepath.Join(l.root, "README.md"))
	if err != nil {
		return "", err
	}
	if !strings.Contains(string(readme), "```go\n"+string(code)+"```") {
		return "", errors.New("the README does not print examples/seed/main.go as it is")
	}
	binary, err := l.build(ctx, "./examples/seed")
	if err != nil {
		return "", err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return "", err
	}
	p, err := spawn(ctx, l.dir, environment("ADDR="+addr), func(string) {}, binary)
	if err != nil {
		return "", err
	}
	defer p.stop()
	return fmt.Sprintf("%d lines", strings.Count(string(code), "\n")), seedWorks(ctx, l, addr)
}

// seedWorks sends a raw message and expects it at the Go client.
func seedWorks(ctx context.Context, l *lab, addr string) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // at the end of its step
	subscription, err := c.Subscribe(ctx, "testChannel")
	if err != nil {
		return err
	}
	raw, err := l.raw(ctx, "ws://"+addr+"/ws")
	if err != nil {
		return err
	}
	defer raw.stop()
	if _, err := raw.once(ctx, "connect"); err != nil {
		return err
	}
	if _, err := raw.do(ctx, "send", `{"hello":1}`); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := subscription.Next(ctx)
	if err == nil && string(m.Data) != `{"hello":1}` {
		err = fmt.Errorf("got %s, want {\"hello\":1}", m.Data)
	}
	return err
}

func connectClients(ctx context.Context, l *lab) (string, error) {
	s, err := l.stage(ctx)
	if err != nil {
		return "", err
	}
	n, err := subscribers(ctx, s.addr, "testChannel")
	if err == nil && n != len(s.listeners) {
		err = fmt.Errorf("the server counts %d subscribers, want %d", n, len(s.listeners))
	}
	if err != nil {
		return "", err
	}
	for _, c := range s.listeners {
		if n := len(c.of("subscribe")); n != 1 {
			return "", fmt.Errorf("%s has seen subscribe %d times, want once", c.label, n)
		}
		if failed := c.of("error"); len(failed) > 0 {
			return "", fmt.Errorf("%s: %w", c.label, failed[0].Error)
		}
	}
	return fmt.Sprintf("%d Node programs, two of each of %v", len(s.listeners), majors()), nil
}

func rawMessages(ctx context.Context, l *lab) (string, error) {
	s, err := l.stage(ctx)
	if err != nil {
		return "", err
	}
	slowest, err := s.latency(ctx)
	if err != nil {
		return "", err
	}
	octets := []byte{0, 1, 2, 250}
	for _, m := range []struct{ what, sent, want string }{
		{"send", "no JSON: ä", `"no JSON: ä"`},
		{"binary", base64.StdEncoding.EncodeToString(octets), `{"base64":true,"data":"AAEC+g=="}`},
	} {
		if err := s.everybody(ctx, s.sends(ctx, m.what, m.sent), m.want); err != nil {
			return "", err
		}
	}
	const many = 1000
	began := time.Now()
	if err := s.everybody(ctx, s.sends(ctx, "count", many), numbered(many, "")...); err != nil {
		return "", err
	}
	return fmt.Sprintf("the last of %d had it after %v; %d numbered ones in %v",
		len(s.listeners), slowest.Round(time.Millisecond), many, time.Since(began).Round(time.Millisecond)), nil
}

// latency sends {"hello":1} and returns when the last client had it. The limit is 100 ms; the clients share this machine
// with whatever else it does, so that the best of some attempts counts.
func (s *stage) latency(ctx context.Context) (slowest time.Duration, err error) {
	for range 5 {
		var sent json.RawMessage
		send := func() (err error) { sent, err = s.raw.do(ctx, "send", `{"hello":1}`); return err }
		if err := s.everybody(ctx, send, `{"hello":1}`); err != nil {
			return 0, err
		}
		slowest = 0
		for _, c := range s.listeners {
			list := c.of("message")
			d, err := took(sent, list[len(list)-1])
			if err != nil {
				return 0, err
			}
			slowest = max(slowest, d)
		}
		if slowest <= 100*time.Millisecond {
			return slowest, nil
		}
	}
	return 0, fmt.Errorf("the last client had the message after %v, want at most 100 ms", slowest)
}

func refusals(ctx context.Context, l *lab) (string, error) {
	s, err := l.stage(ctx)
	if err != nil {
		return "", err
	}
	if back := s.raw.of("message"); len(back) > 0 {
		return "", fmt.Errorf("the sender got %s back", back[0].Data)
	}
	base := "http://" + s.addr
	status, body, err := upgrade(ctx, base+"/nowhere")
	if err := answers("an unknown path", http.StatusNotFound, status, body, err); err != nil {
		return "", err
	}
	status, body, err = request(ctx, http.MethodGet, base+"/ws", "")
	if err := answers("a plain GET", http.StatusUpgradeRequired, status, body, err); err != nil {
		return "", err
	}
	if !strings.Contains(body, "WebSocket") {
		return "", fmt.Errorf("a plain GET is answered with %q, which does not say why", body)
	}
	if err := oversize(ctx, l, s.addr); err != nil {
		return "", err
	}
	return "404, 426, 1009, 403; only an endpoint that echoes answers", errors.Join(foreignOrigins(ctx, l, s.addr), echoes(ctx, l))
}

func oversize(ctx context.Context, l *lab, addr string) error {
	raw, err := l.raw(ctx, "ws://"+addr+"/ws")
	if err != nil {
		return err
	}
	defer raw.stop()
	if _, err := raw.once(ctx, "connect"); err != nil {
		return err
	}
	if _, err := raw.order("size", 1<<20+1); err != nil { // how the sending ends is not the question
		return err
	}
	end, err := raw.once(ctx, "close")
	if err == nil && end.Code != 1009 {
		err = fmt.Errorf("a message over the limit was closed with %d, want 1009", end.Code)
	}
	return err
}

// echoes asks a plugin that does send something back.
func echoes(ctx context.Context, l *lab) error {
	p, addr, err := l.serve(ctx, "./cmd/skein", "--echo", "/echo")
	if err != nil {
		return err
	}
	defer p.stop()
	raw, err := l.raw(ctx, "ws://"+addr+"/echo")
	if err != nil {
		return err
	}
	defer raw.stop()
	if _, err := raw.once(ctx, "connect"); err != nil {
		return err
	}
	if _, err := raw.do(ctx, "send", "hello"); err != nil {
		return err
	}
	return raw.gets(ctx, 0, `"hello"`)
}

func foreignOrigins(ctx context.Context, l *lab, addr string) error {
	const foreign = "https://app.example"
	p, open, err := l.serve(ctx, "./cmd/skein", "--origins", "app.example:443")
	if err != nil {
		return err
	}
	defer p.stop()
	for _, path := range []string{"/ws", "/socketcluster/"} {
		status, body, err := upgrade(ctx, "http://"+addr+path, "Origin", foreign)
		if err := answers("a foreign origin at "+path, http.StatusForbidden, status, body, err); err != nil {
			return err
		}
		status, body, err = upgrade(ctx, "http://"+open+path, "Origin", foreign)
		if err := answers("an allowed origin at "+path, http.StatusSwitchingProtocols, status, body, err); err != nil {
			return err
		}
	}
	return nil
}

func clientPublishes(ctx context.Context, l *lab) (string, error) {
	s, err := l.stage(ctx)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(s.listeners); i += 2 {
		c := s.listeners[i]
		data := map[string]string{"from": c.label}
		publish := func() error { _, err := c.do(ctx, "publish", "testChannel", data); return err }
		if err := s.everybody(ctx, publish, fmt.Sprintf(`{"from":%q}`, c.label)); err != nil {
			return "", fmt.Errorf("%s publishes: %w", c.label, err)
		}
	}
	return "the author too, from each version", nil
}

func leaving(ctx context.Context, l *lab) (string, error) {
	s, err := l.stage(ctx)
	if err != nil {
		return "", err
	}
	var stayed, left []*puppet
	for i, c := range s.listeners {
		if i%2 == 0 {
			stayed = append(stayed, c)
			continue
		}
		left = append(left, c)
		if _, err := c.do(ctx, "unsubscribe", "testChannel"); err != nil {
			return "", err
		}
	}
	defer func() {
		for _, c := range left {
			c.kill()
		}
	}()
	s.listeners = stayed
	if _, err := counted(ctx, s.addr, "testChannel", len(stayed), patience); err != nil {
		return "", err
	}
	heard := func(c *puppet) int { return len(c.of("message")) }
	before := slices.Collect(mapped(left, heard))
	if err := s.everybody(ctx, s.sends(ctx, "send", `{"only":"who stays"}`), `{"only":"who stays"}`); err != nil {
		return "", err
	}
	if after := slices.Collect(mapped(left, heard)); !slices.Equal(before, after) {
		return "", fmt.Errorf("who has unsubscribed got the message: %v messages before it, %v after", before, after)
	}
	killed := s.listeners[0]
	s.listeners = s.listeners[1:]
	killed.kill()
	gone, err := counted(ctx, s.addr, "testChannel", len(s.listeners), patience)
	if err != nil {
		return "", fmt.Errorf("killed: %w", err)
	}
	silent, err := freeze(ctx, l)
	return fmt.Sprintf("a killed client is uncounted after %v, a frozen one after %v of a ping timeout of 2 s",
		gone.Round(time.Millisecond), silent.Round(time.Millisecond)), err
}

func mapped[A, B any](list []A, fn func(A) B) func(yield func(B) bool) {
	return func(yield func(B) bool) {
		for _, a := range list {
			if !yield(fn(a)) {
				return
			}
		}
	}
}

// freeze stops clients whose connections stay: that is what the ping is for. They get the ping timeout, up to an interval
// until the next look, and 2 s to answer the close.
func freeze(ctx context.Context, l *lab) (time.Duration, error) {
	config, err := l.write("pings.yaml", "endpoints:\n- ping: {interval: 500ms, timeout: 2s}\n")
	if err != nil {
		return 0, err
	}
	s, err := l.open(ctx, "./cmd/skein", []int{20}, "--config", config)
	if err != nil {
		return 0, err
	}
	defer s.close()
	for _, c := range s.listeners {
		if _, err := c.order("freeze"); err != nil {
			return 0, err
		}
	}
	d, err := counted(ctx, s.addr, "testChannel", 0, 6*time.Second)
	if err == nil && d < time.Second {
		err = fmt.Errorf("the frozen clients were uncounted after %v, before the ping timeout of 2 s", d)
	}
	return d, err
}

func otherPublishers(ctx context.Context, l *lab) (string, error) {
	s, err := l.stage(ctx)
	if err != nil {
		return "", err
	}
	skein, err := l.build(ctx, "./cmd/skein")
	if err != nil {
		return "", err
	}
	c, err := dial(ctx, s.addr)
	if err != nil {
		return "", err
	}
	defer c.Close() //nolint:errcheck // at the end of its step
	const message = `{"a":1}`
	post := func(body string) func() error {
		return func() error {
			status, answer, err := request(ctx, http.MethodPost, "http://"+s.addr+"/api/publish", body)
			if err == nil && strings.TrimSpace(answer) != "{}" {
				err = fmt.Errorf("POST %s is answered with %d %s, want 200 {}", body, status, answer)
			}
			return answers("POST "+body, http.StatusOK, status, answer, err)
		}
	}
	for _, publish := range []func() error{
		post(`{"channel":"testChannel","data":{"a":1}}`),
		post(`{"channels":["testChannel","elsewhere"],"data":{"a":1}}`),
		func() error {
			_, err := l.output(ctx, skein, "pub", "--url", "ws://"+s.addr+"/socketcluster/", "testChannel", message)
			return err
		},
		func() error { return c.Publish(ctx, "testChannel", map[string]int{"a": 1}) },
	} {
		if err := s.everybody(ctx, publish, message); err != nil {
			return "", err
		}
	}
	return "each once to every client", guarded(ctx, l, skein)
}

// guarded shows key and token to an API that asks for them.
func guarded(ctx context.Context, l *lab, skein string) error {
	const secret, key = "a secret of thirty-two octets, or more", "the key of this very API"
	p, addr, err := l.serve(ctx, "./cmd/skein", "--auth-key", secret, "--api-key", key)
	if err != nil {
		return err
	}
	defer p.stop()
	token, err := l.output(ctx, skein, "token", "sign", "--auth-key", secret, `{"publish":["testChannel"]}`)
	if err != nil {
		return err
	}
	url, body := "http://"+addr+"/api/publish", `{"channel":"testChannel","data":1}`
	for _, shown := range []struct {
		what   string
		bearer string
		want   int
	}{{"no key", "", 401}, {"a wrong key", "the key of another API", 401}, {"the key", key, 200}, {"a token", strings.TrimSpace(token), 200}} {
		var header []string
		if shown.bearer != "" {
			header = []string{"Authorization", "Bearer " + shown.bearer}
		}
		status, answer, err := request(ctx, http.MethodPost, url, body, header...)
		if err := answers("publish with "+shown.what, shown.want, status, answer, err); err != nil {
			return err
		}
	}
	return nil
}
