package load

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestZeroOptionsWork(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	if err := o.check(Fanout, 5000); err != nil {
		t.Error(err)
	}
	o.Progress("nobody is told")
}

func TestEverythingWrongIsToldAtOnce(t *testing.T) {
	t.Parallel()
	o := Options{Conns: 2, Channels: mostChannels + 1, Size: 31, Warmup: -1, Duration: 25 * time.Hour, Rate: -1, Pubs: mostPublishers + 1, URLs: []string{"http://127.0.0.1/", "ws://", "ws://a b", "ws://example.com/x"}}.withDefaults()
	err := o.check(Fanout, 0)
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"counts and rates must be positive", "times must be positive", "a size of 31 is too small", "32 bytes or more",
		"1048577 channels are too many: 1048576", "24h0m0s is the longest time", "65537 publishers are too many", "http://127.0.0.1/ is not the URL of an endpoint",
		"ws: is not the URL", `invalid character " " in host name`, "example.com is another machine",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

func TestFilesAreCountedBeforeAnythingIsOpened(t *testing.T) {
	t.Parallel()
	o := Options{Conns: 1000, Pubs: 10, Parallel: 64}.withDefaults()
	need := 1000 + 10 + 128 + spareFiles
	if err := o.check(Fanout, need); err != nil {
		t.Errorf("with as many as needed: %v", err)
	}
	err := o.check(Fanout, need-1)
	if err == nil || !strings.Contains(err.Error(), "1000 connections need 1170 open files, but this process may have 1169: raise the limit (ulimit -n)") {
		t.Errorf("with one less: got %v, want what to do", err)
	}
	if err := o.check(Connect, need-128); err != nil {
		t.Errorf("where nothing is taken over: %v", err)
	}
	if got := openFiles(); runtime.GOOS == "linux" && got <= 0 {
		t.Errorf("got a limit of %d here, want one", got)
	}
}

func TestOnlyLoopbackIsLoadedUnasked(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"ws://127.0.0.1:8000/": true, "ws://127.9.9.9/": true, "wss://[::1]:1/": true, "ws://localhost/": true, "ws://[::ffff:127.0.0.1]/": true,
		"ws://0.0.0.0/": false, "ws://10.0.0.1/": false, "ws://[::]/": false, "ws://localhost.example.com/": false, "wss://127.0.0.1.example.com/": false, "ws://2130706433/": false,
	} {
		o := Options{URLs: []string{url}}.withDefaults()
		if err := o.check(Fanout, 0); (err == nil) != want {
			t.Errorf("%s: got %v, want it allowed: %v", url, err, want)
		}
		o.Remote = true
		if err := o.check(Fanout, 0); err != nil {
			t.Errorf("%s, remote: %v", url, err)
		}
	}
}

func TestAudiencesAddUpToTheSubscribers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ conns, channels int }{{1, 1}, {10, 3}, {7, 7}, {1000, 64}} {
		o := Options{Conns: c.conns, Channels: c.channels}
		want := make([]int64, c.channels)
		for n := range c.conns {
			want[n%c.channels]++
		}
		for channel := range c.channels {
			if got := o.audience(channel); got != want[channel] {
				t.Errorf("channel %d of %d with %d: got %d, want %d", channel, c.channels, c.conns, got, want[channel])
			}
		}
	}
}

func TestMoreConnectionsThanPortsComeFromOtherAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host string
		n    int
		want string
	}{
		{"127.0.0.1", 0, ""},
		{"127.0.0.1", portsOfAddress - 1, ""},
		{"127.0.0.1", portsOfAddress, "127.0.0.3:0"},
		{"localhost", 249 * portsOfAddress, "127.0.0.251:0"},
		{"127.0.0.1", 250 * portsOfAddress, "127.0.1.2:0"},
		{"10.0.0.1", portsOfAddress, ""},
		{"::1", portsOfAddress, ""},
	} {
		want := c.want
		if runtime.GOOS != "linux" {
			want = ""
		}
		got := ""
		if a := source(c.host, c.n); a != nil {
			got = a.String()
		}
		if got != want {
			t.Errorf("%d to %s: got %q, want %q", c.n, c.host, got, want)
		}
	}
}

func TestWrongRunsEndBeforeTheyBegin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode Mode
		o    Options
		want string
	}{
		"mode":    {"frob", Options{}, `"frob" is no mode`},
		"options": {Idle, Options{Size: 1}, "too small"},
		"process": {Idle, Options{PIDs: []int{1 << 30}}, "process 1073741824"},
	} {
		c.o.Duration = time.Hour
		if _, err := Run(t.Context(), c.mode, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
