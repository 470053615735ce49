package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

// inMemory runs in virtual time.
func inMemory(t *testing.T, mode Mode, o Options, plugins ...skein.Plugin) (*Report, error) {
	t.Helper()
	srv := skeintest.Start(t, skein.Options{}, plugins...)
	o.NetDial = far(srv.Listener)
	r, err := Run(t.Context(), mode, o)
	if err == nil && (r.Mode != mode || r.Conns != o.withDefaults().Conns || r.Seconds <= 0) {
		t.Errorf("got a report of %s with %d connections in %v s", r.Mode, r.Conns, r.Seconds)
	}
	return r, err
}

func about(got, want float64) bool { return got > want*0.97 && got < want*1.03 }

// checkLatency wants everything to have taken so long.
func checkLatency(t *testing.T, l Latency, want time.Duration) {
	t.Helper()
	for name, got := range map[string]Millis{"mean": l.Mean, "p50": l.P50, "p95": l.P95, "p99": l.P99, "p999": l.P999, "max": l.Max} {
		if !about(float64(got), float64(want)) {
			t.Errorf("%s: got a latency of %v, want %v", name, got, want)
		}
	}
}

func TestFanoutMeasuresRateAndLatency(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Conns: 10, Rate: 100, Duration: 2 * time.Second},
		{Conns: 10, Rate: 100, Duration: 2 * time.Second, Pubs: 4, Warmup: time.Second, Size: 4000, Prefix: "a b"},
		{Conns: 10, Rate: 100, Duration: 2 * time.Second, Channels: 10, Pubs: 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, err := inMemory(t, Fanout, o)
			if err != nil {
				t.Fatal(err)
			}
			fan := float64(o.Conns) / float64(max(o.Channels, 1))
			if !about(r.Published, 100) || !about(r.Done, 100*fan) || r.Rate != 100 {
				t.Errorf("got %v published and %v delivered, want 100 and %v a second", r.Published, r.Done, 100*fan)
			}
			if r.Lost != 0 || r.OutOfOrder != 0 || r.Repeated != 0 || r.Server != nil {
				t.Errorf("got %+v, want nothing lost, late or repeated, and nothing of the server", r)
			}
			checkLatency(t, r.Latency, distance)
		})
	}
}

func TestSaturateKeepsItsWindow(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Conns: 6, Duration: time.Second, Window: 1},
		{Conns: 6, Duration: time.Second, Window: 5},
		{Conns: 6, Duration: time.Second, Window: 5, Pubs: 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, err := inMemory(t, Saturate, o)
			if err != nil {
				t.Fatal(err)
			}
			// A window of messages in each 5 ms, of which the server may send some a read later.
			most := float64(o.Window*max(o.Pubs, 1)) / distance.Seconds()
			if r.Published > most*1.03 || r.Published < most/3 || !about(r.Done, 6*r.Published) {
				t.Errorf("got %v published and %v delivered, want at most %v and six times as many", r.Published, r.Done, most)
			}
			if o.Window == 1 && o.Pubs == 0 {
				checkLatency(t, r.Latency, distance)
			}
			if r.Lost != 0 || r.OutOfOrder != 0 {
				t.Errorf("got %d lost and %d out of order, want none", r.Lost, r.OutOfOrder)
			}
		})
	}
}

func TestRPCCountsAnswers(t *testing.T) {
	t.Parallel()
	for _, window := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			r, err := inMemory(t, RPC, Options{Conns: 5, Duration: time.Second, Window: window})
			if err != nil {
				t.Fatal(err)
			}
			most := float64(5*window) / distance.Seconds()
			if r.Done > most*1.03 || r.Done < most/3 || r.Lost != 0 {
				t.Errorf("got %v answers a second and %d lost, want at most %v and none", r.Done, r.Lost, most)
			}
			if window == 1 && !about(r.Done, most) {
				t.Errorf("got %v answers, want %v", r.Done, most)
			}
		})
	}
}

func TestConnectMeasuresUpgradeAndHandshake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := inMemory(t, Connect, Options{Conns: 100, Parallel: 10})
		if err != nil {
			t.Fatal(err)
		}
		if want := 10 / (2 * distance).Seconds(); !about(r.Connects, want) {
			t.Errorf("got %v connects a second, want %v", r.Connects, want)
		}
		checkLatency(t, r.Latency, 2*distance)
	})
}

func TestIdleSubscribersAnswerPings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := Options{Conns: 20, Channels: 3, Duration: time.Hour}
		if runtime.GOOS == "linux" {
			o.PIDs = []int{os.Getpid()}
		}
		r, err := inMemory(t, Idle, o)
		if err != nil {
			t.Fatalf("a server closes whoever does not answer: %v", err)
		}
		if r.Connects <= 0 || !about(r.Seconds, 3600) {
			t.Errorf("got %+v, want connects, and an hour", r)
		}
		if runtime.GOOS == "linux" && (r.Server == nil || r.Server.Memory < 1<<20) {
			t.Errorf("got %+v of the server, want some MiB", r.Server)
		}
	})
}

func TestPublishersAndCallersAnswerPings(t *testing.T) {
	t.Parallel()
	for mode, o := range map[Mode]Options{
		Fanout: {Conns: 2, Rate: 0.1, Duration: 10 * time.Minute},
		RPC:    {Conns: 1, Window: 1, Duration: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			if r, err := inMemory(t, mode, o); err != nil || r.Lost != 0 {
				t.Errorf("%s: got %+v, %v, want nothing lost", mode, r, err)
			}
		})
	}
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	for mode, want := range map[Mode]string{
		Fanout: "connecting 2 subscribers, measuring for 1s", RPC: "connecting 2 callers, measuring for 1s",
		Connect: "connecting 2 times, 2 at once", Idle: "connecting 2 subscribers, measuring for 1s",
	} {
		synctest.Test(t, func(t *testing.T) {
			var got []string
			o := Options{Conns: 2, Duration: time.Second, Progress: func(text string) { got = append(got, text) }}
			if _, err := inMemory(t, mode, o); err != nil || strings.Join(got, ", ") != want {
				t.Errorf("%s: got %q, %v, want %q", mode, got, err, want)
			}
		})
	}
}

// Every second message is dropped without a word, as publishers ask for no acknowledgement.
func TestLostMessagesAreCounted(t *testing.T) {
	t.Parallel()
	drop := plugin(func(h *skein.Host) {
		h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
			if s, _, ok := findStamp(e.Data); ok && s.number%2 == 0 {
				return errors.New("dropped")
			}
			return nil
		})
	})
	synctest.Test(t, func(t *testing.T) {
		r, err := inMemory(t, Fanout, Options{Conns: 4, Rate: 100, Duration: time.Second}, drop)
		if err != nil {
			t.Fatal(err)
		}
		if r.Lost < 4*49 || r.Lost > 4*51 || !about(r.Done, 200) || r.OutOfOrder != 0 {
			t.Errorf("got %d lost of 400 and %v a second, want half of them", r.Lost, r.Done)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, err := inMemory(t, Saturate, Options{Conns: 4, Duration: time.Minute}, drop)
		if err == nil || !strings.Contains(err.Error(), "deliveries have not come within 10s") {
			t.Errorf("a closed loop: got %v, want that it waits in vain", err)
		}
	})
}

// turns publications around by two, and says each third again.
func TestDisorderAndRepetitionsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := skeintest.NewListener()
		var subscriber func(string)
		var held string
		f := &fake{on: func(p wire.Packet, send func(string)) bool {
			switch {
			case p.Kind == wire.Subscribe:
				subscriber = send
			case p.Kind == wire.Publish && p.CID == nil:
				message := text(string(wire.JSON.AppendPublish(nil, p.Channel, p.Payload)))
				s, _, _ := findStamp(p.Payload)
				if s.number%2 == 1 {
					held = message
					return true
				}
				subscriber(message + held)
				if s.number%3 == 0 {
					subscriber(held)
				}
			}
			return false
		}}
		f.start(t, l)
		r, err := Run(t.Context(), Fanout, Options{Conns: 1, Rate: 100, Duration: 3 * time.Second, NetDial: l.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		if r.Lost != 0 && r.Lost != 1 || r.OutOfOrder < 149 || r.OutOfOrder > 151 || r.Repeated < 49 || r.Repeated > 51 {
			t.Errorf("got %d lost, %d out of order, %d repeated, want 0, 150, 50", r.Lost, r.OutOfOrder, r.Repeated)
		}
	})
}

func TestMessagesOfOthersAreNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := skeintest.Start(t, skein.Options{})
		foreign := make([]byte, stampSize)
		stamp{publisher: 9, number: 1}.put(foreign)
		other := srv.Dial(t, client.Options{})
		done := make(chan error, 1)
		go func() {
			<-time.After(500 * time.Millisecond)
			done <- errors.Join(other.Publish(t.Context(), "bench0", string(foreign)), other.Publish(t.Context(), "bench0", "@@ is no stamp"))
		}()
		r, err := Run(t.Context(), Fanout, small(srv.Listener.DialContext))
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		if !about(r.Done, 200) || r.Lost != 0 || r.OutOfOrder != 0 {
			t.Errorf("got %v a second, %d lost, want 200 and none", r.Done, r.Lost)
		}
	})
}

func TestTokensAuthenticateEveryConnection(t *testing.T) {
	t.Parallel()
	key, err := auth.NewHMAC([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := auth.New(auth.Options{Keys: []auth.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spoil, want string }{{"", ""}, {"x", "connection 1 of 1: handshake refused: the token: AuthToken"}} {
		synctest.Test(t, func(t *testing.T) {
			srv := skeintest.Start(t, skein.Options{Tokens: keys})
			token, err := keys.Sign(map[string]any{"user": "bench"}, auth.SignOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = Run(t.Context(), Connect, Options{Conns: 1, Token: token + c.spoil, NetDial: srv.Listener.DialContext})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTheEndOfTheContextEndsEverything(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Fanout, Saturate, RPC, Connect, Idle, Burst} {
		for _, after := range []time.Duration{0, 7 * time.Millisecond, 200 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				srv := skeintest.Start(t, skein.Options{})
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(after, cancel)
				o := Options{Conns: 500, Parallel: 10, Duration: time.Hour, NetDial: far(srv.Listener)}
				begin := time.Now()
				_, err := Run(ctx, mode, o)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("%s after %v: got %v, want %v", mode, after, err, context.Canceled)
				}
				if took := time.Since(begin) - after; took > 100*time.Millisecond {
					t.Errorf("%s after %v: it took %v more", mode, after, took)
				}
			})
		}
	}
}

func TestTheLossOfTheServerEndsTheRun(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Fanout, Saturate, RPC, Idle, Burst} {
		synctest.Test(t, func(t *testing.T) {
			srv := skeintest.Start(t, skein.Options{})
			stopped := make(chan error, 1)
			time.AfterFunc(time.Second, func() { stopped <- srv.Close(t.Context()) })
			_, err := Run(t.Context(), mode, Options{Conns: 5, Duration: time.Hour, NetDial: far(srv.Listener)})
			if err == nil || !strings.Contains(err.Error(), "closed by the server: 1001") {
				t.Errorf("%s: got %v, want that the server has closed", mode, err)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			f := &fake{}
			f.start(t, l)
			time.AfterFunc(time.Second, f.cut)
			_, err := Run(t.Context(), mode, Options{Conns: 1, Rate: 0.001, Timeout: time.Minute, Duration: time.Hour, NetDial: far(l)})
			if err == nil || !strings.Contains(err.Error(), "the server has ended the connection") && !strings.Contains(err.Error(), "closed") {
				t.Errorf("%s, cut: got %v, want that the connection has ended", mode, err)
			}
		})
	}
}

func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	refuse := func(kind wire.Kind, cid bool) func(wire.Packet, func(string)) bool {
		return func(p wire.Packet, send func(string)) bool {
			if p.Kind != kind || cid && !strings.Contains(p.Channel, "Call") {
				return false
			}
			send(text(string(wire.JSON.AppendFailure(nil, p.CID, []byte(`{"name":"SillyError","message":"not you"}`)))))
			return true
		}
	}
	for want, c := range map[string]struct {
		mode Mode
		f    *fake
	}{
		"connection 1 of 4: upgrade refused: 404 Not Found not here": {Connect, &fake{status: 404}},
		"connection 1 of 4: handshake refused: SillyError: not you":  {Idle, &fake{on: refuse(wire.Handshake, false)}},
		"connection 1 of 4: subscribe refused: SillyError: not you":  {Saturate, &fake{on: refuse(wire.Subscribe, false)}},
		"connection 1 of 1: publish refused: SillyError: not you":    {Fanout, &fake{on: refuse(wire.Publish, false)}},
		" of 4: publish refused: SillyError: not you":                {RPC, &fake{on: refuse(wire.Publish, true)}},
		"connection 1 of 4: handshake: closed by the server: 4008 x": {Connect, &fake{on: closing}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			c.f.start(t, l)
			o := small(l.DialContext)
			o.Parallel = 1
			if _, err := Run(t.Context(), c.mode, o); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func closing(_ wire.Packet, send func(string)) bool {
	send(serverFrame(final|opClose, "\x0f\xa8x"))
	return true
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	t.Parallel()
	silent := func(kind wire.Kind) *fake {
		return &fake{on: func(p wire.Packet, _ func(string)) bool {
			return p.Kind == kind && (kind != wire.Publish || strings.Contains(p.Channel, "Call"))
		}}
	}
	for name, c := range map[string]struct {
		mode Mode
		f    *fake
		want string
	}{
		"handshake": {Connect, silent(wire.Handshake), "connection 1 of 4: no answer within 3s"},
		"subscribe": {Fanout, silent(wire.Subscribe), "connection 1 of 4: no answer within 3s"},
		"calls":     {RPC, silent(wire.Publish), "no call has been answered within 3s"},
		"anything":  {Idle, nil, "connection 1 of 4: no answer within 3s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := skeintest.NewListener()
			if c.f != nil {
				c.f.start(t, l)
			}
			o := small(l.DialContext)
			o.Timeout, o.Parallel, o.Duration = 3*time.Second, 1, time.Hour
			begin := time.Now()
			if _, err := Run(t.Context(), c.mode, o); err == nil || err.Error() != c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("%s: given up after %v", name, took)
			}
		})
	}
}

// The first call of each caller is never answered; the others are.
func TestCallsWithoutAnAnswerAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := skeintest.NewListener()
		first := fmt.Sprint(firstCall + 1)
		f := &fake{on: func(p wire.Packet, send func(string)) bool {
			if string(p.CID) == first {
				return true
			}
			<-time.After(time.Millisecond)
			return false
		}}
		f.start(t, l)
		r, err := Run(t.Context(), RPC, small(l.DialContext))
		if err != nil || r.Lost != 4 {
			t.Errorf("got %+v, %v, want 4 lost", r, err)
		}
	})
}
