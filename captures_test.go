package skein_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/skeintest"
)

// Recordings of real servers and clients are replayed: what the clients sent is sent at the same times, and what the
// server said must be said. staged (captures_staging_test.go) has the server's side of each recording.
const recordings = "../shared/captures"

func TestRecordedExchangesAreRepeated(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(recordings, "*", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Log("the recordings are not there: only our own exchanges are replayed")
	}
	own, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil || len(own) == 0 {
		t.Fatalf("no exchanges of our own: %v", err)
	}
	stage := staged()
	for _, file := range append(files, own...) {
		name := filepath.Base(filepath.Dir(file)) + "/" + strings.TrimSuffix(filepath.Base(file), ".jsonl")
		set := stage[name]
		delete(stage, name)
		if set.skip != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := readRecording(t, file)
			synctest.Test(t, func(t *testing.T) { replay(t, rec, set) })
		})
	}
	if len(files) > 0 {
		for name := range stage {
			t.Errorf("%s is staged, but there is no such recording", name)
		}
	}
}

// recording is a file: its head, and its lines up to the end of the scenario.
type recording struct {
	Server  string `json:"server"`
	Options struct {
		PingInterval, PingTimeout, HandshakeTimeout, AckTimeout, BatchOnHandshakeDuration, BatchInterval int
		ProtocolVersion, SocketChannelLimit, MaxPayload, AuthDefaultExpiry                               int
		PingTimeoutDisabled, BatchOnHandshake                                                            bool
		StrictHandshake, AllowClientPublish                                                              *bool
		CodecEngine                                                                                      string
		Origins                                                                                          any
	} `json:"serverOptions"`
	AuthKey string `json:"authKey"`

	name  string
	lines []recorded
	began time.Time
}

type recorded struct {
	T      int             `json:"t"`
	Conn   int             `json:"conn"`
	Dir    string          `json:"dir"`
	Type   string          `json:"type"`
	Data   json.RawMessage `json:"data"`
	Hex    string          `json:"hex"`
	Code   *int            `json:"code"`
	Reason string          `json:"reason"`
	URL    string          `json:"url"`
	Origin string          `json:"origin"`
	Note   string          `json:"note"`
}

// text is the line's message, or other data, as text.
func (l recorded) text() string {
	var s string
	_ = json.Unmarshal(l.Data, &s) // only lines whose data is a string are asked
	return s
}

func readRecording(t *testing.T, file string) *recording {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := bytes.Cut(content, []byte("\n"))
	rec := &recording{name: filepath.Base(file), began: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	if err := json.Unmarshal(head, rec); err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(rest) {
		var l recorded
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(l.Note, "--- end") {
			break
		}
		rec.lines = append(rec.lines, l)
	}
	rec.findTime(content)
	return rec
}

var jwt = regexp.MustCompile(`eyJ[\w-]+\.([\w-]+)\.[\w-]*`)

// findTime sets the clock to the first token that was signed while recording.
func (rec *recording) findTime(content []byte) {
	for _, found := range jwt.FindAllSubmatch(content, -1) {
		var claims struct{ Iat int64 }
		raw, _ := base64.RawURLEncoding.DecodeString(string(found[1])) // what is no token says no time
		if json.Unmarshal(raw, &claims) == nil && claims.Iat > 1_700_000_000 {
			rec.began = time.Unix(claims.Iat, 0)
			return
		}
	}
}

// legacy reports whether the server was one of the first generation.
func (rec *recording) legacy() bool {
	return strings.Contains(rec.Server, "@14") || strings.Contains(rec.name, "to-server-14")
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// endpoint is the recorded server's options as ours.
func (rec *recording) endpoint() skein.Endpoint {
	o := rec.Options
	e := skein.Endpoint{
		Protocol: skein.V2, HandshakeTimeout: ms(o.HandshakeTimeout), CallTimeout: ms(o.AckTimeout),
		Ping:   skein.Ping{Interval: ms(o.PingInterval), Timeout: ms(o.PingTimeout), Off: o.PingTimeoutDisabled},
		Limits: skein.Limits{Channels: o.SocketChannelLimit, MaxMessage: o.MaxPayload},
		Lax:    o.StrictHandshake != nil && !*o.StrictHandshake, NoPublish: o.AllowClientPublish != nil && !*o.AllowClientPublish,
	}
	if o.ProtocolVersion == 1 || rec.legacy() {
		e.Protocol = skein.V1
	}
	if rec.legacy() && e.Ping.Timeout == 0 {
		e.Ping.Timeout = 20 * time.Second // its default
	}
	if o.BatchOnHandshake {
		e.Batch = skein.Batch{Duration: ms(o.BatchOnHandshakeDuration), Interval: ms(o.BatchInterval)}
	}
	if o.CodecEngine != "" {
		e.Codec = "minbin"
	}
	switch origins := o.Origins.(type) {
	case string:
		e.Origins = []string{origins}
	case []any:
		for _, origin := range origins {
			e.Origins = append(e.Origins, fmt.Sprint(origin))
		}
	}
	return e
}

// replayed is a recording being replayed.
type replayed struct {
	t     *testing.T
	srv   *skeintest.Server
	conns map[int]*voice
	want  map[int][]string
	https []string // answers to raw HTTP requests
	cues  []cue
}

// voice is a connection of the recording.
type voice struct {
	conn *skeintest.Conn
	got  []string
	id   string
	over bool
}

func replay(t *testing.T, rec *recording, set staging) {
	t.Helper()
	pass(time.Until(rec.began))
	e := rec.endpoint()
	if set.endpoint != nil {
		set.endpoint(&e)
	}
	e.Tokens = newTokens(t, auth.Options{AllowWeak: true, DefaultExpiry: time.Duration(rec.Options.AuthDefaultExpiry) * time.Second}, rec.AuthKey)
	plugin := skein.Func("staging", func(_ context.Context, h *skein.Host) error {
		if set.plugin != nil {
			set.plugin(h)
		}
		return nil
	})
	r := &replayed{t: t, conns: map[int]*voice{}, want: map[int][]string{}, cues: set.cues}
	r.srv = skeintest.Start(t, skein.Options{Endpoints: []skein.Endpoint{e}}, plugin)
	began, last := time.Now(), 0
	asking := slices.ContainsFunc(rec.lines, func(l recorded) bool { return l.Type == "http" })
	for _, l := range rec.lines {
		if l.Dir != "c2s" && l.Dir != "s2c" {
			continue
		}
		pass(time.Until(began.Add(ms(l.T))))
		r.listen()
		last = l.T
		if l.Dir == "s2c" {
			r.expect(l)
			continue
		}
		r.perform(l, asking)
	}
	pass(time.Until(began.Add(ms(last + 60))))
	r.listen()
	r.judge(set, rec)
}

// perform does what the client did.
func (r *replayed) perform(l recorded, asking bool) {
	r.t.Helper()
	if l.Type == "http" {
		r.ask(l.text())
		return
	}
	if l.Type == "upgrade" {
		if asking {
			return // it is the request before
		}
		header := http.Header{}
		if l.Origin != "" {
			header.Set("Origin", l.Origin)
		}
		r.conns[l.Conn] = &voice{conn: r.srv.Conn(r.t, l.URL, header)}
		return
	}
	v := r.conns[l.Conn]
	if v == nil || v.over {
		return // the server's side of a close that our connection has answered by itself
	}
	var err error
	switch l.Type {
	case "text":
		err = v.conn.Send(l.text())
	case "bin":
		data, bad := hex.DecodeString(l.Hex)
		err = errors.Join(bad, v.conn.SendBinary(data))
	case "close":
		code := 0
		if l.Code != nil && *l.Code != skein.CloseNoStatus {
			code = *l.Code
		}
		err = v.conn.Close(code, l.Reason)
	}
	if err != nil {
		r.t.Errorf("send at %d ms: %v", l.T, err)
	}
	synctest.Wait()
	r.listen()
}

// ask sends a raw HTTP request, and notes status and body of the answer.
func (r *replayed) ask(text string) {
	r.t.Helper()
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		r.t.Fatal(err)
	}
	header := request.Header.Clone()
	header.Set("Host", request.Host)
	for _, name := range []string{"Sec-Websocket-Key", "Upgrade"} {
		if header.Get(name) == "" {
			header[name] = nil
		}
	}
	c, err := r.srv.Upgrade(r.t.Context(), request.URL.RequestURI(), header)
	var refused *skeintest.RefusedError
	switch {
	case errors.As(err, &refused):
		r.https = append(r.https, fmt.Sprintf("%d %s", refused.Status, strings.TrimSpace(refused.Body)))
	case err != nil:
		r.t.Fatal(err)
	default:
		r.https = append(r.https, strings.TrimSpace("101 "+c.Header.Get("Sec-Websocket-Protocol")))
		c.Terminate()
	}
}

// expect notes what the server said, and first does what made it say so.
func (r *replayed) expect(l recorded) {
	r.t.Helper()
	var said string
	switch l.Type {
	case "text":
		said = l.text()
	case "bin":
		data, err := hex.DecodeString(l.Hex)
		if err != nil {
			r.t.Fatal(err)
		}
		said = string(translate(wire.MinBin, wire.JSON, data))
	case "close":
		code := skein.CloseNoStatus
		if l.Code != nil {
			code = *l.Code
		}
		said = fmt.Sprintf("close %d %s", code, l.Reason)
	case "terminate":
		said = "cut"
	case "http":
		status, body := httpAnswer(l.text())
		r.want[0] = append(r.want[0], strings.TrimSpace(status+" "+body))
		return
	}
	r.want[l.Conn] = append(r.want[l.Conn], said)
	if len(r.cues) > 0 && strings.Contains(said, r.cues[0].before) {
		do := r.cues[0].do
		r.cues = r.cues[1:]
		s := r.srv.Session(r.conns[l.Conn].id)
		if s == nil {
			r.t.Fatalf("there is no session of connection %d", l.Conn)
		}
		if err := do(r, s); err != nil {
			r.t.Errorf("before %q: %v", said, err)
		}
		synctest.Wait()
		r.listen()
	}
}

func httpAnswer(text string) (status, body string) {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	_, status, _ = strings.Cut(head, " ")
	status, _, _ = strings.Cut(status, " ")
	for line := range strings.SplitSeq(head, "\r\n") {
		if name, value, _ := strings.Cut(line, ": "); strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			body = value
		}
	}
	return status, body
}

// listen takes what has come for all connections.
func (r *replayed) listen() {
	synctest.Wait()
	for _, v := range r.conns {
		for !v.over {
			m, ok, err := v.conn.TryRead()
			var end *skeintest.CloseError
			switch {
			case errors.As(err, &end) && end.Code == skein.CloseAbnormal:
				v.got, v.over = append(v.got, "cut"), true
			case err != nil:
				v.got, v.over = append(v.got, fmt.Sprintf("close %d %s", end.Code, end.Reason)), true
			case !ok:
			case m.Binary:
				v.hear(string(translate(wire.MinBin, wire.JSON, m.Data)))
			default:
				v.hear(string(m.Data))
			}
			if !ok {
				break
			}
		}
	}
}

func (v *voice) hear(text string) {
	if found := anID.FindStringSubmatch(text); found != nil && v.id == "" {
		v.id = found[1]
	}
	v.got = append(v.got, text)
}

// judge compares what each connection has heard.
func (r *replayed) judge(set staging, rec *recording) {
	r.t.Helper()
	if len(r.cues) > 0 {
		r.t.Errorf("%d things were not done: the next before %q", len(r.cues), r.cues[0].before)
	}
	if want, got := r.want[0], r.https; len(want)+len(got) > 0 {
		if rec.legacy() {
			want = modern(want)
		}
		r.compare("requests", got, want, set)
	}
	for n, v := range r.conns {
		want := normal(r.want[n])
		if rec.legacy() {
			want = modern(want)
		}
		if len(want) > 0 && !strings.HasPrefix(want[len(want)-1], "close") {
			v.got = slices.DeleteFunc(v.got, func(s string) bool { return strings.HasPrefix(s, "close ") && closedByClient(rec, n) })
		}
		r.compare(fmt.Sprintf("connection %d", n), normal(v.got), want, set)
	}
}

// closedByClient reports whether the client's close came first: the server's is then an echo, which was not recorded.
func closedByClient(rec *recording, conn int) bool {
	for _, l := range rec.lines {
		if l.Conn == conn && l.Type == "close" {
			return l.Dir == "c2s"
		}
	}
	return false
}

func (r *replayed) compare(what string, got, want []string, set staging) {
	r.t.Helper()
	if set.edit != nil {
		want = set.edit(want)
	}
	if set.unordered != "" {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// normal gives messages one form: pings are left out, ids and tokens have names, JSON its values.
func normal(messages []string) []string {
	var out []string
	id := ""
	for _, m := range messages {
		if m == "" || m == wire.PingV1 || m == `"`+wire.PingV1+`"` {
			continue
		}
		if found := anID.FindStringSubmatch(m); found != nil && id == "" {
			id = found[1]
		}
		if id != "" {
			m = strings.ReplaceAll(m, id, "$id")
		}
		m = jwt.ReplaceAllStringFunc(m, claimsOf)
		var v any
		if (m[0] == '{' || m[0] == '[') && json.Unmarshal([]byte(m), &v) == nil {
			b, _ := json.Marshal(v) // it was JSON
			m = string(b)
		}
		out = append(out, m)
	}
	return out
}

// claimsOf is a token as its claims, without the times of signing.
func claimsOf(token string) string {
	var claims map[string]any
	raw, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1]) // it matched
	if json.Unmarshal(raw, &claims) != nil {
		return token
	}
	if iat, ok := claims["iat"].(float64); ok && iat > 1_700_000_000 {
		delete(claims, "iat")
		if exp, ok := claims["exp"].(float64); ok && exp < 4_000_000_000 {
			claims["exp"] = fmt.Sprintf("after %v s", exp-iat)
		}
	}
	b, _ := json.Marshal(claims) // they were JSON
	return strings.ReplaceAll(string(b), `"`, "'")
}
