package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// metric takes a figure out of a sample.
type metric func(Sample) float64

// Spread is what several runs came to.
type Spread struct {
	// Median is the middle one, or the mean of the middle two.
	Median float64
	// Min is the least.
	Min float64
	// Max is the most.
	Max float64
	// Runs is how many there were; 0: the others say nothing.
	Runs int
}

// spreadOf sums values up.
func spreadOf(values []float64) Spread {
	n := len(values)
	if n == 0 {
		return Spread{}
	}
	values = slices.Sorted(slices.Values(values))
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1], Runs: n}
}

// spread is what a server's runs came to; those that failed do not count.
func (c *Case) spread(server string, of metric) Spread {
	if c == nil {
		return Spread{}
	}
	var values []float64
	for _, s := range c.Samples[server] {
		if s.Error == "" {
			values = append(values, of(s))
		}
	}
	return spreadOf(values)
}

// ratio divides a server's figures by another's of the same round. These ran one after the other, so that what slowed
// the machine down has slowed both.
func ratio(c *Case, server string, d *Case, other string, of metric) Spread {
	if c == nil || d == nil {
		return Spread{}
	}
	var values []float64
	rounds := min(len(c.Samples[server]), len(d.Samples[other]))
	for i := range rounds {
		a, b := c.Samples[server][i], d.Samples[other][i]
		if a.Error == "" && b.Error == "" && of(b) > 0 {
			values = append(values, of(a)/of(b))
		}
	}
	return spreadOf(values)
}

// String gives three digits: the median and, behind it, least and most.
func (s Spread) String() string {
	switch s.Runs {
	case 0:
		return "–"
	case 1:
		return number(s.Median)
	default:
		return number(s.Median) + " (" + number(s.Min) + "–" + number(s.Max) + ")"
	}
}

// number gives three significant digits, and groups thousands.
func number(x float64) string {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(x))))
	unit := math.Pow10(-decimals)
	x = math.Round(x/unit) * unit
	return grouped(strconv.FormatFloat(x, 'f', max(decimals, 0), 64))
}

// grouped sets thousands off.
func grouped(text string) string {
	whole, fraction, dotted := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dotted {
		return whole + "." + fraction
	}
	return whole
}
