// Package skeincmd is skein's command line. A binary of one's own is one line:
//
//	skeincmd.Main(bundled.Catalog().With("censor", func() skein.Plugin { return censor.New() }))
//
// It has every command of the stock binary, and the plugins of its catalog can be named in the configuration.
package skeincmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the command line of this process and exits with 0 when all is well, 1 when something failed, and 2 when
// the command line is wrong. SIGINT and SIGTERM end it gently, the second one at once. SIGHUP lets a node read its keys again.
func Main(catalog skein.Catalog) {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(exitFailed)
	}()
	a := newApp(Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, catalog)
	a.hangUps = func() (<-chan os.Signal, func()) {
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGHUP)
		return told, func() { signal.Stop(told) }
	}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// Streams are what a command reads from, writes to and talks with.
type Streams struct {
	// In is read by commands that take "-".
	In io.Reader
	// Out gets the results.
	Out io.Writer
	// Err gets logs and errors.
	Err io.Writer
	// Dial reaches the servers of pub, sub and call. nil is the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Run runs one command line, without the program's name, until it is done or ctx is. It returns the exit code.
// It reads the process's environment and working directory, but changes nothing of the process.
func Run(ctx context.Context, args []string, s Streams, catalog skein.Catalog) int {
	return newApp(s, catalog).run(ctx, args)
}

func newApp(s Streams, catalog skein.Catalog) *app {
	return &app{catalog: catalog, Streams: s, lookup: os.LookupEnv, environ: os.Environ()}
}

// app is what every command works with.
type app struct {
	Streams
	catalog skein.Catalog
	dir     string // relative paths begin here; "" is the working directory
	lookup  func(name string) (string, bool)
	environ []string                                    // NAME=VALUE
	hangUps func() (told <-chan os.Signal, stop func()) // of a process of its own; nil is none
}

func (a *app) run(ctx context.Context, args []string) int {
	helped := false
	parser, err := a.parser(&cli{}, func(int) { helped = true })
	if err != nil {
		return a.fail(err)
	}
	if err := knownCommand(parser.Model.Node, args); err != nil {
		return a.misused(err)
	}
	k, err := parser.Parse(args)
	switch {
	case helped:
		return exitOK
	case err != nil:
		return a.misused(err)
	}
	k.BindTo(ctx, (*context.Context)(nil))
	return a.fail(k.Run(a))
}

// misused tells what is wrong with the command line, and where to find what is right.
func (a *app) misused(err error) int {
	a.complain(err)
	a.errorf("run \"%s --help\" for what there is\n", usageOf(err))
	return exitUsage
}

// knownCommand suggests also the second words of commands, as in check for config check.
func knownCommand(root *kong.Node, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return nil
	}
	var first, words, meant []string
	for _, c := range commands(root, nil)[1:] {
		if c.path == args[0] {
			return nil
		}
		path := strings.Fields(c.path)
		if len(path) == 1 {
			first = append(first, c.path)
		}
		words, meant = append(words, path[len(path)-1]), append(meant, c.path)
	}
	if near := conf.Nearest(args[0], words); near != "" {
		return fmt.Errorf("unknown command %q; did you mean %q?", args[0], meant[slices.Index(words, near)])
	}
	return fmt.Errorf("unknown command %q; there are %s", args[0], strings.Join(first, ", "))
}

// usageOf is the command that the error is about.
func usageOf(err error) string {
	if parse, ok := errors.AsType[*kong.ParseError](err); ok && parse.Context.Selected() != nil {
		return parse.Context.Selected().FullPath()
	}
	return name
}

// fail tells what went wrong and returns the exit code.
func (a *app) fail(err error) int {
	if err == nil {
		return exitOK
	}
	a.complain(err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// complain prints each of the joined errors in a line of its own.
func (a *app) complain(err error) {
	for _, e := range conf.Sort(err) {
		a.errorf("%s: %v\n", name, e)
	}
}

// usageError is a wrong command line that only the command could see.
type usageError string

func (e usageError) Error() string { return string(e) }

// errorf and printf write to the console, whose errors nobody could be told.
func (a *app) errorf(format string, args ...any) { _, _ = fmt.Fprintf(a.Err, format, args...) }

func (a *app) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.Out, format, args...) }

// path is where a file named by the user is.
func (a *app) path(file string) string {
	if a.dir == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(a.dir, file)
}

// orNone is path for a file that may not be named.
func (a *app) orNone(file string) string {
	if file == "" {
		return ""
	}
	return a.path(file)
}

func (a *app) read(file string) ([]byte, error) {
	b, err := os.ReadFile(a.path(file))
	if cause, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("read %s: %w", file, cause.Err)
	}
	return b, err
}

// secret is a value given directly, or the content of the file after an @, without the line's end.
func (a *app) secret(s string) (string, error) {
	file, isFile := strings.CutPrefix(s, "@")
	if !isFile {
		return s, nil
	}
	b, err := a.read(file)
	if err != nil {
		return "", err
	}
	if s = strings.TrimRight(string(b), "\r\n"); s == "" {
		return "", fmt.Errorf("%s is empty", file)
	}
	return s, nil
}
