package skeincmd

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

const (
	name        = "skein"
	description = "A realtime server: SocketCluster, raw WebSocket and HTTP on one port, made of plugins."
	envPrefix   = "SKEIN_"
)

// cli is the command line.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run a node."`
	Pub        pubCmd        `cmd:"" help:"Publish to a channel."`
	Sub        subCmd        `cmd:"" help:"Print what is published to channels, one JSON object a line."`
	Call       callCmd       `cmd:"" help:"Call a procedure and print its answer."`
	Token      tokenCmd      `cmd:"" help:"Sign, verify and look into tokens."`
	Plugins    pluginsCmd    `cmd:"" help:"List the plugins in the order of their set-up, and the hooks in the order in which they run."`
	Routes     routesCmd     `cmd:"" help:"List the routes and who owns them."`
	Config     configCmd     `cmd:"" help:"Check, print and describe the configuration."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script."`
}

func (a *app) parser(c *cli, exit func(int)) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name(name), kong.Description(description),
		kong.Writers(a.Out, a.Err), kong.Exit(exit),
		kong.FlagNamer(func(field string) string { return flagName(conf.CamelCase(field)) }),
		kong.Resolvers(kong.ResolverFunc(a.fromEnvironment)),
		kong.ValueFormatter(withVariable),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ExplicitGroups(groups()),
	)
}

func groups() []kong.Group {
	return []kong.Group{
		{Key: "listen", Title: "Listening"},
		{Key: "auth", Title: "Tokens"},
		{Key: "limits", Title: "Limits"},
		{Key: "features", Title: "Features"},
		{Key: "operators", Title: "For operators"},
		{Key: "parts", Title: "Drivers"},
	}
}

// flagName turns a key into its flag, without the dashes in front.
func flagName(key string) string { return strings.Join(conf.Words(key), "-") }

// variable is the environment's name for a flag.
func variable(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func isHelp(f *kong.Flag) bool { return f.Name == "help" }

// withVariable is a flag's line of help.
func withVariable(v *kong.Value) string {
	if v.Flag == nil || isHelp(v.Flag) {
		return v.Help
	}
	also := "$" + variable(v.Flag.Name)
	if v.HasDefault && v.Default != "" {
		also = "default " + v.Default + ", " + also
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + also + ")."
}

// fromEnvironment answers for flags that are not on the command line. An empty variable counts as absent.
func (a *app) fromEnvironment(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	text, ok := a.lookup(variable(f.Name))
	if !ok || text == "" || isHelp(f) {
		return nil, nil
	}
	probe := reflect.New(f.Target.Type()).Elem()
	if err := conf.SetText(probe, text); err != nil {
		return nil, fmt.Errorf("%s: %w", variable(f.Name), err)
	}
	return text, nil
}
