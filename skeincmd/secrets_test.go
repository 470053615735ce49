package skeincmd

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// marked begins every secret of these tests. It must be nowhere.
const marked = "SEKRET-0123456789-0123456789-"

// clean fails where a text has a secret in it, and says where it comes from.
func clean(t *testing.T, from, text string) {
	t.Helper()
	if i := strings.Index(text, marked); i >= 0 {
		t.Errorf("%s has a secret in it: …%s…", from, text[max(0, i-200):min(len(text), i+100)])
	}
}

// secretFlags are secrets for everything that a node of a cluster has secrets for.
func secretFlags() []string {
	return []string{
		"--api-key", marked + "api", "--operator-key", marked + "operator", "--auth-key", marked + "auth", "--cluster-secret", marked + "cluster",
		"--cluster-listen", "127.0.0.1:0", "--node", "n1", "--metrics", "--admin", "--log-level", "debug", "--pprof", "127.0.0.1:0",
	}
}

// tries are requests with secrets, good and bad, wherever clients put them.
func tries(t *testing.T, base string) []*http.Request {
	t.Helper()
	var list []*http.Request
	add := func(method, path, body string, header map[string]string) {
		r, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range header {
			r.Header.Set(name, value)
		}
		list = append(list, r)
	}
	upgrade := func(more map[string]string) map[string]string {
		h := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": sampleKey}
		maps.Copy(h, more)
		return h
	}
	add(http.MethodPost, "/admin/login", url.Values{"key": {marked + "wrong"}}.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	for _, path := range []string{"/metrics", "/admin", "/admin/state", "/api/nodes", "/api/channels", "/ws", "/socketcluster/", "/", "/nothing"} {
		for _, key := range []string{"", "api", "operator", "auth", "wrong", "a.b.c"} {
			add(http.MethodGet, path+"?token="+marked+key+"&key="+marked, "", map[string]string{"Authorization": "Bearer " + marked + key})
		}
		add(http.MethodGet, path, "", map[string]string{"Authorization": "Basic " + marked, "Cookie": "skein_admin=" + marked})
		add(http.MethodGet, path, "", map[string]string{"X-Forwarded-For": marked, "Proxy-Authorization": marked})
	}
	add(http.MethodPost, "/api/publish", `{"channel":1}`, map[string]string{"Authorization": "Bearer " + marked + "api"})
	add(http.MethodPost, "/api/set-token", `{"user":"ann","claims":5}`, map[string]string{"Authorization": "Bearer " + marked + "api"})
	add(http.MethodGet, "/ws?token="+marked, "", upgrade(map[string]string{"Sec-WebSocket-Protocol": "skein, bearer." + marked, "Origin": "https://evil.example"}))
	add(http.MethodGet, "/socketcluster/?token="+marked, "", upgrade(map[string]string{"Authorization": marked, "Origin": "null"}))
	return list
}

func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	a := inDir(t, nil, nil)
	addr, _, j := serving(t, a, secretFlags()...)
	client := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	ask := func(r *http.Request) {
		t.Helper()
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		clean(t, r.Method+" "+r.URL.Path, string(text))
		for name, values := range res.Header {
			clean(t, "the header "+name+" of "+r.URL.Path, strings.Join(values, " "))
		}
	}
	for _, r := range tries(t, "http://"+addr) {
		ask(r)
	}
	call := *a
	_, errs, _ := outcome(t, &call, "call", "--url", "ws://"+addr+"/socketcluster/", "--token", marked+"a.b.c", "--timeout", "30s", "x")
	clean(t, "skein call", errs)
	_, errs, _ = outcome(t, &call, "nodes", "--url", "http://"+addr, "--api-key", marked+"wrong")
	clean(t, "skein nodes", errs)
	profiles := j.out.match(regexp.MustCompile(`profiles +(http://\S+)`), j.code)
	for _, path := range []string{"cmdline", "goroutine?debug=2", ""} {
		got := fetch(t, profiles[1]+path, marked+"operator")
		clean(t, "profiles "+path, got.text)
		clean(t, "profiles "+path, fetch(t, profiles[1]+path, marked+"wrong").text)
	}
	j.cancel()
	j.code <- <-j.code // it has written all that it writes
	out, _ := j.out.text()
	log, _ := j.err.text()
	clean(t, "standard output", out)
	clean(t, "the log", log)
	if !strings.Contains(log, "a wrong admin key") || !strings.Contains(log, "level=DEBUG") && !strings.Contains(log, "a foreign origin was refused") {
		t.Errorf("nothing was provoked:\n%s", log)
	}
}

func TestSecretsAreInNoOutputOfCommands(t *testing.T) {
	t.Parallel()
	file := "apiKey: " + marked + "\nauthKeys: [{id: a, secret: " + marked + "}]\nplugins: [{use: censor, options: {token: " + marked + ", words: [a]}}]\n"
	broken := file + "operatorKey: [" + marked + "\nnatsPassword: {" + marked + ": 1}\n"
	wrong := file + "operatorKey: {a: " + marked + "}\nclusterSecret: [" + marked + "]\nmaxMessage: big\nnatsToken: 5\n"
	a := inDir(t, map[string]string{"SKEIN_OPERATOR_KEY": marked}, map[string]string{"skein.yaml": file, "broken.yaml": broken, "wrong.yaml": wrong})
	nats := []string{"--nats", "nats://127.0.0.1:1", "--nats-user", "u", "--nats-password", marked}
	for _, args := range [][]string{
		{"config", "print"},
		append([]string{"config", "print"}, secretFlags()[:10]...),
		append([]string{"config", "print"}, nats...),
		{"config", "print", "--nats", "nats://127.0.0.1:1", "--nats-token", marked},
		{"config", "print", "--nats", "nats://u:" + marked + "@127.0.0.1:1"},
		{"config", "print", "--nats", "nats://" + marked + "@127.0.0.1:1"},
		{"config", "check", "--nats", "nats://u:" + marked + "@127.0.0.1:x"},
		{"config", "check", "--config", "broken.yaml"},
		{"config", "check", "--config", "wrong.yaml"},
		{"config", "check", "--auth-algorithm", "RS256", "--auth-key", marked},
		{"plugins", "--json"},
		{"routes", "--json"},
		{"token", "verify", "--auth-key", marked, marked + ".b.c"},
		{"token", "inspect", marked + ".b.c"},
		{"nodes", "--url", "http://127.0.0.1:1", "--api-key", marked},
		{"nodes", "--url", "http://u:" + marked + "@127.0.0.1:1"},
		{"pub", "--url", "ws://u:" + marked + "@127.0.0.1:1/x", "--token", marked, "--timeout", "30s", "a", "1"},
	} {
		once := *a
		out, errs, _ := outcome(t, &once, args...)
		clean(t, strings.Join(args[:2], " ")+", output", out)
		clean(t, strings.Join(args[:2], " ")+", errors", errs)
	}
}

// A NATS that is not there, or does not let the node in, is told without what was shown to it.
func TestSecretsOfNATSAreInNoError(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--nats-user", "u", "--nats-password", marked},
		{"--nats-token", marked},
	} {
		a := inDir(t, nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out shared
		a.In, a.Out, a.Err = strings.NewReader(""), &out, &out
		args = append([]string{"serve", "--addr", "127.0.0.1:0", "--nats", "nats://" + nowhere(t), "--join-timeout", "100ms", "--log-level", "debug"}, args...)
		code := a.run(ctx, args)
		text, _ := out.text()
		clean(t, "serve", text)
		if code != exitFailed || text == "" {
			t.Errorf("got %d and %q, want why it fails", code, text)
		}
	}
}
