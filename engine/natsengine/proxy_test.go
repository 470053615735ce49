package natsengine

import (
	"testing"

	tcp "github.com/skeinrt/skein/e2e/proxy"
)

// proxy stands between two nodes. It can be cut: what is connected breaks, and
// nothing new gets through.
type proxy struct {
	*tcp.Proxy
	silent bool // a cut that no side is told of
}

// startProxy runs one in front of an address.
func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	p, err := tcp.Start(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // the test is over
	return &proxy{Proxy: p}
}

func (p *proxy) address() string { return p.Addr() }

// set cuts or heals.
func (p *proxy) set(cut bool) {
	switch {
	case !cut:
		p.Heal()
	case p.silent:
		p.Swallow()
	default:
		p.Cut()
	}
}
