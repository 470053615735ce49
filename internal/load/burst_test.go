package load

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeintest"
)

func TestABurstMeasuresDeliveriesAndOpenings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := inMemory(t, Burst, Options{Conns: 5, Rate: 100, Duration: time.Second, Burst: 200, Parallel: 10})
		if err != nil {
			t.Fatal(err)
		}
		// Ten at a time, each of which takes an upgrade and a handshake.
		took := 20 * 2 * distance
		if r.Seconds < took.Seconds() || r.Seconds > 2*took.Seconds() || !about(r.Connects, 200/took.Seconds()) || r.Lost != 0 || r.Rate != 100 {
			t.Errorf("got %+v, want 200 connections within %v", r, took)
		}
		if r.Calm == nil || r.Opening == nil {
			t.Fatalf("got %v and %v, want the latencies before, and those of the openings", r.Calm, r.Opening)
		}
		checkLatency(t, *r.Opening, 2*distance)
		for _, l := range []Latency{*r.Calm, r.Latency} {
			if !about(float64(l.P50), float64(distance)) {
				t.Errorf("got a median of %v, want %v", l.P50, distance)
			}
		}
	})
}

// What came before the burst must not hide what came with it.
func TestLatenciesOfABurstAreItsOwn(t *testing.T) {
	t.Parallel()
	b := &bench{}
	for i := range b.meters {
		b.meters[i].note(time.Hour)
	}
	calm := b.forget()
	b.meters[3].note(time.Millisecond)
	if got := sum(&b.meters).latency; calm.P50 != Millis(time.Hour) || got.total != 1 || got.most != time.Millisecond {
		t.Errorf("got %v before, and %d up to %v, want an hour, and one of a millisecond", calm, got.total, got.most)
	}
}

func TestAFailedStormEndsTheRun(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, storm := range map[string]func(context.Context) (*Report, error){
		"another process": func(context.Context) (*Report, error) { return nil, refused },
		"here":            nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := skeintest.Start(t, skein.Options{})
			dial := far(srv.Listener)
			var dialled atomic.Int64
			o := Options{Conns: 2, Rate: 100, Duration: time.Second, Burst: 30, Parallel: 4, Storm: storm}
			o.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dialled.Add(1) > 20 {
					return nil, refused
				}
				return dial(ctx, network, addr)
			}
			if _, err := Run(t.Context(), Burst, o); !errors.Is(err, refused) || !strings.HasPrefix(err.Error(), "burst: ") {
				t.Errorf("%s: got %v, want that the burst was refused", name, err)
			}
		})
	}
}

func TestAStormElsewhereIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lasts := 3 * time.Second
		o := Options{Conns: 2, Rate: 100, Duration: time.Second, Storm: func(context.Context) (*Report, error) {
			<-time.After(lasts)
			return &Report{Connects: 5, Latency: Latency{P99: 7}}, nil
		}}
		r, err := inMemory(t, Burst, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Connects != 5 || r.Opening.P99 != 7 || !about(r.Seconds, lasts.Seconds()) || !about(r.Done, 200) {
			t.Errorf("got %+v, want its connects and latencies, and the deliveries of %v", r, lasts)
		}
	})
}
