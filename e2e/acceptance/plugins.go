package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Steps 13 to 17: plugins.

func secondPlugin(ctx context.Context, l *lab) (string, error) {
	config := filepath.Join(l.root, "examples/plugin/skein.yaml")
	s, err := l.open(ctx, "./examples/plugin", []int{20, 14}, "--config", config)
	if err != nil {
		return "", err
	}
	defer s.close()
	for _, m := range []struct{ what, sent, want string }{
		{"send", `{"hello":1}`, `{"hello":1}`},
		{"send", `{"hello":"Darn it","list":["heck",1.5]}`, `{"hello":"*** it","list":["***",1.5]}`},
		{"send", "what the heck", `"what the ***"`},
		{"binary", "AAEC+g==", `{"base64":true,"data":"AAEC+g=="}`},
	} {
		if err := s.everybody(ctx, s.sends(ctx, m.what, m.sent), m.want); err != nil {
			return "", err
		}
	}
	if err := s.everybody(ctx, s.sends(ctx, "count", 1000, "oh darn"), numbered(1000, "oh ***")...); err != nil {
		return "", err
	}
	status, body, err := request(ctx, http.MethodGet, "http://"+s.addr+"/moderation/words", "")
	if err := answers("the plugin's own route", http.StatusOK, status, body, err); err != nil {
		return "", err
	}
	return "filtered, with options and a prefix; skein plugins and routes say so", listings(ctx, l, config)
}

// listings compares what the two commands show with who owns what.
func listings(ctx context.Context, l *lab, config string) error {
	binary, err := l.build(ctx, "./examples/plugin")
	if err != nil {
		return err
	}
	plugins, err := l.output(ctx, binary, "plugins", "--config", config)
	if err != nil {
		return err
	}
	routes, err := l.output(ctx, binary, "routes", "--config", config)
	if err != nil {
		return err
	}
	for expression, text := range map[string]string{
		`(?m)^\d+ +rawws\b`: plugins,
		`(?m)^\d+ +censor +1\.0\.0 +/moderation +\S*skein\.yaml`: plugins,
		`(?m)^1 +OnPublish +\* +censor$`:                         plugins,
		`(?m)^GET +/moderation/words +http +censor$`:             routes,
		`(?m)^GET +/ws +websocket +rawws$`:                       routes,
		`(?m)^\S+ +/socketcluster/ +socketcluster +-$`:           routes,
	} {
		if !regexp.MustCompile(expression).MatchString(text) {
			return fmt.Errorf("%s is not found in\n%s", expression, text)
		}
	}
	return nil
}

func faultySetUp(ctx context.Context, l *lab) (string, error) {
	for _, f := range []struct {
		program, config string
		says            []string
	}{
		{"./examples/plugin", "plugins:\n- use: censor\n  options:\n    wrods: [darn]\n", []string{"faulty.yaml:4:5", "wrods", "words"}},
		{"./examples/plugin", "maxMesage: 1MiB\n", []string{"faulty.yaml:1:1", "maxMesage", "maxMessage"}},
		{"./examples/plugin", "plugins:\n- use: cemsor\n", []string{"faulty.yaml:2:8", "cemsor", "censor"}},
		{"./e2e/acceptance/testdata/faulty", "plugins:\n- use: needy\n", []string{`"needy"`, `"absent"`}},
		{"./e2e/acceptance/testdata/faulty", "plugins:\n- use: chicken\n- use: egg\n", []string{`"chicken"`, `"egg"`}},
		{"./e2e/acceptance/testdata/faulty", "plugins:\n- use: squatter\n", []string{`"squatter"`, `"rawws"`, "/ws"}},
	} {
		if err := l.refusesToStart(ctx, f.program, f.config, f.says); err != nil {
			return "", err
		}
	}
	return "file, line, column and the right name; both plugins", nil
}

func (l *lab) refusesToStart(ctx context.Context, program, config string, says []string) error {
	binary, err := l.build(ctx, program)
	if err != nil {
		return err
	}
	file, err := l.write("faulty.yaml", config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := l.output(ctx, binary, "serve", "--addr", "127.0.0.1:0", "--config", file)
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return errors.Join(fmt.Errorf("serve with\n%s\nhas not ended with exit code 1", config), err)
	}
	for _, part := range says {
		if !strings.Contains(out, part) {
			return fmt.Errorf("serve with\n%s\nsays\n%s\nwithout %s", config, out, part)
		}
	}
	return nil
}

func panics(ctx context.Context, l *lab) (string, error) {
	config, err := l.write("panicky.yaml", "plugins:\n- use: panicky\n")
	if err != nil {
		return "", err
	}
	s, err := l.open(ctx, "./e2e/acceptance/testdata/faulty", []int{20}, "--config", config, "--metrics")
	if err != nil {
		return "", err
	}
	defer s.close()
	var refused *fault
	_, err = s.listeners[0].do(ctx, "publish", "testChannel", "boom")
	if !errors.As(err, &refused) || refused.Name != "PluginError" || !strings.Contains(refused.Message, `"panicky"`) {
		return "", errors.Join(errors.New("the message was not refused with a PluginError that names panicky"), err)
	}
	fine := func() error { _, err := s.listeners[0].do(ctx, "publish", "testChannel", "fine"); return err }
	if err := s.everybody(ctx, fine, `"fine"`); err != nil {
		return "", err
	}
	if err := s.everybody(ctx, s.sends(ctx, "send", "boom")); err != nil {
		return "", err
	}
	if err := s.everybody(ctx, s.sends(ctx, "send", "fine too"), `"fine too"`); err != nil {
		return "", err
	}
	for _, c := range append(s.listeners, s.raw) {
		if len(c.of("connect")) != 1 || len(c.of("close")) != 0 {
			return "", fmt.Errorf("%s has lost its connection", c.label)
		}
	}
	status, body, err := request(ctx, http.MethodGet, "http://"+s.addr+"/metrics", "")
	if err := answers("metrics", http.StatusOK, status, body, err); err != nil {
		return "", err
	}
	if line := `skein_plugin_panics_total{plugin="panicky"} 2`; !strings.Contains(body, line) {
		return "", fmt.Errorf("%s is not in the metrics", line)
	}
	return refused.Message, nil
}

func tokens(ctx context.Context, l *lab) (string, error) {
	if err := rawTokens(ctx, l); err != nil {
		return "", err
	}
	return "401 without; a subscription is refused with NotAuthorizedError", authExample(ctx, l)
}

// rawTokens shows tokens to the raw endpoint.
func rawTokens(ctx context.Context, l *lab) error {
	const secret = "a secret of thirty-two octets, or more"
	config, err := l.write("tokens.yaml", "plugins:\n- use: rawws\n  options: {require: token}\n")
	if err != nil {
		return err
	}
	p, addr, err := l.serve(ctx, "./cmd/skein", "--config", config, "--auth-key", secret)
	if err != nil {
		return err
	}
	defer p.stop()
	skein, err := l.build(ctx, "./cmd/skein")
	if err != nil {
		return err
	}
	signed, err := l.output(ctx, skein, "token", "sign", "--auth-key", secret, `{"user":"ada"}`)
	if err != nil {
		return err
	}
	signed = strings.TrimSpace(signed)
	url := "http://" + addr + "/ws"
	for _, shown := range []struct {
		what   string
		header []string
		want   int
	}{
		{"no token", nil, 401},
		{"a forged token", []string{"Authorization", "Bearer " + signed + "x"}, 401},
		{"a token", []string{"Authorization", "Bearer " + signed}, 101},
		{"a forged subprotocol", []string{"Sec-WebSocket-Protocol", "skein, bearer." + signed + "x"}, 401},
	} {
		status, body, err := upgrade(ctx, url, shown.header...)
		if err := answers(shown.what, shown.want, status, body, err); err != nil {
			return err
		}
	}
	raw, err := l.raw(ctx, "ws://"+addr+"/ws", "skein", "bearer."+signed)
	if err != nil {
		return err
	}
	defer raw.stop()
	opened, err := raw.once(ctx, "connect")
	if err == nil && string(opened.Data) != `"skein"` {
		err = fmt.Errorf("the subprotocol agreed on is %s, want skein", opened.Data)
	}
	return err
}

// authExample logs in, brings the token to another connection, and asks for the own and for a foreign channel.
func authExample(ctx context.Context, l *lab) error {
	binary, err := l.build(ctx, "./examples/auth")
	if err != nil {
		return err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	p, err := spawn(ctx, l.dir, environment(), func(string) {}, binary, "--addr", addr)
	if err != nil {
		return err
	}
	defer p.stop()
	probe, err := dial(ctx, addr) // it listens
	if err != nil {
		return err
	}
	defer probe.Close() //nolint:errcheck // at the end of its step
	for _, major := range []int{20, 14} {
		if err := l.authenticates(ctx, major, addr); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) authenticates(ctx context.Context, major int, addr string) error {
	first, err := l.client(ctx, major, addr)
	if err != nil {
		return err
	}
	defer first.kill()
	if _, err := first.do(ctx, "subscribe", "private/ada"); err != nil {
		return err
	}
	if err := refusedTo(ctx, first, "private/ada"); err != nil {
		return err
	}
	if _, err := first.do(ctx, "call", "login", map[string]string{"user": "ada", "password": "wrong"}); err == nil || !strings.Contains(err.Error(), "FailedLoginError") {
		return errors.Join(fmt.Errorf("%s: a wrong password was not refused with a FailedLoginError", first.label), err)
	}
	if _, err := first.do(ctx, "call", "login", map[string]string{"user": "ada", "password": "lovelace"}); err != nil {
		return fmt.Errorf("%s logs in: %w", first.label, err)
	}
	token, err := first.token(ctx)
	if err != nil {
		return err
	}
	second, err := l.client(ctx, major, addr)
	if err != nil {
		return err
	}
	defer second.kill()
	if _, err := second.do(ctx, "authenticate", token); err != nil {
		return fmt.Errorf("%s authenticates: %w", second.label, err)
	}
	for _, channel := range []string{"private/ada", "private/grace"} {
		if _, err := second.do(ctx, "subscribe", channel); err != nil {
			return err
		}
	}
	err = second.until(ctx, "subscribe", func(list []event) bool { return has(list, "private/ada") })
	return errors.Join(err, refusedTo(ctx, second, "private/grace"))
}

// token is the client's, which a version's login may set a moment after it has answered.
func (p *puppet) token(ctx context.Context) (signed string, err error) {
	for began := time.Now(); signed == "" && time.Since(began) < patience; {
		raw, err := p.do(ctx, "token")
		if err != nil {
			return "", err
		}
		if raw != nil && json.Unmarshal(raw, &signed) != nil {
			return "", fmt.Errorf("%s has the token %s", p.label, raw)
		}
	}
	return signed, nil
}

func has(list []event, channel string) bool {
	for _, e := range list {
		if e.Channel == channel {
			return true
		}
	}
	return false
}

func refusedTo(ctx context.Context, p *puppet, channel string) error {
	err := p.until(ctx, "subscribeFail", func(list []event) bool { return has(list, channel) })
	for _, e := range p.of("subscribeFail") {
		if e.Channel == channel && e.Error.Name != "NotAuthorizedError" {
			err = fmt.Errorf("%s was refused %s with %w, want NotAuthorizedError", p.label, channel, e.Error)
		}
	}
	return err
}

func inMemory(ctx context.Context, l *lab) (string, error) {
	if _, err := os.Stat(filepath.Join(l.root, "acceptance_test.go")); err != nil {
		return "", err
	}
	began := time.Now()
	out, err := l.output(ctx, "go", "test", "-count=1", "-v", "-run", "^TestAcceptance", ".")
	if err != nil {
		return "", err
	}
	n := strings.Count(out, "--- PASS: TestAcceptance")
	if n == 0 {
		return "", fmt.Errorf("no test was run:\n%s", out)
	}
	return fmt.Sprintf("%d tests in %v, the building included", n, time.Since(began).Round(time.Second)), nil
}
