package enginetest_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skeinrt/skein/engine"
	"github.com/skeinrt/skein/engine/enginetest"
)

func TestClusterWithMembersPasses(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Driver{Nodes: 3, Open: func(t *testing.T, nodes int) []engine.Engine {
		t.Helper()
		return openMembers(nodes, "")
	}})
}

// member is a bus whose nodes know each other.
type member struct {
	*bus
	all  []*member
	name string
	node engine.Node

	mu      sync.Mutex
	running bool
	started time.Time
}

func openMembers(nodes int, fault string) []engine.Engine {
	engines := openBus(nodes, fault)
	all := make([]*member, nodes)
	for i, e := range engines {
		b, _ := e.(*bus)
		all[i] = &member{bus: b, all: all, name: fmt.Sprint("member ", i)}
		engines[i] = all[i]
	}
	return engines
}

func (m *member) Attach(n engine.Node) { m.node = n }

func (m *member) Start(ctx context.Context, sink engine.Sink) error {
	if err := m.bus.Start(ctx, sink); err != nil {
		return err
	}
	m.change(true)
	return nil
}

func (m *member) Close(ctx context.Context) error {
	err := m.bus.Close(ctx)
	if m.fault == "tells gaps" && m.alive() {
		m.all[len(m.all)-1].node.Gap([]string{"room"})
	}
	if m.fault != "keeps those who leave" {
		m.change(false)
	}
	return err
}

func (m *member) change(running bool) {
	m.mu.Lock()
	m.running, m.started = running, time.Now()
	m.mu.Unlock()
	for _, other := range m.all {
		if other.alive() {
			other.node.Changed()
		}
	}
}

func (m *member) alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

func (m *member) Members() []engine.Member {
	if !m.alive() && m.fault != "has members before start" {
		return nil
	}
	var list []engine.Member
	for _, other := range m.all {
		if other.alive() && (m.fault != "overlooks the first" || other == m || other != m.all[0]) {
			list = append(list, engine.Member{
				Name: other.name, Boot: other.name, Started: time.Now(), Seen: time.Now(),
				Local: other == m && m.fault != "does not know itself" || m.fault == "takes all for itself",
			})
		}
	}
	if m.fault == "has members before start" {
		list = append(list, engine.Member{Name: m.name})
	}
	slices.SortFunc(list, func(a, b engine.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (m *member) Call(ctx context.Context, name, topic string, data []byte) ([]byte, error) {
	if !m.alive() {
		return nil, engine.ErrClosed
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(data) > 512<<10 {
		return nil, engine.ErrTooLarge
	}
	i := slices.IndexFunc(m.all, func(other *member) bool { return other.name == name && other.alive() })
	if i < 0 {
		return nil, engine.ErrNoMember
	}
	from := m.name
	if m.fault == "does not say who asks" {
		from = ""
	}
	answer, err := m.all[i].node.Serve(ctx, from, topic, data)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case m.fault == "hides who has failed":
		return nil, err
	}
	return nil, &engine.CallError{Member: name, Message: err.Error()}
}
