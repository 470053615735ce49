package e2e_test

import "testing"

// TestAShortSoakBreaksNoPromise is a cycle of the soak program, with a seed of its own each time, which it prints. Its
// first node is never restarted.
func TestAShortSoakBreaksNoPromise(t *testing.T) {
	node := build(t, "./e2e/soak/node")
	out, err := command(t, "..", build(t, "./e2e/soak"), "-binary", node, "-duration", "20s", "-cycle", "20s", "-load", "40")
	t.Log("\n" + out)
	if err != nil {
		t.Fatal(err)
	}
}
