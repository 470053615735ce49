package skeincmd

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// ClusterFlags are the flags with which skein serve joins a cluster, for programs that build their server themselves.
type ClusterFlags struct{ config *config }

// NewClusterFlags defines them in a set: --node, --cluster-listen and all the others. node is the default of --node.
func NewClusterFlags(set *flag.FlagSet, node string) *ClusterFlags {
	c := defaults()
	c.Cluster.Node = node
	for _, section := range []any{&c.Cluster, &c.NATS} {
		v := reflect.ValueOf(section).Elem()
		for _, f := range conf.Fields(v.Type()) {
			take := func(text string) error {
				c.given[f.Key] = "--" + flagName(f.Key)
				if len(f.Enum) > 0 && !slices.Contains(f.Enum, text) {
					return fmt.Errorf("want one of %s", strings.Join(f.Enum, ", "))
				}
				return conf.SetText(f.Of(v), text)
			}
			if f.Type.Kind() == reflect.Bool {
				set.BoolFunc(flagName(f.Key), f.Doc, take)
			} else {
				set.Func(flagName(f.Key), f.Doc, take)
			}
		}
	}
	return &ClusterFlags{c}
}

// Apply sets what the flags say: Node, MinNodes, CutOff, and, where there is a cluster, Engine and Timeouts.Start. Logger
// must be set before. The error tells all that is wrong.
func (f *ClusterFlags) Apply(o *skein.Options) error {
	o.Node = f.config.Cluster.Node
	if err := errors.Join(f.config.checkCluster(), f.config.checkRanges()); err != nil {
		return fmt.Errorf("the cluster's flags: %w", err)
	}
	return f.config.joinCluster(&app{}, o)
}
