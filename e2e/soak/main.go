// Command soak runs a cluster of skein nodes for minutes or hours under everything at once: clients of both generations
// and codecs, publications of all kinds, churn, procedures, tokens, slow and hostile clients, and faults one after the
// other. It checks that what is promised holds, and that nothing is left behind.
//
//	go run ./e2e/soak -duration 20m
//	go run ./e2e/soak -duration 1h -seed 7 -faults kill,link-cut -keep
//
// It works in cycles. In each the crew of clients comes, works while faults strike, and stops; what was sent must then
// have arrived; the clients leave, and each node must be back at what it held in the beginning. The exit code is 1 when a
// promise was broken, and 2 when the program could not do its work.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

// run returns the exit code.
func run(ctx context.Context, args []string, out io.Writer) int {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(out, "soak:", err)
		return 2
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	s, err := newSoak(ctx, o, out)
	if err == nil {
		err = s.run(ctx)
		err = errors.Join(err, s.close())
	}
	if s != nil && s.tally != nil {
		s.report()
	}
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(out, "soak: trouble:", err)
		return 2
	case s.sum.Bad() || len(s.tally.wrong) > 0:
		_, _ = fmt.Fprintln(out, "soak: FAILED")
		return 1
	}
	_, _ = fmt.Fprintln(out, "soak: ok")
	return 0
}

// random is a source for one purpose.
func random(seed, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, purpose)) //nolint:gosec // to be repeatable
}
