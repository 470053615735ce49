package ws

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestDriverThatCannotBeHadIsReplacedWithAWarning(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name Driver
		want bool
	}{{"", false}, {DriverPark, false}, {Drivers()[len(Drivers())-1], false}, {"horse", true}} {
		var log bytes.Buffer
		r := NewRuntime(Config{Driver: tc.name, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		h := newSpy()
		_, peer := onTCP(t, r, Options{}, h)
		send(t, peer, text("a"))
		h.wantMessage(t, "a")
		r.Close()
		if got := strings.Contains(log.String(), string("driver="+tc.name)); got != tc.want {
			t.Errorf("%q: got log %q, want a warning: %v", tc.name, log.String(), tc.want)
		}
	}
}

func TestDefaultDriverIsNamedFirst(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	if _, parks := r.driver.(park); parks != (Drivers()[0] == DriverPark) || Drivers()[len(Drivers())-1] != DriverPark {
		t.Errorf("got driver %T and the names %q, want park last, and the first one used", r.driver, Drivers())
	}
}
