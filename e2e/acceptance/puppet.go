package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// puppet is a Node program that tells what happens, and does what it is told.
type puppet struct {
	*process
	label string

	mu      sync.Mutex
	events  []event
	changed chan struct{} // closed when an event is added
	orders  int
}

// event is a line of a puppet.
type event struct {
	Event   string          `json:"event"`
	At      float64         `json:"at"` // milliseconds since 1970
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
	Error   *fault          `json:"error"`
	Code    int             `json:"code"`
	Order   int             `json:"order"`
}

// fault is an error as the client shows it.
type fault struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// Error tells name and message.
func (f *fault) Error() string { return f.Name + ": " + f.Message }

// client starts a client from npm of a major version.
func (l *lab) client(ctx context.Context, major int, addr string) (*puppet, error) {
	host, port := splitAddr(addr)
	return l.puppet(ctx, fmt.Sprintf("client %d", major), "client.mjs", strconv.Itoa(major), host, port)
}

// raw starts a plain WebSocket.
func (l *lab) raw(ctx context.Context, url string, protocols ...string) (*puppet, error) {
	return l.puppet(ctx, "raw WebSocket", "raw.mjs", append([]string{url}, protocols...)...)
}

func (l *lab) puppet(ctx context.Context, label, script string, args ...string) (*puppet, error) {
	p := &puppet{label: label, changed: make(chan struct{})}
	command := append([]string{"node", filepath.Join(l.root, "e2e/acceptance", script)}, args...)
	var err error
	p.process, err = spawn(ctx, l.dir, environment(), p.hear, command...)
	return p, err
}

func (p *puppet) hear(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		return // find shows it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, e)
	close(p.changed)
	p.changed = make(chan struct{})
}

// of lists the events of a name so far.
func (p *puppet) of(name string) []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []event
	for _, e := range p.events {
		if e.Event == name {
			list = append(list, e)
		}
	}
	return list
}

// until waits until look is satisfied with the events of a name.
func (p *puppet) until(ctx context.Context, name string, look func([]event) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if look(p.of(name)) {
			return nil
		}
		select {
		case <-changed:
		case <-p.ended:
			return fmt.Errorf("%s has ended:\n%s", p.label, tail(p.text()))
		case <-ctx.Done():
			return fmt.Errorf("%s has had no such %s; it said:\n%s", p.label, name, tail(p.text()))
		}
	}
}

// once waits for an event of a name.
func (p *puppet) once(ctx context.Context, name string) (event, error) {
	err := p.until(ctx, name, func(list []event) bool { return len(list) > 0 })
	if err != nil {
		return event{}, err
	}
	return p.of(name)[0], nil
}

// do tells the puppet to do something, and waits for its answer.
func (p *puppet) do(ctx context.Context, what string, args ...any) (json.RawMessage, error) {
	order, err := p.order(what, args...)
	if err != nil {
		return nil, err
	}
	var done event
	err = p.until(ctx, "done", func(list []event) bool {
		for _, e := range list {
			if e.Order == order {
				done = e
			}
		}
		return done.Order == order
	})
	if err == nil && done.Error != nil {
		return nil, done.Error
	}
	return done.Data, err
}

// order tells it and does not wait.
func (p *puppet) order(what string, args ...any) (int, error) {
	p.mu.Lock()
	p.orders++
	order := p.orders
	p.mu.Unlock()
	line, err := json.Marshal(map[string]any{"order": order, "what": what, "args": append([]any{}, args...)})
	if err != nil {
		return 0, err
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return 0, fmt.Errorf("tell %s: %w", p.label, err)
	}
	return order, nil
}

// gets waits until the messages behind the first skip ones are these, and no more.
func (p *puppet) gets(ctx context.Context, skip int, want ...string) error {
	if err := p.until(ctx, "message", func(list []event) bool { return len(list) >= skip+len(want) }); err != nil {
		return err
	}
	list := p.of("message")
	if len(list) != skip+len(want) {
		return fmt.Errorf("%s has %d messages, want %d; the last is %s", p.label, len(list)-skip, len(want), list[len(list)-1].Data)
	}
	for i, w := range want {
		if got := list[skip+i].Data; !sameJSON(got, w) {
			return fmt.Errorf("%s: message %d is %s, want %s", p.label, i+1, got, w)
		}
	}
	return nil
}

func sameJSON(got json.RawMessage, want string) bool {
	var a, b bytes.Buffer
	return json.Compact(&a, got) == nil && json.Compact(&b, []byte(want)) == nil && a.String() == b.String()
}

// took is how many milliseconds lie between a sending, as a puppet has told it, and an event.
func took(sent json.RawMessage, e event) (time.Duration, error) {
	var at float64
	if err := json.Unmarshal(sent, &at); err != nil || at == 0 {
		return 0, errors.New("the sender has not told when it sent")
	}
	return time.Duration((e.At - at) * float64(time.Millisecond)), nil
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 2000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
