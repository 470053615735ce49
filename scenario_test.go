package skein_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

// Scenarios are paragraphs of text; see testdata/scenario/README.md for the words.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenario/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := 1
		for paragraph := range strings.SplitSeq(string(text), "\n\n") {
			first := line
			line += strings.Count(paragraph, "\n") + 2
			title, steps, ok := strings.Cut(strings.TrimLeft(paragraph, "\n"), "\n")
			if !ok || !strings.HasPrefix(title, "# ") {
				t.Fatalf("%s:%d: a scenario is a title behind # and its steps", file, first)
			}
			name := strings.TrimSuffix(filepath.Base(file), ".txt") + "/" + strings.TrimPrefix(title, "# ")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := &play{t: t, file: filepath.Base(file), line: first, opts: skein.Endpoint{Protocol: skein.V2}, tokens: tokensByName()}
					p.perform(steps)
				})
			})
		}
	}
}

// play is one scenario being performed.
type play struct {
	t      *testing.T
	file   string
	line   int
	opts   skein.Endpoint
	conns  skein.ConnLimits
	nodes  []*skeintest.Server
	actors map[string]*actor
	tokens map[string]string
}

// actor is one connection, such as 1.a: a on node 1.
type actor struct {
	conn *skeintest.Conn
	node *skeintest.Server
	id   string
	said chan string // results and errors of commands
}

func (p *play) perform(steps string) {
	p.actors = map[string]*actor{}
	for step := range strings.SplitSeq(steps, "\n") {
		p.line++
		if step = strings.TrimSpace(step); step == "" || step[0] == '#' {
			continue
		}
		p.step(step)
	}
	synctest.Wait()
	for _, name := range slices.Sorted(maps.Keys(p.actors)) {
		a := p.actors[name]
		if a.conn == nil {
			continue
		}
		if got, there := a.read(); there {
			p.t.Errorf("%s: at the end %s has got %s", p.file, name, got)
		}
	}
}

func (p *play) errorf(format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("%s:%d: %s", p.file, p.line, fmt.Sprintf(format, args...))
}

func (p *play) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s:%d: %s", p.file, p.line, fmt.Sprintf(format, args...))
}

func (p *play) step(step string) {
	p.t.Helper()
	word, rest, _ := strings.Cut(step, " ")
	switch {
	case word == "server":
		for setting := range strings.FieldsSeq(rest) {
			p.set(setting)
		}
	case word == "wait":
		synctest.Wait()
	case word == "pass":
		pass(p.duration(rest))
	case strings.Contains(word, "."):
		p.act(word, rest)
	default:
		p.look(p.node(word), rest)
	}
}

func (p *play) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.fatalf("%v", err)
	}
	return d
}

func (p *play) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.fatalf("%v", err)
	}
	return n
}

// set understands the settings of a server line.
func (p *play) set(setting string) {
	name, value, _ := strings.Cut(setting, "=")
	o := &p.opts
	l := &o.Limits
	numbers := map[string]*int{
		"channels": &l.Channels, "calls": &l.Calls, "channelName": &l.ChannelName, "maxMessage": &l.MaxMessage,
		"outbox": &l.Outbox, "inbox": &l.Inbox, "burst": &l.Rates.Packets.Burst, "depth": &l.Depth, "batch": &l.Batch,
		"openCalls": &l.OpenCalls, "total": &p.conns.Total, "pending": &p.conns.Pending, "perUser": &p.conns.PerUser,
	}
	durations := map[string]*time.Duration{
		"pingInterval": &o.Ping.Interval, "pingTimeout": &o.Ping.Timeout, "handshakeTimeout": &o.HandshakeTimeout,
		"callTimeout": &o.CallTimeout, "stall": &l.Stall, "batchDuration": &o.Batch.Duration, "batchInterval": &o.Batch.Interval,
	}
	flags := map[string]*bool{
		"lax": &o.Lax, "noPublish": &o.NoPublish, "answerUnknown": &o.AnswerUnknown, "noPings": &o.Ping.Off, "compression": &o.Compression,
	}
	switch {
	case numbers[name] != nil:
		*numbers[name] = p.number(value)
	case durations[name] != nil:
		*durations[name] = p.duration(value)
	case flags[name] != nil:
		*flags[name] = true
	case name == "protocol":
		o.Protocol = map[string]skein.Protocol{"v1": skein.V1, "v2": skein.V2, "detect": skein.Detect}[value]
	case name == "codec":
		o.Codec = value
	case name == "rate":
		l.Rates.Packets.PerSecond = float64(p.number(value))
	case name == "origins":
		o.Origins = append(o.Origins, value)
	case name == "inbound":
		o.Inbound = func(_ context.Context, _ *skein.Session, m skein.RawMessage) error {
			if bytes.Contains(m.Raw, []byte(value)) {
				return errors.New("dropped")
			}
			return nil
		}
	default:
		p.fatalf("unknown setting %q", setting)
	}
}

// node returns a node of the cluster; all are started with the first.
func (p *play) node(number string) *skeintest.Server {
	p.t.Helper()
	if p.nodes == nil {
		for _, e := range skeintest.Link(2) {
			p.nodes = append(p.nodes, skeintest.Start(p.t, skein.Options{
				Engine: e, Endpoints: []skein.Endpoint{p.opts}, Conns: p.conns, Tokens: newTokens(p.t, auth.Options{}, testKey),
			}, fixture()))
		}
	}
	n := p.number(number)
	if n < 1 || n > len(p.nodes) {
		p.fatalf("there is no node %d", n)
	}
	return p.nodes[n-1]
}

// look compares what a node tells with what the line says.
func (p *play) look(node *skeintest.Server, rest string) {
	p.t.Helper()
	synctest.Wait()
	what, want, _ := strings.Cut(rest, " ")
	got := ""
	switch what {
	case "publish":
		channel, data, _ := strings.Cut(want, " ")
		if err := node.Publish(p.t.Context(), channel, rawOrNil(data)); err != nil {
			p.errorf("publish: %v", err)
		}
		return
	case "channels":
		got = strings.Join(node.Channels("", 0), " ")
	case "sessions":
		got = strconv.Itoa(node.Stats().Sessions)
	case "conns":
		got = strconv.Itoa(node.Stats().Conns)
	case "count":
		channel, n, _ := strings.Cut(want, " ")
		got, want = strconv.Itoa(node.Count(channel)), n
	case "pending":
		got = strconv.Itoa(node.Endpoints()[0].Pending)
	case "metric":
		name, n, _ := strings.Cut(want, " ")
		name, limit, _ := strings.Cut(name, "/")
		want = n
		for _, m := range node.Metrics() {
			if m.Name == name && m.Labels["limit"] == limit {
				got = strconv.FormatFloat(m.Value, 'f', -1, 64)
			}
		}
	default:
		p.fatalf("unknown question %q", what)
	}
	if got != want {
		p.errorf("%s: got %q, want %q", what, got, want)
	}
}

// act performs what a connection does or expects.
func (p *play) act(name, rest string) {
	p.t.Helper()
	a := p.actors[name]
	if a == nil {
		number, _, _ := strings.Cut(name, ".")
		a = &actor{node: p.node(number), said: make(chan string, 1)}
		p.actors[name] = a
	}
	verb, what, _ := strings.Cut(rest, " ")
	if verb == "open" {
		p.open(a, what)
		return
	}
	if a.conn == nil {
		p.open(a, "")
	}
	switch verb {
	case ">":
		p.send(a, what)
	case "<":
		synctest.Wait()
		got, _ := a.read()
		p.compare(got, what)
	case "do":
		p.command(a, what)
	case "said":
		synctest.Wait()
		select {
		case got := <-a.said:
			p.compare(a.masked(got), what)
		default:
			p.errorf("got no result, want %s", what)
		}
	default:
		p.fatalf("unknown verb %q", verb)
	}
}

// open connects: [path] [Header=value …] [refused STATUS BODY].
func (p *play) open(a *actor, rest string) {
	p.t.Helper()
	want := ""
	if i := strings.Index(rest, "refused "); i >= 0 {
		rest, want = rest[:i], rest[i+len("refused "):]
	}
	path, header := "/socketcluster/", http.Header{}
	for word := range strings.FieldsSeq(rest) {
		if name, value, ok := strings.Cut(word, "="); ok && word[0] != '/' {
			header.Add(name, value)
		} else {
			path = word
		}
	}
	c, err := a.node.Upgrade(p.t.Context(), path, header)
	var refused *skeintest.RefusedError
	switch {
	case errors.As(err, &refused):
		if got := fmt.Sprintf("%d %s", refused.Status, strings.TrimSpace(refused.Body)); got != want {
			p.errorf("refused with %q, want %q", got, want)
		}
	case err != nil:
		p.fatalf("%v", err)
	case want != "":
		p.errorf("not refused, want %q", want)
		fallthrough
	default:
		p.t.Cleanup(c.Terminate)
		a.conn = c
	}
}

var named = regexp.MustCompile(`\$[a-z0-9]+`)

// send sends a message: text as it is, with tokens for their names, or one of the words.
func (p *play) send(a *actor, what string) {
	p.t.Helper()
	what = named.ReplaceAllStringFunc(what, func(name string) string {
		if token, ok := p.tokens[name]; ok {
			return token
		}
		return name
	})
	word, rest, _ := strings.Cut(what, " ")
	var err error
	switch word {
	case "hello":
		token := "null"
		if rest != "" {
			token = strconv.Quote(rest)
		}
		err = a.conn.Send(`{"event":"#handshake","data":{"authToken":` + token + `},"cid":1}`)
	case "empty":
		err = a.conn.Send("")
	case "times":
		n, text, _ := strings.Cut(rest, " ")
		for i := range p.number(n) {
			err = errors.Join(err, a.conn.Send(strings.ReplaceAll(text, "%d", strconv.Itoa(i))))
		}
	case "long":
		n, text, _ := strings.Cut(rest, " ")
		err = a.conn.Send(strings.ReplaceAll(text, "%s", strings.Repeat("x", p.number(n))))
	case "bin":
		data, bad := hex.DecodeString(rest)
		err = errors.Join(bad, a.conn.SendBinary(data))
	case "pack":
		err = a.conn.SendBinary(translate(wire.JSON, wire.MinBin, []byte(rest)))
	case "bytes":
		err = a.conn.SendBinary([]byte(rest))
	case "ping":
		err = a.conn.SendFrame(0x89, nil)
	case "close":
		code, reason, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(code) // none is without a code
		err = a.conn.Close(n, reason)
	case "cut":
		a.conn.Terminate()
		a.conn = nil
	default:
		err = a.conn.Send(what)
	}
	if err != nil {
		p.errorf("send: %v", err)
	}
}

// read returns the next message in the words of a scenario, and whether there is one.
func (a *actor) read() (string, bool) {
	m, ok, err := a.conn.TryRead()
	var end *skeintest.CloseError
	switch {
	case errors.As(err, &end) && end.Code == skein.CloseAbnormal:
		return "cut", false
	case err != nil:
		return strings.TrimSpace(fmt.Sprintf("close %d %s", end.Code, end.Reason)), false
	case !ok:
		return "nothing", false
	case m.Binary:
		return "pack " + a.meet(string(translate(wire.MinBin, wire.JSON, m.Data))), true
	case len(m.Data) == 0:
		return "empty", true
	}
	return a.meet(string(m.Data)), true
}

var anID = regexp.MustCompile(`"id":"([\w-]{20})"`)

// meet learns the session's id where it is told, and masks the text.
func (a *actor) meet(text string) string {
	if found := anID.FindStringSubmatch(text); found != nil && a.id == "" {
		a.id = found[1]
	}
	return a.masked(text)
}

// translate says a message in another codec.
func translate(from, to wire.Codec, message []byte) []byte {
	var all [][]byte
	for p := range from.Packets(message) {
		cid, _ := p.CID.Uint64()
		switch {
		case p.Kind == wire.Ping && to == wire.JSON:
			all = append(all, []byte(`"`+wire.PingV1+`"`))
		case p.Kind == wire.Response && p.Error != nil:
			all = append(all, to.AppendFailure(nil, p.RID, p.Error))
		case p.Kind == wire.Response:
			all = append(all, to.AppendResult(nil, p.RID, p.Data))
		case p.Kind == wire.Publish && p.CID == nil:
			all = append(all, to.AppendPublish(nil, p.Channel, p.Payload))
		default:
			all = append(all, to.AppendEvent(nil, p.Event, p.Data, cid))
		}
	}
	if first := message[0]; first == '[' || first >= 0x90 && first <= 0x9f {
		return to.AppendBatch(nil, all)
	}
	return bytes.Join(all, nil)
}

var signed = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]*`)

// masked replaces what is random by names.
func (a *actor) masked(text string) string {
	if a.id != "" {
		text = strings.ReplaceAll(text, a.id, "$id")
	}
	return signed.ReplaceAllString(text, "$$jwt")
}

// compare compares JSON by value and other things as they are; "open" is the answer to a handshake without a token.
func (p *play) compare(got, want string) {
	p.t.Helper()
	if want == "open" {
		timeout := p.nodes[0].Endpoints()[0].Ping.Timeout
		want = fmt.Sprintf(`{"rid":1,"data":{"id":"$id","pingTimeout":%d,"isAuthenticated":false}}`, timeout.Milliseconds())
	}
	if got == want || sameJSON(got, want) || strings.HasPrefix(got, "pack ") && sameJSON(got[5:], strings.TrimPrefix(want, "pack ")) {
		return
	}
	if len(got) > 1000 {
		got = got[:1000] + "…"
	}
	p.errorf("\n got %s\nwant %s", got, want)
}

func sameJSON(a, b string) bool {
	var x, y any
	return decode(a, &x) == nil && decode(b, &y) == nil && reflect.DeepEqual(x, y)
}

func decode(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}

// command does something to a session from the server's side.
func (p *play) command(a *actor, what string) {
	p.t.Helper()
	synctest.Wait()
	s := a.node.Session(a.id)
	if s == nil {
		p.fatalf("there is no session")
	}
	word, rest, _ := strings.Cut(what, " ")
	arg, data, _ := strings.Cut(rest, " ")
	var err error
	switch word {
	case "kick":
		err = s.Kick(arg, data)
	case "kickAll":
		s.KickAll(rest)
	case "disconnect":
		s.Disconnect(p.number(arg), data)
	case "terminate":
		s.Terminate()
	case "transmit":
		err = s.Transmit(arg, rawOrNil(data))
	case "call":
		go func() {
			out, err := s.Call(p.t.Context(), arg, rawOrNil(data))
			a.said <- result(out, err)
		}()
		return
	case "setToken":
		err = s.SetToken(p.t.Context(), json.RawMessage(rest), skein.TokenOptions{})
	case "confirmToken":
		go func() {
			a.said <- result(nil, s.SetToken(p.t.Context(), json.RawMessage(rest), skein.TokenOptions{Confirm: true}))
		}()
		return
	case "removeToken":
		err = s.RemoveToken(p.t.Context(), skein.TokenOptions{})
	case "batch":
		s.StartBatching()
	case "unbatch":
		s.StopBatching()
	default:
		p.fatalf("unknown command %q", word)
	}
	if err != nil {
		a.said <- result(nil, err)
	}
}

func result(out json.RawMessage, err error) string {
	if err != nil {
		return described(err)
	}
	if out == nil {
		return "nothing"
	}
	return string(out)
}

func rawOrNil(data string) json.RawMessage {
	if data == "" {
		return nil
	}
	return json.RawMessage(data)
}
