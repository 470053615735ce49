package e2e_test

import "testing"

// TestTheWholeConformanceSuitePasses has every case of RFC 6455 and RFC 7692 pass, none of them leniently, and skips none:
// the endpoint takes messages as long as the longest of the suite, and every offer of compression.
func TestTheWholeConformanceSuitePasses(t *testing.T) {
	t.Parallel()
	binary, found := suite(t, conformanceSuite, "the tests of internal/ws stand in for it")
	if !found {
		return
	}
	skein := build(t, "./cmd/skein")
	cert, key := certificate(t)
	for _, tc := range []struct {
		name, scheme string
		args         []string
	}{
		{"the best driver", "ws", nil},
		{"park", "ws", []string{"--driver", "park"}},
		{"TLS", "wss", []string{"--tls-cert", cert, "--tls-key", key}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"serve", "--addr", "127.0.0.1:0", "--echo", "/echo", "--compression"}, tc.args...)
			url := tc.scheme + "://" + hostOf(t, serve(t, anyURL, skein, args...)) + "/echo"
			conforms(t, binary, url)
		})
	}
}

func conforms(t *testing.T, binary, url string) {
	t.Helper()
	args := []string{"-url", url, "-strict", "-max", "16777216", "-wait", "30s"}
	out, _ := command(t, ".", binary, args...)
	n := count(t, out)
	if total := n.passed + n.failed; total < 518 || n.skipped > 0 {
		t.Errorf("got %v, want 518 passed or more, and none skipped: %q", n, lines(out, "SKIP"))
	}
	failed := lines(out, "FAIL")
	if len(failed) == 0 {
		t.Log(n)
		return
	}
	// A few cases measure the machine too, which runs other tests: who fails gets a second chance, one by one.
	t.Logf("again: %q", failed)
	out, _ = command(t, ".", binary, append(args, "-par", "1", "-run", "^("+quoteAll(names(failed))+")$")...)
	for _, line := range lines(out, "FAIL") {
		t.Error(line)
	}
}
