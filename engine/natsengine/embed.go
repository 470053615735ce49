package natsengine

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Embedded says how a node finds the others by a NATS server in its own
// process.
type Embedded struct {
	Options
	// Listen is where the other nodes reach this one, host:port. The port 0
	// means any; see the node's Member.Address for it.
	Listen string
	// Advertise is what the other nodes are told to connect to, host:port. It
	// must be given when Listen is a wildcard. Empty means Listen.
	Advertise string
	// Seeds are addresses of other nodes, host:port. One that answers is enough;
	// the others are learned from it. A name may have several addresses, and
	// this node's own address may be among them.
	Seeds []string
	// Cluster is the name that all nodes must agree on. Empty means "skein".
	Cluster string
	// Secret is the password that all nodes must agree on: nodes of which one has
	// none, or another, are no members of each other, and the one that starts
	// fails. It must be given off loopback, unless Insecure.
	Secret string
	// TLS has the certificate of this node, and in RootCAs and ClientCAs the
	// authority of the cluster: whoever has a certificate of it, for any host
	// name, is a node. With ServerName all certificates must be for that name. It
	// must be given off loopback, unless Insecure.
	TLS *tls.Config
	// Insecure allows nodes off loopback without Secret and TLS: whoever reaches
	// Listen can read and publish everything.
	Insecure bool
	// JoinTimeout is how long Start waits for seeds that do not answer before
	// the node serves alone, and goes on trying. 0 means 10 s.
	JoinTimeout time.Duration
}

const (
	defaultJoinTimeout = 10 * time.Second
	readyPatience      = 10 * time.Second
	readyLook          = time.Millisecond

	// maxPayload leaves room for a binary message of 1 MiB as base64, and more.
	maxPayload = 8 << 20
	// maxPending is what the server keeps for this node's dispatcher, and three
	// quarters of it for another node: sixteen publishers' windows.
	maxPending = 16 * flowWindow
	// Half-open routes are found by pings, and slow ones by writes that take so
	// long: both are cut, and the messages that are lost told as a gap.
	routePing     = time.Second
	routePingsOut = 2
	routeWrite    = 2 * time.Second
	// implicitRetries is how often a node that was not among the seeds is looked
	// for when it is gone: about an hour at the longest back-off.
	implicitRetries = 120
	// quiet keeps nats-server from reporting each attempt to connect.
	quiet = 1 << 30
)

// Embed returns an engine whose NATS server runs in this process. It listens
// for clients on loopback alone, behind a random password, because a server
// that does not listen has no routes.
func Embed(o Embedded) *Engine {
	o.Cluster = cmp.Or(o.Cluster, "skein")
	o.JoinTimeout = cmp.Or(o.JoinTimeout, defaultJoinTimeout)
	e := newEngine(o.Options, &embedded{Embedded: o, lookup: net.DefaultResolver.LookupHost})
	e.secret = o.Secret
	return e
}

// embedded is the source of NATS in this process.
type embedded struct {
	Embedded
	lookup lookup // names of seeds
	engine *Engine
	log    *serverLog
	server *server.Server
	base   server.Options // what it was started with
	seeds  *seeds
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu    sync.Mutex
	route string // where this node's routes are
	slow  int64  // pending octets of the slowest route
}

// InProcessConn is what nats.go calls to reach the server.
func (s *embedded) InProcessConn() (net.Conn, error) {
	conn, err := s.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return s.engine.carrier.inlet.gate(conn, writePatience), nil
}

func (s *embedded) start(ctx context.Context, e *Engine) (dial, error) { //nolint:contextcheck // what it begins outlives ctx
	s.engine = e
	password := rand.Text()
	s.log = newServerLog(e.log, password, s.Secret)
	s.log.ctx = e.life.root
	s.seeds = &seeds{lookup: s.lookup, names: s.Seeds}
	s.seeds.resolve(ctx)
	if err := s.configure(password); err != nil {
		return dial{}, err
	}
	options := s.routed(s.seeds.known())
	var err error
	if s.server, err = server.NewServer(options); err != nil {
		return dial{}, err
	}
	s.server.SetLoggerV2(s.log, e.log.Enabled(ctx, slog.LevelDebug), false, false)
	if err := s.run(); err != nil {
		return dial{}, err
	}
	root, cancel := context.WithCancel(e.life.root())
	s.cancel = cancel
	s.work.Go(func() { s.seek(root) })
	s.work.Go(func() { s.watchRoutes(root) })
	return dial{urls: "nats://in.process", options: []nats.Option{nats.InProcessServer(s), nats.UserInfo(user, password)}}, nil
}

// user is the name that goes with each password.
const user = "skein"

// configure sets what the server is started with, but for the routes.
func (s *embedded) configure(password string) error {
	host, port, err := hostPort(s.Listen)
	if err != nil {
		return err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	name, _ := channelToken(s.Node) // without spaces
	s.base = server.Options{
		ServerName: name + "." + s.engine.boot.String(),
		Host:       "127.0.0.1", Port: server.RANDOM_PORT, Username: user, Password: password,
		NoSigs: true, MaxPayload: maxPayload, MaxPending: maxPending, NoFastProducerStall: true, NoSystemAccount: true,
		DisableShortFirstPing: true, ConnectErrorReports: quiet, ReconnectErrorReports: quiet,
		Cluster: server.ClusterOpts{
			Name: s.Cluster, Host: host, Port: port, Advertise: s.Advertise,
			PoolSize: -1, ConnectRetries: implicitRetries, ConnectBackoff: true,
			PingInterval: routePing, MaxPingsOut: routePingsOut,
			WriteDeadline: routeWrite, WriteTimeout: server.WriteTimeoutPolicyClose,
			TLSConfig: clusterTLS(s.TLS), TLSTimeout: dialPatience.Seconds(), AuthTimeout: 2 * dialPatience.Seconds(),
		},
	}
	if s.Secret != "" {
		s.base.Cluster.Username, s.base.Cluster.Password = user, s.Secret
	}
	return nil
}

// routed returns options with routes to the addresses. nats-server writes to
// what it is given.
func (s *embedded) routed(addresses []string) *server.Options {
	o := s.base
	for _, address := range addresses {
		u := &url.URL{Scheme: "nats-route", Host: address}
		if s.Secret != "" {
			u.User = url.UserPassword(user, s.Secret)
		}
		o.Routes = append(o.Routes, u)
	}
	return &o
}

// run starts the server and returns when it accepts routes. That takes
// milliseconds and waits for nobody, so that no context cuts it short:
// nats-server leaks a listener when it is shut down before it has all of them.
func (s *embedded) run() error {
	s.work.Go(s.server.Start)
	look := time.NewTicker(readyLook)
	defer look.Stop()
	enough := time.NewTimer(readyPatience)
	defer enough.Stop()
	for s.server.Addr() == nil || s.server.ClusterAddr() == nil {
		select {
		case <-look.C:
		case <-s.log.died:
			return s.log.fatal()
		case <-enough.C:
			return fmt.Errorf("the embedded NATS does not start: %s", s.log.lately())
		}
	}
	s.settle(s.server.ClusterAddr().Port)
	return nil
}

// settle takes the port on which the server listens for routes.
func (s *embedded) settle(port int) {
	host, _, _ := hostPort(s.Listen) // checked
	listen := net.JoinHostPort(host, strconv.Itoa(port))
	s.seeds.own = []string{listen, s.Advertise}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.route = cmp.Or(s.Advertise, listen)
}

func (s *embedded) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.route
}

func (s *embedded) patience() patience {
	if s.seeds.lone() {
		return patience{}
	}
	return patience{alone: never, most: s.JoinTimeout}
}

func (s *embedded) pending() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slow
}

// manyPending is how much may wait for a node before that is worth a warning.
const manyPending = 16 << 20

// watchRoutes looks how much waits for the slowest node. nats-server cuts it
// when one write takes longer than routeWrite, which bounds it.
func (s *embedded) watchRoutes(ctx context.Context) {
	tick := time.NewTicker(max(s.engine.options.Heartbeat, time.Millisecond))
	defer tick.Stop()
	warned := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		slowest, name := s.slowest()
		if many := slowest > manyPending; many != warned {
			warned = many
			s.engine.log.LogAttrs(ctx, slog.LevelWarn, "octets wait for a slow node",
				slog.String("server", name), slog.Int64("pending", slowest), slog.Bool("slow", many))
		}
		s.mu.Lock()
		s.slow = slowest
		s.mu.Unlock()
	}
}

func (s *embedded) slowest() (pending int64, name string) {
	routes, err := s.server.Routez(nil)
	if err != nil {
		return 0, ""
	}
	for _, r := range routes.Routes {
		if int64(r.Pending) >= pending {
			pending, name = int64(r.Pending), r.RemoteName
		}
	}
	return pending, name
}

func (s *embedded) stop() {
	if s.cancel != nil {
		s.cancel()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	s.work.Wait()
}

func hostPort(address string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", address, err)
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", address, errors.Unwrap(err))
	}
	return host, int(n), nil
}
