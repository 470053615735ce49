package skein_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/engine"
)

func authOptions() auth.Options { return auth.Options{} }

// upside is a codec that writes JSON backwards, in binary frames.
type upside struct{}

func (upside) Decode(binary bool, data []byte) ([]byte, error) {
	if !binary {
		return nil, errors.New("text")
	}
	return backwards(data), nil
}

func (upside) Encode(text []byte) (bool, []byte, error) {
	if bytes.Contains(text, []byte("unspeakable")) {
		return false, nil, errors.New("unspeakable")
	}
	return true, backwards(text), nil
}

func backwards(data []byte) []byte {
	data = bytes.Clone(data)
	slices.Reverse(data)
	return data
}

// plainNames is a scheme whose tokens are names, good for a minute.
type plainNames struct{}

func (plainNames) Verify(_ context.Context, signed string) (*skein.Token, error) {
	switch name, ok := strings.CutPrefix(signed, "I am "); {
	case !ok:
		return nil, &skein.Error{Name: "NameError", Message: "say who you are", BadToken: true}
	case name == "late":
		return nil, errors.New("come back tomorrow")
	default:
		claims, err := json.Marshal(map[string]string{"name": name})
		return &skein.Token{Signed: signed, Claims: claims, Expiry: time.Now().Add(time.Minute)}, err
	}
}

func (plainNames) Sign(_ context.Context, claims json.RawMessage, expiry time.Duration) (*skein.Token, error) {
	var c struct{ Name string }
	if err := json.Unmarshal(claims, &c); err != nil || c.Name == "" {
		return nil, errors.New("no name")
	}
	return &skein.Token{Signed: "I am " + c.Name, Claims: claims, Expiry: time.Now().Add(max(expiry, time.Minute))}, nil
}

// counting is an engine that counts and can be made to fail.
type counting struct {
	*engine.Memory
	joins, leaves, publishes, closes atomic.Int32
	startErr, joinErr, publishErr    error
}

func newCounting() *counting { return &counting{Memory: engine.NewMemory()} }

func (c *counting) Start(ctx context.Context, sink engine.Sink) error {
	if c.startErr != nil {
		return c.startErr
	}
	return c.Memory.Start(ctx, sink)
}

func (c *counting) Join(ctx context.Context, channel string) error {
	c.joins.Add(1)
	if c.joinErr != nil {
		return c.joinErr
	}
	return c.Memory.Join(ctx, channel)
}

func (c *counting) Leave(channel string) {
	c.leaves.Add(1)
	c.Memory.Leave(channel)
}

func (c *counting) Publish(ctx context.Context, m engine.Message) error {
	c.publishes.Add(1)
	if c.publishErr != nil {
		return c.publishErr
	}
	return c.Memory.Publish(ctx, m)
}

func (c *counting) Close(ctx context.Context) error {
	c.closes.Add(1)
	return c.Memory.Close(ctx)
}

func TestEngineIsChosenByName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine, unused := newCounting(), newCounting()
		srv := start(t, skein.Options{Engine: unused, EngineName: "mine"}, func(h *skein.Host) { h.Engine("mine", mine) })
		c, _ := open(t, srv, "/socketcluster/")
		ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		if got := ask(t, c, `{"event":"#publish","data":{"channel":"x","data":1}}`); got != `{"event":"#publish","data":{"channel":"x","data":1}}` {
			t.Errorf("got %s, want the publication", got)
		}
		if mine.joins.Load() != 1 || mine.publishes.Load() != 1 || unused.joins.Load() != 0 {
			t.Errorf("got %d joins and %d publications, and %d joins of the other engine, want 1, 1, 0",
				mine.joins.Load(), mine.publishes.Load(), unused.joins.Load())
		}
	})
}

func TestEngineFailuresAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newCounting()
		var log journal
		srv := start(t, skein.Options{Engine: e, Logger: log.logger()}, func(*skein.Host) {})
		c, s := open(t, srv, "/socketcluster/")
		e.joinErr, e.publishErr = errors.New("no network"), errors.New("no network")
		if got, want := ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`),
			`{"rid":2,"error":{"message":"Failed to subscribe socket to the x channel - no network","name":"BrokerError"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(s.Channels()) != 0 || srv.Count("x") != 0 {
			t.Errorf("got channels %v and %d subscribers, want none", s.Channels(), srv.Count("x"))
		}
		wantContains(t, log.String(), "the engine has not joined a channel")
		if got, want := ask(t, c, `{"event":"#publish","data":{"channel":"x","data":1},"cid":3}`),
			`{"rid":3,"error":{"message":"the message to channel \"x\" was not taken over: no network","name":"BrokerError"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := srv.Publish(t.Context(), "x", nil); !errors.Is(err, &skein.Error{Name: skein.NameBroker}) {
			t.Errorf("got %v, want a BrokerError", err)
		}
		if st := srv.Stats(); st.Unpublished != 2 || st.Published != 2 {
			t.Errorf("got %d unpublished of %d, want 2 of 2", st.Unpublished, st.Published)
		}
		e.joinErr = nil
		if got := ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":4}`); got != `{"rid":4}` {
			t.Errorf("got %s, want {\"rid\":4}: the failure must not last", got)
		}
	})
}

func TestEngineThatDoesNotStartFailsTheStart(t *testing.T) {
	t.Parallel()
	e := newCounting()
	e.startErr = errors.New("no network")
	wantContains(t, startError(t, skein.Options{Engine: e}), "start the engine: no network")
	if got := e.closes.Load(); got != 1 {
		t.Errorf("the engine was closed %d times, want once", got)
	}
}

func TestListenersChannelMustBeJoined(t *testing.T) {
	t.Parallel()
	e := newCounting()
	e.joinErr = errors.New("no network")
	got := startError(t, skein.Options{Engine: e}, plugin("p", func(h *skein.Host) { h.Subscribe("x", nil) }))
	wantContains(t, got, `join "x" for a plugin: no network`)
}

func TestCodecOfAPluginCarriesEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := skein.Options{Endpoints: []skein.Endpoint{{Codec: "upside", Protocol: skein.V2}, {Path: "/plain"}}}
		srv := start(t, o, func(h *skein.Host) { h.Codec("upside", upside{}) })
		c := srv.Conn(t, "/socketcluster/", nil)
		say := func(packet string) {
			t.Helper()
			if err := c.SendBinary(backwards([]byte(packet))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		hear := func(want string) {
			t.Helper()
			m, ok, err := c.TryRead()
			if got := string(backwards(m.Data)); err != nil || ok != (want != "") || ok && (!m.Binary || got != want) {
				t.Errorf("got %q, %v, %v, want %q", got, ok, err, want)
			}
		}
		say(`{"event":"#handshake","cid":1}`)
		m, _, err := c.TryRead()
		if err != nil || !strings.HasPrefix(string(backwards(m.Data)), `{"rid":1,"data":{"id":`) {
			t.Fatalf("got %q, %v, want the answer backwards", m.Data, err)
		}
		say(`[{"event":"#subscribe","data":{"channel":"x"},"cid":2},{"event":"#subscribe","data":{"channel":"y"},"cid":3}]`)
		hear(`{"rid":2}`)
		hear(`{"rid":3}`)
		if err := c.Send(`{"event":"#unsubscribe","data":"x","cid":4}`); err != nil { // text is malformed to this codec
			t.Fatal(err)
		}
		synctest.Wait()
		hear("")
		plain, _ := open(t, srv, "/plain")
		ask(t, plain, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		if got := ask(t, plain, `{"event":"#publish","data":{"channel":"x","data":1}}`); got != `{"event":"#publish","data":{"channel":"x","data":1}}` {
			t.Errorf("the plain client got %s", got)
		}
		hear(`{"event":"#publish","data":{"channel":"x","data":1}}`)
		ask(t, plain, `{"event":"#publish","data":{"channel":"x","data":"unspeakable"}}`)
		hear("")
		for s := range srv.Sessions() {
			s.StartBatching()
			_ = s.Transmit("unspeakable", nil) // the codec cannot say it
			_ = s.Transmit("ev", nil)
			s.StopBatching()
		}
		hear("")
		for s := range srv.Sessions() {
			_ = s.Transmit("unspeakable", nil)
			_ = s.Transmit("ev", nil)
		}
		synctest.Wait()
		hear(`{"event":"ev"}`)
	})
}

func TestAuthSchemeOfAPluginVerifiesAndSigns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Endpoints: []skein.Endpoint{{AuthScheme: "names", Ping: skein.Ping{Off: true}}}}, func(h *skein.Host) {
			h.AuthScheme("names", plainNames{})
		})
		c, s := open(t, srv, "/socketcluster/")
		for _, step := range []struct{ token, want string }{
			{"I am bob", `{"rid":2,"data":{"isAuthenticated":true,"authError":null}}`},
			{"nobody", `{"rid":2,"error":{"message":"say who you are","name":"NameError","isBadToken":true}}`},
			{"I am late", `{"rid":2,"data":{"isAuthenticated":false,"authError":{"message":"come back tomorrow"}}}`},
		} {
			if got := ask(t, c, `{"event":"#authenticate","data":"`+step.token+`","cid":2}`); got != step.want {
				t.Errorf("%s: got %s, want %s", step.token, got, step.want)
			}
			for next(t, c) != "" {
				continue
			}
		}
		if err := s.SetToken(t.Context(), map[string]string{"name": "eve"}, skein.TokenOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, want := next(t, c), `{"event":"#setAuthToken","data":{"token":"I am eve"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := s.Token(); got == nil || string(got.Claims) != `{"name":"eve"}` {
			t.Errorf("got %v, want eve", got)
		}
		pass(time.Minute)
		if got := ask(t, c, `{"event":"#publish","data":{"channel":"x"}}`); got != `{"event":"#removeAuthToken"}` {
			t.Errorf("got %s, want the token removed", got)
		}
		if err := s.SetToken(t.Context(), map[string]string{}, skein.TokenOptions{}); err == nil {
			t.Error("a token without a name was signed")
		}
		if got := next(t, c); got != `closed with 4002 ""` {
			t.Errorf("got %s, want a close with 4002", got)
		}
	})
}

func TestServerVerifiesWithItsOwnTokens(t *testing.T) {
	t.Parallel()
	srv := skein.New(skein.Options{Tokens: newTokens(t, auth.Options{}, testKey)})
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Shutdown(context.WithoutCancel(t.Context())) })
	token, err := srv.Verify(t.Context(), mint("HS256", testKey, map[string]any{"user": "bob"}))
	var claims struct{ User string }
	if err != nil || token.Decode(&claims) != nil || claims.User != "bob" || !token.Expiry.IsZero() {
		t.Errorf("got %+v, %v, want bob for ever", token, err)
	}
	if err := token.Decode(new(int)); err == nil {
		t.Error("claims were decoded into a number")
	}
	_, err = srv.Verify(t.Context(), "garbage")
	if got, want := described(err), `{"message":"jwt malformed","name":"AuthTokenInvalidError","isBadToken":true}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
