package skein

import (
	"context"

	"github.com/skeinrt/skein/engine"
)

// contained is an engine whose panics are errors and end nothing else, as those of all code of plugins.
type contained struct {
	engine.Engine

	server *Server
}

// Start starts the engine.
func (c contained) Start(ctx context.Context, sink engine.Sink) (err error) {
	defer c.server.survive(ctx, "start the engine", &err)
	return c.Engine.Start(ctx, sink)
}

// Publish hands a message to the engine.
func (c contained) Publish(ctx context.Context, m engine.Message) (err error) {
	defer c.server.survive(ctx, "publish", &err)
	return c.Engine.Publish(ctx, m)
}

// Join joins a channel.
func (c contained) Join(ctx context.Context, channel string) (err error) {
	defer c.server.survive(ctx, "join a channel", &err)
	return c.Engine.Join(ctx, channel)
}

// Leave leaves a channel. The engine may keep what it has of one that it cannot leave.
func (c contained) Leave(channel string) {
	defer c.server.survive(c.server.life.ctx, "leave a channel", new(error))
	c.Engine.Leave(channel)
}

// Close closes the engine.
func (c contained) Close(ctx context.Context) (err error) {
	defer c.server.survive(ctx, "close the engine", &err)
	return c.Engine.Close(ctx)
}
