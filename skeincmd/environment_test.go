package skeincmd

import (
	"bytes"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/skeinrt/skein/plugin/admin"
)

func TestVariablesThatAreNoneAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"none", map[string]string{"SKEIN_NODE": "x", "SKEIN_URL": "ws://x", "SKEIN_TOKEN": "x", "SKEIN_CONFIG": "", "PATH": "/"}, ""},
		{"misspelt", map[string]string{"SKEIN_MAX_MESAGE": "1"}, "skein: warning: SKEIN_MAX_MESAGE is no variable of skein; did you mean SKEIN_MAX_MESSAGE?\n"},
		{"of no flag", map[string]string{"SKEIN_BANANA": "1", "SKEIN_JSON": "1"}, "skein: warning: SKEIN_BANANA is no variable of skein\nskein: warning: SKEIN_JSON is no variable of skein\n"},
		{"only the file can say it", map[string]string{"SKEIN_ENDPOINTS": "x"}, "skein: warning: SKEIN_ENDPOINTS is no variable of skein\n"},
		{"empty", map[string]string{"SKEIN_BANANA": ""}, ""},
		{"of a service, outside of Kubernetes", map[string]string{"SKEIN_SERVICE_HOST": "10.0.0.1"}, "skein: warning: SKEIN_SERVICE_HOST is no variable of skein\n"},
		{"of a service", map[string]string{
			"KUBERNETES_SERVICE_HOST": "10.0.0.1", "SKEIN_SERVICE_HOST": "10.0.0.1", "SKEIN_SERVICE_PORT_WEB": "80", "SKEIN_PORT": "tcp://10.0.0.1:80",
			"SKEIN_B_PORT_80_TCP_ADDR": "10.0.0.1",
		}, ""},
	} {
		_, errs, code := outcome(t, inDir(t, c.env, nil), "config", "check")
		if code != exitOK || errs != c.want {
			t.Errorf("%s: got %d and %q, want %q", c.name, code, errs, c.want)
		}
	}
}

func TestVariablesThatAreNoneAreLoggedAtTheStart(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	n := &node{log: slog.New(slog.NewTextHandler(&log, nil))}
	a := inDir(t, map[string]string{"SKEIN_ADRR": "x", "SKEIN_BANANA": "x"}, nil)
	n.warnOfStrays(t.Context(), a)
	for _, want := range []string{
		"level=WARN msg=\"unknown variable in the environment\" variable=SKEIN_ADRR did_you_mean=SKEIN_ADDR\n", "variable=SKEIN_BANANA\n",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("got %s, want %s", &log, want)
		}
	}
}

func TestAWarningDoesNotHideAnError(t *testing.T) {
	t.Parallel()
	_, errs, code := outcome(t, inDir(t, map[string]string{"SKEIN_ADRR": "x"}, nil), "config", "check", "--addr", "x")
	want := "skein: warning: SKEIN_ADRR is no variable of skein; did you mean SKEIN_ADDR?\nskein: --addr: \"x\" is not HOST:PORT\n"
	if code != exitFailed || errs != want {
		t.Errorf("got %d and %q, want %q", code, errs, want)
	}
}

// A list that the environment gives was refused for bench, whose URL is one.
func TestTheServerOfClientsComesFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"pub x 1", "sub x", "call x", "bench idle"} {
		a := inDir(t, map[string]string{"SKEIN_URL": "ws://127.0.0.1:1/from-environment"}, nil)
		var c cli
		a.Streams = Streams{Out: io.Discard, Err: io.Discard}
		parser, err := a.parser(&c, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		k, err := parser.Parse(strings.Fields(args))
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		got := map[string]string{"pub": c.Pub.URL, "sub": c.Sub.URL, "call": c.Call.URL, "bench": strings.Join(c.Bench.URL, " ")}
		if url := got[k.Selected().Name]; url != "ws://127.0.0.1:1/from-environment" {
			t.Errorf("%s: got %s, want that of the environment", args, url)
		}
	}
}

func TestAddressesAreHostAndPort(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:0": "", "localhost:65535": "", ":80": "", "[::1]:80": "", "[fe80::1%eth0]:80": "", "a.example:80": "", "0.0.0.0:80": "",
		"x":            `"x" is not HOST:PORT`,
		"::1:80":       `"::1:80" is not HOST:PORT`,
		"x:65536":      `"x:65536" has the port "65536"; want a number from 0 to 65535`,
		"x:-1":         `"x:-1" has the port "-1"; want a number from 0 to 65535`,
		"x:":           `"x:" has the port ""; want a number from 0 to 65535`,
		"x:http":       `"x:http" has the port "http"; want a number from 0 to 65535`,
		"300.0.0.1:80": `"300.0.0.1:80" has the host "300.0.0.1", which is neither an address nor a name`,
		"[::1::2]:80":  `"[::1::2]:80" has the host "::1::2", which is neither an address nor a name`,
	} {
		got := ""
		if err := checkAddress(addr); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", addr, got, want)
		}
	}
}

func TestAdminPagesWithoutKeyGetTheOneThatIsShown(t *testing.T) {
	t.Parallel()
	a, c := configured(t, "plugins: [{use: admin}, {use: admin, as: two, prefix: /two, options: {key: 0123456789abcdef}}, {use: admin, as: three, prefix: /three}]")
	n, err := a.build(c)
	if err != nil {
		t.Fatal(err)
	}
	n.keyAdmin()
	shown := map[string]string{}
	for _, p := range n.parts {
		if pages, ok := p.plugin.(*admin.Plugin); ok {
			shown[p.name()] = strings.TrimPrefix(n.keyNote(p), "  key ")
			if len(pages.Key) < 16 || shown[p.name()] != "" && shown[p.name()] != pages.Key {
				t.Errorf("%s: shown %q, but the key is %q", p.name(), shown[p.name()], pages.Key)
			}
		}
	}
	if shown["admin"] == "" || shown["three"] == "" || shown["admin"] == shown["three"] {
		t.Errorf("got the keys %q, want a key of its own for each instance without", shown)
	}
	if shown["two"] != "" {
		t.Errorf("got %q, want a key that was given not to be shown", shown["two"])
	}
}

func TestTheConnectionsInForceAreThoseThatArePrinted(t *testing.T) {
	t.Parallel()
	_, c := configured(t, "")
	o := optionsOf(t, "")
	if got := c.means("maxConnections"); o.Conns.Total <= 0 || !strings.HasPrefix(got, strconv.Itoa(o.Conns.Total)+",") {
		t.Errorf("printed %q, in force %d", got, o.Conns.Total)
	}
}
