package e2e_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var fixtureURL = regexp.MustCompile(`ws://127\.0\.0\.1:\d+/socketcluster/`)

// anyURL is the SocketCluster address of a program that may serve TLS.
var anyURL = regexp.MustCompile(`wss?://127\.0\.0\.1:\d+/socketcluster/`)

const (
	autoPath = "/fx-auto/" // the fixture's endpoint that detects protocol and codec
	key      = "a secret of these tests, of 32 octets and more"
)

// clientPackages is the folder with the clients from npm.
func clientPackages(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("clients/node_modules/.package-lock.json"); err != nil {
		t.Fatalf("e2e/clients/node_modules is missing: run `make test`, which installs the npm packages (%v)", err)
	}
	return "clients"
}

// talk lets all clients at an endpoint.
func talk(t *testing.T, url string, args ...string) {
	t.Helper()
	out, err := node(t, clientPackages(t), append([]string{"clients.mjs", "--url", url}, args...)...)
	if err != nil {
		t.Fatalf("clients.mjs: %v\n%s", err, out)
	}
	t.Log(lastLine(out))
}

func TestEveryClientGenerationAndCodecSharesOneEndpoint(t *testing.T) {
	t.Parallel()
	url := serve(t, fixtureURL, build(t, "./e2e/fixture"), "--addr", "127.0.0.1:0")
	talk(t, strings.Replace(url, "/socketcluster/", autoPath, 1))
}

func TestEveryClientGenerationAndCodecIsServedByTheStockBinary(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "skein.yaml")
	// All as it comes, but for pings that do not make the test wait for a minute.
	if err := os.WriteFile(config, []byte("endpoints:\n- ping: {interval: 500ms, timeout: 2s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := serve(t, fixtureURL, build(t, "./cmd/skein"), "serve", "--addr", "127.0.0.1:0", "--auth-key", key, "--config", config)
	talk(t, url, "--auth-key", key)
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
