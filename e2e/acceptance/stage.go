package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/skeinrt/skein/client"
)

// stage is a running server with two clients of each major version, and a plain WebSocket.
type stage struct {
	server    *process
	addr      string
	listeners []*puppet // who is subscribed to testChannel: two neighbours of each version, at first
	raw       *puppet
}

func majors() []int { return []int{20, 19, 18, 17, 16, 15, 14, 13} }

// stage is the one of steps 3 to 8, with its clients subscribed.
func (l *lab) stage(ctx context.Context) (*stage, error) {
	if l.main != nil {
		return l.main, nil
	}
	s, err := l.open(ctx, "./cmd/skein", majors())
	l.main = s
	return s, err
}

// open runs a program's serve and connects two clients of each version.
func (l *lab) open(ctx context.Context, program string, majors []int, args ...string) (*stage, error) {
	s := &stage{}
	var err error
	if s.server, s.addr, err = l.serve(ctx, program, args...); err != nil {
		return nil, err
	}
	for _, major := range majors {
		for range 2 {
			c, err := l.client(ctx, major, s.addr)
			if err != nil {
				s.close()
				return nil, err
			}
			s.listeners = append(s.listeners, c)
		}
	}
	if s.raw, err = l.raw(ctx, "ws://"+s.addr+"/ws"); err != nil {
		s.close()
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stage) ready(ctx context.Context) error {
	for _, c := range s.listeners {
		if _, err := c.once(ctx, "subscribe"); err != nil {
			return err
		}
	}
	_, err := s.raw.once(ctx, "connect")
	return err
}

func (s *stage) close() {
	for _, c := range s.listeners {
		c.kill()
	}
	if s.raw != nil {
		s.raw.kill()
	}
	s.server.stop()
}

// serve runs a program's serve command on a free port.
func (l *lab) serve(ctx context.Context, program string, args ...string) (*process, string, error) {
	binary, err := l.build(ctx, program)
	if err != nil {
		return nil, "", err
	}
	command := append([]string{binary, "serve", "--addr", "127.0.0.1:0"}, args...)
	p, err := spawn(ctx, l.dir, environment(), func(string) {}, command...)
	if err != nil {
		return nil, "", err
	}
	addr, err := p.find(ctx, `ws://(127\.0\.0\.1:\d+)/`)
	if err != nil {
		p.stop()
	}
	return p, addr, err
}

// everybody expects every listener to get from an act these messages, and no others.
func (s *stage) everybody(ctx context.Context, act func() error, want ...string) error {
	had := make([]int, len(s.listeners))
	for i, c := range s.listeners {
		had[i] = len(c.of("message"))
	}
	if err := act(); err != nil {
		return err
	}
	for i, c := range s.listeners {
		if err := c.gets(ctx, had[i], want...); err != nil {
			return err
		}
	}
	return nil
}

// sends is the act of sending text by the plain WebSocket.
func (s *stage) sends(ctx context.Context, what string, args ...any) func() error {
	return func() error {
		_, err := s.raw.do(ctx, what, args...)
		return err
	}
}

// numbered is what the plain WebSocket's count sends.
func numbered(n int, text string) []string {
	list := make([]string, n, n+1)
	for i := range list {
		list[i] = fmt.Sprintf(`{"n":%d}`, i+1)
		if text != "" {
			list[i] = fmt.Sprintf(`{"n":%d,"text":%q}`, i+1, text)
		}
	}
	return append(list, `"end"`)
}

func splitAddr(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr) // the server's own words
	return host, port
}

// request asks by HTTP and returns status and body. Header fields are pairs of name and value.
func request(ctx context.Context, method, url, body string, header ...string) (status int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close() //nolint:errcheck // read as far as wanted
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res.StatusCode, "", nil // what follows are frames
	}
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// upgrade asks for a WebSocket.
func upgrade(ctx context.Context, url string, header ...string) (status int, answer string, err error) {
	header = append(header, "Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return request(ctx, http.MethodGet, url, "", header...)
}

// answers fails unless a request was answered with the status.
func answers(what string, want, got int, body string, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("%s: got %d %s, want %d", what, got, body, want)
	}
	return err
}

// subscribers is how many the server counts on a channel.
func subscribers(ctx context.Context, addr, channel string) (int, error) {
	status, body, err := request(ctx, http.MethodGet, "http://"+addr+"/api/channels/"+url.PathEscape(channel), "")
	if err := answers("count", http.StatusOK, status, body, err); err != nil {
		return 0, err
	}
	var info struct{ Subscribers int }
	err = json.Unmarshal([]byte(body), &info)
	return info.Subscribers, err
}

// counted waits until the server counts so many, and returns how long that took.
func counted(ctx context.Context, addr, channel string, want int, within time.Duration) (time.Duration, error) {
	began := time.Now()
	for {
		n, err := subscribers(ctx, addr, channel)
		if err != nil || n == want {
			return time.Since(began), err
		}
		if time.Since(began) > within {
			return 0, fmt.Errorf("%d are subscribed to %s after %v, want %d", n, channel, within, want)
		}
		if err := pause(ctx); err != nil {
			return 0, err
		}
	}
}

// pause is between two looks at something that does not tell of its changes.
func pause(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dial connects the Go client to a program that does not say when it listens.
func dial(ctx context.Context, addr string) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c, err := client.Dial(ctx, client.Options{URL: "ws://" + addr + "/socketcluster/"})
		if err == nil {
			return c, nil
		}
		if stopped := pause(ctx); stopped != nil {
			return nil, errors.Join(stopped, err)
		}
	}
}
