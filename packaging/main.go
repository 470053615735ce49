// Packaging makes what is handed to others: archives of the binary for every platform, each with the licences of what is
// linked into it and a bill of materials. Run it by make: licenses, sbom, dist, reproducible.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt) //nolint:forbidigo // main makes the context
	err := run(ctx, os.Stdout, os.Args[1:])
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "packaging:", err) // nobody else could be told
		os.Exit(1)                                        //nolint:forbidigo // main exits
	}
}

var errUsage = errors.New("the commands are: licenses ROOT OUT, sbom ROOT BINARY OUT, dist ROOT OUT, reproduce ROOT")

// run does one command. ROOT is the repository's folder, OUT a folder that is made.
func run(ctx context.Context, w io.Writer, args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	root, err := filepath.Abs(args[1])
	if err != nil {
		return err
	}
	r := repository{dir: root}
	switch command, rest := args[0], args[2:]; {
	case command == "licenses" && len(rest) == 1:
		return r.writeNotices(ctx, w, rest[0])
	case command == "sbom" && len(rest) == 2:
		return r.writeBill(ctx, w, rest[0], rest[1])
	case command == "dist" && len(rest) == 1:
		return r.release(ctx, w, rest[0], platforms())
	case command == "reproduce" && len(rest) == 0:
		return r.reproduce(ctx, w)
	}
	return errUsage
}
