// Balancer spreads TCP connections over the nodes that say at /readyz that they want some. It needs nothing installed, and
// is for trying things out on one machine; in earnest, use the HAProxy of compose.yaml or what your platform has.
//
//	balancer -listen 127.0.0.1:8000 127.0.0.1:8001 127.0.0.1:8002 127.0.0.1:8003
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "balancer:", err)
		os.Exit(1)
	}
}

// run balances until ctx is done.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("balancer", flag.ContinueOnError)
	flags.SetOutput(log)
	listen := flags.String("listen", "127.0.0.1:8000", "address to listen on")
	every := flags.Duration("every", 250*time.Millisecond, "how often each node is asked whether it is ready")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() == 0 || *every <= 0 {
		return errors.New("say at which addresses the nodes are, and a time above 0")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "balancer on %s\n", l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	return newBalancer(flags.Args(), *every, slog.New(slog.NewTextHandler(log, nil))).serve(ctx, l)
}
