package skeincmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"
)

// What a supervisor is told.
const (
	isServing  = "READY=1"
	isStopping = "STOPPING=1"
)

// supervisor is who has started the process and wants to know how it fares: systemd, by the protocol of sd_notify. Its
// value is the socket where it listens; "" is nobody.
type supervisor string

func (a *app) supervisor() supervisor {
	socket, _ := a.lookup("NOTIFY_SOCKET")
	return supervisor(socket)
}

// tell sends one message, also when ctx is done. A first @ of the socket means one without a file, as it does to net.
func (s supervisor) tell(ctx context.Context, state string) error {
	if s == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), "unixgram", string(s))
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	// A supervisor that does not read must not keep the node from what it says that it does.
	err = conn.SetDeadline(time.Now().Add(time.Second))
	if err == nil {
		_, err = io.WriteString(conn, state)
	}
	return errors.Join(err, conn.Close())
}

// report tells the supervisor; who cannot be told is no reason not to serve.
func (n *node) report(ctx context.Context, state string) {
	if err := n.supervisor.tell(ctx, state); err != nil {
		n.log.LogAttrs(ctx, slog.LevelWarn, "the supervisor could not be told", slog.String("what", state), slog.Any("error", err))
	}
}
