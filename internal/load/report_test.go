package load

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() *Report {
	b := &bench{Options: Options{PIDs: []int{1}}}
	begin := time.Unix(0, 0)
	r := b.report(
		reading{begin, 100, 1000, usage{cpu: time.Second}, usage{cpu: time.Second}},
		reading{begin.Add(2 * time.Second), 300, 201_000, usage{cpu: 2 * time.Second, memory: 40 << 20}, usage{cpu: 1500 * time.Millisecond}},
	)
	r.Mode, r.Conns, r.Rate, r.Lost, r.OutOfOrder, r.Repeated = Fanout, 1000, 100, 3, 2, 1
	var h histogram
	for i := range 100 {
		h.add(time.Duration(i+1) * 20 * time.Microsecond)
	}
	h.add(time.Second)
	r.setLatency(&h)
	return r
}

func TestTheTextIsATableAndAHistogram(t *testing.T) {
	t.Parallel()
	want := `fanout        1000 connections, 2 s
delivered     100,000/s
published     100/s of 100/s
latency       p50 1.03ms  p95 1.93ms  p99 2.03ms  p99.9 1s  max 1s
lost          3
out of order  2
repeated      1
server        5 CPU seconds per million delivered, 0.50 cores, 40 MiB resident
bench itself  0.25 cores

<  32.8µs   0.99 %  ▏
<  65.5µs   1.98 %  █
<   131µs   2.97 %  ██
<   262µs   6.93 %  █████
<   524µs  12.87 %  ██████████
<  1.05ms  25.74 %  █████████████████████
<   2.1ms  47.52 %  ████████████████████████████████████████
`
	got := sample().Text()
	head, tail, _ := strings.Cut(got, "<  4.19ms")
	if diff := cmp.Diff(want, head); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(tail, "<   1.07s   0.99 %  ▏\n") {
		t.Errorf("got the end %q, want the one of a second", tail)
	}
}

func TestEveryModeTellsWhatItMeasures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r             Report
		with, without string
	}{
		{Report{Mode: RPC, Done: 5}, "acknowledged  5/s\npublished     0/s\n", "out of order"},
		{Report{Mode: Saturate, Published: 2.5}, "published     2.5/s\n", "connects"},
		{Report{Mode: Connect, Connects: 12345.6}, "connects  12,346/s\n", "lost"},
		{Report{Mode: Idle, Server: &Server{BytesPerConn: 9000}}, "memory   9000 bytes per connection\n", "lost"},
		{Report{Mode: Idle, Server: &Server{BytesPerConn: -5}}, "was there before", "-5"},
		{Report{Mode: Connect}, "latency  p50 0 ", "<"},
		{Report{Mode: Burst, Calm: &Latency{P99: 5}, Opening: &Latency{P50: 7}}, "opening       p50 7ns ", "<"},
		{Report{Mode: Burst, Calm: &Latency{P99: 5}}, "before        p50 0  p95 0  p99 5ns ", "opening"},
	} {
		got := c.r.Text()
		if !strings.Contains(got, c.with) || strings.Contains(got, c.without) {
			t.Errorf("got\n%swant %q and no %q", got, c.with, c.without)
		}
	}
}

func TestTheJSONHasNamesAndMilliseconds(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Octaves = r.Octaves[:1]
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"mode":"fanout","conns":1000,"seconds":2,"rate":100,"publishedPerSecond":100,"donePerSecond":100000,` +
		`"latencyMs":{"mean":10.901,"p50":1.032,"p95":1.933,"p99":2.032,"p999":1000,"max":1000},` +
		`"octaves":[{"upToMs":0.033,"count":1}],"lost":3,"repeated":1,"outOfOrder":2,` +
		`"server":{"cores":0.5,"cpuSecondsPerMillion":5,"memory":41943040},"ownCores":0.25}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheJSONIsReadAgain(t *testing.T) {
	t.Parallel()
	want := sample()
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil || string(again) != string(b) {
		t.Errorf("got %s, %v, want %s", again, err, b)
	}
	if err := json.Unmarshal([]byte(`{"latencyMs":{"p50":"5 ms"}}`), &got); err == nil {
		t.Error("a text for a number of milliseconds: got no error")
	}
}

func TestDurationsHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0", 1: "1ns", 999: "999ns", 1234: "1.23µs", 12_345_678: "12.3ms", 999_999_999: "1s", 90 * time.Second: "1m30s",
	} {
		if got := Millis(d).String(); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}

func TestNumbersAreForPeople(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 1.5: "1.5", 99.73: "99.73", 100.4: "100", 999.6: "1000", 1234: "1,234", 1234567.8: "1,234,568", 123456: "123,456"} {
		if got := grouped(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 10_239: "10239 bytes", 10_240: "10 KiB", 10 << 20: "10 MiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	if perSecond(5, 0) != 0 || cores(5, 0) != 0 {
		t.Error("in no time nothing has happened")
	}
}
