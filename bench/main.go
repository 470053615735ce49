// Command bench compares skein with other servers, in turns, on this machine, and writes what it found.
//
//	go run .          measures the first tables, and prints them
//	go run . -full    measures everything, and writes results.json, docs/performance.md and its picture
//	go run . -render  writes the page and the picture from results.json
//	go run . -full -only rpc,connect -replace
//	                  measures these anew, in place of what results.json has of them
//
// It runs in this module's folder, where npm ci has been run, and starts itself as a server (limit) and as a load generator
// (generate).
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/skeinrt/skein/bench/limit"
	"github.com/skeinrt/skein/bench/report"
)

func main() {
	runtime.LockOSThread() // children end when the thread that has started them does
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	full, render   bool
	replace        bool
	rounds, growth int
	only           string
	scale          scale
	dir, docs      string
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "limit":
			return beLimit(ctx, out)
		case "generate":
			return generate(ctx, args[1:], out)
		}
	}
	s := settings{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(log)
	flags.BoolVar(&s.full, "full", false, "measure everything, and write results.json and the page")
	flags.BoolVar(&s.render, "render", false, "measure nothing: make the page from results.json")
	flags.IntVar(&s.rounds, "rounds", 0, "how often the servers are compared (2, with -full 5)")
	flags.IntVar(&s.growth, "growth", 3, "how often growing loads are measured, with -full")
	flags.StringVar(&s.only, "only", "", "measure these loads only, such as fanout,rpc, or subscribers-100 with -full; print the tables")
	flags.BoolVar(&s.replace, "replace", false, "with -full -only, put what was measured in its place in results.json, and write the page")
	flags.Float64Var(&s.scale.time, "time", 1, "how long each measurement is, 1: as planned; below, print the tables")
	flags.IntVar(&s.scale.conns, "fewer", 1, "divide numbers of connections and channels by this, to try it out; print the tables")
	flags.StringVar(&s.dir, "dir", ".", "folder of this module")
	flags.StringVar(&s.docs, "docs", "", "folder of the page; default: the docs of skein")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.replace && (!s.full || s.only == "") {
		return errors.New("-replace goes with -full and -only")
	}
	if flags.NArg() > 0 || s.scale.conns < 1 || s.scale.time <= 0 || s.rounds < 0 || s.growth < 1 {
		return errors.New("wrong arguments: see bench -h")
	}
	return s.do(ctx, out, log)
}

func (s *settings) do(ctx context.Context, out, log io.Writer) error {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	s.dir = dir
	if s.docs == "" {
		s.docs = filepath.Join(dir, "..", "docs")
	}
	file := filepath.Join(dir, "results.json")
	if s.render {
		r, err := report.Read(file)
		if err != nil {
			return err
		}
		return s.write(r)
	}
	r, err := s.measure(ctx, log)
	if err != nil {
		return err
	}
	if s.partial() {
		return errors.Join(r.Page(out, ""), faults(r))
	}
	if s.replace {
		old, err := report.Read(file)
		if err != nil {
			return err
		}
		old.Replace(r.Cases)
		r = old
	}
	return errors.Join(r.Write(file), s.write(r), faults(r))
}

// partial reports whether this is not what the page tells of.
func (s *settings) partial() bool {
	return !s.full || s.only != "" && !s.replace || s.scale.time < 1 || s.scale.conns > 1
}

// faults fails where a server of ours lost or refused something.
func faults(r *report.Results) error {
	var errs []error
	for _, text := range r.Faults(report.Skein, report.Park, report.Limit) {
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// write writes the page and its picture.
func (s *settings) write(r *report.Results) error {
	const picture = "performance.svg"
	var page bytes.Buffer
	if err := r.Page(&page, picture); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(s.docs, "performance.md"), page.Bytes(), 0o644), //nolint:gosec // for everybody
		os.WriteFile(filepath.Join(s.docs, picture), []byte(r.Plot()), 0o644),      //nolint:gosec // for everybody
	)
}

func (s *settings) measure(ctx context.Context, log io.Writer) (*report.Results, error) {
	tmp, err := os.MkdirTemp("", "skein-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // what is left is in the system's folder for that
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &lab{skein: filepath.Join(tmp, "skein"), self: self, dir: s.dir, log: log}
	r := &report.Results{Taken: time.Now().Format(time.DateOnly), Rounds: s.rounds}
	if r.Rounds == 0 {
		r.Rounds = 2
	}
	compared, grown := s.scale.compared(), []step(nil)
	if s.full {
		if s.rounds == 0 {
			r.Rounds = 5
		}
		r.Growth, grown = s.growth, s.scale.grown()
		compared = append(compared, s.scale.aimed()...)
	}
	compared, grown = s.chosen(compared), s.chosen(grown)
	if len(compared)+len(grown) == 0 {
		return nil, fmt.Errorf("there is no load %q", s.only)
	}
	if err := l.prepare(ctx, r); err != nil {
		return nil, err
	}
	total := time.Duration(r.Rounds)*lasts(compared) + time.Duration(r.Growth)*lasts(grown)
	_, _ = fmt.Fprintf(log, "this takes about %v\n", total.Round(time.Minute)) // to look at
	if err := l.rounds(ctx, r.Rounds, compared); err != nil {
		return nil, err
	}
	if err := l.rounds(ctx, r.Growth, grown); err != nil {
		return nil, err
	}
	for _, step := range append(compared, grown...) {
		r.Cases = append(r.Cases, &step.Case)
	}
	return r, nil
}

// chosen are the steps that are asked for.
func (s *settings) chosen(steps []step) []step {
	var list []step
	for _, one := range steps {
		if s.only == "" || slices.Contains(strings.Split(s.only, ","), one.Name) {
			list = append(list, one)
		}
	}
	return list
}

// prepare builds skein and tells what is compared.
func (l *lab) prepare(ctx context.Context, r *report.Results) error {
	var err error
	if r.Machine, err = machine(ctx); err != nil {
		return err
	}
	l.contenders = l.everybody()
	for _, c := range l.contenders {
		switch c.Name {
		case report.SocketCluster:
			c.Version, err = version(l.dir, "socketcluster-server")
		case report.SocketIO:
			c.Version, err = version(l.dir, "socket.io")
		}
		if err != nil {
			return err
		}
		r.Servers = append(r.Servers, c.Server)
	}
	_, err = program{args: []string{"go", "build", "-trimpath", "-o", l.skein, "./cmd/skein"}, dir: filepath.Join(l.dir, "..")}.run(ctx)
	return err
}

// beLimit serves until it is ended.
func beLimit(ctx context.Context, out io.Writer) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "ws://%s/\n", l.Addr()); err != nil {
		return err
	}
	return limit.Serve(ctx, l)
}
