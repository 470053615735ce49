package skeincmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein/internal/load"
)

// benchCmd loads a server and tells what it did.
type benchCmd struct {
	URL      []string      `default:"ws://127.0.0.1:8000/socketcluster/" placeholder:"URL" help:"Endpoint of the server. Connections are dealt to several, separated by commas."`
	Remote   bool          `help:"Load a server that is not on this machine."`
	Token    string        `placeholder:"TOKEN|@FILE" help:"Signed token to authenticate with."`
	Conns    int           `default:"1000" placeholder:"N" help:"Subscribers, or connections that call (rpc)."`
	Channels int           `default:"1" placeholder:"N" help:"Channels that the subscribers are dealt to (fanout, saturate, idle, burst). If there are more, each subscriber has several."`
	Pubs     int           `default:"1" placeholder:"N" help:"Connections that publish (fanout, saturate, burst)."`
	Rate     float64       `default:"100" placeholder:"N" help:"Messages published a second, in all (fanout, burst)."`
	Size     int           `default:"128" placeholder:"BYTES" help:"Length of a message, 32 or more."`
	Duration time.Duration `default:"10s" placeholder:"TIME" help:"How long to measure."`
	Warmup   time.Duration `default:"2s" placeholder:"TIME" help:"How long to wait under load, or at rest (idle), before that."`
	Window   int           `default:"8" placeholder:"N" help:"Messages under way for each publisher (saturate) or caller (rpc)."`
	Burst    int           `default:"10000" placeholder:"N" help:"Connections that come on top (burst), --parallel at once."`
	Parallel int           `default:"64" placeholder:"N" help:"Connections opened at once."`
	PID      []int         `name:"pid" placeholder:"PID" help:"Processes of the server, to tell what they use (Linux)."`
	Prefix   string        `default:"bench" placeholder:"NAME" help:"Beginning of the channels' names."`
	Timeout  time.Duration `default:"10s" placeholder:"TIME" help:"How long the server may be silent when something must come."`
	JSON     bool          `name:"json" help:"Print JSON."`
	Mode     string        `arg:"" enum:"fanout,saturate,rpc,connect,idle,burst" help:"fanout (at a fixed rate), saturate (as fast as deliveries arrive), rpc (acknowledged publications), connect, idle (memory of connections) or burst (latency of fanout while many connect)."`
}

// storm opens the connections of a burst in another process.
func (c *benchCmd) storm(ctx context.Context, token string) (*load.Report, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{
		"bench", "--json", "--url", strings.Join(c.URL, ","), "--conns", strconv.Itoa(c.Burst), "--parallel", strconv.Itoa(c.Parallel),
		"--timeout", c.Timeout.String(), "--remote=" + strconv.FormatBool(c.Remote), "connect",
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this program
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "SKEIN_TOKEN="+token) // which others cannot see there
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	r := &load.Report{}
	return r, json.Unmarshal(out, r)
}

// Run prints the report.
func (c *benchCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	token, err := a.secret(c.Token)
	if err != nil {
		return fmt.Errorf("--token: %w", err)
	}
	o := load.Options{
		URLs: c.URL, Remote: c.Remote, Token: token, Conns: c.Conns, Channels: c.Channels, Pubs: c.Pubs, Rate: c.Rate, Size: c.Size,
		Duration: c.Duration, Warmup: c.Warmup, Window: c.Window, Burst: c.Burst, PIDs: c.PID, Parallel: c.Parallel, Timeout: c.Timeout,
		Prefix: c.Prefix, NetDial: a.Dial, Progress: func(text string) { a.errorf("%s\n", text) },
	}
	if a.Dial == nil && slices.Equal(k.Args, os.Args[1:]) { // this process is what runs the command
		o.Storm = func(ctx context.Context) (*load.Report, error) { return c.storm(ctx, token) }
	}
	r, err := load.Run(ctx, load.Mode(c.Mode), o)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted: nothing was measured to the end")
	case err != nil:
		return err
	case c.JSON:
		return a.json(r)
	}
	a.printf("%s", r.Text())
	return nil
}
