package skeintest

import (
	"context"
	"errors"

	"github.com/skeinrt/skein/engine"
)

// Link returns the engines of n nodes that carry each other's messages, as a cluster without a network: give each one
// to the Options.Engine of a server. What is published on one node has arrived on all when Publish returns.
func Link(n int) []engine.Engine {
	nodes := make([]*engine.Memory, n)
	for i := range nodes {
		nodes[i] = engine.NewMemory()
	}
	engines := make([]engine.Engine, n)
	for i, own := range nodes {
		engines[i] = linked{own, nodes}
	}
	return engines
}

// linked is a node's own engine, which publishes on all.
type linked struct {
	*engine.Memory
	nodes []*engine.Memory
}

// Publish hands the message to the node's own engine, and then to the others that run.
func (l linked) Publish(ctx context.Context, m engine.Message) error {
	if err := l.Memory.Publish(ctx, m); err != nil {
		return err
	}
	var errs []error
	for _, other := range l.nodes {
		if other == l.Memory {
			continue
		}
		if err := other.Publish(ctx, m); !errors.Is(err, engine.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
