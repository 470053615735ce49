package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// built is the program, built as its users do.
func built(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "skein.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// run returns what a command prints, with its spaces made one.
func run(t *testing.T, binary string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for a serve that should have failed
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Env = append(os.Environ(), "SKEIN_CONFIG=")
	out, err := c.CombinedOutput()
	lines := strings.Split(string(out), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n"), err
}

func TestBinaryHasEveryCommandAndThePlugin(t *testing.T) {
	t.Parallel()
	binary := built(t)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"plugins", "--available"}, []string{"censor 1.0.0", "rawws", "startpage"}},
		{[]string{"plugins"}, []string{"censor 1.0.0 /moderation skein.yaml:2:5", "\n1 OnPublish * censor"}},
		{[]string{"routes"}, []string{"GET /moderation/words http censor"}},
		{[]string{"config", "check"}, []string{"skein.yaml: the configuration is good"}},
		{[]string{"config", "schema"}, []string{"whole words only"}},
		{[]string{"version"}, []string{"skein "}},
	} {
		out, err := run(t, binary, c.args...)
		if err != nil {
			t.Errorf("%v: %v\n%s", c.args, err, out)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%v: %q is not in\n%s", c.args, want, out)
			}
		}
	}
}

func TestMistakesInTheOptionsAreToldWithTheirPlace(t *testing.T) {
	t.Parallel()
	binary := built(t)
	for config, want := range map[string]string{
		"plugins:\n- use: censor\n  options:\n    wrods: [darn]\n": `bad.yaml:4:5`,
		"plugins:\n- use: censor\n  options:\n    mask: [x]\n":     `bad.yaml:4:11`,
		"plugins:\n- use: censor\n  options:\n    words: []\n":     `bad.yaml:`,
		"plugins:\n- use: censor\n  prefix: moderation\n":          `bad.yaml:2:3`,
		"plugins:\n- use: cemsor\n":                                `bad.yaml:2:8`,
	} {
		file := filepath.Join(t.TempDir(), "bad.yaml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := run(t, binary, "serve", "--addr", "127.0.0.1:0", "--config", file)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("with\n%s\ngot %v and\n%s\nwant %s", config, err, out, want)
		}
	}
}
