package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// hostility is one way in which a client can be hostile. It checks what the node does about it; that nobody else notices,
// and that nothing is left of it, is checked for all of them.
type hostility struct {
	name   string
	attack func(s *assault)
}

// assault is one of them at work.
type assault struct {
	*site
	*testing.T
}

// TestHostileClientsHurtNobodyElse goes on where the suite of attacks ends.
func TestHostileClientsHurtNobodyElse(t *testing.T) {
	t.Parallel()
	binary := build(t, "./cmd/skein")
	cert, secret := certificate(t)
	all := slices.Concat(hostileRequests(), hostileBodies(), hostileFrames(), hostilePackets(), hostileCrowds())
	for _, tc := range []struct {
		name string
		args []string
		list []hostility
	}{
		{"the best driver", nil, all},
		{"park", []string{"--driver", "park"}, all},
		{"TLS", []string{"--tls-cert", cert, "--tls-key", secret}, append(hostileSecrecy(), all...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, binary, append([]string{"--auth-key", key, "--echo", "/echo", "--compression", "--log-level", "debug"}, tc.args...)...)
			for _, h := range tc.list {
				t.Run(h.name, func(t *testing.T) {
					defer s.hangUp()
					h.attack(&assault{s, t})
					if s.hangUp(); !t.Failed() {
						s.recovered(t)
					}
				})
			}
			s.wantCleanLog(t)
		})
	}
}

// mark is in all that hostile clients would like to see at the beginning of a line of the log.
const mark = "FORGED"

// forged is what a client says to forge lines of the log: line breaks of all kinds, and escapes of terminals.
const forged = "x\r\n" + mark + " level=ERROR msg=forged\n" + mark + "\u2028" + mark + "\u0085" + mark + "\x1b[2J\x1b]0;" + mark + "\a\x00"

// wantCleanLog looks at all that the node has said.
func (s *site) wantCleanLog(t *testing.T) {
	t.Helper()
	said := s.out.String()
	if !strings.Contains(said, mark) {
		t.Error("the log does not mention what was to be forged: the attacks were not logged at all")
	}
	for line := range strings.Lines(said) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), mark) || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 }) {
			t.Errorf("the log has been forged: %.200q", line)
		}
		if len(line) > 4<<10 {
			t.Errorf("a line of %d octets is in the log: %.200q", len(line), line)
		}
	}
}
