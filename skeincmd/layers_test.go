package skeincmd

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// inDir is the command line in a directory of its own, with an environment of its own.
func inDir(t *testing.T, env map[string]string, files map[string]string) *app {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &app{catalog: testCatalog(), dir: dir, environ: pairs(env), lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
}

func pairs(env map[string]string) []string {
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// outcome runs a command line and returns what it wrote and its exit code.
func outcome(t *testing.T, a *app, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	a.Streams = Streams{In: strings.NewReader(""), Out: &o, Err: &e}
	code = a.run(t.Context(), args)
	return o.String(), e.String(), code
}

// samples has three values for each setting, as each layer writes them: of the file, the environment and the flag.
// The flags that go with one (what is about other nodes needs other nodes) are in the fourth.
func samples() map[string][]string {
	const (
		secret    = "0123456789abcdef0123456789abcde"
		listening = "--cluster-listen=127.0.0.1:6201"
		external  = "--nats=nats://127.0.0.1:4222"
	)
	all := doorSamples()
	maps.Copy(all, map[string][]string{
		"node":                     {"a", "b", "c"},
		"clusterListen":            {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
		"clusterAdvertise":         {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", listening},
		"clusterJoin":              {`["a:1", "b:2"]`, `["b:1"]`, `["c:1"]`, listening},
		"clusterName":              {"a", "b", "c", listening},
		"clusterSecret":            {secret + "1", secret + "2", secret + "3", listening},
		"clusterInsecure":          {"true", "false", "true", listening},
		"clusterMin":               {"2", "3", "4", listening},
		"clusterAlone":             {"close", "serve", "close"},
		"clusterPrefix":            {"a", "b", "c", listening},
		"joinTimeout":              {"1s", "2s", "3s", listening},
		"nats":                     {`["nats://a:1"]`, `["nats://b:1"]`, `["tls://c:1"]`},
		"natsUser":                 {"a", "b", "c", external},
		"natsPassword":             {"a", "b", "c", external + " --nats-user=u"},
		"natsToken":                {"a", "b", "c", external},
		"authKey":                  {secret + "1", secret + "2", secret + "3"},
		"authAlgorithm":            {"HS256", "HS384", "HS512"},
		"authAllowWeak":            {"true", "false", "true"},
		"authExpiry":               {"1h", "2h", "3h"},
		"maxMessage":               {"1KiB", "2KiB", "3KiB"},
		"maxChannels":              {"1", "2", "3"},
		"maxOutbox":                {"1KiB", "2KiB", "3KiB"},
		"maxStall":                 {"1s", "2s", "3s"},
		"maxDepth":                 {"1", "2", "3"},
		"maxBatch":                 {"1", "2", "3"},
		"sessionRates":             {`"packets=1.5"`, `"bytes=2MiB"`, `"calls=3/4"`},
		"userRates":                {`"packets=1,publishes=0.5/3"`, `"connects=1/2"`, `"calls=3"`},
		"addressRates":             {`"connects=1"`, `"bytes=64KiB/1MiB,connects=2"`, `"packets=3"`},
		"maxUserSessions":          {"1", "2", "3"},
		"maxPending":               {"1", "2", "3"},
		"maxPendingPerAddress":     {"1", "2", "3"},
		"userClaim":                {"a", "b", "c"},
		"maxConnections":           {"1", "2", "3"},
		"maxConnectionsPerAddress": {"1", "2", "3"},
		"maxAcceptRate":            {"1", "2", "3"},
		"compression":              {"true", "false", "true"},
		"raw":                      {"/a", "/b", "/c"},
		"rawChannel":               {"a", "b", "c"},
		"echo":                     {"/ea", "/eb", "/ec"},
		"startPage":                {"false", "true", "false"},
		"api":                      {"false", "true", "false"},
		"apiKey":                   {secret + "4", secret + "5", secret + "6"},
		"metrics":                  {"true", "false", "true"},
		"admin":                    {"true", "false", "true"},
		"operatorKey":              {secret + "7", secret + "8", secret + "9"},
		"pprof":                    {"127.0.0.1:4", "127.0.0.1:5", "127.0.0.1:6"},
		"logLevel":                 {"debug", "warn", "error"},
		"logFormat":                {"json", "text", "json"},
		"engine":                   {"a", "b", "c"},
	})
	return all
}

// tokenSamples are those of what tokens must be like.
func tokenSamples() map[string][]string {
	return map[string][]string{
		"authIssuer":        {"a", "b", "c"},
		"authAudience":      {"a", "b", "c"},
		"authRequireExpiry": {"true", "false", "true"},
		"authMaxLifetime":   {"1h", "2h", "3h"},
		"authLeeway":        {"1s", "2s", "3s"},
		"authJWKS":          {`"https://a/"`, `"https://b/"`, `"https://c/"`},
		"revocations":       {"a", "b", "c"},
	}
}

// doorSamples are those of how clients and operators come in.
func doorSamples() map[string][]string {
	return map[string][]string{
		"addr":            {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"},
		"origins":         {"[u]", "[v]", "[w]"},
		"forwardedHeader": {"forwarded", "x-forwarded-for", "forwarded", "--trusted-proxies=::1"},
		"proxyProtocol":   {"true", "false", "true", "--trusted-proxies=::1"},
		"hsts":            {"1h", "2h", "3h"},
		"operatorAddr":    {"127.0.0.1:7", "127.0.0.1:8", "127.0.0.1:9"},
		"operatorAPI":     {"true", "false", "true", "--operator-addr=127.0.0.1:7"},
		"trustedProxies":  {`["10.0.0.1"]`, `["10.0.0.2"]`, `["10.0.0.3"]`},
		"drain":           {"1s", "2s", "3s"},
		"stopTimeout":     {"1s", "2s", "3s"},
		"acme":            {"[a.example]", "[b.example]", "[c.example]"},
		"acmeStorage":     {"a", "b", "c"},
		"acmeHTTP":        {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "--acme=a.example"},
	}
}

// TestEachSettingIsTakenFromEachLayer runs every setting through the file, the environment and the command line.
func TestEachSettingIsTakenFromEachLayer(t *testing.T) {
	t.Parallel()
	notHere := map[string]bool{ // they name files, have one value only, or are not flags: the scripts have them
		"tlsCert": true, "tlsKey": true, "tlsMin": true, "acmeCA": true, "acmeEmail": true, "acmeDirectory": true, "clusterCert": true, "clusterKey": true, "clusterCA": true, "natsCredentials": true,
		"natsNkey": true, "natsCA": true, "natsCert": true, "natsKey": true, "authPublicKey": true, "authPrivateKey": true, "driver": true,
		"authKeys": true, "endpoints": true, "channels": true, "plugins": true,
	}
	all := samples()
	maps.Copy(all, tokenSamples())
	for _, f := range conf.Fields(reflect.TypeFor[settings]()) {
		values, ok := all[f.Key]
		if !ok && !notHere[f.Key] {
			t.Errorf("%s: there are no samples", f.Key)
		}
		if !ok {
			continue
		}
		t.Run(f.Key, func(t *testing.T) {
			t.Parallel()
			checkLayers(t, f, values)
		})
	}
}

func checkLayers(t *testing.T, f conf.Field, values []string) {
	t.Helper()
	file := map[string]string{"skein.yaml": "# first line\n" + f.Key + ": " + values[0] + "\n"}
	env := map[string]string{variable(flagName(f.Key)): strings.Trim(values[1], `[]"`)}
	flag := "--" + flagName(f.Key) + "=" + strings.Trim(values[2], `[]"`)
	companions := strings.Fields(strings.Join(values[3:], " "))
	for _, layer := range []struct {
		name, want, source string
		env, file          map[string]string
		args               []string
	}{
		{"file", values[0], `skein.yaml:2:\d+`, nil, file, nil},
		{"environment over file", values[1], variable(flagName(f.Key)), env, file, nil},
		{"flag over both", values[2], "--" + flagName(f.Key), env, file, []string{flag}},
		{"flag over environment", values[2], "--" + flagName(f.Key), env, nil, []string{flag}},
		{"environment", values[1], variable(flagName(f.Key)), env, nil, nil},
		{"flag", values[2], "--" + flagName(f.Key), nil, nil, []string{flag}},
	} {
		a := inDir(t, layer.env, layer.file)
		out, errs, code := outcome(t, a, slices.Concat([]string{"config", "print"}, companions, layer.args)...)
		if code != exitOK {
			t.Errorf("%s: exit code %d\n%s", layer.name, code, errs)
			continue
		}
		want := regexp.QuoteMeta(layer.want)
		if f.Secret {
			want = `"\*{8}"`
		}
		line := regexp.MustCompile(`(?m)^` + f.Key + `: ` + want + ` +# ` + layer.source + `$`)
		if !line.MatchString(out) {
			t.Errorf("%s: no line %s in\n%s", layer.name, line, out)
		}
	}
}

// TestABadValueIsToldWithItsLayer gives each typed setting something that it cannot be.
func TestABadValueIsToldWithItsLayer(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		"drain", "stopTimeout", "clusterInsecure", "clusterMin", "clusterAlone", "joinTimeout", "authAlgorithm", "authAllowWeak", "authExpiry", "authRequireExpiry", "authMaxLifetime", "authLeeway", "maxMessage", "maxChannels", "maxOutbox", "maxStall", "maxDepth", "maxBatch", "sessionRates", "userRates", "addressRates", "maxUserSessions", "maxPending", "maxPendingPerAddress",
		"maxConnections", "maxConnectionsPerAddress", "maxAcceptRate", "compression", "startPage", "api", "metrics", "admin", "logLevel",
		"logFormat", "driver",
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			for _, layer := range []struct {
				env, file map[string]string
				args      []string
				code      int
				want      string
			}{
				{nil, map[string]string{"skein.yaml": key + ": nonsense\n"}, nil, exitFailed, "skein: skein.yaml:1:"},
				{map[string]string{variable(flagName(key)): "nonsense"}, nil, nil, exitUsage, "--" + flagName(key)},
				{nil, nil, []string{"--" + flagName(key) + "=nonsense"}, exitUsage, "--" + flagName(key)},
			} {
				_, errs, code := outcome(t, inDir(t, layer.env, layer.file), append([]string{"config", "check"}, layer.args...)...)
				if code != layer.code || !strings.Contains(errs, layer.want) || !strings.Contains(errs, "nonsense") && key != "maxAcceptRate" {
					t.Errorf("%v %v %v: got exit code %d and %q, want %d and %q", layer.env, layer.file, layer.args, code, errs, layer.code, layer.want)
				}
			}
		})
	}
}

func TestRangesAreChecked(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"drain=-1s", "cluster-min=-1", "stop-timeout=-1s", "auth-expiry=-1s", "auth-max-lifetime=-1s", "auth-leeway=-1s", "max-channels=-1", "max-stall=-1s", "max-depth=-1", "max-batch=-1", "max-user-sessions=-1", "max-connections=-1", "max-accept-rate=-0.5"} {
		flag := "--" + key
		_, errs, code := outcome(t, inDir(t, nil, nil), "config", "check", flag)
		name, _, _ := strings.Cut(flag, "=")
		if want := "skein: " + name + ": it must not be negative\n"; code != exitFailed || errs != want {
			t.Errorf("%s: got %d and %q, want %q", flag, code, errs, want)
		}
	}
	if _, errs, code := outcome(t, inDir(t, nil, nil), "config", "check", "--max-connections-per-address=-1"); code != exitOK {
		t.Errorf("no limit an address: got %d and %s, want it to be allowed", code, errs)
	}
}

func TestHelpNamesFlagVariableAndDefault(t *testing.T) {
	t.Parallel()
	out, _, code := outcome(t, inDir(t, nil, nil), "serve", "--help")
	if code != exitOK {
		t.Fatal(code)
	}
	flat := strings.Join(strings.Fields(out), " ")
	for _, f := range conf.Fields(reflect.TypeFor[settings]()) {
		if fileOnly(f.Key) {
			continue
		}
		if want := "$" + variable(flagName(f.Key)) + ")"; !strings.Contains(flat, want) {
			t.Errorf("%s: %s is not in the help", f.Key, want)
		}
		if want := "default " + f.Default + ","; f.Default != "" && !strings.Contains(flat, want) {
			t.Errorf("%s: %q is not in the help", f.Key, want)
		}
	}
}

func TestACommandWithoutConsoleStillEnds(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"config", "print"}, {"config", "schema"}, {"plugins"}, {"routes"}, {"version", "--json"}} {
		a := inDir(t, nil, nil)
		a.Streams = Streams{In: strings.NewReader(""), Out: brokenPipe{}, Err: io.Discard}
		if code := a.run(t.Context(), args); code != exitFailed {
			t.Errorf("%q into a broken pipe: got exit code %d, want %d", args, code, exitFailed)
		}
	}
}
