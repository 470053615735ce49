// Package natsengine is the engine of a node that has others: it carries messages over NATS.
package natsengine

import (
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/nats-io/nats.go"
)
