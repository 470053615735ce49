package e2e_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNoAttackHurtsHonestClients attacks the stock binary as it comes, which has but a secret for its tokens, so that those
// can be forged. Of the suite's cases one needs compression, and one keys of another kind.
//
// Most of the time the suite waits for time-outs. So the parts of it run at the same time, each against a server of its own.
func TestNoAttackHurtsHonestClients(t *testing.T) {
	t.Parallel()
	binary, found := suite(t, attackSuite, "the tests of hostile clients stand in for it")
	if !found {
		return
	}
	skein := build(t, "./cmd/skein")
	var attacks []*attack
	for _, driver := range drivers() {
		for part, cases := range parts(t, binary) {
			attacks = append(attacks, &attack{
				name: driver + " " + part, cases: cases, mayskip: []string{"compression-bomb", "jwt-alg-confusion"},
				server: []string{"--driver", driver, "--auth-key", key}, flags: []string{"-jwt-hs", key},
			})
		}
	}
	public, private := keyPair(t)
	attacks = append(attacks,
		&attack{name: "compression", cases: []string{"compression-bomb", "slow-consumer"}, server: []string{"--compression"}},
		&attack{
			name: "public keys", cases: []string{"jwt-control", "jwt-none", "jwt-wrong-key", "jwt-tampered", "jwt-expired", "jwt-alg-confusion"},
			server: []string{"--auth-private-key", private}, flags: []string{"-jwt-rs-pub", public, "-jwt-rs-priv", private},
		})
	for _, a := range attacks {
		a.binary, a.skein, a.out = binary, skein, make(chan string, 1)
		go func() { a.out <- a.run(t, a.cases) }()
	}
	for _, a := range attacks {
		t.Run(a.name, a.judge)
	}
}

// parts are all cases of the suite: those that only wait, and those that have something to do.
func parts(t *testing.T, binary string) map[string][]string {
	t.Helper()
	out, err := command(t, ".", binary, "-list")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cases := map[string][]string{}
	for line := range strings.Lines(out) {
		switch name := strings.Fields(line)[0]; name {
		case "slowloris-headers", "silent-tcp", "upgraded-no-handshake":
			cases["handshakes"] = append(cases["handshakes"], name)
		case "half-open":
			cases["silence"] = append(cases["silence"], name)
		default:
			cases["busy"] = append(cases["busy"], name)
		}
	}
	return cases
}

// attack is a part of the suite with what it attacks.
type attack struct {
	name           string
	cases, mayskip []string
	binary, skein  string
	server, flags  []string // of the server and of the suite
	out            chan string
}

func (a *attack) judge(t *testing.T) {
	out := <-a.out
	n := count(t, out)
	for _, name := range names(lines(out, "SKIP")) {
		if !slices.Contains(a.mayskip, name) {
			t.Errorf("%s was skipped", name)
		}
	}
	if n.passed+n.failed+n.skipped != len(a.cases) {
		t.Errorf("got %v, want %d cases", n, len(a.cases))
	}
	t.Log(n)
	failed := lines(out, "FAIL")
	if len(failed) == 0 {
		return
	}
	// Other tests take their time of the machine, which the suite measures too: who fails gets a second chance, alone.
	t.Logf("again: %q", failed)
	for _, line := range lines(a.run(t, names(failed)), "FAIL") {
		t.Error(line)
	}
}

// run starts a server and the suite, and returns what the suite says. Somebody else may have taken the address meanwhile.
func (a *attack) run(t *testing.T, cases []string) (out string) {
	t.Helper()
	for range 3 {
		if out = a.start(t, cases); tallyLine.MatchString(out) {
			break
		}
	}
	return out
}

func (a *attack) start(t *testing.T, cases []string) string {
	t.Helper()
	addr := freeAddr(t)
	var start []string
	for _, word := range append([]string{a.skein, "serve", "--addr", addr}, a.server...) {
		start = append(start, "'"+word+"'")
	}
	args := append([]string{
		"-url", "ws://" + addr + "/socketcluster/", "-start", strings.Join(start, " "),
		"-log", filepath.Join(t.TempDir(), "server.log"), "-run", "^(" + quoteAll(cases) + ")$",
		"-scale", "20", "-rss-mb", "32", "-canary-max", "20s", "-idle-handshake", "30s", "-sc-handshake", "40s",
	}, a.flags...)
	out, _ := command(t, ".", a.binary, args...)
	return out
}
