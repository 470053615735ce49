package skeincmd

import (
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
)

// configured is the configuration of a command line, and the node that is built of it.
func configured(t *testing.T, file string, args ...string) (*app, *config) {
	t.Helper()
	a := inDir(t, nil, map[string]string{"skein.yaml": file})
	a.Streams = Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	var c cli
	parser, err := a.parser(&c, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(append([]string{"serve"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := a.load(k, c.Serve.Config, &c.Serve.Settings)
	if err != nil {
		t.Fatal(err)
	}
	return a, loaded
}

func optionsOf(t *testing.T, file string, args ...string) skein.Options {
	t.Helper()
	a, c := configured(t, file, args...)
	o, _, err := c.options(a, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// told is a command line, and what it makes of an option.
type told struct {
	args string
	of   func(o skein.Options) any
	want any
}

func (c told) check(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(c.want, c.of(optionsOf(t, "", strings.Fields(c.args)...))); diff != "" {
		t.Errorf("%s (-want +got):\n%s", c.args, diff)
	}
}

func TestSettingsBecomeOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	for _, c := range []told{
		{"--addr 127.0.0.1:1", func(o skein.Options) any { return o.Addr }, "127.0.0.1:1"},
		{"--node x", func(o skein.Options) any { return o.Node }, "x"},
		{"", func(o skein.Options) any { return o.Origins == nil }, true},
		{"--origins=a:*,*:80", func(o skein.Options) any { return o.Origins }, []string{"a:*", "*:80"}},
		{"--origins=a:* --origins *:80,b:1", func(o skein.Options) any { return o.Origins }, []string{"a:*", "*:80", "b:1"}},
		{"", func(o skein.Options) any { return o.Limits.MaxMessage }, 1 << 20},
		{"--max-message 2MiB", func(o skein.Options) any { return o.Limits.MaxMessage }, 2 << 20},
		{"", func(o skein.Options) any { return o.Limits.Channels }, 1000},
		{"--max-channels 0", func(o skein.Options) any { return o.Limits.Channels }, 0},
		{"--max-outbox 5KiB", func(o skein.Options) any { return o.Limits.Outbox }, 5 << 10},
		{"--max-stall 3s", func(o skein.Options) any { return o.Limits.Stall }, 3 * time.Second},
		{"--max-depth 9", func(o skein.Options) any { return o.Limits.Depth }, 9},
		{"--max-batch 9", func(o skein.Options) any { return o.Limits.Batch }, 9},
		{
			"--session-rates packets=1,bytes=1MiB/4MiB,subscribes=2.5/3,publishes=4,calls=5", func(o skein.Options) any { return o.Limits.Rates },
			skein.Rates{
				Packets: skein.Rate{PerSecond: 1}, Bytes: skein.Rate{PerSecond: 1 << 20, Burst: 4 << 20},
				Subscribes: skein.Rate{PerSecond: 2.5, Burst: 3}, Publishes: skein.Rate{PerSecond: 4}, Calls: skein.Rate{PerSecond: 5},
			},
		},
		{
			"--user-rates publishes=100/200 --user-rates connects=0.2/5", func(o skein.Options) any { return o.Rates.User },
			skein.Rates{Publishes: skein.Rate{PerSecond: 100, Burst: 200}, Connects: skein.Rate{PerSecond: 0.2, Burst: 5}},
		},
		{"--address-rates connects=2", func(o skein.Options) any { return o.Rates.Address }, skein.Rates{Connects: skein.Rate{PerSecond: 2}}},
		{"--max-user-sessions 9", func(o skein.Options) any { return o.Conns.PerUser }, 9},
		{"--max-pending 9", func(o skein.Options) any { return o.Conns.Pending }, 9},
		{"--max-pending-per-address=-1", func(o skein.Options) any { return o.Conns.PendingPerAddress }, -1},
		{"--user-claim sub", func(o skein.Options) any { return o.Rates.UserClaim }, "sub"},
		{"--max-connections 7", func(o skein.Options) any { return o.Conns.Total }, 7},
		{"--max-connections-per-address=-1", func(o skein.Options) any { return o.Conns.PerAddress }, -1},
		{"--max-accept-rate 9", func(o skein.Options) any { return o.Conns.PerSecond }, 9.0},
		{"--stop-timeout 4s", func(o skein.Options) any { return o.Timeouts.Stop }, 4 * time.Second},
		{"", func(o skein.Options) any { return []time.Duration{o.Timeouts.Drain, o.Timeouts.Stop} }, []time.Duration{5 * time.Second, 2 * time.Second}},
		{"--drain 0s", func(o skein.Options) any { return o.Timeouts.Drain < 0 }, true},
		{"--cluster-listen 127.0.0.1:0", func(o skein.Options) any { return strings.HasPrefix(o.Node, "node-") }, true},
		{"--cluster-listen 127.0.0.1:0 --cluster-min 3", func(o skein.Options) any { return o.MinNodes }, 3},
		{"--cluster-listen 127.0.0.1:0 --join-timeout 1m", func(o skein.Options) any { return o.Timeouts.Start }, 90 * time.Second},
		{"", func(o skein.Options) any { return o.CutOff }, skein.ServeAlone},
		{"--cluster-alone close", func(o skein.Options) any { return o.CutOff }, skein.CloseSessions},
		{"--engine nats", func(o skein.Options) any { return []any{o.EngineName, o.Engine == nil} }, []any{"nats", true}},
		{"", func(o skein.Options) any { return []any{o.EngineName, o.Engine != nil} }, []any{"", true}},
		{"", func(o skein.Options) any { return o.TLS == nil }, true},
		{"--compression", func(o skein.Options) any { return o.Endpoints[0].Compression }, true},
		{"", func(o skein.Options) any { return len(o.Endpoints) }, 1},
	} {
		c.check(t)
	}
}

func TestSettingsOfTheDoorBecomeOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	for _, c := range []told{
		{"--trusted-proxies 10.0.0.0/8,::1,127.0.0.1", func(o skein.Options) any { return prefixes(o.Door.Proxies) }, "10.0.0.0/8 ::1/128 127.0.0.1/32"},
		{"--trusted-proxies ::1 --proxy-protocol", func(o skein.Options) any { return o.Door.ProxyProtocol }, true},
		{"--operator-addr 127.0.0.1:9", func(o skein.Options) any { return o.Door.Operators }, "127.0.0.1:9"},
		{"--hsts 1h", func(o skein.Options) any { return o.Door.HSTS }, time.Hour},
		{"", func(o skein.Options) any { return o.Door.Header }, ""},
		{"--trusted-proxies ::1 --forwarded-header forwarded", func(o skein.Options) any { return o.Door.Header }, "Forwarded"},
	} {
		c.check(t)
	}
}

func prefixes(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}

func TestEndpointsOfTheFileBecomeEndpointsOfTheServer(t *testing.T) {
	t.Parallel()
	got := optionsOf(t, `
compression: true
endpoints:
  - {}
  - path: /a
    protocol: v1
    codec: json
    ping: {interval: 1s, timeout: 3s, off: true}
    handshakeTimeout: 4s
    callTimeout: 5s
    limits: {maxMessage: 1KiB, inbox: 2KiB, outbox: 3KiB, channels: 4, calls: 5, channelName: 6, stall: 7s, depth: 8, batch: 9, openCalls: 10, rates: {calls: 11, bytes: 1KiB/2KiB}}
    authScheme: x
    origins: ["a:*"]
    subprotocols: [chat]
    lax: true
    batch: {duration: 1s, interval: 2ms}
    noPublish: true
    compression: false
    answerUnknown: true
  - path: /b
    protocol: v2
    codec: detect
`).Endpoints
	want := []skein.Endpoint{
		{Source: "skein.yaml:4:5", Compression: true},
		{
			Path: "/a", Source: "skein.yaml:5:5", Protocol: skein.V1, Codec: "json",
			Ping:             skein.Ping{Interval: time.Second, Timeout: 3 * time.Second, Off: true},
			HandshakeTimeout: 4 * time.Second, CallTimeout: 5 * time.Second,
			Limits: skein.Limits{
				MaxMessage: 1 << 10, Inbox: 2 << 10, Outbox: 3 << 10, Channels: 4, Calls: 5, ChannelName: 6,
				Stall: 7 * time.Second, Depth: 8, Batch: 9, OpenCalls: 10,
				Rates: skein.Rates{Calls: skein.Rate{PerSecond: 11}, Bytes: skein.Rate{PerSecond: 1 << 10, Burst: 2 << 10}},
			},
			AuthScheme: "x", Origins: []string{"a:*"}, Subprotocols: []string{"chat"}, Lax: true,
			Batch:     skein.Batch{Duration: time.Second, Interval: 2 * time.Millisecond},
			NoPublish: true, AnswerUnknown: true,
		},
		{Path: "/b", Source: "skein.yaml:20:5", Protocol: skein.V2, Compression: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func TestChannelsOfTheFileBecomeOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	got := optionsOf(t, `
channels:
  - pattern: ticks/*
    maxDelay: 5ms
    slow: keepLatest
  - {pattern: chat}
  - {pattern: talk, slow: dropOldest}
  - {pattern: log, slow: dropNewest}
  - {pattern: bids, slow: close}
`).Channels
	want := []skein.ChannelOptions{
		{Pattern: "ticks/*", MaxDelay: 5 * time.Millisecond, Slow: skein.SlowKeepLatest},
		{Pattern: "chat"},
		{Pattern: "talk", Slow: skein.SlowDropOldest},
		{Pattern: "log", Slow: skein.SlowDropNewest},
		{Pattern: "bids"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
}

func TestAnEndpointsKeysAreItsOwn(t *testing.T) {
	t.Parallel()
	const one, two = "11111111111111111111111111111111", "22222222222222222222222222222222"
	o := optionsOf(t, "authKey: "+`"`+one+`"`+"\nendpoints: [{}, {path: /a, authKeys: [{secret: \""+two+"\"}]}]\n")
	token := func(secret string) string {
		key, err := auth.NewHMAC([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := auth.New(auth.Options{Keys: []auth.Key{key}})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := tokens.Sign(map[string]int{"a": 1}, auth.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	if o.Endpoints[0].Tokens != nil || o.Endpoints[1].Tokens == nil {
		t.Fatalf("got tokens %v and %v, want the second endpoint to have its own", o.Endpoints[0].Tokens, o.Endpoints[1].Tokens)
	}
	for name, c := range map[string]struct {
		tokens *auth.Tokens
		token  string
		good   bool
	}{
		"node's by node":         {o.Tokens, token(one), true},
		"endpoint's by node":     {o.Tokens, token(two), false},
		"endpoint's by endpoint": {o.Endpoints[1].Tokens, token(two), true},
		"node's by endpoint":     {o.Endpoints[1].Tokens, token(one), false},
	} {
		if _, err := c.tokens.Verify(c.token); (err == nil) != c.good {
			t.Errorf("%s: got %v, want it to be good: %v", name, err, c.good)
		}
	}
}

func TestPluginsAreThoseOfTheFlagsAndOfTheFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, args, want string }{
		{"defaults", "", "", "health rawws startpage api"},
		{"everything", "", "--echo /e --metrics --admin", "health rawws startpage echo api metrics admin"},
		{"nothing", "", "--raw off --no-api", "health"},
		{"empty raw is off too", "raw: ''", "", "health api"},
		{"a start page without raw endpoint, if asked for", "", "--raw off --start-page", "health startpage api"},
		{"entries come behind, in their order", "plugins: [{use: calculator}, {use: metrics}]", "", "health rawws startpage api calculator metrics"},
		{"an entry takes the place of a flag's plugin", "plugins: [{use: rawws}]", "", "health startpage api rawws"},
		{"also by its own name", "plugins: [{use: rawws, as: rawws}]", "", "health startpage api rawws"},
		{"another instance does not", "plugins: [{use: rawws, as: two, options: {path: /two}}]", "", "health rawws startpage api two"},
		{"an entry needs no flag", "plugins: [{use: admin}]", "", "health rawws startpage api admin"},
	} {
		a, loaded := configured(t, c.file, strings.Fields(c.args)...)
		parts, err := loaded.parts(a)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		names := make([]string, len(parts))
		for i, p := range parts {
			names[i] = p.name()
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTheStartPageKnowsWhereTheRawEndpointIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, want string }{
		{"default", "", "/ws testChannel"},
		{"settings", "{raw: /in, rawChannel: news}", "/in news"},
		{"entry", "plugins: [{use: rawws, prefix: /x, options: {path: /file, channel: c, require: token}}]", "/x/file c"},
		{"entry without path", "plugins: [{use: rawws, prefix: /x}]", "/x/ws testChannel"},
		{"another instance", "plugins: [{use: rawws, as: two, options: {path: /two}}]", "/ws testChannel"},
	} {
		_, loaded := configured(t, c.file)
		var got []string
		for _, o := range loaded.startPageOptions() {
			got = append(got, o.value.(string))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %s", c.name, got, c.want)
		}
	}
}

func TestErrorsNameWhoGaveTheValue(t *testing.T) {
	t.Parallel()
	_, c := configured(t, "node: x\nraw: /a\n", "--raw", "/b", "--echo", "/e")
	c.given["apiKey"] = "SKEIN_API_KEY"
	for path, want := range map[string]string{
		"node":   "skein.yaml:1:7: node: wrong",
		"raw":    "--raw: wrong",
		"echo":   "--echo: wrong",
		"apiKey": "SKEIN_API_KEY: wrong",
		"addr":   "addr: wrong",
	} {
		if got := c.blame(path, usageError("wrong")); got.Error() != want {
			t.Errorf("%s: got %v, want %s", path, got, want)
		}
	}
	if err := c.blame("node", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}
