package load

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/wire"
)

func listen(t *testing.T) (l net.Listener, url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, "ws://" + l.Addr().String() + "/socketcluster/"
}

// overTCP is a server as it is loaded in earnest.
func overTCP(t *testing.T) (url string, stop func() error) {
	t.Helper()
	l, url := listen(t)
	srv := skein.New(skein.Options{Timeouts: skein.Timeouts{Drain: -1}})
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		return errors.Join(srv.Shutdown(ctx), <-served)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil && !errors.Is(err, skein.ErrStopped) {
			t.Error(err)
		}
	})
	return url, stop
}

func TestEveryModeRunsOverTCP(t *testing.T) {
	t.Parallel()
	url, _ := overTCP(t)
	for _, mode := range []Mode{Fanout, Saturate, RPC, Connect, Idle, Burst} {
		o := Options{URLs: []string{url, url}, Conns: 40, Channels: 4, Pubs: 2, Duration: 100 * time.Millisecond, Burst: 50, Prefix: string(mode)}
		if runtime.GOOS == "linux" {
			o.PIDs = []int{os.Getpid()}
		}
		r, err := Run(t.Context(), mode, o)
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		if r.Lost != 0 || r.OutOfOrder != 0 || r.Repeated != 0 || (r.Done == 0) != (mode == Connect || mode == Idle) || (r.Connects == 0) == (mode == Connect || mode == Idle || mode == Burst) {
			t.Errorf("%s: got %+v, want something, and nothing lost", mode, r)
		}
		if (r.Server != nil) != (runtime.GOOS == "linux") || r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99 {
			t.Errorf("%s: got %+v and %+v", mode, r.Server, r.Latency)
		}
	}
}

func TestTheLossOfAServerOverTCPEndsTheRun(t *testing.T) {
	t.Parallel()
	url, stop := overTCP(t)
	progress := make(chan string, 2)
	result := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), Idle, Options{URLs: []string{url}, Conns: 20, Duration: time.Hour, Progress: func(text string) { progress <- text }})
		result <- err
	}()
	<-progress
	<-progress // all are there
	if err := stop(); err != nil && !errors.Is(err, skein.ErrStopped) {
		t.Fatal(err)
	}
	if err := <-result; err == nil || !strings.Contains(err.Error(), "of 20: closed by the server: 1001") {
		t.Errorf("got %v, want that the server has closed", err)
	}
}

// What the fake server does behind a subscription is what subscribers have to cope with.
func TestSubscribersOverTCPAnswerAndNotice(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", loopChunk)
	for name, c := range map[string]struct{ frames, want string }{
		"pings":      {serverFrame(final|opPing, "x") + text(""), ""},
		"long ones":  {text(long) + text(long) + text(""), ""},
		"fragments":  {serverFrame(opText, "x"), "subscriber 1 of 1: the server splits messages into fragments, which cannot be measured"},
		"bare close": {serverFrame(final|opClose, ""), "subscriber 1 of 1: closed by the server"},
	} {
		l, url := listen(t)
		f := &fake{on: func(p wire.Packet, send func(string)) bool {
			if p.Kind == wire.Subscribe {
				send(text(string(wire.JSON.AppendResult(nil, p.CID, nil))))
				send(c.frames)
				return true
			}
			return false
		}}
		f.start(t, l)
		_, err := Run(t.Context(), Idle, Options{URLs: []string{url}, Conns: 1, Duration: 200 * time.Millisecond})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), strings.TrimPrefix(c.want, "subscriber 1 of 1: "))) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if c.want != "" {
			continue
		}
		_ = l.Close()
		f.serving.Wait() // until the client's goodbye has been read
		if pongs, texts, byes := f.seen(opPong), f.seen(opText), f.seen(opClose); pongs+texts == 0 || texts != 1 || byes != 1 {
			t.Errorf("%s: got %d pongs, %d answers to pings and %d goodbyes", name, pongs, texts, byes)
		}
	}
}

// loopChunk is more than one read takes.
const loopChunk = 300 << 10

func TestACutConnectionOverTCPIsNoticed(t *testing.T) {
	t.Parallel()
	l, url := listen(t)
	f := &fake{}
	f.start(t, l)
	_, err := Run(t.Context(), Idle, Options{URLs: []string{url}, Conns: 1, Duration: time.Hour, Progress: func(text string) {
		if strings.HasPrefix(text, "measuring") {
			f.cut()
		}
	}})
	if err == nil || err.Error() != "subscriber 1 of 1: the server has ended the connection" {
		t.Errorf("got %v, want that it has ended", err)
	}
}

func TestNobodyThereIsToldAtOnce(t *testing.T) {
	t.Parallel()
	l, url := listen(t)
	_ = l.Close()
	if _, err := Run(t.Context(), Connect, Options{URLs: []string{url}, Conns: 1}); err == nil || !strings.Contains(err.Error(), "connection 1 of 1: dial tcp 127.0.0.1:") {
		t.Errorf("got %v, want that nobody listens", err)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(nil)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	url := strings.Replace(srv.URL, "https", "wss", 1)
	if _, err := Run(t.Context(), Connect, Options{URLs: []string{url}, Conns: 1}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want that the certificate is not trusted", err)
	}
	if _, err := Run(t.Context(), Connect, Options{URLs: []string{strings.Replace(url, "wss", "ws", 1)}, Conns: 1}); err == nil || !strings.Contains(err.Error(), "upgrade refused: 400") {
		t.Errorf("without TLS: got %v, want a refusal", err)
	}
}

// Not parallel: it counts what the process allocates.
func TestReadingDeliveriesCostsNoMemory(t *testing.T) {
	b := &bench{Options: Options{Conns: 1, Channels: 1, Pubs: 1, Size: 128}.withDefaults(), start: time.Now()}
	b.measuring.Store(true)
	p := b.newPublisher(0)
	c := &crowd{bench: b, publishers: []*publisher{p}}
	m := &member{crowd: c, meter: &b.meters[0], heard: make([]tally, 1)}
	message := []byte(text(`{"event":"#publish","data":{"channel":"bench0","data":"` + strings.Repeat("x", 128) + `"}}`))
	n := uint64(0)
	got := testing.AllocsPerRun(1000, func() {
		n++
		stamp{0, 0, n, 1}.put(message[60:])
		if err := m.take(message); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 || p.delivered.Load() != int64(n) || b.meters[0].late+b.meters[0].repeated != 0 {
		t.Errorf("got %v allocations and %d of %d deliveries, want none and all", got, p.delivered.Load(), n)
	}
}

func BenchmarkTakeADelivery(b *testing.B) {
	b.ReportAllocs()
	run := &bench{Options: Options{Conns: 1, Channels: 1, Pubs: 1, Size: 128}.withDefaults(), start: time.Now()}
	run.measuring.Store(true)
	c := &crowd{bench: run, publishers: []*publisher{run.newPublisher(0)}}
	m := &member{crowd: c, meter: &run.meters[0], heard: make([]tally, 1)}
	message := []byte(text(`{"event":"#publish","data":{"channel":"bench0","data":"` + strings.Repeat("x", 128) + `"}}`))
	for n := range b.N {
		stamp{0, 0, uint64(n) + 1, 1}.put(message[60:])
		if err := m.take(message); err != nil {
			b.Fatal(err)
		}
	}
}
