// Sim estimates what a load costs each node of a cluster of 1 to 50. docs/scale.md explains what it shows.
//
//	go run ./examples/cluster/sim -sessions 200000 -channels 50000
//
// # The model
//
// Sessions are spread evenly and at random over the nodes, and subscribe and publish by the same popularity, which is
// Zipf's, independently of each other. Everything is an expected value in a steady second: there are no bursts, no queues
// and no latency in it. From that it counts
//
//   - the channels that a node has joined: those with a subscriber on it;
//   - deliveries, each with a system call of its own;
//   - copies of a publication: one for each other node with a subscriber, however many it has there;
//   - heartbeats: each node tells each other one, every second, which channels it has published to, wanted there or not;
//   - joins: a session that comes to a channel which nobody on its node has, or had 7.5 s ago, makes the node join it; each
//     has a barrier of its own, which every other node answers;
//   - memory: every node knows the interest of every other one.
//
// What each of these costs was measured on one machine with two virtual cores, where a wake-up is dear (costs.go). The cost
// of a message falls with the rate, because messages that come together share wake-ups; the curves were fitted by hand to the
// benchmarks.
//
// # What is not in it
//
// Hooks, compression, TLS of clients and routes, the metrics, the garbage collector's head room (leave as much memory again,
// or set GOMEMLIMIT), what the kernel keeps for a connection, and contention between cores: a node of 32 does not have 16
// times the throughput of one of 2. The one connection between two nodes ends near 300,000 messages a second, and a sum over
// nodes says nothing about a channel whose subscribers are all on one.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func run(args []string, out, usage io.Writer) error {
	var l Load
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	flags.SetOutput(usage)
	nodes := flags.String("nodes", "1,2,3,5,10,20,50", "numbers of nodes")
	flags.Float64Var(&l.Sessions, "sessions", 200_000, "sessions, all together")
	flags.Float64Var(&l.Subscriptions, "subscriptions", 2, "channels that each has subscribed to")
	flags.IntVar(&l.Channels, "channels", 50_000, "channels")
	flags.Float64Var(&l.Zipf, "zipf", 0.6, "exponent of popularity; 0: all are alike")
	flags.Float64Var(&l.Publications, "publications", 5_000, "publications a second, all together")
	flags.Float64Var(&l.Message, "message", 256, "octets of a message")
	flags.Float64Var(&l.Name, "name", 24, "octets of a channel's name")
	flags.Float64Var(&l.Churn, "churn", 100, "sessions that come a second, and as many go")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return errors.New("it takes flags, and no arguments")
	}
	numbers, err := parse(*nodes)
	if err := errors.Join(err, l.check()); err != nil {
		return err
	}
	return table(out, l, numbers)
}

// parse reads numbers of nodes.
func parse(list string) (numbers []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > 1000 {
			return nil, fmt.Errorf("nodes %q: want numbers from 1 to 1000", text)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// table prints a line for each number of nodes.
func table(out io.Writer, l Load, numbers []int) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	lines := []string{
		"\tof each node, a second\t\t\t\tcores\t\t\t\t\tMB that live\t\t\t\troutes\t\t",
		"nodes\tjoined\tdelivered\tin\tout\tclients\troutes\tbeats\tjoins\tall\tsessions\town\tothers'\tall\tMbit/s\tmsg/s each\t",
	}
	for _, nodes := range numbers {
		lines = append(lines, row(l.on(nodes)))
	}
	if _, err := fmt.Fprintln(w, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return w.Flush()
}

func row(n Node) string {
	const mb, mbit = 1e6, 1e6 / 8
	return fmt.Sprintf("%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.1f\t%.0f\t",
		n.Nodes, n.Joined, n.Delivered, n.In, n.Out, n.Clients, n.Routes, n.Beats, n.Joins, n.CPU(),
		n.Sessions/mb, n.Own/mb, n.Others/mb, n.Memory()/mb, n.Sent/mbit, n.Route)
}
