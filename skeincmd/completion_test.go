package skeincmd

import (
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func completed(t *testing.T) []command {
	t.Helper()
	a := inDir(t, nil, nil)
	a.Streams = Streams{Out: io.Discard, Err: io.Discard}
	parser, err := a.parser(&cli{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return commands(parser.Model.Node, nil)
}

func TestCompletionKnowsEveryCommandAndFlag(t *testing.T) {
	t.Parallel()
	all := completed(t)
	want := []string{
		"", "serve", "pub", "sub", "call", "bench", "token", "token sign", "token verify", "token inspect", "token set", "token remove", "token revoke", "token revocations",
		"nodes", "channels", "count", "disconnect", "kick", "cluster", "cluster init", "cluster cert", "plugins", "routes",
		"config", "config check", "config print", "config schema", "health", "version", "completion",
	}
	var got []string
	for _, c := range all {
		got = append(got, c.path)
	}
	if !slices.Equal(got, want) {
		t.Errorf("commands: got %q, want %q", got, want)
	}
	scripts := map[string]string{"bash": bashScript(all), "zsh": zshScript(all), "fish": fishScript(all)}
	for shell, script := range scripts {
		for _, c := range all {
			for _, w := range c.words {
				if !strings.Contains(script, strings.TrimPrefix(w.text, "--")) {
					t.Errorf("%s: %s %s is missing", shell, c.path, w.text)
				}
			}
		}
	}
	for _, c := range all {
		if c.path == "completion" && !strings.Contains(c.texts(), "bash zsh fish") {
			t.Errorf("completion: got %s, want the shells", c.texts())
		}
	}
}

func TestAFlagIsFollowedByTheSameInEveryCommand(t *testing.T) {
	t.Parallel()
	first := map[string]word{}
	for _, c := range completed(t) {
		for _, w := range c.words {
			other, known := first[w.text]
			if !known {
				first[w.text] = w
				continue
			}
			if other.follows != w.follows || !slices.Equal(other.values, w.values) {
				t.Errorf("%s %s: got %v %q, elsewhere %v %q", c.path, w.text, w.follows, w.values, other.follows, other.values)
			}
		}
	}
	for flag, want := range map[string]follow{
		"--metrics": another, "--no-api": another, "--addr": text, "--auth-key": text, "--config": file, "--codec": oneOf, "--help": another,
	} {
		if got := first[flag].follows; got != want {
			t.Errorf("%s: got %v, want %v", flag, got, want)
		}
	}
}

func TestFishAndZshKnowWhatFollowsAFlag(t *testing.T) {
	t.Parallel()
	all := completed(t)
	for script, lines := range map[string][]string{
		fishScript(all): {
			`-x -a "debug info warn error" -l log-level`, "-r -F -l tls-cert", "-x -l addr", "' -l metrics", "\ncomplete -c skein -f\n",
		},
		zshScript(all): {"--log-level) compadd -- debug info warn error; return ;;", "--tls-cert", ") _files; return ;;"},
	} {
		for _, line := range lines {
			if !strings.Contains(script, line) {
				t.Errorf("%q is not in\n%s", line, script)
			}
		}
	}
}

func TestHelpInCompletionHasNothingThatAShellWouldRead(t *testing.T) {
	t.Parallel()
	for _, c := range completed(t) {
		for _, w := range c.words {
			if strings.ContainsAny(w.help, "'\"`$\\:[]") {
				t.Errorf("%s %s: %q", c.path, w.text, w.help)
			}
		}
	}
	for text, want := range map[string]string{
		"One. Two.": "One", "It's \"x\" at $HOME: [a]": "Its x at HOME (a)", "": "", "1.5 of it.": "1.5 of it",
	} {
		if got := sentence(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestBashCompletesWordsOfTheCommand(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatalf("the completion needs bash to be tested: %v", err)
	}
	script := bashScript(completed(t))
	for _, c := range []struct{ line, want string }{
		{"skein s", "serve sub"},
		{"skein token ", "sign verify inspect set remove revoke revocations --help"},
		{"skein token s", "sign set"},
		{"skein serve --max-m", "--max-message"},
		{"skein serve --addr x --no-", "--no-start-page --no-api"},
		{"skein config print --no", "--node --no-start-page --no-api"},
		{"skein completion f", "fish"},
		{"skein frob x", ""},
		{"skein pub --h", "--help"},
		{"skein --h", "--help"},
		{"skein serve --log-level ", "debug info warn error"},
		{"skein serve --log-level w", "warn"},
		{"skein serve --log-level =", "debug info warn error"},
		{"skein serve --log-level = e", "error"},
		{"skein serve --addr ", ""},
		{"skein serve --tls-key ", "(-o default)"},
		{"skein serve --metrics --log-l", "--log-level"},
	} {
		words := strings.Split(c.line, " ")
		args := append([]string{"-c", script + `compopt() { COMPREPLY=("($*)"); }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _skein; echo "${COMPREPLY[*]}"`, "-"}, words...)
		out, err := exec.CommandContext(t.Context(), bash, args...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.line, got, err, c.want)
		}
	}
}
