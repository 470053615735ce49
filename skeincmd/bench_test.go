package skeincmd

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/load"
	"github.com/skeinrt/skein/skeintest"
)

// benched runs bench in virtual time, with a server in memory.
func benched(ctx context.Context, t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	srv := skeintest.Start(t, skein.Options{})
	var o, e bytes.Buffer
	s := Streams{In: strings.NewReader(""), Out: &o, Err: &e, Dial: srv.Listener.DialContext}
	code = Run(ctx, append([]string{"bench"}, args...), s, testCatalog())
	return code, o.String(), e.String()
}

func TestBenchTellsMachinesTheWholeReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		code, out, errs := benched(t.Context(), t, "--json", "--conns", "10", "--rate", "50", "--duration", "2s", "fanout")
		if code != exitOK {
			t.Fatalf("got exit code %d\n%s", code, errs)
		}
		var r struct {
			Mode             load.Mode
			Conns            int
			Seconds, Rate    float64
			DonePerSecond    float64
			LatencyMs        map[string]float64
			Lost, OutOfOrder *int64
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if r.Mode != load.Fanout || r.Conns != 10 || r.Seconds != 2 || r.Rate != 50 || r.DonePerSecond < 490 || r.DonePerSecond > 510 {
			t.Errorf("got %+v, want about 500 deliveries a second of 10 subscribers for 2 s", r)
		}
		if len(r.LatencyMs) != 6 || r.Lost == nil || *r.Lost != 0 || r.OutOfOrder == nil || *r.OutOfOrder != 0 {
			t.Errorf("got %+v, want latencies, nothing lost and nothing out of order", r)
		}
	})
}

func TestBenchTellsPeopleATable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		code, out, errs := benched(t.Context(), t, "--conns", "10", "--rate", "50", "--duration", "2s", "fanout")
		for _, want := range []string{"fanout        10 connections, 2 s\n", "delivered     ", "/s of 50/s\n", "lost          0\n"} {
			if code != exitOK || !strings.Contains(out, want) {
				t.Errorf("got exit code %d and\n%s%swant %q in it", code, out, errs, want)
			}
		}
		if want := "connecting 10 subscribers\nmeasuring for 2s\n"; errs != want {
			t.Errorf("standard error: got %q, want %q", errs, want)
		}
	})
}

func TestAnInterruptedBenchPrintsNoFigures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, interrupt)
		code, out, errs := benched(ctx, t, "--conns", "10", "--duration", "1h", "idle")
		if code != exitFailed || out != "" || !strings.HasSuffix(errs, "skein: interrupted: nothing was measured to the end\n") {
			t.Errorf("got exit code %d, %q and %q, want that it was interrupted", code, out, errs)
		}
	})
}

func TestBenchKnowsEveryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []load.Mode{load.Fanout, load.Saturate, load.RPC, load.Connect, load.Idle, load.Burst} {
		var errs bytes.Buffer
		args := []string{"bench", "--conns=-1", string(mode)}
		if code := Run(t.Context(), args, Streams{Out: io.Discard, Err: &errs}, testCatalog()); code != exitFailed || !strings.Contains(errs.String(), "must be positive") {
			t.Errorf("%s: got exit code %d and %s, want that of the options", mode, code, &errs)
		}
	}
}
