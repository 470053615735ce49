package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/client"
)

// connect has the Go client without its reconnections.
func (h *hand) connect(ctx context.Context, o client.Options) *client.Client {
	o.URL, o.Reconnect, o.CallTimeout = h.node().url(), client.Backoff{Off: true}, patience
	c, err := client.Dial(ctx, o)
	if err != nil {
		h.tally.add("connections refused or broken", 1)
		return nil
	}
	h.tally.add("connections of the Go client", 1)
	return c
}

// call calls procedures and checks their answers.
func call(ctx context.Context, h *hand) {
	back := func(_ context.Context, data json.RawMessage) (any, error) { return data, nil }
	c := h.connect(ctx, client.Options{
		Codec:    []string{"json", "minbin"}[h.rand.IntN(2)],
		Protocol: 1 + h.rand.IntN(2),
		Setup:    func(c *client.Client) { c.Handle("back", back) },
	})
	if c == nil {
		return
	}
	defer c.Close() //nolint:errcheck // how it ends does not matter
	for ctx.Err() == nil && h.callOnce(context.WithoutCancel(ctx), c) {
		pause(ctx, 20*time.Millisecond)
	}
}

// callOnce reports whether the connection still holds.
func (h *hand) callOnce(ctx context.Context, c *client.Client) bool {
	a, b := float64(h.rand.IntN(1000)), float64(h.rand.IntN(1000))
	text := fmt.Sprintf(`{"a":%g,"b":["\u00e9 \ud83d\ude00",null,true,%g]}`, a, b)
	var procedure, want string
	var in any
	switch h.rand.IntN(5) {
	case 0:
		procedure, in, want = "echo", json.RawMessage(text), text
	case 1:
		procedure, in, want = "sum", []float64{a, b}, fmt.Sprint(a+b)
	case 2:
		procedure, in, want = "slow", time.Millisecond, "1000000"
	case 3:
		procedure, in, want = "back", json.RawMessage(text), text
	default:
		procedure, in, want = "fail", text, ""
	}
	got, err := c.Call(ctx, procedure, in)
	switch {
	case errors.Is(err, client.ErrDisconnected) || errors.Is(err, client.ErrClosed):
		h.tally.add("calls, broken", 1)
		return false
	case !answers(got, err, want, text):
		h.tally.violation("%s of %v: got %.200s, %v", procedure, in, got, err)
	}
	h.tally.add("calls, answered", 1)
	return true
}

// answers reports whether an answer is the right one; want "" is a refusal with that text.
func answers(got json.RawMessage, err error, want, text string) bool {
	if want != "" {
		return err == nil && same(got, want)
	}
	refused, ok := errors.AsType[*client.Error](err)
	return ok && refused.Name == "SoakError" && refused.Message == text
}

// same reports whether two texts are the same JSON.
func same(got json.RawMessage, want string) bool {
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		return false
	}
	return fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

// holdTokens gets tokens in all the ways there are and loses them again.
func holdTokens(ctx context.Context, h *hand) {
	user := fmt.Sprintf("user-%x", h.rand.Uint64())
	c := h.connect(ctx, client.Options{})
	if c == nil {
		return
	}
	defer c.Close() //nolint:errcheck // how it ends does not matter
	waiting := context.WithoutCancel(ctx)
	for _, step := range []struct {
		name string
		do   func() error
		has  bool
	}{
		{"authenticate", func() error { return h.authenticate(waiting, c, user) }, true},
		{"remove-token over the API", func() error { return h.act(waiting, "remove-token", fmt.Sprintf(`{"user":%q}`, user)) }, false},
		{"login", func() error { return h.login(waiting, c, user, time.Hour) }, true},
		{"set-token over the API", func() error {
			return h.act(waiting, "set-token", fmt.Sprintf(`{"user":%q,"claims":{"username":%q,"again":true}}`, user, user))
		}, true},
		{"deauthenticate", func() error { return c.Deauthenticate(waiting) }, false},
		{"login that expires", func() error { return h.login(waiting, c, user, time.Second) }, true},
		{"expiry", func() error { return nil }, false},
	} {
		if err := step.do(); err != nil {
			h.tally.add("token steps, broken", 1)
			return
		}
		if !h.becomes(waiting, c, step.has) {
			if c.State() == client.Connected {
				h.tally.violation("%s: a client is authenticated: %v, want %v", step.name, !step.has, step.has)
			}
			return
		}
		h.tally.add("token steps, "+step.name, 1)
	}
}

// becomes waits until a client is authenticated, or not.
func (h *hand) becomes(ctx context.Context, c *client.Client, want bool) bool {
	for began := time.Now(); c.State() == client.Connected && time.Since(began) < patience; {
		if c.Authenticated() == want {
			return true
		}
		pause(ctx, 10*time.Millisecond)
	}
	return false
}

func (h *hand) authenticate(ctx context.Context, c *client.Client, user string) error {
	token, err := h.fleet.tokens.Sign(map[string]any{"username": user}, auth.SignOptions{})
	if err != nil {
		return err
	}
	return c.Authenticate(ctx, token)
}

func (h *hand) login(ctx context.Context, c *client.Client, user string, life time.Duration) error {
	_, err := c.Call(ctx, "login", map[string]any{"user": user, "life": life})
	return err
}

// act asks a random node to do something to sessions of all nodes; the one session must have been found.
func (h *hand) act(ctx context.Context, what, body string) error {
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	status, text, err := post(ctx, web, h.node().http()+"/api/"+what, []byte(body))
	if err == nil && (status != http.StatusOK || !same(text, `{"sessions":1}`)) {
		err = fmt.Errorf("%d %s", status, text) // a fault: a node did not answer, or the session is gone
	}
	return err
}
