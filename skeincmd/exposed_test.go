package skeincmd

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
)

// outside is a listener on loopback whose connections look as if they had come to another address of the machine.
type outside struct{ net.Listener }

type fromOutside struct{ net.Conn }

func (o outside) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return fromOutside{c}, nil
}

func (fromOutside) LocalAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8000}
}

func (fromOutside) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 4711}
}

// statusAt asks at an address, as a browser or a program does that knows its name.
func statusAt(t *testing.T, addr, method, path, host string) int {
	t.Helper()
	nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := fmt.Fprintf(nc, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", method, path, host); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// What is the operators' is closed beyond this machine until there is a key, on both listeners, whatever name is asked for.
func TestOperatorsRoutesAreClosedOffLoopback(t *testing.T) {
	t.Parallel()
	a, c := configured(t, "", "--metrics", "--admin", "--api", "--operator-addr", "127.0.0.1:1")
	a.Err = new(shared)
	n, err := a.build(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{}, 3)
	listening := func(serve func(net.Listener) error) string {
		l, err := listen(t.Context(), "addr", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = serve(outside{l}) // that it is closed
			served <- struct{}{}
		}()
		return l.Addr().String()
	}
	clients, operators := listening(n.Serve), listening(n.ServeOperators)
	profiles := &http.Server{Handler: secured(n.withKey("", profiles()))}
	pprofAt := listening(profiles.Serve)
	for _, ask := range []struct {
		addr, method, path string
		want               int
	}{
		{operators, http.MethodGet, "/metrics", http.StatusUnauthorized},
		{operators, http.MethodGet, "/admin", http.StatusUnauthorized},
		{operators, http.MethodGet, "/admin/state", http.StatusUnauthorized},
		{operators, http.MethodGet, "/readyz", http.StatusOK},
		{clients, http.MethodGet, "/metrics", http.StatusNotFound},
		{clients, http.MethodGet, "/admin", http.StatusNotFound},
		{clients, http.MethodGet, "/api/nodes", http.StatusUnauthorized},
		{clients, http.MethodPost, "/api/publish", http.StatusUnauthorized},
		{clients, http.MethodPost, "/api/disconnect", http.StatusUnauthorized},
		{pprofAt, http.MethodGet, "/debug/pprof/", http.StatusForbidden},
		{pprofAt, http.MethodGet, "/debug/pprof/cmdline", http.StatusForbidden},
	} {
		for _, host := range []string{"192.0.2.7:8000", "localhost:8000", "127.0.0.1:8000"} {
			if got := statusAt(t, ask.addr, ask.method, ask.path, host); got != ask.want {
				t.Errorf("%s %s for %s: got %d, want %d", ask.method, ask.path, host, got, ask.want)
			}
		}
	}
	_ = profiles.Close() // it has served
	ctx := context.WithoutCancel(t.Context())
	if err := n.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for range 3 {
		<-served
	}
}
