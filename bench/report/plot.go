package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The picture is panels of equal size, two in a row.
const (
	panelWidth  = 380
	panelHeight = 250
	left        = 52
	right       = 16
	top         = 34
	bottom      = 40
	perRow      = 2
	legend      = 28
)

// The colours have contrast enough on white and on black. Text and lines take the reader's own.
const style = `<style>
.t{font:12px system-ui,sans-serif;fill:#24292f}.h{font-weight:600}.m{text-anchor:middle}.e{text-anchor:end}
.g{stroke:#8888;stroke-width:.5}.a{stroke:#888;fill:none}
.s0{--c:#0a84ff}.s1{--c:#5ac8fa}.s2{--c:#e8590c}.s3{--c:#8f8f94}.s4{--c:#2f9e44}
.l{fill:none;stroke:var(--c);stroke-width:2}.d{fill:var(--c)}.w{stroke:var(--c);stroke-width:1}
@media (prefers-color-scheme:dark){.t{fill:#e6edf3}}
</style>
`

// Plot draws all curves, both axes by powers of ten.
func (r *Results) Plot() string {
	var panels []curve
	for _, c := range curves() {
		if len(c.points(r)) > 1 {
			panels = append(panels, c)
		}
	}
	rows := (len(panels) + perRow - 1) / perRow
	width, height := perRow*panelWidth, rows*panelHeight+legend
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="How cost grows">`+"\n%s", width, height, style)
	var shown []*Case
	for i, c := range panels {
		shown = append(shown, c.points(r)...)
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%perRow*panelWidth, i/perRow*panelHeight+legend)
		r.panel(&b, c)
		b.WriteString("</g>\n")
	}
	x := left
	for _, s := range among(r.Servers, shown) {
		fmt.Fprintf(&b, `<rect class="d %s" x="%d" y="8" width="12" height="12" rx="2"/><text class="t" x="%d" y="18">%s</text>`+"\n",
			r.class(s.Name), x, x+18, html.EscapeString(s.Title))
		x += 36 + 7*len([]rune(s.Title))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// class is how a server looks.
func (r *Results) class(server string) string {
	for i, s := range r.Servers {
		if s.Name == server {
			return fmt.Sprintf("s%d", i%5)
		}
	}
	return ""
}

// axis maps values to pixels, from power to power.
type axis struct {
	from, to   int     // exponents
	start, end float64 // pixels
}

func newAxis(least, most, start, end float64) axis {
	a := axis{int(math.Floor(math.Log10(least))), int(math.Ceil(math.Log10(most))), start, end}
	a.to = max(a.to, a.from+1)
	return a
}

func (a axis) at(x float64) float64 {
	return a.start + (math.Log10(x)-float64(a.from))/float64(a.to-a.from)*(a.end-a.start)
}

// panel draws one curve of each server. What is not positive has no place on it.
func (r *Results) panel(b *strings.Builder, c curve) {
	points := c.points(r)
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		for _, s := range r.Servers {
			if v := p.spread(s.Name, c.value); v.Runs > 0 && v.Min > 0 {
				low, high = min(low, v.Min), max(high, v.Max)
			}
		}
	}
	if high < low {
		return
	}
	x := newAxis(points[0].X, points[len(points)-1].X, left, panelWidth-right)
	y := newAxis(low, high, panelHeight-bottom, top)
	fmt.Fprintf(b, `<text class="t h" x="%d" y="22">%s</text><text class="t m" x="%d" y="%d">%s</text>`+"\n",
		left, html.EscapeString(c.y), (left+panelWidth-right)/2, panelHeight-8, html.EscapeString(c.x))
	grid(b, x, y)
	for _, s := range among(r.Servers, points) {
		r.line(b, s.Name, c, x, y)
	}
}

func grid(b *strings.Builder, x, y axis) {
	for e := x.from; e <= x.to; e++ {
		px := x.at(math.Pow10(e))
		fmt.Fprintf(b, `<path class="g" d="M%.1f %dV%d"/><text class="t m" x="%.1f" y="%d">%s</text>`+"\n",
			px, top, panelHeight-bottom, px, panelHeight-bottom+15, short(e))
	}
	for e := y.from; e <= y.to; e++ {
		py := y.at(math.Pow10(e))
		fmt.Fprintf(b, `<path class="g" d="M%d %.1fH%d"/><text class="t e" x="%d" y="%.1f">%s</text>`+"\n",
			left, py, panelWidth-right, left-6, py+4, short(e))
	}
}

// short is a power of ten in few letters.
func short(e int) string {
	if e >= 3 {
		return fmt.Sprintf("%.0fk", math.Pow10(e-3))
	}
	return strconv.FormatFloat(math.Pow10(e), 'f', -1, 64)
}

// line draws a server's medians, and from the least to the most at each.
func (r *Results) line(b *strings.Builder, server string, c curve, x, y axis) {
	var path []string
	var marks strings.Builder
	for _, p := range c.points(r) {
		v := p.spread(server, c.value)
		if v.Runs == 0 || v.Min <= 0 {
			continue
		}
		px, py := x.at(p.X), y.at(v.Median)
		path = append(path, fmt.Sprintf("%.1f %.1f", px, py))
		fmt.Fprintf(&marks, `<circle class="d" cx="%.1f" cy="%.1f" r="3"/><path class="w" d="M%.1f %.1fV%.1f"/>`, px, py, px, y.at(v.Min), y.at(v.Max))
	}
	if len(path) > 0 {
		fmt.Fprintf(b, `<g class="%s"><path class="l" d="M%s"/>%s</g>`+"\n", r.class(server), strings.Join(path, "L"), marks.String())
	}
}
