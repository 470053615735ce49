package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long a node may take to accept a connection, or to say that it is ready.
const patience = time.Second

// balancer takes the ready nodes in turn. Connections stay where they are, whatever their node says later: a node that
// drains sends its clients away itself, and those of one that has died are ended by the system.
type balancer struct {
	nodes []*node
	every time.Duration
	log   *slog.Logger
	turn  atomic.Uint64
	work  sync.WaitGroup
}

// node is where connections go.
type node struct {
	addr  string
	ready atomic.Bool
}

func newBalancer(addrs []string, every time.Duration, log *slog.Logger) *balancer {
	b := &balancer{every: every, log: log}
	for _, addr := range addrs {
		b.nodes = append(b.nodes, &node{addr: addr})
	}
	return b
}

// serve balances what l accepts until ctx is done, and returns when all connections have ended.
func (b *balancer) serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer b.work.Wait()
	defer cancel()
	for _, n := range b.nodes {
		b.work.Go(func() { b.watch(ctx, n) })
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })() // which ends Accept
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // it came too late
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // such as too many open files: others may come
			b.log.LogAttrs(ctx, slog.LevelWarn, "cannot accept", slog.Any("error", err))
			pause(ctx, b.every)
			continue
		}
		b.work.Go(func() { b.carry(ctx, conn) })
	}
}

// watch asks a node again and again whether it is ready.
func (b *balancer) watch(ctx context.Context, n *node) {
	// Each question has a connection of its own, so that a node that stops need not wait for one.
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		ready := isReady(ctx, client, n.addr)
		if n.ready.Swap(ready) != ready && ctx.Err() == nil {
			b.log.LogAttrs(ctx, slog.LevelInfo, "node has changed", slog.String("addr", n.addr), slog.Bool("ready", ready))
		}
		if !pause(ctx, b.every) {
			return
		}
	}
}

func isReady(ctx context.Context, client *http.Client, addr string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close() // only the status counts
	return answer.StatusCode == http.StatusOK
}

// pause reports whether it has ended before ctx.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// carry copies between a client and a node until either is done.
func (b *balancer) carry(ctx context.Context, client net.Conn) {
	defer client.Close() //nolint:errcheck // nothing can be done about it
	server, err := b.dial(ctx)
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "client sent away", slog.Any("error", err))
		return
	}
	defer server.Close() //nolint:errcheck // as above
	defer context.AfterFunc(ctx, func() {
		_ = client.Close() // which ends both copies
		_ = server.Close()
	})()
	var up sync.WaitGroup
	up.Go(func() { pour(server, client) })
	pour(client, server)
	up.Wait()
}

// dial connects to the next node that is ready and accepts.
func (b *balancer) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: patience}
	err := errors.New("no node is ready")
	first := b.turn.Add(1)
	for i := range uint64(len(b.nodes)) {
		n := b.nodes[(first+i)%uint64(len(b.nodes))]
		if !n.ready.Load() {
			continue
		}
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, "tcp", n.addr); err == nil {
			return conn, nil
		}
		n.ready.Store(false) // until it has been asked again
	}
	return nil, err
}

// pour copies until one side has ended, and passes the end on. A broken side ends the other one as well.
func pour(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		_ = src.Close()
		return
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only where it is over anyway
	}
}
