package skeincmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

func TestEverySettingHasAFlagAVariableAndWords(t *testing.T) {
	t.Parallel()
	a := &app{catalog: testCatalog(), lookup: func(string) (string, bool) { return "", false }, Streams: Streams{Out: io.Discard, Err: io.Discard}}
	parser, err := a.parser(&cli{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{}
	for _, n := range parser.Model.Children {
		if n.Name == "serve" {
			for _, f := range n.Flags {
				flags[f.Name] = true
			}
		}
	}
	for _, f := range conf.Fields(reflect.TypeFor[settings]()) {
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s: got the description %q, want sentences", f.Key, f.Doc)
		}
		if got, want := flags[flagName(f.Key)], !fileOnly(f.Key); got != want {
			t.Errorf("%s: got a flag: %v, want %v", f.Key, got, want)
		}
	}
	for name := range strings.FieldsSeq("addr node config origins auth-key auth-public-key auth-private-key max-message " +
		"compression echo api metrics admin pprof driver") {
		if !flags[name] {
			t.Errorf("there is no --%s, which others rely on", name)
		}
	}
}

// fileOnly are the settings that are lists of structs.
func fileOnly(key string) bool {
	return slices.Contains([]string{"authKeys", "endpoints", "channels", "plugins"}, key)
}

func TestVariablesAreFlagsInCapitals(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"addr": "SKEIN_ADDR", "maxMessage": "SKEIN_MAX_MESSAGE", "tlsCert": "SKEIN_TLS_CERT"} {
		if got := variable(flagName(key)); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}

func TestLoopbackIsWhatOnlyThisMachineReaches(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"127.0.0.1:8000": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "127.0.0.1": false,
	} {
		if got := isLoopback(addr); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
}

func TestTheAPIIsOnWhereOnlyThisMachineReachesItOrAKeyGuardsIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want bool
	}{
		{"", true},
		{"--no-api", false},
		{"--addr 0.0.0.0:1", false},
		{"--addr 0.0.0.0:1 --api-key 0123456789abcdef", true},
		{"--addr 0.0.0.0:1 --api-key 0123456789abcdef --no-api", false},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"config", "print"}, strings.Fields(c.args)...)
		if code := Run(t.Context(), args, Streams{Out: &out, Err: &errs}, testCatalog()); code != exitOK {
			t.Errorf("%s: exit code %d\n%s", c.args, code, &errs)
			continue
		}
		if got := strings.Contains(out.String(), "\n  - use: api "); got != c.want {
			t.Errorf("%s: got the API: %v, want %v", c.args, got, c.want)
		}
	}
}

func TestACatalogOfOnesOwnNeedsNoStockPlugin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--metrics", `skein: --metrics: this binary has no plugin "metrics"; allowed: lonely` + "\n"},
	} {
		catalog := skein.NewCatalog().With("lonely", func() skein.Plugin { return wired{skein.Meta{Name: "lonely"}} })
		var errs bytes.Buffer
		Run(t.Context(), append([]string{"config", "check"}, strings.Fields(c.args)...), Streams{Out: io.Discard, Err: &errs}, catalog)
		if errs.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.args, &errs, c.want)
		}
	}
}

func TestProfilesAskForTheOperatorKey(t *testing.T) {
	t.Parallel()
	n := &node{Server: skein.New(skein.Options{})}
	for _, c := range []struct {
		key, header string
		want        int
	}{
		{"", "", http.StatusOK},
		{"secret", "", http.StatusUnauthorized},
		{"secret", "Bearer wrong", http.StatusUnauthorized},
		{"secret", "Bearer secret", http.StatusOK},
		{"secret", "secret2", http.StatusUnauthorized},
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil)
		r.Header.Set("Authorization", c.header)
		w := httptest.NewRecorder()
		n.withKey(c.key, profiles()).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("key %q, %q: got %d, want %d", c.key, c.header, w.Code, c.want)
		}
		if challenged := w.Header().Get("WWW-Authenticate") != ""; challenged != (c.want == http.StatusUnauthorized) {
			t.Errorf("key %q, %q: got a challenge: %v", c.key, c.header, challenged)
		}
	}
}

// A web page whose name is made to resolve to 127.0.0.1 could read them.
func TestProfilesWithoutAKeyAreForLoopbackNames(t *testing.T) {
	t.Parallel()
	n := &node{Server: skein.New(skein.Options{})}
	for host, want := range map[string]int{"localhost:6060": http.StatusOK, "evil.example:6060": http.StatusForbidden} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil)
		r.Host = host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6060}))
		w := httptest.NewRecorder()
		n.withKey("", profiles()).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("host %q: got %d, want %d", host, w.Code, want)
		}
	}
}

func TestTheVersionIsThatOfTheBuild(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	got := builtFrom(info, true)
	got.Go, got.Platform = "go1", "os/arch"
	if want := "skein v1.2.3 (0123456789ab modified, go1, os/arch)"; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got.Modified = false
	if want := "skein v1.2.3 (0123456789ab, go1, os/arch)"; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := builtFrom(nil, false); got.Version != "devel" {
		t.Errorf("without information: got %s, want devel", got.Version)
	}
}

func TestURLsAreReachableFromThisMachine(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "[::1]:80": "[::1]:80",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(tcp); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
	if got := reachable(&net.UnixAddr{Name: "/x"}); got != "/x" {
		t.Errorf("what is no IP: got %s, want it as it is", got)
	}
}

func TestOnlyTheTopOfAPluginsRoutesIsShown(t *testing.T) {
	t.Parallel()
	var routes []skein.Route
	for _, path := range []string{"/", "/a", "/a/", "/a/b", "/ab", "/c/{id}", "/d/e", "/d/e/f"} {
		routes = append(routes, skein.Route{Path: path, Plugin: "p"})
	}
	routes[0].Plugin = "other"
	var got []string
	for _, r := range entrances(routes, "p") {
		got = append(got, r.Path)
	}
	if want := []string{"/a", "/ab", "/d/e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheLevelOfTheLogIsTheSetting(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		c := &config{}
		c.Operators.LogLevel = name
		if got := c.level(); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
		if c.logger(io.Discard).Enabled(t.Context(), want-1) {
			t.Errorf("%s: the logger takes less", name)
		}
	}
}

func TestMomentsAreToldWithTheirDistance(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	at := func(seconds float64) *float64 { return &seconds }
	for _, c := range []struct {
		at   *float64
		want string
	}{
		{nil, ""},
		{at(1060), "1970-01-01T00:17:40Z (in 1m)"},
		{at(940.5), "1970-01-01T00:15:40Z (1m ago)"},
		{at(1000), "1970-01-01T00:16:40Z (in 0s)"},
	} {
		if got := moment(c.at, now); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestTheReceiverEndsWithTheLastMessageThatIsAskedFor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := &receiver{app: &app{Streams: Streams{Out: &out}}, left: 2}
	m := received{"a", json.RawMessage(`1`)}
	for i, want := range []error{nil, errDone, errDone} {
		if err := r.print(m); !errors.Is(err, want) {
			t.Errorf("message %d: got %v, want %v", i, err, want)
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("got %d lines, want 2", got)
	}
	if err := r.print(received{"a", json.RawMessage(`{`)}); err == nil {
		t.Error("what is not JSON was printed")
	}
	endless := &receiver{app: &app{Streams: Streams{Out: &out}}}
	for range 3 {
		if err := endless.print(m); err != nil {
			t.Errorf("without a count: got %v, want no end", err)
		}
	}
	broken := &receiver{app: &app{Streams: Streams{Out: brokenPipe{}}}}
	if err := broken.print(m); err == nil {
		t.Error("a broken pipe: want an error, as the command would otherwise never end")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestEndsThatWereAskedForAreNoErrors(t *testing.T) {
	t.Parallel()
	other := errors.New("other")
	for cause, want := range map[error]error{errDone: nil, context.Canceled: nil, other: other} {
		if got := ended(cause); !errors.Is(got, want) {
			t.Errorf("%v: got %v, want %v", cause, got, want)
		}
	}
}

// TestTheSchemaAllowsWhatTheFileAllows compares the keys of the two at every level.
func TestTheSchemaAllowsWhatTheFileAllows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := Run(t.Context(), []string{"config", "schema"}, Streams{Out: &out, Err: io.Discard}, testCatalog()); code != exitOK {
		t.Fatal(code)
	}
	var schema conf.Object
	if err := json.Unmarshal(out.Bytes(), &schema); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for key := range schema["properties"].(conf.Object) {
		got = append(got, key)
	}
	for _, f := range conf.Fields(reflect.TypeFor[settings]()) {
		want = append(want, f.Key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	items := schema["properties"].(conf.Object)["plugins"].(conf.Object)["items"].(conf.Object)
	if got, want := len(items["allOf"].([]any)), len(testCatalog().Names()); got != want {
		t.Errorf("got options of %d plugins, want %d", got, want)
	}
}
