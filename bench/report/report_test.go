package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMediansAreInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{4, 1}, Spread{2.5, 1, 4, 2}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9, 3}},
		{[]float64{4, 8, 1, 2}, Spread{3, 1, 8, 4}},
		{[]float64{5, 4, 3, 2, 1}, Spread{3, 1, 5, 5}},
	} {
		before := slices.Clone(c.values)
		if got := spreadOf(c.values); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("got the values as %v, want them as they were: %v", c.values, before)
		}
	}
}

// costs is a case of which each run cost so much.
func costs(name string, by map[string][]float64) *Case {
	c := &Case{Name: name, Samples: map[string][]Sample{}}
	for server, values := range by {
		for _, v := range values {
			s := Sample{CPU: v}
			if v < 0 {
				s = Sample{Error: "broken"}
			}
			c.Samples[server] = append(c.Samples[server], s)
		}
	}
	return c
}

func TestRunsThatFailedDoNotCount(t *testing.T) {
	t.Parallel()
	c := costs("x", map[string][]float64{"a": {1, -1, 3}, "b": {-1}})
	for server, want := range map[string]Spread{"a": {2, 1, 3, 2}, "b": {}, "c": {}} {
		if got := c.spread(server, cpu); got != want {
			t.Errorf("%s: got %+v, want %+v", server, got, want)
		}
	}
	var none *Case
	if got := none.spread("a", cpu); got.Runs != 0 {
		t.Errorf("no case: got %+v, want nothing", got)
	}
}

// The machine was slow in the second round: the medians of both, 2 and 5, would be no round's ratio.
func TestRatiosAreTakenRoundByRound(t *testing.T) {
	t.Parallel()
	c := costs("x", map[string][]float64{"a": {1, 8, 2}, "b": {5, 16, 4}, "broken": {2, -1, 1}, "free": {0, 0, 1}})
	for _, k := range []struct {
		a, b string
		want Spread
	}{
		{"a", "b", Spread{0.5, 0.2, 0.5, 3}},
		{"a", "broken", Spread{1.25, 0.5, 2, 2}},
		{"a", "free", Spread{2, 2, 2, 1}},
		{"a", "nobody", Spread{}},
	} {
		if got := ratio(c, k.a, c, k.b, cpu); got != k.want {
			t.Errorf("%s ÷ %s: got %+v, want %+v", k.a, k.b, got, k.want)
		}
	}
	if got := ratio(nil, "a", c, "b", cpu); got.Runs != 0 {
		t.Errorf("no case: got %+v, want nothing", got)
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{
		0: "0", 1: "1.00", 0.12345: "0.123", 0.00098765: "0.000988", 9.996: "10.00", 12.345: "12.3", 999.6: "1,000", 1234567: "1,230,000",
		100: "100", 1000: "1,000", -1234: "-1,230", math.Inf(1): "+Inf",
	} {
		if got := number(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
	for want, s := range map[string]Spread{"–": {}, "2.00": {2, 2, 2, 1}, "2.00 (1.00–3.50)": {2, 1, 3.5, 5}} {
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// example has two servers and the limit in two rounds.
func example() *Results {
	r := &Results{
		Taken: "2026-01-02", Rounds: 2, Growth: 2,
		Machine: Machine{CPU: "A <fast> one", Cores: 4, Memory: 8 << 30, Kernel: "6.1", Go: "1.26", Node: "20"},
		Servers: []Server{{Name: Skein, Title: "skein"}, {Name: SocketCluster, Title: "SocketCluster", Version: "20.0.1"}, {Name: Limit, Title: "limit"}},
	}
	add := func(name, group string, x float64, by map[string][]float64) {
		c := costs(name, by)
		c.Group, c.X = group, x
		for _, list := range c.Samples {
			for i := range list {
				list[i].P99, list[i].BytesPerConn, list[i].Cores, list[i].Own = list[i].CPU*2, list[i].CPU*1024, 0.5, 0.25
			}
		}
		r.Cases = append(r.Cases, c)
	}
	add(Fanout, "", 0, map[string][]float64{Skein: {10, 12}, SocketCluster: {20, 30}, Limit: {10, 10}})
	add(RPC, "", 0, map[string][]float64{Skein: {10, 12}, SocketCluster: {20, 30}})
	add(Subscribers+"-10000", Subscribers, 10_000, map[string][]float64{Skein: {13, 13}, SocketCluster: {40, 50}})
	add(Subscribers+"-100", Subscribers, 100, map[string][]float64{Skein: {10, 10}, SocketCluster: {20, 30}})
	return r
}

func page(t *testing.T, r *Results, plot string) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Page(&b, plot); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePageHasFiguresRatiosAndCurves(t *testing.T) {
	t.Parallel()
	got := page(t, example(), "picture.svg")
	for _, want := range []string{
		"skein, SocketCluster 20.0.1, limit",
		"| processors | 4 × A <fast> one |",
		"| memory | 8.00 GiB |",
		"At the fixed rate 0.750 to 0.750 of the 4 were busy",
		"|  | aim | skein |\n|---|--:|--:|\n| fixed rate, 1,000 subscribers: CPU per delivery ÷ bare limit | ≤ 1.20 | 1.10 (1.00–1.20) ✓ |\n",
		"| acknowledged publications: CPU ÷ SocketCluster | ≤ 0.250 | 0.450 (0.400–0.500) ✗ |\n",
		"| CPU per delivery with 10,000 subscribers ÷ with 100 | ≤ 1.20 | 1.30 (1.30–1.30) ✗ |\n",
		"|  | skein | SocketCluster | limit |\n|---|--:|--:|--:|\n| fixed rate, 1,000 subscribers: CPU-s per million deliveries | 11.0 (10.0–12.0) | 25.0 (20.0–30.0) | 10.0 (10.0–10.0) |\n",
		"| acknowledged publications: CPU-s per million | 11.0 (10.0–12.0) | 25.0 (20.0–30.0) | – |\n",
		"CPU-s per million deliveries, by subscribers of the channel:\n\n| subscribers of the channel | skein | SocketCluster |\n|---|--:|--:|\n| 100 | 10.0 (10.0–10.0) |",
		"\n| 10,000 | 13.0 (13.0–13.0) |",
		"![How cost grows](picture.svg)",
		"Nothing: no message of any run was lost",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q in it", got, want)
		}
	}
	for _, without := range []string{"in 100 rooms", "by channels", "10,000.0", "<no value>", "%!"} {
		if strings.Contains(got, without) {
			t.Errorf("got %q in the page, want nothing of what was not measured", without)
		}
	}
}

func TestWithoutAPictureThereAreNoCurves(t *testing.T) {
	t.Parallel()
	if got := page(t, example(), ""); strings.Contains(got, "## How cost grows") || !strings.Contains(got, "## Figures") {
		t.Errorf("got\n%s\nwant only the first tables", got)
	}
}

func TestWhatWentWrongIsTold(t *testing.T) {
	t.Parallel()
	r := example()
	r.Cases[0].Samples[Limit][1] = Sample{Error: "it fell over"}
	r.Cases[1].Samples[Skein][0].Lost = 3
	r.Cases[2].Samples[SocketCluster][1].Disorder = 2
	want := []string{
		"rpc, skein, round 1: 3 lost, 0 out of order or repeated",
		"subscribers-10000, socketcluster, round 2: 0 lost, 2 out of order or repeated",
		"fanout, limit, round 2: it fell over",
	}
	got := r.faultList()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := page(t, r, ""); strings.Contains(text, "Nothing: ") || !strings.Contains(text, "- "+want[1]) {
		t.Errorf("got\n%s\nwant what went wrong", text)
	}
	if got := r.Faults(SocketCluster); len(got) != 1 {
		t.Errorf("got %q, want only those of one server", got)
	}
}

func TestResultsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.json")
	want := example()
	want.Cases[0].Load = Load{Mode: "fanout", Conns: 5, Rate: 0.5, Duration: time.Second}
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Read(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "results.json") {
		t.Errorf("half a file: got %v, want its name", err)
	}
}

// elements counts the elements of a picture by their class, and fails where it is not well-formed.
func elements(t *testing.T, svg string) map[string]int {
	t.Helper()
	count := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if a.Name.Local == "class" {
					count[a.Value]++
				}
			}
		}
	}
}

func TestThePictureHasALineForEachServer(t *testing.T) {
	t.Parallel()
	r := example()
	r.Servers[0].Title = "skein & <co>"
	svg := r.Plot()
	got := elements(t, svg)
	// Two panels of subscribers, with two servers and two points each.
	for class, want := range map[string]int{"l": 4, "d": 8, "w": 8, "s0": 2, "s1": 2, "d s0": 1, "d s1": 1, "d s2": 0} {
		if got[class] != want {
			t.Errorf("got %d of class %q, want %d\n%s", got[class], class, want, svg)
		}
	}
	if !strings.Contains(svg, "prefers-color-scheme:dark") || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("got\n%s\nwant it readable in the dark, and only numbers", svg)
	}
}

func TestWhatHasNoPlaceOnThePictureIsLeftOut(t *testing.T) {
	t.Parallel()
	r := example()
	r.Cases[2].Samples[SocketCluster] = []Sample{{CPU: 0, P99: 5}}
	r.Cases[3].Samples = map[string][]Sample{SocketCluster: {{Error: "broken"}}}
	svg := r.Plot()
	if got := elements(t, svg); got["l"] != 3 || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Errorf("got %d lines, want 3\n%s", got["l"], svg)
	}
	for _, c := range r.Cases {
		c.Samples = nil
	}
	if got := elements(t, r.Plot()); got["l"] != 0 {
		t.Errorf("got %d lines of nothing", got["l"])
	}
}

func TestAxesGoFromPowerToPower(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		least, most, x, want float64
	}{
		{3, 700, 1, 0}, {3, 700, 1000, 300}, {3, 700, 10, 100}, {5, 5, 1, 0}, {5, 5, 10, 300}, {10, 10, 10, 0}, {0.02, 0.5, 0.1, 150},
	} {
		if got := newAxis(c.least, c.most, 0, 300).at(c.x); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("from %v to %v: got %v at %v, want %v", c.least, c.most, got, c.x, c.want)
		}
	}
	for e, want := range map[int]string{-1: "0.1", 0: "1", 2: "100", 3: "1k", 5: "100k"} {
		if got := short(e); got != want {
			t.Errorf("10^%d: got %s, want %s", e, got, want)
		}
	}
}

// The tables name cases by their names: a misspelt one would silently be empty.
func TestEveryAimIsMetByAMachineThatCostsNothing(t *testing.T) {
	t.Parallel()
	r := &Results{Servers: []Server{{Name: Skein, Title: "skein"}}}
	names := []string{Fanout, Saturate, Rooms, RPC, Connect, Idle, Connections + "-15000", Subscribers + "-100", Subscribers + "-10000"}
	for _, name := range names {
		c := &Case{Name: name, Samples: map[string][]Sample{}}
		for _, s := range []string{Skein, SocketCluster, Limit} {
			c.Samples[s] = []Sample{{CPU: 1, P99: 1, Cores: 0.001, BytesPerConn: 100}}
		}
		c.Samples[Skein][0].CPU = 0.1
		r.Cases = append(r.Cases, c)
	}
	for _, a := range aims() {
		if got := a.got(r, Skein); got.Runs != 1 || !strings.HasSuffix(a.verdict(got), "✓") {
			t.Errorf("%s: got %v, want one that is met", a.title, got)
		}
	}
}

func TestWhatIsMeasuredAnewTakesItsPlace(t *testing.T) {
	t.Parallel()
	r := &Results{Cases: []*Case{{Name: "a"}, {Name: "b", X: 1}, {Name: "c"}}}
	r.Replace([]*Case{{Name: "b", X: 2}, {Name: "d"}})
	var got []string
	for _, c := range r.Cases {
		got = append(got, c.Name+number(c.X))
	}
	if want := []string{"a0", "b2.00", "c0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
