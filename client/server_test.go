package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a small SocketCluster server in memory. What a test wants otherwise it says in on.
type server struct {
	t       *testing.T
	runtime *ws.Runtime
	http    *http.Server
	lines   *lines
	codec   wire.Codec

	// on sees each packet first, and reports whether that was all. Nil: never.
	on func(s *session, p wire.Packet) bool
	// refuse answers upgrades instead of the WebSocket; nil: never.
	refuse http.HandlerFunc
	// greet is called for each connection, before its first message; nil: nothing.
	greet func(c *session)
	// inbox is what a session takes while it is busy.
	inbox int

	mu       sync.Mutex
	sessions []*session
	down     bool
	dials    []time.Time
}

// session is one connection, as the server sees it.
type session struct {
	server *server
	conn   *ws.Conn

	mu       sync.Mutex
	raw      []string // the messages that came, as text
	channels map[string]bool
	end      ws.CloseError
	ended    bool
}

// newServer starts a server that ends with the test. In a bubble the connections are pipes.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{
		t: t, runtime: ws.NewRuntime(ws.Config{Shards: 1}), inbox: 32 << 20,
		lines: &lines{conns: make(chan net.Conn), done: make(chan struct{})},
	}
	s.http = &http.Server{Handler: s}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.http.Serve(s.lines)
	}()
	t.Cleanup(func() {
		_ = s.http.Close()
		<-served
		s.runtime.Close()
	})
	return s
}

// dial connects a client, which ends with the test.
func (s *server) dial(o client.Options) *client.Client {
	s.t.Helper()
	c, err := client.Dial(s.t.Context(), s.options(o))
	if err != nil {
		s.t.Fatalf("dial: %v", err)
	}
	s.t.Cleanup(func() { closeClient(c) })
	return c
}

func closeClient(c *client.Client) {
	_ = c.Close() // tests that end it otherwise look at the error themselves
	<-c.Done()
}

func (s *server) options(o client.Options) client.Options {
	if o.URL == "" {
		o.URL = "ws://skein.test"
	}
	if o.NetDial == nil {
		o.NetDial = s.connect
	}
	if s.codec == wire.MinBin {
		o.Codec = "minbin"
	}
	return o
}

// connect is the client's side of the network.
func (s *server) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	s.dials = append(s.dials, time.Now())
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	select {
	case s.lines.conns <- far:
		return near, nil
	case <-s.lines.done:
		return nil, errors.New("server is gone")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// setDown makes dialling fail, or not.
func (s *server) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// attempts returns when the client dialled.
func (s *server) attempts() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// last returns the latest session.
func (s *server) last() *session {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) == 0 {
		s.t.Fatal("no session")
	}
	return s.sessions[len(s.sessions)-1]
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuse != nil {
		s.refuse(w, r)
		return
	}
	conn, err := s.runtime.Accept(w, r, ws.Options{MaxMessage: 32 << 20, Inbox: s.inbox})
	if err != nil {
		s.t.Errorf("accept: %v", err)
		return
	}
	c := &session{server: s, conn: conn, channels: map[string]bool{}}
	s.mu.Lock()
	s.sessions = append(s.sessions, c)
	s.mu.Unlock()
	conn.Start(c)
	if s.greet != nil {
		s.greet(c)
	}
}

func (c *session) Message(_ *ws.Conn, m ws.Message) {
	if !m.Binary && (len(m.Data) == 0 || m.Data[0] == '#') {
		c.note(string(m.Data))
		return
	}
	if m.Binary != c.server.codec.Binary() {
		c.server.t.Errorf("binary: got %v for codec %v", m.Binary, c.server.codec)
	}
	if m.Binary {
		c.note(fmt.Sprintf("%x", m.Data))
	} else {
		c.note(string(m.Data))
	}
	for p := range c.server.codec.Packets(m.Data) {
		if c.server.on == nil || !c.server.on(c, p) {
			c.obey(p)
		}
	}
}

func (c *session) Tick(*ws.Conn) {}

func (c *session) Closed(_ *ws.Conn, e ws.CloseError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end, c.ended = e, true
}

func (c *session) note(message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, message)
}

// obey is what a server does unless the test says otherwise.
func (c *session) obey(p wire.Packet) {
	switch p.Kind {
	case wire.Handshake:
		c.result(p, fmt.Sprintf(`{"id":"s%d","pingTimeout":30000,"isAuthenticated":%t}`, c.number(), truthy(p.Token)))
	case wire.Subscribe:
		c.mu.Lock()
		c.channels[p.Channel] = true
		c.mu.Unlock()
		c.result(p, "")
	case wire.Unsubscribe:
		c.mu.Lock()
		delete(c.channels, p.Channel)
		c.mu.Unlock()
	case wire.Publish:
		c.server.publish(p.Channel, string(p.Payload))
		c.result(p, "")
	case wire.Authenticate:
		c.result(p, `{"isAuthenticated":true,"authError":null}`)
	case wire.Event:
		if p.Event == "echo" {
			c.result(p, string(p.Data))
		}
	}
}

func truthy(token json.RawMessage) bool { return len(token) > 0 && string(token) != "null" }

// number counts the sessions from 1.
func (c *session) number() int {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return slices.Index(c.server.sessions, c) + 1
}

// publish sends a message to every session that is subscribed.
func (s *server) publish(channel, data string) {
	s.mu.Lock()
	sessions := slices.Clone(s.sessions)
	s.mu.Unlock()
	for _, c := range sessions {
		c.mu.Lock()
		in := c.channels[channel] && !c.ended
		c.mu.Unlock()
		if in {
			c.packet(s.codec.AppendPublish(nil, channel, []byte(data)))
		}
	}
}

func (c *session) packet(b []byte) { _ = c.conn.Send(ws.NewFrame(c.server.codec.Binary(), b)) }

// text sends a text frame as it is.
func (c *session) text(s string) { _ = c.conn.Send(ws.NewFrame(false, []byte(s))) }

func (c *session) result(p wire.Packet, data string) {
	if p.CID != nil {
		c.packet(c.server.codec.AppendResult(nil, p.CID, []byte(data)))
	}
}

func (c *session) failure(p wire.Packet, data string) {
	if p.CID != nil {
		c.packet(c.server.codec.AppendFailure(nil, p.CID, []byte(data)))
	}
}

// received returns the messages that have come so far, when nothing moves any more.
func (c *session) received() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.raw)
}

// want fails unless exactly these messages have come behind the first skip ones.
func (c *session) want(skip int, messages ...string) {
	c.server.t.Helper()
	got := c.received()
	if got = got[min(skip, len(got)):]; !slices.Equal(got, messages) {
		c.server.t.Errorf("received behind %d:\ngot  %s\nwant %s", skip, strings.Join(got, "\n     "), strings.Join(messages, "\n     "))
	}
}

// closed returns how the connection ended, and whether it has.
func (c *session) closed() (ws.CloseError, bool) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end, c.ended
}

// lines is a listener whose connections come from connect.
type lines struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *lines) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, io.EOF
	}
}

func (l *lines) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *lines) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// bubble runs a test in virtual time with a server of its own.
func bubble(t *testing.T, f func(s *server)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		f(newServer(t))
	})
}

// after waits for a time that passes at once.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// background calls f and returns where its result will be.
func background[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	synctest.Wait()
	return c
}

// take returns what a background call has returned by now.
func take[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	synctest.Wait()
	select {
	case v := <-c:
		return v
	default:
		t.Fatal("still waiting")
		panic("not reached")
	}
}

// idle fails when a background call has returned.
func idle[T any](t *testing.T, c <-chan T) {
	t.Helper()
	synctest.Wait()
	select {
	case v := <-c:
		t.Fatalf("returned %v, want it to wait", v)
	default:
	}
}

// drain returns what a stream holds now, gaps as <reason>.
func drain(t *testing.T, s *client.Stream) []string {
	t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var items []string
	for {
		m, err := s.Next(ctx)
		switch {
		case err != nil:
			return items
		case m.Gap != client.NoGap:
			items = append(items, "<"+m.Gap.String()+">")
		default:
			items = append(items, string(m.Data))
		}
	}
}

func wantItems(t *testing.T, s *client.Stream, want ...string) {
	t.Helper()
	if got := drain(t, s); !slices.Equal(got, want) {
		t.Errorf("stream holds %q, want %q", got, want)
	}
}

// subscribe fails the test when it is refused.
func subscribe(t *testing.T, c *client.Client, channel string, o ...client.SubscribeOptions) *client.Subscription {
	t.Helper()
	s, err := c.Subscribe(t.Context(), channel, o...)
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	return s
}
