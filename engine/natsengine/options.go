package natsengine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Options are what both ways to reach the other nodes have in common.
type Options struct {
	// Node is this node's name, unique among the living: Start fails while
	// another one of that name answers. It must not be empty.
	Node string
	// Prefix begins every subject of NATS, so that several clusters can share
	// one NATS. Empty means "sk".
	Prefix string
	// Logger takes what operators should know. nil discards it.
	Logger *slog.Logger
	// Linger is the least time for which a channel that this node has left stays
	// subscribed in case it is joined again; the most is twice as long. 0 means 5 s.
	Linger time.Duration
	// Heartbeat is how often this node tells the others that it lives. 0 means
	// 1 s. All nodes should have the same.
	Heartbeat time.Duration
	// Death is the silence after which another node counts as dead. Joins wait
	// that long for a node that does not answer. 0 means 3 s; less than two
	// heartbeats is an error.
	Death time.Duration
}

const (
	defaultLinger    = 5 * time.Second
	defaultHeartbeat = time.Second
	defaultDeath     = 3 * time.Second

	maxName   = 128
	maxPrefix = 64
)

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, "sk")
	o.Linger = cmp.Or(o.Linger, defaultLinger)
	o.Heartbeat = cmp.Or(o.Heartbeat, defaultHeartbeat)
	o.Death = cmp.Or(o.Death, defaultDeath)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// check returns all that is wrong, joined.
func (o Options) check() error {
	var wrong []error
	if o.Node == "" || len(o.Node) > maxName || !utf8.ValidString(o.Node) || strings.ContainsFunc(o.Node, unicode.IsControl) {
		wrong = append(wrong, fmt.Errorf("node name %.200q: want 1 to %d octets of UTF-8 without control characters", o.Node, maxName))
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`).MatchString(o.Prefix) || len(o.Prefix) > maxPrefix {
		wrong = append(wrong, fmt.Errorf("prefix %.200q: want up to %d letters, digits, '_' and '-', and dots between them", o.Prefix, maxPrefix))
	}
	if o.Linger < 0 || o.Heartbeat < 0 {
		wrong = append(wrong, errors.New("linger and heartbeat must not be negative"))
	}
	if o.Death < 2*o.Heartbeat {
		wrong = append(wrong, fmt.Errorf("death after %v: want at least two heartbeats of %v", o.Death, o.Heartbeat))
	}
	return errors.Join(wrong...)
}
