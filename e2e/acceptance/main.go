// Command acceptance plays the acceptance scenario against the built programs: with unmodified clients from npm, a plain
// WebSocket, HTTP, the command line and the Go client. It prints one line a step, and ends with 1 where one has failed.
//
//	go run ./e2e/acceptance          all steps
//	go run ./e2e/acceptance 4 14     these
//
// It needs Node.js, and the packages of e2e/clients: `make deps` installs them. Everything listens on free ports of the
// loopback address. Step 12 compares what nodes cost, which the load generator measures.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// step is one of the scenario. play returns what was measured, or why it is not so.
type step struct {
	number int
	claim  string
	play   func(ctx context.Context, l *lab) (string, error)
}

func steps() []step {
	return []step{
		{1, "skein serve needs nothing, and says where it is", serveAlone},
		{2, "examples/seed is what the README prints, and works", seed},
		{3, "clients 20 to 13 from npm connect and subscribe once", connectClients},
		{4, "a raw message reaches every client, once and in order", rawMessages},
		{5, "the raw endpoint refuses what it must", refusals},
		{6, "a client's own publication reaches everybody", clientPublishes},
		{7, "who has unsubscribed or gone is left out", leaving},
		{8, "HTTP, skein pub and the Go client publish too", otherPublishers},
		{9, "what enters at one of three nodes reaches clients on all", threeNodes},
		{10, "a node that is killed costs its clients a moment", lossOfANode},
		{11, "a node that is told to leave loses nothing", departure},
		{13, "a second plugin filters, by name in skein.yaml", secondPlugin},
		{14, "a faulty set-up fails, and says what and where", faultySetUp},
		{15, "a panic of a plugin costs one message", panics},
		{16, "tokens open the raw endpoint and private channels", tokens},
		{17, "the same runs as go test, in memory and virtual time", inMemory},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

// run plays the steps whose numbers are given, or all.
func run(ctx context.Context, numbers []string) (failed int, err error) {
	l, err := newLab()
	if err != nil {
		return 0, err
	}
	defer l.close()
	passed := 0
	for _, s := range steps() {
		if len(numbers) > 0 && !slices.Contains(numbers, strconv.Itoa(s.number)) {
			continue
		}
		began := time.Now()
		detail, err := s.play(ctx, l)
		took := time.Since(began).Round(10 * time.Millisecond)
		if err != nil {
			failed++
			fmt.Printf("FAIL %3d  %s (%v)\n          %v\n", s.number, s.claim, took, err)
			continue
		}
		passed++
		fmt.Printf("ok   %3d  %s: %s (%v)\n", s.number, s.claim, detail, took)
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	return failed, nil
}
