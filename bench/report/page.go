package report

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/template"
)

//go:embed performance.md.tmpl
var source string

// Page writes the page about the results, in which plot is the address of the picture.
func (r *Results) Page(w io.Writer, plot string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"figures":  r.figureTable,
		"aims":     r.aimTable,
		"curve":    r.curveTable,
		"spare":    r.spare,
		"gib":      func(n int64) string { return number(float64(n) / (1 << 30)) },
		"faults":   r.faultList,
		"crowding": func(server string) string { return r.crowding(server).String() },
	}).Parse(source)
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		*Results

		Plot string
	}{r, plot})
}

// table writes Markdown; in the first column is text, in the others are figures.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	b.WriteString("|---|" + strings.Repeat("--:|", len(head)-1) + "\n")
	for _, cells := range rows {
		line(cells)
	}
	return b.String()
}

func titles(first string, servers []Server) []string {
	list := []string{first}
	for _, s := range servers {
		list = append(list, s.Title)
	}
	return list
}

// figureTable has a line for each figure that some server has.
func (r *Results) figureTable() string {
	var cases []*Case
	for _, f := range figures() {
		cases = append(cases, r.Case(f.of))
	}
	servers := among(r.Servers, cases)
	var rows [][]string
	for _, f := range figures() {
		c := r.Case(f.of)
		if c == nil {
			continue
		}
		cells := []string{f.title}
		for _, s := range servers {
			cells = append(cells, c.spread(s.Name, f.value).String())
		}
		rows = append(rows, cells)
	}
	return table(titles("", servers), rows)
}

// aimTable compares skein, by each of its drivers, with what it is to reach.
func (r *Results) aimTable() string {
	var ours []Server
	for _, s := range r.Servers {
		if s.Name == Skein || s.Name == Park {
			ours = append(ours, s)
		}
	}
	var rows [][]string
	for _, a := range aims() {
		cells := []string{a.title, "≤ " + number(a.most)}
		some := false
		for _, s := range ours {
			got := a.got(r, s.Name)
			some = some || got.Runs > 0
			cells = append(cells, a.verdict(got))
		}
		if some {
			rows = append(rows, cells)
		}
	}
	head := titles("", ours)
	return table(append([]string{head[0], "aim"}, head[1:]...), rows)
}

func (a *aim) verdict(got Spread) string {
	switch {
	case got.Runs == 0:
		return got.String()
	case got.Median <= a.most:
		return got.String() + " ✓"
	default:
		return got.String() + " ✗"
	}
}

// curveTable has a line for each point of the curves of a group.
func (r *Results) curveTable(group string) string {
	var b strings.Builder
	for _, c := range curves() {
		points := c.points(r)
		if c.group != group || len(points) == 0 {
			continue
		}
		servers := among(r.Servers, points)
		var rows [][]string
		for _, p := range points {
			cells := []string{grouped(strconv.FormatFloat(p.X, 'f', -1, 64))}
			for _, s := range servers {
				cells = append(cells, p.spread(s.Name, c.value).String())
			}
			rows = append(rows, cells)
		}
		fmt.Fprintf(&b, "%s, by %s:\n\n%s\n", c.y, c.x, table(titles(c.x, servers), rows))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// spare is how many processors were busy at least and at most in a case, server and load generator together.
func (r *Results) spare(name string) string {
	c := r.Case(name)
	if c == nil {
		return "–"
	}
	var busy []float64
	for _, s := range r.Servers {
		for _, sample := range c.Samples[s.Name] {
			if sample.Error == "" {
				busy = append(busy, sample.Cores+sample.Own)
			}
		}
	}
	s := spreadOf(busy)
	return number(s.Min) + " to " + number(s.Max)
}

// faultList tells what went wrong, of all servers.
func (r *Results) faultList() []string {
	var names []string
	for _, s := range r.Servers {
		names = append(names, s.Name)
	}
	return r.Faults(names...)
}
