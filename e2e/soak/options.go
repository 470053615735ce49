package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	duration time.Duration
	cycle    time.Duration
	nodes    int
	load     int
	seed     uint64
	faults   []string
	binary   string
	race     bool
	keep     bool
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.DurationVar(&o.duration, "duration", 5*time.Minute, "how long to load the cluster, in whole cycles")
	flags.DurationVar(&o.cycle, "cycle", time.Minute, "how long clients stay before all of them leave and the nodes are measured")
	flags.IntVar(&o.nodes, "nodes", 3, "how many nodes")
	flags.IntVar(&o.load, "load", 100, "percent of the usual load")
	flags.Uint64Var(&o.seed, "seed", 0, "of everything that is random; 0: a new one, which is printed")
	faults := flags.String("faults", "all", "what breaks, in random order: all, none, or a list of "+strings.Join(faultNames(), ", "))
	flags.StringVar(&o.binary, "binary", "", "the nodes' program, made of ./e2e/soak/node; empty: build it")
	flags.BoolVar(&o.race, "race", false, "build it with the race detector")
	flags.BoolVar(&o.keep, "keep", false, "keep the folder with logs and secrets")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *faults != "none" {
		o.faults = strings.Split(*faults, ",")
	}
	if o.nodes < 1 || o.nodes > 9 || o.load < 1 || o.cycle <= 0 || flags.NArg() > 0 {
		return o, fmt.Errorf("1 to 9 nodes, a load of at least 1, a cycle of some time, and no arguments: got %d, %d, %v, %q",
			o.nodes, o.load, o.cycle, flags.Args())
	}
	return o, nil
}

func faultNames() (names []string) {
	for _, f := range allFaults() {
		names = append(names, f.name)
	}
	return names
}
