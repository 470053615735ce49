package skein_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

func TestGapIsToldToPluginsAndSessionsOfTheChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told, log journal
		g := clustered(t, 2, skein.Options{Logger: log.logger()}, func(h *skein.Host) {
			h.OnGap(func(_ context.Context, e *skein.Event) error {
				told.note(fmt.Sprintf("%s %q %v", h.Server().Node(), e.Channel, e.Session))
				return errors.New("too bad")
			})
		})
		in, _ := open(t, g.nodes[0], "/socketcluster/")
		ask(t, in, `[{"event":"#subscribe","data":{"channel":"x"},"cid":2},{"event":"#subscribe","data":{"channel":"\"*"},"cid":3}]`)
		ask(t, in, "")
		out, _ := open(t, g.nodes[0], "/socketcluster/")
		g.lines[0].Gap("x", `"*`, "nobody's")
		for _, want := range []string{`{"event":"#gap","data":{"channel":"\"*"}}`, `{"event":"#gap","data":{"channel":"x"}}`, ""} {
			if got := next(t, in); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := next(t, out); got != "" {
			t.Errorf("who is not subscribed got %s", got)
		}
		if got, want := told.lines(), []string{`a "\"*" <nil>`, `a "nobody's" <nil>`, `a "x" <nil>`}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		wantContains(t, log.String(), "observer failed", "hook=OnGap", "too bad")
		for i, want := range []uint64{3, 0} {
			if st := g.nodes[i].Stats(); st.Gaps != want || metric(g.nodes[i], "gaps_total") != float64(want) {
				t.Errorf("node %d: got %d gaps, want %d", i, st.Gaps, want)
			}
		}
	})
}

// However often gaps are reported while hooks are slow, each channel is told of once more.
func TestGapsThatWaitAreToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told journal
		g := clustered(t, 1, skein.Options{}, func(h *skein.Host) {
			h.OnGap(func(_ context.Context, e *skein.Event) error {
				pass(time.Second)
				told.note(e.Channel)
				return nil
			})
		})
		g.lines[0].Gap("x")
		synctest.Wait()
		for range 100 {
			g.lines[0].Gap("x", "y")
		}
		pass(time.Minute)
		if got, want := told.lines(), []string{"x", "x", "y"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestDeathOfANodeIsAGapForTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 3, skein.Options{}, noSetup)
		c := g.nodes[0].Dial(t, client.Options{})
		sub, err := c.Subscribe(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		g.lines[1].Kill()
		if err := g.nodes[2].Publish(t.Context(), "x", []byte("1")); err != nil {
			t.Fatal(err)
		}
		var got []string
		for range 2 {
			m, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%v %s", m.Gap, m.Data))
		}
		slices.Sort(got)
		if want := []string{"none 1", "server "}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q: the Go client tells of it", got, want)
		}
	})
}

func TestLeaveIsNoGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := clustered(t, 2, skein.Options{}, noSetup)
		c, _ := open(t, g.nodes[0], "/socketcluster/")
		ask(t, c, `{"event":"#subscribe","data":{"channel":"x"},"cid":2}`)
		if err := g.nodes[1].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := next(t, c); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
		if st := g.nodes[0].Stats(); st.Gaps != 0 {
			t.Errorf("got %d gaps, want none", st.Gaps)
		}
	})
}

// A plugin that listens to a channel has no session that would be told.
func TestCutIsAGapForChannelsOfPlugins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told journal
		g := clustered(t, 2, skein.Options{}, func(h *skein.Host) {
			h.Subscribe("mine", func(context.Context, raw) error { return nil })
			h.OnGap(func(_ context.Context, e *skein.Event) error {
				told.note(h.Server().Node() + " " + e.Channel)
				return nil
			})
		})
		g.lines[0].Cut()
		synctest.Wait()
		got := told.lines()
		slices.Sort(got)
		if want := []string{"a mine", "b mine"}; !slices.Equal(slices.Compact(got), want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestGapReachesEveryCodec(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engines := skeintest.Link(1)
		srv := start(t, skein.Options{Engine: engines[0]}, noSetup)
		sub, err := srv.Dial(t, client.Options{Codec: "minbin"}).Subscribe(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		engines[0].(*skeintest.Line).Gap("x")
		if m, err := sub.Next(t.Context()); err != nil || m.Gap != client.GapServer {
			t.Errorf("got %+v, %v, want a gap", m, err)
		}
	})
}
