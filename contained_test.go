package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/skeintest"
)

// brittle is an engine that panics where the channel is named so.
type brittle struct {
	engine.Engine

	whole bool // and at its start and end
}

func (b brittle) Start(ctx context.Context, sink engine.Sink) error {
	if b.whole {
		panic("Start")
	}
	return b.Engine.Start(ctx, sink)
}

func (b brittle) Publish(ctx context.Context, m engine.Message) error {
	if strings.HasPrefix(m.Channel, "brittle") {
		panic("Publish")
	}
	return b.Engine.Publish(ctx, m)
}

func (b brittle) Join(ctx context.Context, channel string) error {
	if channel == "brittle" {
		panic("Join")
	}
	return b.Engine.Join(ctx, channel)
}

func (b brittle) Leave(channel string) {
	if channel == "stuck" {
		panic("Leave")
	}
	b.Engine.Leave(channel)
}

func (b brittle) Close(ctx context.Context) error {
	if err := b.Engine.Close(ctx); err != nil {
		return err
	}
	panic("Close")
}

func TestPanicOfAnEngineCostsOneAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		srv := skein.New(skein.Options{Engine: brittle{Engine: engine.NewMemory()}, Logger: log.logger()})
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		l := skeintest.NewListener()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		c := (&skeintest.Server{Server: srv, Listener: l}).Conn(t, "/socketcluster/", nil)
		ask(t, c, `{"event":"#handshake","cid":1}`)
		for _, tc := range []struct{ packet, want string }{
			{`{"event":"#subscribe","data":{"channel":"brittle"},"cid":2}`, `"rid":2,"error"`},
			{`{"event":"#subscribe","data":{"channel":"brittle"},"cid":3}`, `"rid":3,"error"`}, // nothing is left of the first one
			{`{"event":"#publish","data":{"channel":"brittle","data":1},"cid":4}`, `"rid":4,"error"`},
			{`{"event":"#subscribe","data":{"channel":"stuck"},"cid":5}`, `{"rid":5}`},
			{`{"event":"#unsubscribe","data":"stuck","cid":6}`, `{"rid":6}`},
			{`{"event":"#subscribe","data":{"channel":"stuck"},"cid":7}`, `{"rid":7}`},
			{`{"event":"#unsubscribe","data":"stuck","cid":8}`, `{"rid":8}`},
		} {
			if got := ask(t, c, tc.packet); !strings.Contains(got, tc.want) {
				t.Errorf("%s: got %s, want %s", tc.packet, got, tc.want)
			}
		}
		if st := srv.Stats(); st.Panics != 5 || st.Channels != 0 || st.Sessions != 1 {
			t.Errorf("got %d panics, %d channels and %d sessions, want 5, 0 and 1", st.Panics, st.Channels, st.Sessions)
		}
		wantContains(t, log.String(), `doing="join a channel" panic=Join`, `doing="leave a channel" panic=Leave`, "doing=publish panic=Publish")
		c.Terminate()
		if err := srv.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "close the engine: ") {
			t.Errorf("got %v, want that the engine has failed", err)
		}
		if err := <-served; err != nil {
			t.Errorf("got %v from Serve", err)
		}
	})
	got := startError(t, skein.Options{Engine: brittle{engine.NewMemory(), true}})
	wantContains(t, got, "start the engine: ")
}

// rotten is a plugin of which every part panics, once the server is ready.
type rotten struct{}

func (rotten) Meta() skein.Meta { return skein.Meta{Name: "rotten"} }

func (rotten) Setup(_ context.Context, h *skein.Host) error {
	hook := func(_ context.Context, e *skein.Event) error {
		if e.Session != nil && e.Session.Token() == nil && e.Channel == "" && e.Name == "" {
			return nil // who only comes and goes
		}
		panic("a hook")
	}
	h.OnUpgrade(func(_ context.Context, e *skein.Event) error {
		if e.Request.URL.Query().Has("rotten") {
			panic("OnUpgrade")
		}
		return nil
	})
	for _, on := range []func(skein.HookFunc) *skein.Hook{h.OnHandshake, h.OnConnect, h.OnAuthenticate, h.OnAuthChange, h.OnDisconnect, h.OnGap} {
		on(hook)
	}
	for _, on := range []func(string, skein.HookFunc) *skein.Hook{h.OnSubscribe, h.OnSubscribed, h.OnUnsubscribe, h.OnPublish, h.OnDeliver, h.OnCall, h.OnTransmit} {
		on("rotten*", hook)
	}
	h.OnSubscribed("joined", hook)
	h.OnUnsubscribe("joined", hook)
	h.OnDeliver("delivered", hook)
	h.Receive("receiver", func(context.Context, *skein.Session, json.RawMessage) error { panic("a receiver") })
	skein.Procedure(h, "procedure", func(context.Context, *skein.Session, json.RawMessage) (skein.Nothing, error) { panic("a procedure") })
	skein.Operation(h, "POST /operation", func(context.Context, skein.Nothing) (skein.Nothing, error) { panic("an operation") })
	h.HandleFunc("GET /route", func(http.ResponseWriter, *http.Request) { panic("a route") })
	h.HandleWS("/raw", func(*skein.RawConn) error { panic("a raw endpoint") })
	skein.HandleMessages(h, "/messages", func(context.Context, json.RawMessage) (skein.Nothing, error) { panic("messages") })
	h.Subscribe("heard", func(context.Context, json.RawMessage) error { panic("a listener") })
	h.Go("work", func(context.Context) error { panic("work") })
	h.Every("tick", time.Second, func(context.Context) error { panic("a tick") })
	h.Once("once", func(context.Context) error { panic("once") })
	h.OnAsk("question", func(context.Context, string, []byte) ([]byte, error) { panic("an answer") })
	h.Health("sick", func(context.Context) error { panic("health") })
	h.Metrics(func(func(skein.Metric)) { panic("metrics") })
	h.OnDrain(func(context.Context) error { panic("OnDrain") })
	h.OnStop(func(context.Context) error { panic("OnStop") })
	h.Codec("rotten", rottenCodec{})
	h.AuthScheme("rotten", rottenScheme{})
	return nil
}

type rottenCodec struct{}

func (rottenCodec) Decode(_ bool, data []byte) ([]byte, error) {
	if string(data) == "rot" {
		panic("Decode")
	}
	return data, nil
}

func (rottenCodec) Encode(text []byte) (bool, []byte, error) {
	if strings.Contains(string(text), "rot") {
		panic("Encode")
	}
	return false, text, nil
}

type rottenScheme struct{}

func (rottenScheme) Verify(context.Context, string) (*skein.Token, error) { panic("Verify") }

func (rottenScheme) Sign(context.Context, json.RawMessage, time.Duration) (*skein.Token, error) {
	panic("Sign")
}

// A panic in any code of a plugin ends what it was asked for, or one connection: never another one, and never the process.
func TestPanicInAnyPartOfAPluginHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		srv := skein.New(skein.Options{Logger: log.logger(), Endpoints: []skein.Endpoint{
			{Ping: skein.Ping{Off: true}}, {Path: "/codec/", Codec: "rotten"}, {Path: "/scheme/", AuthScheme: "rotten"},
		}})
		if err := srv.Register(rotten{}); err != nil {
			t.Fatal(err)
		}
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := &skeintest.Server{Server: srv, Listener: skeintest.NewListener()}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(s.Listener) }()
		good, _ := open(t, s, "/socketcluster/")
		ask(t, good, `{"event":"#subscribe","data":{"channel":"good"},"cid":2}`)
		provoke(t, s)
		pass(time.Minute)
		if got := ask(t, good, `{"event":"#publish","data":{"channel":"good","data":1},"cid":3}`); got != `{"event":"#publish","data":{"channel":"good","data":1}}` {
			t.Errorf("the good client got %s, want its message", got)
		}
		if got := next(t, good); got != `{"rid":3}` {
			t.Errorf("the good client got %s, want the acknowledgement", got)
		}
		wantContains(t, log.String(), "panic=OnUpgrade", `panic="a hook"`, `panic="a receiver"`, `panic="a procedure"`, `panic="an operation"`,
			`panic="a route"`, `panic="a raw endpoint"`, "panic=messages", "panic: a listener", "panic: work", "panic: a tick", "panic: once",
			"panic=metrics", "panic=Decode", "panic=Verify", "OnSubscribed", "OnUnsubscribe", "OnDeliver", "OnTransmit")
		good.Terminate()
		err := srv.Shutdown(t.Context())
		for _, part := range []string{"OnDrain: panic", "OnStop: panic"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("got %v, want it to tell %s", err, part)
			}
		}
		if err := <-served; err != nil && !errors.Is(err, skein.ErrStopped) {
			t.Errorf("got %v from Serve", err)
		}
	})
}

// provoke reaches every part of the rotten plugin.
func provoke(t *testing.T, s *skeintest.Server) {
	t.Helper()
	if _, err := s.Upgrade(t.Context(), "/socketcluster/?rotten", nil); err == nil {
		t.Error("the upgrade was allowed")
	}
	c, _ := open(t, s, "/socketcluster/")
	for _, packet := range []string{
		`{"event":"#subscribe","data":{"channel":"rotten"},"cid":2}`, `{"event":"#publish","data":{"channel":"rotten"},"cid":2}`,
		`{"event":"#subscribe","data":{"channel":"joined"},"cid":2}`, `{"event":"#unsubscribe","data":"joined","cid":3}`,
		`{"event":"#subscribe","data":{"channel":"delivered"},"cid":2}`, `{"event":"#publish","data":{"channel":"delivered"},"cid":2}`,
		`{"event":"rotten","cid":2}`, `{"event":"rotten"}`, `{"event":"receiver"}`, `{"event":"procedure","cid":2}`,
		`{"event":"#publish","data":{"channel":"heard","data":1},"cid":2}`,
	} {
		if got := ask(t, c, packet); strings.HasPrefix(got, "closed") {
			t.Fatalf("%s: %s, want the connection to live on", packet, got)
		}
	}
	c.Terminate()
	for _, path := range []string{"/route", "/messages", "/operation"} {
		method := http.MethodGet
		if path != "/route" {
			method = http.MethodPost
		}
		if got := inject(t, s, method, path, "{}"); !strings.HasPrefix(got, "500") {
			t.Errorf("%s: got %s, want 500", path, got)
		}
	}
	for path, message := range map[string]string{"/raw": "", "/messages": "{}", "/codec/": "rot"} {
		c, err := s.Upgrade(t.Context(), path, nil)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, c, message)
		c.Terminate()
	}
	told := s.Conn(t, "/codec/", nil)
	ask(t, told, `{"event":"#handshake","cid":1}`)
	ask(t, told, `{"event":"#subscribe","data":{"channel":"rot"},"cid":2}`)
	_ = s.Publish(t.Context(), "rot", json.RawMessage(`"rot"`)) // nobody gets it
	told.Terminate()
	scheme := s.Conn(t, "/scheme/", nil)
	if got := ask(t, scheme, `{"event":"#handshake","data":{"authToken":"a"},"cid":1}`); !strings.HasPrefix(got, "closed with 1011") {
		t.Errorf("the scheme that panics: got %s, want a close with 1011", got)
	}
	_ = s.Metrics()
	if err := s.Ready(t.Context()); err == nil {
		t.Error("the sick plugin is well")
	}
}
