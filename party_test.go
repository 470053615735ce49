package skein

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A crowd of addresses must not make a node remember more and more of them.
func TestSoManyAddressesAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var met tally
		p := newParties(ofAddress, Rates{Connects: Rate{PerSecond: 0.001, Burst: 1}}, 0, &met)
		held, err := p.join("held")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.visit("held", rateConnects, 1); err != nil {
			t.Fatal(err)
		}
		for i := range mostIdle + 1000 {
			if err := p.visit(fmt.Sprint(i), rateConnects, 1); err != nil {
				t.Fatal(err)
			}
			if i == mostIdle/2 {
				pass(time.Second)
			}
		}
		if got := len(p.idle); got != mostIdle {
			t.Errorf("got %d that are remembered, want %d", got, mostIdle)
		}
		if got := met[limitForgottenAddresses].Load(); got != 1000 {
			t.Errorf("got %d forgotten, want 1000", got)
		}
		older := 0
		for _, one := range p.idle {
			if one.left.Before(time.Now()) {
				older++
			}
		}
		if older > mostIdle/2-900 {
			t.Errorf("%d of those who were there first are remembered, want those that came last to be", older)
		}
		if err := p.visit("held", rateConnects, 1); err == nil {
			t.Error("an address with a connection has been forgotten")
		}
		p.leave(held)
		pass(2000 * time.Second) // all buckets fill up
		if err := p.visit("last", rateConnects, 1); err != nil {
			t.Fatal(err)
		}
		if got := len(p.idle) + len(p.here); got != 1 {
			t.Errorf("got %d that are remembered later, want the last", got)
		}
	})
}

func pass(d time.Duration) { <-time.After(d) }

func TestWhoLeavesKeepsHisDebts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var met tally
		d := doorman{tally: &met, limits: ConnLimits{Total: 10}}
		d.users = newParties(ofUser, Rates{Calls: Rate{PerSecond: 1, Burst: 2}}, 0, &met)
		d.addresses = newParties(ofAddress, Rates{Packets: Rate{PerSecond: 1, Burst: 2}}, 0, &met)
		from := netip.MustParseAddr("203.0.113.7")
		for _, want := range []bool{true, true, false, false} { // one connection after the other
			m := d.newMeter(nil, from)
			if err := m.belong("ada"); err != nil {
				t.Fatal(err)
			}
			if got := m.charge(rateCalls, 1) == nil; got != want {
				t.Errorf("the call: got %v, want %v", got, want)
			}
			if got := m.charge(ratePackets, 1) == nil; got != want {
				t.Errorf("the packet: got %v, want %v", got, want)
			}
			m.end()
			m.end()
			if err := m.belong("eve"); err != nil || m.user != nil {
				t.Errorf("an ended connection has become one of %v", m.user)
			}
		}
		if got := len(d.users.here) + len(d.addresses.here); got != 0 {
			t.Errorf("%d are here, want nobody", got)
		}
	})
}

func TestNothingIsKeptWhereNothingIsCounted(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	if m := s.doorman.newMeter(nil, netip.MustParseAddr("203.0.113.7")); m != nil {
		t.Errorf("got %v, want no meter", m)
	}
	if user := s.userOf(&Token{Claims: []byte(`{"username":"ada"}`)}); user != "" {
		t.Errorf("got %q, want nobody to be asked for", user)
	}
	if err := s.doorman.knock(netip.MustParseAddr("203.0.113.7")); err != nil || len(s.doorman.addresses.idle) != 0 {
		t.Errorf("got %v and %d addresses, want neither", err, len(s.doorman.addresses.idle))
	}
	if err := s.doorman.addresses.charge(&party{}, ratePackets, 1); err != nil {
		t.Errorf("got %v, want no rate", err)
	}
}

func TestManyConnectionsShareTheirParty(t *testing.T) {
	t.Parallel()
	var met tally
	d := doorman{tally: &met}
	d.users = newParties(ofUser, Rates{Calls: Rate{PerSecond: 1e-9, Burst: 1000}}, 100, &met)
	d.addresses = newParties(ofAddress, Rates{}, 0, &met)
	var all sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for i := range 16 {
		all.Go(func() {
			for range 100 {
				m := d.newMeter(nil, netip.Addr{})
				if err := m.belong("ada"); err != nil {
					t.Error(err)
				}
				if m.charge(rateCalls, 1) == nil {
					mu.Lock()
					done++
					mu.Unlock()
				}
				if i%2 == 0 {
					_ = m.belong("")
				}
				m.end()
			}
		})
	}
	all.Wait()
	if got, refused := done, met[rateLimit(ofUser, rateCalls)].Load(); got != 1000 || refused != 600 {
		t.Errorf("got %d calls and %d refused, want 1000 and 600", got, refused)
	}
	if len(d.users.here) != 0 || len(d.users.idle) != 1 {
		t.Errorf("got %d here and %d remembered, want none and one", len(d.users.here), len(d.users.idle))
	}
}

func TestLimitsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for l := range limits {
		name := l.String()
		if name == "" || seen[name] {
			t.Errorf("limit %d is called %q", l, name)
		}
		seen[name] = true
	}
	if got := rateLimit(ofUser, ratePublishes).String(); got != "user_publishes" {
		t.Errorf("got %q, want user_publishes", got)
	}
	if got, want := len(new(tally).metrics()), len(seen)-1; got != want {
		t.Errorf("got %d figures, want %d: a session does not connect", got, want)
	}
}
