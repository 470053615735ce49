package e2e_test

import "testing"

// TestAcceptance plays the acceptance scenario; its program says more in one line a step.
func TestAcceptance(t *testing.T) {
	clientPackages(t)
	out, err := command(t, "..", build(t, "./e2e/acceptance"))
	t.Log("\n" + out)
	if err != nil {
		t.Fatal(err)
	}
}
