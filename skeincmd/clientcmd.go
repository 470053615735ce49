package skeincmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skeinrt/skein/client"
)

// clientFlags say which server to talk to.
type clientFlags struct {
	URL      string        `default:"ws://127.0.0.1:8000/socketcluster/" placeholder:"URL" help:"Endpoint of the server."`
	Token    string        `placeholder:"TOKEN|@FILE" help:"Signed token to authenticate with."`
	Timeout  time.Duration `default:"10s" placeholder:"TIME" help:"How long connecting, and each request, may take."`
	Codec    string        `default:"json" enum:"json,minbin" placeholder:"NAME" help:"Codec of the server: json or minbin."`
	Protocol int           `default:"2" enum:"1,2" placeholder:"N" help:"Generation of the server: 1 up to SocketCluster 14, 2 from 15 on."`
}

// dial connects. A token that the server does not accept is an error: who gives one relies on it.
func (f *clientFlags) dial(ctx context.Context, a *app, reconnect bool) (*client.Client, error) {
	token, err := a.secret(f.Token)
	if err != nil {
		return nil, fmt.Errorf("--token: %w", err)
	}
	ctx, cancel := f.within(ctx, fmt.Sprintf(": is %s an endpoint of SocketCluster?", f.URL))
	defer cancel()
	c, err := client.Dial(ctx, client.Options{
		URL: f.URL, NetDial: a.Dial, Token: token, CallTimeout: f.Timeout, ConnectTimeout: f.Timeout, Codec: f.Codec, Protocol: f.Protocol,
		Reconnect: client.Backoff{Off: !reconnect, Initial: time.Second},
	})
	if err != nil {
		return nil, err
	}
	if err := c.AuthError(); token != "" && err != nil {
		return nil, errors.Join(fmt.Errorf("the server refused the token: %w", err), c.Close())
	}
	return c, nil
}

// within bounds one request. The hint follows what is said when no answer comes.
func (f *clientFlags) within(ctx context.Context, hint string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("no answer within %v%s", f.Timeout, hint))
}

// pubCmd publishes.
type pubCmd struct {
	clientFlags `embed:""`
	Channel     string `arg:"" help:"Channel to publish to."`
	Data        string `arg:"" help:"Message, JSON; - publishes each line of standard input."`
}

// Run returns when the server has taken over everything.
func (p *pubCmd) Run(ctx context.Context, a *app) error {
	if p.Data != "-" {
		if err := checkJSON(p.Data); err != nil {
			return err
		}
	}
	c, err := p.dial(ctx, a, false)
	if err != nil {
		return err
	}
	if p.Data == "-" {
		err = p.lines(ctx, a, c)
	} else {
		err = p.publish(ctx, c, p.Data)
	}
	return errors.Join(err, c.Close())
}

func (p *pubCmd) publish(ctx context.Context, c *client.Client, data string) error {
	ctx, cancel := p.within(ctx, "")
	defer cancel()
	return c.Publish(ctx, p.Channel, json.RawMessage(data))
}

const longestLine = 16 << 20

func (p *pubCmd) lines(ctx context.Context, a *app, c *client.Client) error {
	lines := bufio.NewScanner(a.In)
	lines.Buffer(nil, longestLine)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" {
			continue
		}
		if err := checkJSON(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if err := p.publish(ctx, c, line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read standard input: %w", err)
	}
	return nil
}

func checkJSON(s string) error {
	if json.Valid([]byte(s)) {
		return nil
	}
	return usageError(fmt.Sprintf(`%s is not JSON; a text has double quotes within the shell's single ones, as in '"hello"'`, s))
}

// subCmd prints what is published.
type subCmd struct {
	clientFlags `embed:""`
	Count       int      `placeholder:"N" help:"End after so many messages. 0: never."`
	Channels    []string `arg:"" name:"channel" help:"Channels to subscribe to."`
}

// received is a line of output.
type received struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Run prints until ctx is done, the count is reached, or a subscription ends.
func (s *subCmd) Run(ctx context.Context, a *app) error {
	c, err := s.dial(ctx, a, true)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p := &receiver{app: a, left: s.Count, stop: stop}
	var running sync.WaitGroup
	for _, channel := range s.Channels {
		subscription, err := s.subscribe(ctx, c, channel)
		if err != nil {
			stop(err)
			break
		}
		a.errorf("subscribed to %s\n", channel)
		running.Go(func() { p.follow(ctx, subscription) })
	}
	running.Wait()
	return errors.Join(ended(context.Cause(ctx)), c.Close())
}

func (s *subCmd) subscribe(ctx context.Context, c *client.Client, channel string) (*client.Subscription, error) {
	ctx, cancel := s.within(ctx, "")
	defer cancel()
	return c.Subscribe(ctx, channel)
}

// errDone ends a command that has what it was to have.
var errDone = errors.New("done")

// ended is the reason to complain about, if it is one.
func ended(cause error) error {
	if errors.Is(cause, errDone) || errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

// receiver prints the messages of several subscriptions.
type receiver struct {
	app  *app
	stop context.CancelCauseFunc

	mu   sync.Mutex
	left int // 0: without end
}

// follow prints one subscription until ctx is done. When the subscription ends before, so does everything.
func (r *receiver) follow(ctx context.Context, s *client.Subscription) {
	for {
		m, err := s.Next(ctx)
		if err != nil {
			r.stop(fmt.Errorf("%s: %w", s.Channel(), err))
			return
		}
		if m.Gap != client.NoGap {
			r.app.errorf("messages may be missing in %s: %s\n", s.Channel(), m.Gap)
			continue
		}
		if err := r.print(received{s.Channel(), m.Data}); err != nil {
			r.stop(err)
			return
		}
	}
}

func (r *receiver) print(m received) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("message of %s: %w", m.Channel, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < 0 {
		return errDone
	}
	if _, err := r.app.Out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if r.left--; r.left == 0 {
		r.left = -1
		return errDone
	}
	r.left = max(r.left, 0)
	return nil
}

// callCmd calls a procedure.
type callCmd struct {
	clientFlags `embed:""`
	Procedure   string `arg:"" help:"Procedure to call."`
	Data        string `arg:"" optional:"" help:"Argument, JSON; - reads it from standard input."`
}

// Run prints the answer.
func (c *callCmd) Run(ctx context.Context, a *app) error {
	text, err := a.argument(c.Data)
	if err != nil {
		return err
	}
	var data json.RawMessage
	if text != "" {
		if err := checkJSON(text); err != nil {
			return err
		}
		data = json.RawMessage(text)
	}
	conn, err := c.dial(ctx, a, false)
	if err != nil {
		return err
	}
	ctx, cancel := c.within(ctx, fmt.Sprintf(": is there a procedure %q?", c.Procedure))
	defer cancel()
	answer, err := conn.Call(ctx, c.Procedure, data)
	if err == nil && len(answer) > 0 {
		a.printf("%s\n", answer)
	}
	return errors.Join(err, conn.Close())
}
