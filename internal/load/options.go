package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/skeinrt/skein/internal/ws"
)

// Mode says what is measured.
type Mode string

// The modes.
const (
	// Fanout publishes at a fixed rate to channels with subscribers.
	Fanout Mode = "fanout"
	// Saturate publishes as fast as the deliveries arrive, with a window for each publisher.
	Saturate Mode = "saturate"
	// RPC sends publications that nobody hears, with a window for each connection, and counts their acknowledgements.
	RPC Mode = "rpc"
	// Connect connects and completes the handshake as fast as possible.
	Connect Mode = "connect"
	// Idle connects subscribers and reads what the server needs for them.
	Idle Mode = "idle"
	// Burst publishes as Fanout does, has many more connections come in, and tells how long deliveries take meanwhile.
	Burst Mode = "burst"
)

const (
	mostPublishers = 1 << (4 * publisherDigits)
	mostChannels   = 1 << (4 * channelDigits)
	mostTime       = 24 * time.Hour // fits into a stamp, whatever comes before
	spareFiles     = 32             // for what a process has open besides
)

// Options say which server to load, and how. Zero values work.
type Options struct {
	// URLs are the server's endpoints; connections are dealt to several in turn. None means
	// ws://127.0.0.1:8000/socketcluster/.
	URLs []string
	// Remote allows endpoints on other machines, which may not be prepared for it.
	Remote bool
	// Protocol is what the server speaks. nil means SocketCluster.
	Protocol Protocol
	// Token is a signed token for the handshakes of SocketCluster.
	Token string
	// Conns is how many connections there are: subscribers, or callers with RPC. 0 means 1000.
	Conns int
	// Channels is how many channels the subscribers are dealt to; if there are more channels than subscribers, the
	// channels are dealt to these. 0 means 1.
	Channels int
	// Pubs is how many connections publish. 0 means 1.
	Pubs int
	// Rate is how many messages are published in a second, by all publishers. 0 means 100. Only Fanout and Burst have it.
	Rate float64
	// Size is the length of a payload, at least 32. 0 means 128.
	Size int
	// Duration is how long is measured. 0 means 10 s.
	Duration time.Duration
	// Warmup is how long the load runs, or connections rest, before that.
	Warmup time.Duration
	// Window is how many messages of a publisher, or calls of a connection, are under way with Saturate and RPC.
	// 0 means 8.
	Window int
	// Burst is how many connections come on top with Burst. 0 means 10000.
	Burst int
	// Storm opens Burst's connections, and reports as Connect does. It should do so in another process: in this one the
	// subscribers would have to wait for the storm's turns, and deliveries look late. nil means here all the same.
	Storm func(ctx context.Context) (*Report, error)
	// PIDs are the server's processes, whose time and memory are read. That needs Linux.
	PIDs []int
	// Parallel is how many connections are opened at once. 0 means 64.
	Parallel int
	// Timeout bounds opening a connection, each write, and how long nothing may arrive that must. 0 means 10 s.
	Timeout time.Duration
	// Prefix begins the channels' names. Empty means bench.
	Prefix string
	// NetDial makes the connections. nil means the network.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Progress is told what is being done, in half a line. nil means nobody.
	Progress func(text string)
}

func (o Options) withDefaults() Options {
	if len(o.URLs) == 0 {
		o.URLs = []string{"ws://127.0.0.1:8000/socketcluster/"}
	}
	o.Conns = cmp.Or(o.Conns, 1000)
	o.Channels = cmp.Or(o.Channels, 1)
	o.Pubs = cmp.Or(o.Pubs, 1)
	o.Rate = cmp.Or(o.Rate, 100)
	o.Size = cmp.Or(o.Size, 128)
	o.Duration = cmp.Or(o.Duration, 10*time.Second)
	o.Window = cmp.Or(o.Window, 8)
	o.Burst = cmp.Or(o.Burst, 10_000)
	o.Parallel = cmp.Or(o.Parallel, 64)
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Prefix = cmp.Or(o.Prefix, "bench")
	if o.Protocol == nil {
		o.Protocol = socketCluster{token: o.Token}
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// check tells everything that is wrong, given how many files may be open; 0: not known.
func (o *Options) check(mode Mode, files int) error {
	var errs []error
	complain := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	complain(min(o.Conns, o.Channels, o.Pubs, o.Window, o.Parallel, o.Burst) < 1 || o.Rate <= 0, "counts and rates must be positive")
	complain(min(o.Duration, o.Timeout) <= 0 || o.Warmup < 0, "times must be positive")
	complain(o.Size < leastSize, "a size of %d is too small: a message carries a stamp and has %d bytes or more", o.Size, leastSize)
	complain(max(o.Duration, o.Warmup) > mostTime, "%v is the longest time", mostTime)
	complain(o.Channels > mostChannels, "%d channels are too many: %d is the most", o.Channels, mostChannels)
	complain(o.Pubs > mostPublishers, "%d publishers are too many: %d is the most", o.Pubs, mostPublishers)
	need := o.Conns + o.Pubs + spareFiles
	if mode != Connect {
		need += 2 * min(o.Parallel, o.Conns) // while a loop takes one over
	}
	complain(files > 0 && need > files, "%d connections need %d open files, but this process may have %d: raise the limit (ulimit -n), or take fewer", o.Conns, need, files)
	for _, text := range o.URLs {
		errs = append(errs, o.checkURL(text))
	}
	return errors.Join(errs...)
}

func (o *Options) checkURL(text string) error {
	u, err := url.Parse(text)
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return wrong.Err // without the URL, in which there may be a secret
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "":
		return fmt.Errorf("%s is not the URL of an endpoint, as in ws://127.0.0.1:8000/socketcluster/", ws.Shown(text))
	case !o.Remote && !isLoopback(u.Hostname()):
		return fmt.Errorf("%s is another machine: load can bring it down, so it has to be allowed (--remote)", u.Hostname())
	}
	return nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// channel is the name of a channel by its number.
func (o *Options) channel(n int) string { return fmt.Sprintf("%s%d", o.Prefix, n) }

// channelsOf are those that a subscriber joins: one, or more where there are more channels than subscribers.
func (o *Options) channelsOf(n int) []string {
	var names []string
	for channel := n % o.Channels; channel < o.Channels; channel += o.Conns {
		names = append(names, o.channel(channel))
	}
	return names
}

// place is which of a subscriber's channels this one is. false: none of them.
func (o *Options) place(n, channel int) (int, bool) {
	return channel / o.Conns, channel < o.Channels && (channel-n)%min(o.Conns, o.Channels) == 0
}

// places is the most channels that a subscriber has.
func (o *Options) places() int { return (o.Channels-1)/o.Conns + 1 }

// audience is how many subscribers the channel of this number has.
func (o *Options) audience(channel int) int64 {
	if o.Channels > o.Conns {
		return 1
	}
	n := o.Conns / o.Channels
	if channel < o.Conns%o.Channels {
		n++
	}
	return int64(n)
}

// portsOfAddress is how many connections come from one address: fewer than the system has ports for it.
const portsOfAddress = 20_000

// source is the address that a connection comes from, nil: the system's choice. On Linux all of 127.0.0.0/8 is this
// machine, so that there can be more connections than ports of one address.
func source(host string, n int) net.Addr {
	block := n / portsOfAddress
	if block == 0 || runtime.GOOS != "linux" || host != "localhost" && !strings.HasPrefix(host, "127.") {
		return nil
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, byte(block/250), byte(2+block%250))} //nolint:gosec // far below 250 × 250 blocks
}
