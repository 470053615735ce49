package skeincmd

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// configCmd is about the configuration.
type configCmd struct {
	Check  configCheckCmd  `cmd:"" help:"Check the configuration without starting anything: values, options of plugins, their names and dependencies."`
	Print  configPrintCmd  `cmd:"" help:"Print the effective configuration as YAML, with where each value is from. Secrets are masked."`
	Schema configSchemaCmd `cmd:"" help:"Print the JSON Schema of the configuration file, with the options of this binary's plugins."`
}

type configCheckCmd struct {
	nodeFlags `embed:""`
}

// Run says that all is well, or everything that is not.
func (s *configCheckCmd) Run(ctx context.Context, a *app, k *kong.Context) error {
	for _, s := range a.strays() {
		a.errorf("%s: warning: %v\n", name, s)
	}
	n, err := a.quietNode(k, &s.nodeFlags)
	if err != nil {
		return err
	}
	if err := n.check(ctx, a); err != nil {
		return err
	}
	from := "defaults, flags and the environment"
	if n.config.file != "" {
		from = n.config.file
	}
	a.printf("%s: the configuration is good\n", from)
	return nil
}

// quietNode is node for commands whose output is not about running: it logs nothing.
func (a *app) quietNode(k *kong.Context, flags *nodeFlags) (*node, error) {
	quiet := *a
	quiet.Err = io.Discard
	return quiet.node(k, flags)
}

type configPrintCmd struct {
	nodeFlags `embed:""`
}

// effective is what a node does, in the form of its file.
type effective struct {
	Listen    listenSettings   `embed:""`
	TLS       tlsSettings      `embed:""`
	Cluster   clusterSettings  `embed:""`
	NATS      natsSettings     `embed:""`
	Auth      authSettings     `embed:""`
	Limits    limitSettings    `embed:""`
	Features  featureSettings  `embed:""`
	Operators operatorSettings `embed:""`
	Parts     partSettings     `embed:""`
	Endpoints []endpoint
	Channels  []channel
	Plugins   []effectiveUse
}

type effectiveUse struct {
	Use     string
	As      string `yaml:"as,omitempty"`
	Prefix  string `yaml:"prefix,omitempty"`
	Options any
}

// Run prints it.
func (s *configPrintCmd) Run(a *app, k *kong.Context) error {
	n, err := a.quietNode(k, &s.nodeFlags)
	if err != nil {
		return err
	}
	c := n.config
	e := effective{
		Listen: c.Listen, TLS: c.TLS, Cluster: c.Cluster, NATS: c.NATS, Auth: c.Auth, Limits: c.Limits, Features: c.Features,
		Operators: c.Operators, Parts: c.Parts, Endpoints: c.Lists.Endpoints, Channels: c.Lists.Channels,
	}
	e.Auth.AuthJWKS = maskedURL(c.Auth.AuthJWKS)
	for _, p := range n.parts {
		e.Plugins = append(e.Plugins, effectiveUse{p.from, p.use.As, p.use.Prefix, p.plugin})
	}
	return conf.Print(a.Out, &e, n.source, c.means)
}

// maskedURL hides what may be secret in a URL: all of one with a user, which is refused, and the query of another.
func maskedURL(text string) string {
	const masked = "********"
	if strings.Contains(text, "@") {
		return masked
	}
	if before, query, _ := strings.Cut(text, "?"); query != "" {
		return before + "?" + masked
	}
	return text
}

// means is what the value of a path stands for where the number or the name is found out at the start.
func (c *config) means(path string) string {
	switch {
	case path == "node" && c.Cluster.Node == "":
		return "a random name"
	case path == "authKey" && !c.hasKeys():
		return "a random key"
	case path == "maxConnections" && c.Limits.MaxConnections == 0:
		return strconv.Itoa(c.connections()) + ", by the limit of open files"
	case path == "maxConnectionsPerAddress" && c.Limits.MaxConnectionsPerAddress == 0:
		return "100"
	case path == "maxPending" && c.Limits.MaxPending == 0:
		return strconv.Itoa(skein.ConnLimits{Total: c.connections()}.InForce().Pending) + ", by --max-connections"
	case path == "maxPendingPerAddress" && c.Limits.MaxPendingPerAddress == 0:
		return "--max-connections-per-address"
	case path == "endpoints" && len(c.Lists.Endpoints) == 0:
		return "one at /socketcluster/"
	}
	return ""
}

// source is where a value of the effective configuration is from, or "" for the default.
func (n *node) source(path string) string {
	for i, p := range n.parts {
		rest, ok := strings.CutPrefix(path, conf.Item("plugins", i)+".")
		if !ok {
			continue
		}
		return p.source(n.config, rest)
	}
	return n.config.source(path)
}

// source is that of a path below the part.
func (p part) source(c *config, path string) string {
	if at, ok := p.places[conf.Join(p.path, path)]; ok {
		return at.String()
	}
	if p.path != "" && !strings.HasPrefix(path, "options") {
		return c.source(conf.Join(p.path, path))
	}
	for _, o := range p.options {
		if path == "options."+o.name {
			return c.source(o.key)
		}
	}
	if path == "use" {
		return p.use.Source
	}
	return ""
}

type configSchemaCmd struct{}

// Run prints the schema.
func (*configSchemaCmd) Run(a *app) error {
	c := defaults()
	s := conf.Schema(&c.settings)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = defaultFile
	plugins, ok := s["properties"].(conf.Object)["plugins"].(conf.Object)
	if !ok {
		return errors.New("the table of settings has no plugins")
	}
	items, ok := plugins["items"].(conf.Object)
	if !ok {
		return errors.New("plugins is no list")
	}
	items["required"] = []string{"use"}
	var options []conf.Object
	for _, name := range a.catalog.Names() {
		p, _ := a.catalog.New(name)
		options = append(options, conf.Object{
			"if":   conf.Object{"properties": conf.Object{"use": conf.Object{"const": name}}},
			"then": conf.Object{"properties": conf.Object{"options": conf.Schema(p)}},
		})
	}
	if len(options) > 0 {
		items["allOf"] = options
		items["properties"].(conf.Object)["use"].(conf.Object)["enum"] = a.catalog.Names()
	}
	return a.json(s)
}
