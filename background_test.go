package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

func TestBackgroundWorkIsStartedAgainWhenItFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		var began []time.Time
		srv := start(t, skein.Options{Logger: log.logger()}, func(h *skein.Host) {
			h.Go("flaky", func(ctx context.Context) error {
				began = append(began, time.Now())
				switch len(began) {
				case 3:
					panic("oops")
				case 5:
					<-ctx.Done()
					return nil
				default:
					return errors.New("no network")
				}
			})
		})
		pass(10 * time.Second)
		synctest.Wait()
		if len(began) != 5 {
			t.Fatalf("got %d runs, want 5", len(began))
		}
		pause := 100 * time.Millisecond
		for i := 1; i < len(began); i++ {
			if d := began[i].Sub(began[i-1]); d > pause || d < pause*3/4 {
				t.Errorf("pause %d: got %v, want %v less up to a quarter", i, d, pause)
			}
			pause *= 2
		}
		wantContains(t, log.String(), "background work failed, starting it again", "task=flaky", "no network", "panic: oops", "plugin=test")
		if err := srv.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestBackgroundWorkThatIsDoneStaysDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		start(t, skein.Options{}, func(h *skein.Host) {
			h.Go("once", func(context.Context) error {
				runs.Add(1)
				return nil
			})
		})
		pass(time.Hour)
		synctest.Wait()
		if runs.Load() != 1 {
			t.Errorf("got %d runs, want 1", runs.Load())
		}
	})
}

func TestPauseBetweenRunsHasAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		start(t, skein.Options{}, func(h *skein.Host) {
			h.Go("hopeless", func(context.Context) error {
				if runs.Add(1) == 20 {
					pass(time.Minute) // it has worked for a while: the pause begins anew
				}
				return errors.New("no network")
			})
		})
		pass(time.Hour)
		synctest.Wait()
		if n := runs.Load(); n < 120 || n > 200 {
			t.Errorf("got %d runs in an hour, want one each 22 to 30 s", n)
		}
	})
}

func TestEveryRunsAtItsInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log journal
		var runs atomic.Int32
		srv := start(t, skein.Options{Logger: log.logger()}, func(h *skein.Host) {
			h.Every("tick", time.Minute, func(context.Context) error {
				switch runs.Add(1) {
				case 2:
					return errors.New("missed")
				case 3:
					panic("oops")
				case 4:
					pass(90 * time.Second) // the next run waits for it
				}
				return nil
			})
		})
		pass(30 * time.Second)
		synctest.Wait()
		if runs.Load() != 0 {
			t.Errorf("got %d runs at once, want none", runs.Load())
		}
		pass(8 * time.Minute)
		synctest.Wait()
		if runs.Load() != 7 {
			t.Errorf("got %d runs, want 7", runs.Load())
		}
		wantContains(t, log.String(), "background work failed", "task=tick", "error=missed", "panic: oops")
		if err := srv.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := runs.Load()
		pass(time.Hour)
		synctest.Wait()
		if runs.Load() != before {
			t.Error("it runs on behind the server's end")
		}
	})
}

func TestPluginsListenToChannelsOfAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen, log journal
		engines := skeintest.Link(2)
		listen := plugin("ear", func(h *skein.Host) {
			for _, ear := range []string{"a", "b"} {
				h.Subscribe("news", func(ctx context.Context, data json.RawMessage) error {
					seen.note(ear + " " + string(data))
					if string(data) == `"bad"` {
						return errors.New("cannot take that")
					}
					if skein.FromContext(ctx) != nil {
						t.Error("the context belongs to a session")
					}
					return nil
				})
			}
		})
		here := skeintest.Start(t, skein.Options{Engine: engines[0], Logger: log.logger()}, listen)
		there := skeintest.Start(t, skein.Options{Engine: engines[1]})
		for i, srv := range []*skeintest.Server{here, there} {
			if err := srv.Publish(t.Context(), "news", fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := here.Publish(t.Context(), "news", json.RawMessage(`"bad"`)); err != nil {
			t.Errorf("got %v: a listener cannot refuse", err)
		}
		synctest.Wait()
		got := seen.lines()
		slices.Sort(got)
		want := []string{"a \"bad\"", "a 0", "a 1", "b \"bad\"", "b 0", "b 1"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		wantContains(t, log.String(), "a message was not handled", "channel=news", "cannot take that")
		if got := here.Channels("", 0); len(got) != 0 {
			t.Errorf("got channels %v, want none: no session subscribes", got)
		}
	})
}

func TestListenersQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		heard := 0
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.Subscribe("flood", func(context.Context, json.RawMessage) error {
				<-free
				heard++
				return nil
			})
		})
		for range 2000 {
			if err := srv.Publish(t.Context(), "flood", nil); err != nil {
				t.Fatal(err)
			}
		}
		close(free)
		synctest.Wait()
		dropped := -1.0
		for _, m := range srv.Metrics() {
			if m.Name == "plugin_dropped_total" && m.Labels["channel"] == "flood" && m.Labels["plugin"] == "test" {
				dropped = m.Value
			}
		}
		if heard < 1024 || heard > 1025 || int(dropped)+heard != 2000 {
			t.Errorf("heard %d and dropped %v, want 1,024 heard, or one more, and the rest dropped", heard, dropped)
		}
	})
}

func TestMetricsHaveNamesAndOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{}, func(h *skein.Host) {
			h.Metrics(func(yield func(skein.Metric)) {
				yield(skein.Metric{Name: "rooms", Help: "Rooms.", Kind: "gauge", Value: 3, Labels: map[string]string{"floor": "2"}})
			})
		})
		open(t, srv, "/socketcluster/")
		srv.Conn(t, "/socketcluster/", nil)
		synctest.Wait()
		pass(time.Second)
		got := map[string]skein.Metric{}
		for _, m := range srv.Metrics() {
			if m.Name == "" || m.Name != strings.ToLower(m.Name) || m.Help == "" || (m.Kind == "counter") != strings.HasSuffix(m.Name, "_total") {
				t.Errorf("got %+v, want a name, a help text and a kind that fits the name", m)
			}
			got[m.Name] = m
		}
		for name, want := range map[string]float64{"connections": 2, "sessions": 1, "sessions_opened_total": 1, "rooms": 3, "uptime_seconds": 1} {
			if got[name].Value != want {
				t.Errorf("%s: got %v, want %v", name, got[name].Value, want)
			}
		}
		if labels := got["rooms"].Labels; labels["plugin"] != "test" || labels["floor"] != "2" {
			t.Errorf("got labels %v, want those of the plugin and its name", labels)
		}
	})
}

func TestStatsAreASnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := start(t, skein.Options{Node: "n1"}, func(*skein.Host) {})
		c, _ := open(t, srv, "/socketcluster/")
		ask(t, c, `{"event":"#subscribe","data":{"channel":"a"},"cid":2}`)
		ask(t, c, `{"event":"#publish","data":{"channel":"a"}}`)
		pass(time.Minute - 5*time.Second)
		text, err := json.Marshal(srv.Stats())
		want := `{"node":"n1","uptime":55000000000,"conns":1,"sessions":1,"channels":1,"published":1,"delivered":1,"refused":0,"unpublished":0,"panics":0,"slow":0,"pongTimeouts":1,"gaps":0,"dropped":{"dropOldest":0,"dropNewest":0,"keepLatest":0}}`
		want = strings.NewReplacer(`"conns":1`, `"conns":0`, `"sessions":1`, `"sessions":0`, `"channels":1`, `"channels":0`).Replace(want)
		if err != nil || string(text) != want {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
		if st := skein.New(skein.Options{}).Stats(); st.Uptime != 0 || !strings.HasPrefix(st.Node, "node-") {
			t.Errorf("before the start: got %+v, want no uptime and a random name", st)
		}
	})
}
