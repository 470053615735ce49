package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what was measured. Encoded as JSON it is for machines.
type Report struct {
	// Mode is what was measured.
	Mode Mode `json:"mode"`
	// Conns is how many connections there were, besides those that publish.
	Conns int `json:"conns"`
	// Seconds is how long was measured.
	Seconds float64 `json:"seconds"`
	// Rate is how many messages a second were to be published.
	Rate float64 `json:"rate,omitempty"`
	// Published is how many messages a second were published.
	Published float64 `json:"publishedPerSecond,omitempty"`
	// Done is how many deliveries or, with RPC, acknowledgements came in a second.
	Done float64 `json:"donePerSecond,omitempty"`
	// Connects is how many connections were opened in a second.
	Connects float64 `json:"connectsPerSecond,omitempty"`
	// Latency is of deliveries, acknowledgements, or opening a connection.
	Latency Latency `json:"latencyMs"`
	// Calm is the latency of deliveries before Burst's connections came in.
	Calm *Latency `json:"calmLatencyMs,omitempty"`
	// Opening is what opening one of Burst's connections took.
	Opening *Latency `json:"openingLatencyMs,omitempty"`
	// Octaves are the latencies counted by powers of two.
	Octaves []Octave `json:"octaves"`
	// Lost is how many deliveries or acknowledgements were still missing when nothing more came.
	Lost int64 `json:"lost"`
	// Repeated is how many deliveries came again.
	Repeated int64 `json:"repeated"`
	// OutOfOrder is how many deliveries came behind a later one of the same publisher on the same channel.
	OutOfOrder int64 `json:"outOfOrder"`
	// Server is what the server used. nil: its processes were not named.
	Server *Server `json:"server,omitempty"`
	// OwnCores is how many processors the load generator used. 0: not known.
	OwnCores float64 `json:"ownCores,omitempty"`
}

// Latency sums latencies up. The quantiles are at most 3 % too large.
type Latency struct {
	// Mean is the average.
	Mean Millis `json:"mean"`
	// P50 is the median.
	P50 Millis `json:"p50"`
	// P95 is what 95 % do not exceed.
	P95 Millis `json:"p95"`
	// P99 is what 99 % do not exceed.
	P99 Millis `json:"p99"`
	// P999 is what 99.9 % do not exceed.
	P999 Millis `json:"p999"`
	// Max is the longest.
	Max Millis `json:"max"`
}

// Octave is how many latencies are shorter than UpTo, and not shorter than half of it, or than the octave before.
type Octave struct {
	// UpTo is where the octave ends.
	UpTo Millis `json:"upToMs"`
	// Count is how many there are.
	Count int64 `json:"count"`
}

// Server is what the server's processes used.
type Server struct {
	// Cores is how many processors were busy.
	Cores float64 `json:"cores"`
	// PerMillion is the seconds of a processor for a million deliveries, acknowledgements or connections.
	PerMillion float64 `json:"cpuSecondsPerMillion,omitempty"`
	// Memory is what is resident at the end, in bytes.
	Memory int64 `json:"memory"`
	// BytesPerConn is what Idle's connections have added to it, for each.
	BytesPerConn int64 `json:"bytesPerConn,omitempty"`
}

// Millis is a duration, in JSON a number of milliseconds.
type Millis time.Duration

// MarshalJSON gives milliseconds to the microsecond.
func (m Millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, math.Round(float64(m)/1e3)/1e3, 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON gives.
func (m *Millis) UnmarshalJSON(b []byte) error {
	x, err := strconv.ParseFloat(string(b), 64)
	*m = Millis(math.Round(x * 1e6))
	return err
}

// String gives three significant digits.
func (m Millis) String() string {
	if m == 0 {
		return "0"
	}
	unit := math.Pow10(max(0, int(math.Log10(float64(m)))-2))
	return time.Duration(math.Round(float64(m)/unit) * unit).String()
}

func (b *bench) report(before, after reading) *Report {
	took := after.at.Sub(before.at)
	done := after.done - before.done
	r := &Report{
		Seconds:   round(took.Seconds()),
		Published: perSecond(after.published-before.published, took),
		Done:      perSecond(done, took),
		OwnCores:  cores(after.own.cpu-before.own.cpu, took),
	}
	if len(b.PIDs) > 0 {
		cpu := after.server.cpu - before.server.cpu
		r.Server = &Server{Cores: cores(cpu, took), Memory: after.server.memory}
		if done > 0 {
			r.Server.PerMillion = round(cpu.Seconds() * 1e6 / float64(done))
		}
	}
	return r
}

func perSecond(n int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return round(float64(n) / took.Seconds())
}

func cores(cpu, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return math.Round(cpu.Seconds()/took.Seconds()*1e4) / 1e4 // idle servers use little
}

func round(x float64) float64 { return math.Round(x*100) / 100 }

func (r *Report) setLatency(h *histogram) {
	r.Latency = h.summary()
	r.Octaves = h.octaves()
}

// Text is the report for people: a table and a histogram.
func (r *Report) Text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) } // into memory
	things := r.things()
	line(string(r.Mode), "%d connections, %.4g s", r.Conns, r.Seconds)
	if r.Done > 0 || r.Published > 0 {
		line(things, "%s/s", grouped(r.Done))
		line("published", "%s/s%s", grouped(r.Published), r.asked())
	}
	if r.Connects > 0 {
		line("connects", "%s/s", grouped(r.Connects))
	}
	line("latency", "%v", r.Latency)
	r.burstLines(line)
	if r.Mode != Connect && r.Mode != Idle {
		line("lost", "%d", r.Lost)
	}
	if r.Mode == Fanout || r.Mode == Saturate || r.Mode == Burst {
		line("out of order", "%d", r.OutOfOrder)
		line("repeated", "%d", r.Repeated)
	}
	if s := r.Server; s != nil {
		line("server", "%.3g CPU seconds per million %s, %.2f cores, %s resident", s.PerMillion, things, s.Cores, size(s.Memory))
		switch {
		case r.Mode == Idle && s.BytesPerConn < 0:
			line("memory", "what the connections need was there before: to know it, start the server anew")
		case r.Mode == Idle:
			line("memory", "%s per connection", size(s.BytesPerConn))
		}
	}
	if r.OwnCores > 0 {
		line("bench itself", "%.2f cores", r.OwnCores)
	}
	_ = w.Flush() // into memory
	r.histogram(&b)
	return b.String()
}

// burstLines tell how it was before, and how the connections fared.
func (r *Report) burstLines(line func(name, format string, args ...any)) {
	if r.Calm != nil {
		line("before", "%v", *r.Calm)
	}
	if r.Opening != nil {
		line("opening", "%v", *r.Opening)
	}
}

// String gives those that matter.
func (l Latency) String() string {
	return fmt.Sprintf("p50 %v  p95 %v  p99 %v  p99.9 %v  max %v", l.P50, l.P95, l.P99, l.P999, l.Max)
}

// things are what Done, or otherwise Connects, counts.
func (r *Report) things() string {
	switch r.Mode {
	case RPC:
		return "acknowledged"
	case Connect, Idle:
		return "connects"
	default:
		return "delivered"
	}
}

func (r *Report) asked() string {
	if r.Rate == 0 {
		return ""
	}
	return fmt.Sprintf(" of %s/s", grouped(r.Rate))
}

const widest = 40 // columns of a bar

// histogram draws the latencies.
func (r *Report) histogram(b *strings.Builder) {
	var total, most int64
	for _, o := range r.Octaves {
		total += o.Count
		most = max(most, o.Count)
	}
	if total == 0 {
		return
	}
	b.WriteString("\n")
	for _, o := range r.Octaves {
		bar := strings.Repeat("█", int(o.Count*widest/most))
		if bar == "" && o.Count > 0 {
			bar = "▏"
		}
		fmt.Fprintf(b, "< %7v %6.2f %%  %s\n", o.UpTo, float64(o.Count)*100/float64(total), bar)
	}
}

// size is a number of bytes in words.
func size(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// grouped is a number with its thousands set off.
func grouped(x float64) string {
	text := strconv.FormatFloat(math.Round(x), 'f', -1, 64)
	if x < 100 {
		text = strconv.FormatFloat(x, 'f', -1, 64)
	}
	for i := len(text) - 3; i > 0 && x >= 1000; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
