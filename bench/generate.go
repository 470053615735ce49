package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/skeinrt/skein/bench/report"
	"github.com/skeinrt/skein/bench/socketio"
	"github.com/skeinrt/skein/internal/load"
)

// job is what a child that loads a server of Socket.IO is told.
type job struct {
	report.Load

	URL string
	PID int // of the server; 0: it is not looked at
}

// args are the command line of such a child.
func (j job) args(self string) []string {
	b, err := json.Marshal(j)
	if err != nil {
		panic(err) // nothing in it that cannot be encoded
	}
	return []string{self, "generate", string(b)}
}

// generate does the job that it is given, and prints the report.
func generate(ctx context.Context, args []string, out io.Writer) error {
	var j job
	if len(args) != 1 {
		return errors.New("generate takes one job")
	}
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
	r, err := load.Run(ctx, load.Mode(j.Mode), j.options())
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

func (j job) options() load.Options {
	o := load.Options{
		URLs: []string{j.URL}, Protocol: socketio.Protocol{}, Timeout: patience, Storm: j.storm,
		Conns: j.Conns, Channels: j.Channels, Pubs: j.Pubs, Rate: j.Rate, Size: j.Size, Window: j.Window,
		Parallel: j.Parallel, Burst: j.Burst, Duration: j.Duration, Warmup: j.Warmup,
	}
	if j.PID != 0 {
		o.PIDs = []int{j.PID}
	}
	return o
}

// storm opens the connections of a burst in a child of its own, as skein bench does.
func (j job) storm(ctx context.Context) (*load.Report, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	part := job{URL: j.URL, Load: report.Load{Mode: string(load.Connect), Conns: j.Burst, Parallel: j.Parallel}}
	out, err := program{args: part.args(self), env: []string{"GOGC=400"}}.run(ctx)
	if err != nil {
		return nil, err
	}
	r := &load.Report{}
	return r, json.Unmarshal(out, r)
}
