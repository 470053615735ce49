package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestNothingIsLeftOfClientsThatComeAndGo has 5,000 clients come and go in every way that there is to go; CHURN in the
// environment says how many instead.
func TestNothingIsLeftOfClientsThatComeAndGo(t *testing.T) {
	t.Parallel()
	cycles := 5000
	if told := os.Getenv("CHURN"); told != "" {
		var err error
		if cycles, err = strconv.Atoi(told); err != nil {
			t.Fatal(err)
		}
	}
	binary := build(t, "./cmd/skein")
	for _, driver := range drivers() {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, binary, "--driver", driver, "--log-level", "warn")
			began := time.Now()
			s.churn(t, cycles/5) // pools and tables grow to their size
			s.recovered(t)
			warm := s.vitals(t)
			s.churn(t, cycles)
			s.recovered(t)
			v := s.vitals(t)
			t.Logf("%d cycles in %v:\n%v before,\n%v behind the first %d,\n%v at the end", cycles, time.Since(began).Round(time.Second), s.base, warm, cycles/5, v)
			// What the garbage collector lets a small heap grow to is not of the clients; a leak of a kilobyte for each of them is.
			if most := warm.megabytes + max(warm.megabytes/10, 12); v.megabytes > most {
				t.Errorf("got %d MiB, want at most %d", v.megabytes, most)
			}
		})
	}
}

// churn lets clients come and go, some at once.
func (s *site) churn(t *testing.T, cycles int) {
	t.Helper()
	const batch, workers = 480, 12
	for done := 0; done < cycles; done += batch {
		all(workers, func(worker int) {
			for i := range batch / workers {
				s.comeAndGo(t, done+worker*batch/workers+i)
			}
		})
		s.hangUp()
	}
}

// comeAndGo is one client, whose number tells how far it comes and how it goes.
func (s *site) comeAndGo(t *testing.T, n int) {
	t.Helper()
	a := &assault{s, t}
	switch n % 12 {
	case 0: // nothing is said
		a.connect().end()
		return
	case 1:
		p := a.connect()
		p.send([]byte(s.upgrading("/socketcluster/")[:n%100]))
		p.reset()
		return
	case 2: // no handshake
		a.open("/socketcluster/").reset()
		return
	}
	p := a.session()
	p.send(say(`{"event":"#subscribe","data":{"channel":"shared-%d"},"cid":2}`, n%50), say(`{"event":"#subscribe","data":{"channel":"own-%d"},"cid":3}`, n))
	if n%12 != 3 {
		p.wantReply(`"rid":3`)
	}
	p.send(say(`{"event":"#publish","data":{"channel":"shared-%d","data":%d}}`, n%50, n))
	switch n % 12 {
	case 4, 5:
		p.send(frame(closing, "\x03\xe8"))
		p.wantCode(1000)
	case 6:
		p.send(frame(0x83, "")) // a reserved opcode
		p.wantCode(1002)
	case 7:
		p.send(say(`{"event":"#unsubscribe","data":"own-%d","cid":4}`, n))
	case 8:
		p.send(frame(text, fmt.Sprint(n))[:4])
	case 9:
		p.send(frame(closing, ""))
	}
	if n%2 == 0 {
		p.reset()
	} else {
		p.end()
	}
}
