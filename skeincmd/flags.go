package skeincmd

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

const (
	name        = "skein"
	description = "A realtime server: SocketCluster, raw WebSocket and HTTP on one port, made of plugins."
)

// cli is the command line.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run a node."`
	Pub        pubCmd        `cmd:"" help:"Publish to a channel."`
	Sub        subCmd        `cmd:"" help:"Print what is published to channels, one JSON object a line."`
	Call       callCmd       `cmd:"" help:"Call a procedure and print its answer."`
	Bench      benchCmd      `cmd:"" help:"Load a server and measure what it does."`
	Token      tokenCmd      `cmd:"" help:"Sign, verify and look into tokens; set and remove those of sessions."`
	Nodes      nodesCmd      `cmd:"" help:"List the nodes of a cluster."`
	Channels   channelsCmd   `cmd:"" help:"List the channels that have subscribers on any node."`
	Count      countCmd      `cmd:"" help:"Count the sessions of all nodes, or those subscribed to a channel."`
	Disconnect disconnectCmd `cmd:"" help:"Close sessions, on whatever node they are."`
	Kick       kickCmd       `cmd:"" help:"Take sessions out of a channel, on whatever node they are."`
	Cluster    clusterCmd    `cmd:"" help:"Make the certificates of a cluster."`
	Plugins    pluginsCmd    `cmd:"" help:"List the plugins in the order of their set-up, and the hooks in the order in which they run."`
	Routes     routesCmd     `cmd:"" help:"List the routes and who owns them."`
	Config     configCmd     `cmd:"" help:"Check, print and describe the configuration."`
	Health     healthCmd     `cmd:"" help:"Ask a node whether it is well, for supervisors: exit code 0 when it is."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print a completion script."`
}

func (a *app) parser(c *cli, exit func(int)) (*kong.Kong, error) {
	k, err := kong.New(c,
		kong.Name(name), kong.Description(description),
		kong.Writers(a.Out, a.Err), kong.Exit(exit),
		kong.FlagNamer(func(field string) string { return flagName(conf.CamelCase(field)) }),
		kong.Resolvers(kong.ResolverFunc(a.fromEnvironment)),
		kong.ValueFormatter(withVariable),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ExplicitGroups(groups()),
	)
	if err != nil {
		return nil, err
	}
	for _, command := range k.Model.Leaves(false) {
		if command.Name != "serve" && slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "addr" }) {
			shorten(command)
		}
	}
	return k, nil
}

// shorten refers to serve for the settings, which would hide the flags of a command that only looks at a node.
func shorten(command *kong.Node) {
	command.Detail = "All flags of serve are flags of this command too: see " + name + " serve --help."
	for _, f := range command.Flags {
		f.Hidden = f.Hidden || f.Group != nil
	}
}

func groups() []kong.Group {
	return []kong.Group{
		{Key: "listen", Title: "Listening"},
		{Key: "tls", Title: "TLS"},
		{Key: "cluster", Title: "Cluster"},
		{Key: "nats", Title: "Cluster over a NATS of its own"},
		{Key: "auth", Title: "Tokens"},
		{Key: "limits", Title: "Limits"},
		{Key: "features", Title: "Features"},
		{Key: "operators", Title: "For operators"},
		{Key: "parts", Title: "Drivers"},
	}
}

// flagName turns a key into its flag, without the dashes in front.
func flagName(key string) string { return strings.Join(conf.Words(key), "-") }
