package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/skeinrt/skein/bench/report"
)

// TestMain is also what the tests start as children.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "limit", "generate":
			main()
			os.Exit(0)
		case "bench": // in place of skein
			fmt.Println(`{"donePerSecond":5,"server":{"cpuSecondsPerMillion":7}}`)
			os.Exit(0)
		case "say":
			say(os.Args[2:])
			os.Exit(0)
		}
	}
	goleak.VerifyTestMain(m)
}

// say prints lines; "stay" waits for the end of a signal that never comes, "fail" fails.
func say(lines []string) {
	for _, line := range lines {
		switch line {
		case "stay":
			select {}
		case "fail":
			fmt.Fprintln(os.Stderr, "first\nlast words")
			os.Exit(3)
		case "dir":
			line, _ = os.Getwd()
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
			line = "ws://stubborn"
		}
		fmt.Println(line)
	}
}

func child(t *testing.T, args ...string) program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program{args: append([]string{self}, args...)}
}

// alive reports whether the process is there.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestAServerIsReadyWhenItHasToldItsAddress(t *testing.T) {
	t.Parallel()
	srv, err := child(t, "say", "hello", "SocketCluster  ws://127.0.0.1:5/a/ and more", "ws://127.0.0.1:6/", "stay").serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if srv.url != "ws://127.0.0.1:5/a/" || !alive(srv.pid) {
		t.Errorf("got %s of process %d, want the first address of one that is there", srv.url, srv.pid)
	}
	srv.stop()
	if alive(srv.pid) {
		t.Error("it is there after it was stopped")
	}
}

func TestAServerThatEndsTellsWhy(t *testing.T) {
	t.Parallel()
	p := child(t, "say", "hello", "fail")
	if _, err := p.serve(t.Context()); err == nil || err.Error() != p.name()+": it ended: last words" {
		t.Errorf("got %v, want its last words", err)
	}
	if _, err := (program{args: []string{"/nowhere/at/all"}}).serve(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: got %v", err)
	}
}

func TestAServerEndsWithTheContext(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"ws://x", "stubborn"} {
		ctx, cancel := context.WithCancel(t.Context())
		srv, err := child(t, "say", line, "stay").serve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		begin := time.Now()
		srv.stop()
		if took := time.Since(begin); alive(srv.pid) || took > farewell+2*time.Second {
			t.Errorf("%s: alive: %v after %v", line, alive(srv.pid), took)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("interrupted")
	cancel(reason)
	if _, err := child(t, "say", "hello", "stay").serve(ctx); err == nil || !strings.Contains(err.Error(), "interrupted") && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("got %v, want %v", err, reason)
	}
}

func TestProgramsGiveWhatTheyPrint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := child(t, "say", "a", "dir")
	p.dir = dir
	if out, err := p.run(t.Context()); err != nil || string(out) != "a\n"+dir+"\n" {
		t.Errorf("got %q, %v, want what it says in %s", out, err, dir)
	}
	if _, err := child(t, "say", "fail").run(t.Context()); err == nil || !strings.HasSuffix(err.Error(), ": exit status 3: last words") || strings.Contains(err.Error(), "/") {
		t.Errorf("got %v, want its last words and no path", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := child(t, "say", "stay").run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

func TestServersAreNotTunedByOurEnvironment(t *testing.T) {
	t.Parallel()
	all := []string{"PATH=/bin", "SKEIN_ADDR=:1", "GOGC=1", "GOMEMLIMIT=5", "NODE_OPTIONS=--x", "GOPATH=/go", "HOME=/"}
	if got, want := environment(all), []string{"PATH=/bin", "GOPATH=/go", "HOME=/"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(all) != 7 || all[1] != "SKEIN_ADDR=:1" {
		t.Errorf("got %q, want it unchanged", all)
	}
}

func TestTheEndOfWhatIsSaidIsKept(t *testing.T) {
	t.Parallel()
	said := &tail{most: 10}
	for _, text := range []string{"a very long beginning\n", "1234\n", "56789\n\n"} {
		if n, err := io.WriteString(said, text); n != len(text) || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if got := said.String(); got != "56789" || len(said.kept) != 10 {
		t.Errorf("got %q of %q, want the last line of ten octets", got, said.kept)
	}
	if got := new(tail).String(); got != "" {
		t.Errorf("got %q of nothing", got)
	}
}

func TestReportsBecomeSamples(t *testing.T) {
	t.Parallel()
	got, err := parse([]byte(`{"mode":"burst","donePerSecond":5,"connectsPerSecond":6,"latencyMs":{"p50":1,"p99":2,"max":3},
		"calmLatencyMs":{"p99":4},"openingLatencyMs":{"p99":7},"lost":8,"repeated":9,"outOfOrder":10,"ownCores":0.5,
		"server":{"cores":0.25,"cpuSecondsPerMillion":11,"memory":12,"bytesPerConn":13}}`))
	want := report.Sample{
		CPU: 11, Cores: 0.25, Memory: 12, BytesPerConn: 13, Done: 5, Connects: 6, P50: 1, P99: 2, Max: 3, CalmP99: 4, OpenP99: 7,
		Lost: 8, Disorder: 19, Own: 0.5,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := parse([]byte("connecting")); err == nil {
		t.Error("no report: got no error")
	}
}

func TestGeneratorsAreToldTheWholeLoad(t *testing.T) {
	t.Parallel()
	l := &lab{skein: "/bin/skein", self: "/bin/bench"}
	srv := &server{url: "ws://127.0.0.1:5/", pid: 7}
	load := report.Load{Mode: "burst", Conns: 1, Channels: 2, Pubs: 3, Rate: 4.5, Size: 64, Window: 5, Parallel: 6, Burst: 8, Duration: time.Second}
	line := strings.Join(l.generator(contender{}, srv, load).args, " ")
	for _, want := range []string{
		"/bin/skein bench --json --url ws://127.0.0.1:5/ --pid 7 ", " --conns 1 ", " --channels 2 ", " --pubs 3 ", " --rate 4.5 ", " --size 64 ",
		" --window 5 ", " --parallel 6 ", " --burst 8 ", " --duration 1s ", " --warmup 0s burst",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("got %s, want %q in it", line, want)
		}
	}
	if got := strings.Join(l.generator(contender{}, srv, report.Load{Mode: "idle"}).args, " "); strings.Contains(got, "--conns") || strings.Contains(got, "--rate") {
		t.Errorf("got %s, want nothing of what is not asked for", got)
	}
	args := l.generator(contender{foreign: true}, srv, load).args
	var got job
	if err := json.Unmarshal([]byte(args[2]), &got); err != nil || args[0] != "/bin/bench" || args[1] != "generate" {
		t.Fatalf("got %q, %v", args, err)
	}
	if diff := cmp.Diff(job{Load: load, URL: srv.url, PID: srv.pid}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o := got.options()
	if o.Conns != 1 || o.Channels != 2 || o.Pubs != 3 || o.Rate != 4.5 || o.Size != 64 || o.Window != 5 || o.Parallel != 6 || o.Burst != 8 || o.Duration != time.Second || o.PIDs[0] != 7 {
		t.Errorf("got %+v, want the same load", o)
	}
}

func TestIdleServersAreMeasuredForOnePing(t *testing.T) {
	t.Parallel()
	idle, other := report.Load{Mode: "idle", Duration: usualPing / 2}, report.Load{Mode: "fanout", Duration: usualPing}
	slow := contender{ping: socketIOPing}
	for _, c := range []struct{ got, want time.Duration }{
		{slow.of(idle).Duration, socketIOPing / 2},
		{slow.of(other).Duration, usualPing},
		{contender{}.of(idle).Duration, usualPing / 2},
	} {
		if c.got != c.want {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
}

func TestThePlanMeasuresWhatThePageShows(t *testing.T) {
	t.Parallel()
	full := scale{time: 1, conns: 1}
	steps := slices.Concat(full.compared(), full.aimed(), full.grown())
	names := map[string]bool{}
	for _, s := range steps {
		if names[s.Name] || len(s.servers) == 0 {
			t.Errorf("%s: twice, or nobody takes part", s.Name)
		}
		names[s.Name] = true
	}
	for _, want := range []string{
		report.Fanout, report.Saturate, report.Rooms, report.RPC, report.Connect, report.Idle, report.Burst, report.Flood,
		"connections-100", "connections-15000", "subscribers-100", "subscribers-10000", "channels-1", "channels-100000", "size-64", "size-65536",
	} {
		if !names[want] {
			t.Errorf("%s is not measured", want)
		}
	}
	if took := 5*lasts(full.compared()) + 5*lasts(full.aimed()) + 3*lasts(full.grown()); took < 15*time.Minute || took > 45*time.Minute {
		t.Errorf("a full run takes %v", took)
	}
	if took := 2 * lasts(full.compared()); took > 8*time.Minute {
		t.Errorf("a short run takes %v", took)
	}
	for _, s := range steps { // 20,000 files, some of which are others
		if most := s.Load.Conns + s.Load.Burst; most > 18_000 {
			t.Errorf("%s: %d connections are too many for a process", s.Name, most)
		}
	}
}

func TestOnlyAFullRunMakesThePage(t *testing.T) {
	t.Parallel()
	full := scale{time: 1, conns: 1}
	for _, c := range []struct {
		s    settings
		want bool
	}{
		{settings{full: true, scale: full}, false},
		{settings{full: true, scale: scale{time: 2, conns: 1}}, false},
		{settings{scale: full}, true},
		{settings{full: true, only: "idle", scale: full}, true},
		{settings{full: true, only: "idle", replace: true, scale: full}, false},
		{settings{full: true, scale: scale{time: 0.5, conns: 1}}, true},
		{settings{full: true, scale: scale{time: 1, conns: 2}}, true},
	} {
		if got := c.s.partial(); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.s, got, c.want)
		}
	}
}

func TestMachinesAreDescribedWithoutTheirNames(t *testing.T) {
	t.Parallel()
	m, err := machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores < 1 || m.Memory < 1<<28 || m.Kernel == "" || m.Go == "" || !strings.Contains(m.Node, ".") || strings.ContainsAny(m.Node, "v\n") {
		t.Errorf("got %+v, want a machine", m)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(m); strings.Contains(text, host) {
		t.Errorf("got %s, which names the host", text)
	}
}

func TestTablesOfTheKernelAreRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("first line\nmodel name\t: A: fast one\nMemTotal:  5 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want string }{
		{field(file, "model name"), "A: fast one"},
		{field(file, "MemTotal"), "5 kB"},
		{field(file, "other"), ""},
		{field(file+"x", "a"), ""},
		{firstLine(file), "first line"},
		{firstLine(file + "x"), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if kilobytes("5 kB") != 5120 || kilobytes("five") != 0 {
		t.Error("5 kB are 5120 bytes, and five none")
	}
}

func TestVersionsAreThoseInstalled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "node_modules", "a")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "package.json")
	for text, want := range map[string]string{`{"version":"1.2.3"}`: "1.2.3", `{`: ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := version(dir, "a"); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := version(dir, "b"); err == nil || !strings.Contains(err.Error(), "run npm ci in") {
		t.Errorf("got %v, want what to do", err)
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"frob"}, {"-fewer", "0"}, {"-time", "0"}, {"-rounds", "-1"}, {"-growth", "0"}, {"-what"}, {"-only", "frob"}, {"-replace"}, {"-replace", "-only", "rpc"}, {"generate"}, {"generate", "{"}, {"-render", "-dir", "/nowhere"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
}

// page is the documentation, and it is made of the results next to it.
func TestTheDocumentationIsThatOfTheResults(t *testing.T) {
	t.Parallel()
	r, err := report.Read("results.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &settings{docs: t.TempDir()}
	if err := s.write(r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"performance.md", "performance.svg"} {
		want, err := os.ReadFile(filepath.Join(s.docs, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("docs/%s is not that of results.json: run go run . -render (-want +got):\n%s", name, diff)
		}
	}
}

// watched is a log of which the test waits for a word.
type watched struct {
	word string
	seen func()

	mu  sync.Mutex
	all bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen != nil && bytes.Contains(p, []byte(w.word)) {
		w.seen()
	}
	return w.all.Write(p)
}

// TestATinyComparison needs Node.js and npm ci, as every comparison does.
func TestATinyComparison(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := &watched{}
	if err := run(t.Context(), []string{"-rounds", "1", "-time", "0.05", "-fewer", "100"}, &out, log); err != nil {
		t.Fatalf("%v\n%s", err, log.all.String())
	}
	text := out.String()
	for _, want := range []string{"skein (epoll), skein (park), SocketCluster 20.", "Socket.IO 4.", "| deliveries a second |", "Nothing: no message of any run was lost"} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%s\nwant %q in it", text, want)
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "| deliveries a second |") && strings.Count(line, "–") > 1 {
			t.Errorf("got %s, want that all who can have delivered", line)
		}
	}
	if got := strings.Count(log.all.String(), "\n"); got != 1+5+5+4+5+4+4+4+2 {
		t.Errorf("got %d lines of progress:\n%s", got, log.all.String())
	}
}

func TestAnInterruptedComparisonLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancelCause(t.Context())
	defer interrupt(nil)
	reason := errors.New("enough")
	log := &watched{word: "1/1 fanout", seen: func() { interrupt(reason) }}
	docs := t.TempDir()
	err := run(ctx, []string{"-rounds", "1", "-time", "0.05", "-fewer", "100", "-full", "-docs", docs}, io.Discard, log)
	if !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	if files, err := os.ReadDir(docs); err != nil || len(files) != 0 {
		t.Errorf("got %v, %v, want no page of half a comparison", files, err)
	}
}
