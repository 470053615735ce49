package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

func TestHooksRunInTheOrderOfSetUpUnlessTheySayElse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		place map[string]func(k *skein.Hook)
		want  string
	}{
		"set-up":           {nil, "a b c"},
		"before":           {map[string]func(*skein.Hook){"c": func(k *skein.Hook) { k.Before("a") }}, "c a b"},
		"after":            {map[string]func(*skein.Hook){"a": func(k *skein.Hook) { k.After("c") }}, "c a b"},
		"before two":       {map[string]func(*skein.Hook){"c": func(k *skein.Hook) { k.Before("b", "a") }}, "c a b"},
		"before and after": {map[string]func(*skein.Hook){"c": func(k *skein.Hook) { k.Before("b").After("a") }}, "a c b"},
		"before nobody":    {map[string]func(*skein.Hook){"c": func(k *skein.Hook) { k.Before("nobody").After("nobody") }}, "a b c"},
		"before itself":    {map[string]func(*skein.Hook){"a": func(k *skein.Hook) { k.Before("a").After("a") }}, "a b c"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var order []string
			var plugins []skein.Plugin
			for _, p := range []string{"a", "b", "c"} {
				plugins = append(plugins, plugin(p, func(h *skein.Host) {
					k := h.OnPublish("*", func(context.Context, *skein.Event) error {
						order = append(order, p)
						return nil
					})
					if place := test.place[p]; place != nil {
						place(k)
					}
				}))
			}
			synctest.Test(t, func(t *testing.T) {
				srv := skeintest.Start(t, skein.Options{}, plugins...)
				if err := srv.Publish(t.Context(), "x", nil); err != nil {
					t.Fatal(err)
				}
			})
			if got := strings.Join(order, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestRefusalEndsTheChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			for i, verdict := range []error{nil, errors.New("no"), nil} {
				h.OnPublish("*", func(context.Context, *skein.Event) error {
					asked = append(asked, fmt.Sprint(i))
					return verdict
				})
			}
		})
		if err := srv.Publish(t.Context(), "x", nil); err == nil || err.Error() != "no" {
			t.Errorf("got %v, want no", err)
		}
		if !slices.Equal(asked, []string{"0", "1"}) {
			t.Errorf("asked %v, want [0 1]", asked)
		}
		if st := srv.Stats(); st.Refused != 1 || st.Published != 0 {
			t.Errorf("got %d refused and %d published, want 1 and 0", st.Refused, st.Published)
		}
	})
}

func TestHooksAreAskedAboutWhatTheirPatternNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := map[string][]string{}
		patterns := []string{"news", "news/*", "*", `star\*`, `star\**`, ""}
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			for _, p := range patterns {
				h.OnPublish(p, func(_ context.Context, e *skein.Event) error {
					asked[e.Channel] = append(asked[e.Channel], p)
					return nil
				})
			}
		})
		for channel, want := range map[string][]string{
			"news": {"news", "*"}, "news/1": {"news/*", "*"}, "news/": {"news/*", "*"}, "other": {"*"},
			"star*": {"*", `star\*`, `star\**`}, "star*x": {"*", `star\**`}, "starx": {"*"}, "": {"*", ""},
		} {
			if err := srv.Publish(t.Context(), channel, nil); err != nil {
				t.Fatal(err)
			}
			if got := asked[channel]; !slices.Equal(got, want) {
				t.Errorf("%q: asked %q, want %q", channel, got, want)
			}
		}
	})
}

func TestPanicsRefuseUnlessTheHookFailsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		last := 0
		srv := skeintest.Start(t, skein.Options{Logger: log.logger()},
			plugin("watcher", func(h *skein.Host) {
				h.OnPublish("*", func(context.Context, *skein.Event) error { panic("seen too much") }).FailOpen()
			}),
			plugin("guard", func(h *skein.Host) {
				h.OnPublish("bad", func(context.Context, *skein.Event) error { panic("help") })
				h.OnPublish("*", func(context.Context, *skein.Event) error {
					last++
					return nil
				})
			}))
		if err := srv.Publish(t.Context(), "good", nil); err != nil || last != 1 {
			t.Errorf("got %v, and the last hook was asked %d times, want nil and once", err, last)
		}
		err := srv.Publish(t.Context(), "bad", nil)
		if got, want := described(err), `{"message":"plugin \"guard\" failed","name":"PluginError","plugin":"guard"}`; got != want || last != 1 {
			t.Errorf("got %s, and the last hook was asked %d times, want %s and once", got, last, want)
		}
		wantContains(t, log.String(), `plugin=watcher hook=OnPublish panic="seen too much"`, `plugin=guard hook=OnPublish panic=help`)
		panics := map[string]float64{}
		for _, m := range srv.Metrics() {
			if m.Name == "plugin_panics_total" {
				panics[m.Labels["plugin"]] = m.Value
			}
		}
		if panics["watcher"] != 2 || panics["guard"] != 1 || srv.Stats().Panics != 3 {
			t.Errorf("got panics %v and %d in all, want 2 of watcher, 1 of guard, 3", panics, srv.Stats().Panics)
		}
	})
}

// observing notes each event that hooks are told of.
func observing(j *journal) setup {
	say := func(what string) skein.HookFunc {
		return func(_ context.Context, e *skein.Event) error {
			line := what
			for name, value := range map[string]string{"channel": e.Channel, "reason": e.Reason} {
				if value != "" {
					line += " " + name + "=" + value
				}
			}
			if e.Data != nil {
				line += " data=" + string(e.Data)
			}
			if e.Token != nil {
				line += " token=" + string(e.Token.Claims)
			}
			if e.Change != 0 {
				line += fmt.Sprintf(" change=%d first=%v", e.Change, e.First)
			}
			if e.Code != 0 {
				line += fmt.Sprintf(" code=%d opened=%v", e.Code, e.Opened)
			}
			if e.Err != nil {
				line += " err=" + e.Err.Error()
			}
			if e.Session == nil {
				line += " nobody"
			}
			j.note(line)
			return errors.New("observers cannot refuse")
		}
	}
	return func(h *skein.Host) {
		h.OnConnect(say("connect"))
		h.OnAuthChange(say("auth"))
		h.OnSubscribed("*", say("subscribed"))
		h.OnUnsubscribe("*", say("unsubscribe"))
		h.OnDisconnect(say("disconnect"))
	}
}

func TestObserversAreToldInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		srv := start(t, skein.Options{Tokens: newTokens(t, authOptions(), testKey), Endpoints: []skein.Endpoint{{Ping: skein.Ping{Off: true}}}}, observing(&seen))
		c := srv.Conn(t, "/socketcluster/", nil)
		bob := mint("HS256", testKey, map[string]any{"user": "bob"})
		for _, step := range []struct {
			packet string
			want   []string
		}{
			{`{"event":"#handshake","data":{"authToken":"garbage"},"cid":1}`, []string{"auth change=3 first=false err=AuthTokenInvalidError: jwt malformed", "connect err=AuthTokenInvalidError: jwt malformed"}},
			{`{"event":"#authenticate","data":"` + bob + `","cid":2}`, []string{`auth token={"user":"bob"} change=1 first=true`}},
			{`{"event":"#authenticate","data":"` + bob + `","cid":3}`, []string{`auth token={"user":"bob"} change=1 first=false`}},
			{`{"event":"#subscribe","data":{"channel":"a","data":[1]},"cid":4}`, []string{"subscribed channel=a data=[1]"}},
			{`{"event":"#subscribe","data":{"channel":"a"},"cid":5}`, nil},
			{`{"event":"#subscribe","data":{"channel":"b"},"cid":6}`, []string{"subscribed channel=b"}},
			{`{"event":"#unsubscribe","data":"a","cid":7}`, []string{"unsubscribe channel=a"}},
			{`{"event":"#unsubscribe","data":"a","cid":8}`, nil},
			{`{"event":"#removeAuthToken"}`, []string{`auth token={"user":"bob"} change=2 first=false`}},
			{`{"event":"#removeAuthToken"}`, nil},
			{`{"event":"#handshake","data":{"authToken":"` + bob + `"},"cid":9}`, []string{`auth token={"user":"bob"} change=1 first=true`}},
		} {
			ask(t, c, step.packet)
			if got := seen.lines(); !slices.Equal(got, step.want) {
				t.Errorf("%s:\n got %q\nwant %q", step.packet, got, step.want)
			}
		}
		if err := c.Close(4321, "bye"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := []string{"disconnect reason=bye code=4321 opened=true", "unsubscribe channel=b"}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("at the end: got %q, want %q", got, want)
		}
		early := srv.Conn(t, "/socketcluster/", nil)
		early.Terminate()
		synctest.Wait()
		if got, want := seen.lines(), []string{"disconnect code=1006 opened=false"}; !slices.Equal(got, want) {
			t.Errorf("a connection without a handshake: got %q, want %q", got, want)
		}
	})
}

func TestObserversThatFailAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log, seen journal
		srv := skeintest.Start(t, skein.Options{Logger: log.logger()},
			plugin("broken", func(h *skein.Host) {
				h.OnConnect(func(context.Context, *skein.Event) error { panic("cannot look") })
			}),
			plugin("observer", observing(&seen)))
		open(t, srv, "/socketcluster/")
		wantContains(t, log.String(), "plugin=broken hook=OnConnect panic=\"cannot look\"", `msg="observer failed" node=`, "plugin=observer hook=OnConnect error=\"observers cannot refuse\"")
		if got := seen.lines(); !slices.Equal(got, []string{"connect"}) {
			t.Errorf("got %q, want the second observer told all the same", got)
		}
	})
}

func TestHooksSeeWhoPublishes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var host *skein.Host
		var seen journal
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			host = h
			h.OnPublish("*", func(ctx context.Context, e *skein.Event) error {
				who := "nobody"
				if e.Session != nil {
					who = "a session"
					if skein.FromContext(ctx) != e.Session {
						t.Error("the context is not the session's")
					}
				}
				seen.note(fmt.Sprintf("%v %s %s %s", e.Source, e.Plugin, who, e.Data))
				return nil
			})
		})
		c, _ := open(t, srv, "/socketcluster/")
		data := []byte(`{"n":1}`)
		if err := srv.Publish(t.Context(), "x", data); err != nil {
			t.Fatal(err)
		}
		if err := host.Publish(t.Context(), "x", nil); err != nil {
			t.Fatal(err)
		}
		ask(t, c, `{"event":"#publish","data":{"channel":"x","data":[2]}}`)
		want := []string{`api  nobody {"n":1}`, "plugin test nobody ", "client  a session [2]"}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestUpgradeAndHandshakeHooksSeeTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen journal
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			for name, on := range map[string]func(skein.HookFunc) *skein.Hook{"upgrade": h.OnUpgrade, "handshake": h.OnHandshake} {
				on(func(_ context.Context, e *skein.Event) error {
					seen.note(fmt.Sprintf("%s %s session=%v", name, e.Request.URL.RequestURI(), e.Session != nil))
					return nil
				})
			}
		})
		_, s := open(t, srv, "/socketcluster/?a=1&b=2")
		want := []string{"upgrade /socketcluster/?a=1&b=2 session=false", "handshake /socketcluster/?a=1&b=2 session=true"}
		if got := seen.lines(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := s.Query(); got.Get("a") != "1" || got.Get("b") != "2" {
			t.Errorf("got %v, want a=1 and b=2", got)
		}
	})
}

func TestDataIsCheckedWhereItComesFromThePrograms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(*skein.Host) {})
		c, _ := open(t, srv, "/socketcluster/")
		ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		for _, bad := range []string{"", "{", "{} {}", "\xff", "nul"} {
			if err := srv.Publish(t.Context(), "x", json.RawMessage(bad)); !errors.Is(err, &skein.Error{Name: skein.NameInvalidArgument}) {
				t.Errorf("%q: got %v, want InvalidArgumentsError", bad, err)
			}
		}
		if got := next(t, c); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		data := json.RawMessage(`"mine"`)
		if err := srv.Publish(t.Context(), "x", data); err != nil {
			t.Fatal(err)
		}
		copy(data, `"your`) // it belongs to the caller again
		if got, want := next(t, c), `{"event":"#publish","data":{"channel":"x","data":"mine"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
