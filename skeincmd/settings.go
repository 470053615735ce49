package skeincmd

import (
	"time"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// settings are all that a node can be told. This is the one table of it: the flags, the environment's names, the keys
// of the file, their schema and docs/configuration.md are all made of these fields. What only the file can say has the
// tag kong:"-".
//
// A field's flag is its name in kebab-case, its variable is SKEIN_ and the flag in capitals, its key is camelCase.
type settings struct {
	Listen    listenSettings   `embed:"" group:"listen"`
	TLS       tlsSettings      `embed:"" group:"tls"`
	Cluster   clusterSettings  `embed:"" group:"cluster"`
	NATS      natsSettings     `embed:"" group:"nats"`
	Auth      authSettings     `embed:"" group:"auth"`
	Limits    limitSettings    `embed:"" group:"limits"`
	Features  featureSettings  `embed:"" group:"features"`
	Operators operatorSettings `embed:"" group:"operators"`
	Parts     partSettings     `embed:"" group:"parts"`
	Lists     listSettings     `embed:""`
}

// listenSettings say where the node is found and who may come.
type listenSettings struct {
	Addr            string        `default:"127.0.0.1:8000" placeholder:"HOST:PORT" help:"Address to listen on. Port 0 takes a free one."`
	Origins         conf.Names    `placeholder:"ORIGIN,…" help:"Web origins that may connect, in SocketCluster's syntax: host:port, host:*, *:port, *:*, and *.host for subdomains. Empty: the server's own host, and clients that send no Origin."`
	TrustedProxies  conf.Names    `placeholder:"CIDR,…" help:"Proxies that are believed for whom they ask, as in 10.0.0.0/8."`
	ForwardedHeader string        `default:"x-forwarded-for" enum:"x-forwarded-for,forwarded" placeholder:"NAME" help:"Header in which they say it: x-forwarded-for, with X-Forwarded-Proto and X-Forwarded-Host, or forwarded (RFC 7239). The other one is ignored."`
	ProxyProtocol   bool          `help:"Expect the PROXY protocol, version 1 or 2, from the proxies, and from nobody else."`
	Drain           time.Duration `default:"5s" placeholder:"TIME" help:"Over how long clients are sent away when the node stops, so that they do not all come to other nodes at once; less where nobody is left. 0: all at once."`
	StopTimeout     time.Duration `default:"2s" placeholder:"TIME" help:"How long everything else may take to end when the node stops."`
}

// tlsSettings make the node speak TLS itself.
type tlsSettings struct {
	TLSCert       conf.Files    `placeholder:"FILE,…" help:"PEM files of certificates with their chains, the one for clients that name no host first. Serves TLS, with --tls-key. They are read again when they change."`
	TLSKey        conf.Files    `placeholder:"FILE,…" secret:"false" help:"PEM files of their private keys, in the same order."`
	TLSMin        string        `default:"1.2" enum:"1.2,1.3" placeholder:"VERSION" help:"Least version of TLS: 1.2 or 1.3."`
	HSTS          time.Duration `placeholder:"TIME" help:"How long browsers shall use https only, once they have come by it (Strict-Transport-Security), as in 8760h. 0: they are not told."`
	Acme          conf.Names    `placeholder:"DOMAIN,…" help:"Domains to get certificates for by ACME, in place of --tls-cert. The authority must reach the node at port 443, or at 80 with --acme-http. Using it means to agree to the authority's terms."`
	AcmeEmail     string        `placeholder:"ADDRESS" help:"Where the authority writes to when something is wrong."`
	AcmeDirectory string        `default:"https://acme-v02.api.letsencrypt.org/directory" placeholder:"URL" help:"Directory of the authority."`
	AcmeStorage   string        `default:"acme" placeholder:"DIR" help:"Directory that keeps certificates, their keys and the account. Nodes that share it share the certificates."`
	AcmeHTTP      string        `placeholder:"HOST:PORT" help:"Address of a listener for the authority's questions by HTTP, as in :80. It sends everybody else on to https."`
	AcmeCA        string        `placeholder:"FILE" help:"PEM file of the authority that has signed the directory's own certificate. Empty: those of the system."`
}

// clusterSettings make a node one of several, which connect to each other.
type clusterSettings struct {
	Node             string        `placeholder:"NAME" help:"Name of this node, unique in its cluster. Empty: a random one."`
	ClusterListen    string        `placeholder:"HOST:PORT" help:"Address for the other nodes, which makes this node one of a cluster. Port 0 takes a free one. Off loopback it needs --cluster-secret, --cluster-cert, --cluster-key and --cluster-ca."`
	ClusterAdvertise string        `placeholder:"HOST:PORT" help:"Address that the other nodes are told to connect to. Empty: that of --cluster-listen."`
	ClusterJoin      conf.Names    `placeholder:"HOST:PORT,…" help:"Addresses of other nodes. One that answers is enough, a name may have several addresses, and this node's own may be among them."`
	ClusterName      string        `default:"skein" placeholder:"NAME" help:"Name of the cluster, the same on all nodes."`
	ClusterSecret    string        `secret:"" placeholder:"SECRET|@FILE" help:"Password of the cluster, the same on all nodes."`
	ClusterCert      string        `placeholder:"FILE" help:"PEM file of this node's certificate, for both directions. It is read again when it changes."`
	ClusterKey       string        `placeholder:"FILE" secret:"false" help:"PEM file of the certificate's private key."`
	ClusterCA        string        `placeholder:"FILE" help:"PEM file of the authority of the cluster: whoever has a certificate of it is a node."`
	ClusterInsecure  bool          `help:"Allow a cluster off loopback without a secret and TLS: whoever reaches it can read and publish everything."`
	ClusterMin       int           `placeholder:"N" help:"How many nodes, itself included, this one must have seen before it is ready and lets clients in. 0: none."`
	ClusterAlone     string        `default:"serve" enum:"serve,close" placeholder:"NAME" help:"What to do when all other nodes are lost: serve on, or close all connections and be not ready until they are back."`
	ClusterPrefix    string        `default:"sk" placeholder:"PREFIX" help:"What all subjects of NATS begin with, the same on all nodes, so that several clusters can share one NATS."`
	JoinTimeout      time.Duration `default:"10s" placeholder:"TIME" help:"How long to wait for nodes of --cluster-join that do not answer before serving alone. It is tried on."`
}

// natsSettings connect the nodes through a NATS that runs elsewhere.
type natsSettings struct {
	Nats            conf.Names `placeholder:"URL,…" help:"Servers of a NATS cluster that carries messages between the nodes, as nats://HOST:PORT or tls://HOST:PORT, in place of --cluster-listen."`
	NatsCredentials string     `secret:"false" placeholder:"FILE" help:"Credentials file of NATS: a JWT and its key."`
	NatsNkey        string     `secret:"false" placeholder:"FILE" help:"File of the seed of a key of NATS."`
	NatsUser        string     `placeholder:"NAME" help:"User of NATS."`
	NatsPassword    string     `secret:"" placeholder:"PASSWORD|@FILE" help:"Password of the user."`
	NatsToken       string     `secret:"" placeholder:"TOKEN|@FILE" help:"Token of NATS."`
	NatsCA          string     `placeholder:"FILE" help:"PEM file of the authority that has signed the certificate of NATS. Empty: those of the system."`
	NatsCert        string     `placeholder:"FILE" help:"PEM file of a certificate to show to NATS. It is read again when it changes."`
	NatsKey         string     `secret:"false" placeholder:"FILE" help:"PEM file of that certificate's private key."`
}

// authSettings are the keys that tokens are signed and verified with.
type authSettings struct {
	AuthKey        string        `secret:"" placeholder:"KEY|@FILE" help:"Secret that signs and verifies tokens (HS256), as SocketCluster's authKey; @FILE reads it from a file. A node that has no key at all makes a random one, and its tokens end with the process."`
	AuthPublicKey  string        `secret:"false" placeholder:"FILE" help:"PEM file of a public key or certificate that verifies tokens."`
	AuthPrivateKey string        `secret:"false" placeholder:"FILE" help:"PEM file of a private key that signs and verifies tokens."`
	AuthAlgorithm  string        `default:"auto" enum:"auto,HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" placeholder:"NAME" help:"Algorithm of these keys. auto: HS256 for a secret, otherwise the one of the key's type."`
	AuthAllowWeak  bool          `help:"Accept a secret of fewer than 32 octets, which can be guessed from one token."`
	AuthExpiry     time.Duration `default:"24h" placeholder:"TIME" help:"How long a signed token lives."`

	AuthIssuer        string        `placeholder:"TEXT" help:"Issuer (iss) that every token must name, and that signed ones get. Empty: any."`
	AuthAudience      string        `placeholder:"TEXT" help:"Audience (aud) that every token must name, and that signed ones get. Empty: any."`
	AuthRequireExpiry bool          `help:"Refuse tokens without exp, which are good for ever."`
	AuthMaxLifetime   time.Duration `default:"0s" placeholder:"TIME" help:"Refuse tokens that are good for longer than this, and those without exp or iat; revocations are then forgotten after it. 0: any."`
	AuthLeeway        time.Duration `default:"0s" placeholder:"TIME" help:"By how much the clocks of issuer and node may differ: a token is good that much before its nbf and after its exp."`
	AuthJWKS          string        `placeholder:"URL" help:"URL of the keys that an issuer publishes (a JSON Web Key Set), which verify tokens too. Begins with https, but on this machine."`
	Revocations       string        `placeholder:"FILE" help:"File that keeps what is revoked, so that it survives the end of all nodes; each node has its own. Empty: it lives as long as one node does."`

	AuthKeys []authKey `kong:"-" doc:"More keys, for rotation: all verify; the first of all keys that can, signs. The keys above come first."`
}

// authKey is one entry of authKeys.
type authKey struct {
	ID         string `doc:"Goes into signed tokens as kid, and picks this key for tokens that name it."`
	Secret     string `secret:"" doc:"A secret, or @FILE."`
	PublicKey  string `secret:"false" doc:"PEM file of a public key or certificate."`
	PrivateKey string `secret:"false" doc:"PEM file of a private key."`
	Algorithm  string `default:"auto" enum:"auto,HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA" doc:"Algorithm of the key. auto: HS256 for a secret, otherwise the one of the key's type."`
}

// limitSettings bound what clients may cost.
type limitSettings struct {
	MaxMessage               conf.Size     `default:"1MiB" placeholder:"SIZE" help:"Largest message of a client, after inflating. Beyond it the connection is closed with 1009."`
	MaxDepth                 int           `default:"512" placeholder:"N" help:"Most objects and arrays that may stand within one another in a message. Beyond it the connection is closed with 1009."`
	MaxBatch                 int           `default:"20000" placeholder:"N" help:"Most packets in one message. Beyond it the connection is closed with 1009."`
	MaxChannels              int           `default:"1000" placeholder:"N" help:"Most channels that one connection may subscribe to. 0: no limit."`
	MaxOutbox                conf.Size     `default:"1MiB" placeholder:"SIZE" help:"Most bytes that wait for a slow client before it is closed with 4100."`
	MaxStall                 time.Duration `default:"10s" placeholder:"TIME" help:"How long sending may make no progress before a client is closed with 4100."`
	SessionRates             sessionRates  `placeholder:"KIND=N[/BURST],…" help:"How often one connection may do what: packets, bytes, subscribes, publishes or calls a second, and how many at once, as in publishes=100/200,bytes=1MiB/4MiB. Of packets and bytes one too many closes with 4101, of others it is refused. A mapping in the file. Empty: no limit."`
	UserRates                sharedRates   `placeholder:"KIND=N[/BURST],…" help:"The same for all connections of one user on this node together, and connects."`
	AddressRates             sharedRates   `placeholder:"KIND=N[/BURST],…" help:"The same for all connections from one address (IPv6: one /64) together, and connects."`
	UserClaim                string        `default:"username" placeholder:"CLAIM" help:"Claim of a token that names the user."`
	MaxConnections           int           `placeholder:"N" help:"Most open WebSocket connections. 0: the limit of open files less 2,000."`
	MaxConnectionsPerAddress int           `placeholder:"N" help:"Most WebSocket connections of one address (IPv6: one /64) that is not loopback. 0: 100; negative: no limit."`
	MaxUserSessions          int           `placeholder:"N" help:"Most connections with tokens of one user on this node; --user-claim names the user. 0: no limit."`
	MaxPending               int           `placeholder:"N" help:"Most connections that have their handshake still to do. 0: half of --max-connections, 1,000 at least; negative: no limit."`
	MaxPendingPerAddress     int           `placeholder:"N" help:"The same for one address that is not loopback. 0: --max-connections-per-address; negative: no limit."`
	MaxAcceptRate            float64       `placeholder:"N" help:"Most upgrades a second. 0: no limit."`
}

// featureSettings switch what clients see.
type featureSettings struct {
	Compression bool   `help:"Accept permessage-deflate. It costs memory and CPU for each message."`
	Raw         string `default:"/ws" placeholder:"PATH|off" help:"Path of the plain WebSocket endpoint whose messages are published."`
	RawChannel  string `default:"testChannel" placeholder:"CHANNEL" help:"Channel that they are published to."`
	Echo        string `placeholder:"PATH" help:"Path of an endpoint that sends every message back, up to 16 MiB."`
	StartPage   bool   `default:"true" negatable:"" help:"Serve the start page at /."`
	API         bool   `negatable:"" help:"Serve the HTTP API below /api. On by default on a loopback address and with --api-key; elsewhere it needs that or a key for tokens."`
	APIKey      string `secret:"" placeholder:"KEY|@FILE" help:"Key that the HTTP API asks for, as Authorization: Bearer KEY."`
}

// operatorSettings are for who runs the node.
type operatorSettings struct {
	Metrics      bool   `help:"Serve Prometheus metrics at /metrics."`
	Admin        bool   `help:"Serve the admin pages at /admin."`
	OperatorKey  string `secret:"" placeholder:"KEY|@FILE" help:"Key that metrics, admin and pprof ask for. Without it metrics answer this machine only, admin takes a random one that is shown at the start, and pprof stays on loopback."`
	OperatorAddr string `placeholder:"HOST:PORT" help:"Address of a listener for operators: metrics and admin are served there only, health there too."`
	OperatorAPI  bool   `help:"Serve the HTTP API on the listener for operators only."`
	Pprof        string `placeholder:"HOST:PORT" help:"Address of a listener of its own for Go's profiles. Off by default."`
	LogLevel     string `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"Least level that is logged, to standard error: debug, info, warn or error."`
	LogFormat    string `default:"text" enum:"text,json" placeholder:"FORMAT" help:"Format of the log: text or json."`
}

// partSettings choose drivers.
type partSettings struct {
	Driver string `default:"auto" enum:"auto,epoll,park" placeholder:"NAME" help:"How connections wait for input: epoll, a few loops for all TCP connections without TLS, on Linux; park, a goroutine for each; auto is epoll where there is it."`
	Engine string `default:"memory" placeholder:"NAME" help:"What carries messages between nodes where neither --cluster-listen nor --nats does: memory (a node alone), or an engine that a plugin provides."`
}

// driver is the option's value: empty for the default.
func (p *partSettings) driver() string {
	if p.Driver == "auto" {
		return ""
	}
	return p.Driver
}

// listSettings are those that only the file can hold.
type listSettings struct {
	Endpoints []endpoint `kong:"-" doc:"SocketCluster endpoints of this node, which share channels and procedures. None: one at /socketcluster/."`
	Channels  []channel  `kong:"-" doc:"Options of channels by their names. The first entry that matches a channel counts."`
	Plugins   []use      `kong:"-" doc:"Plugins, by the names that skein plugins --available lists. An entry takes the place of the plugin of that name that a flag starts."`
}

// channel is one entry of channels.
type channel struct {
	Pattern  string        `doc:"An exact name, or a prefix ended by one *."`
	MaxDelay time.Duration `default:"0s" doc:"How long a message may wait at each subscriber for others to leave with, 1s at most. A few milliseconds make a busy channel several times cheaper."`
	Slow     string        `default:"close" enum:"close,dropOldest,dropNewest,keepLatest" doc:"What a session that does not take what it is sent may miss: nothing, and it is closed; the oldest messages; the newest; or all but the latest. See tuning."`

	EndWithToken bool `doc:"Only sessions with a token subscribe, and the subscription ends when the token expires, is removed or is revoked."`
}

// endpoint is one entry of endpoints.
type endpoint struct {
	Path             string         `default:"/socketcluster/" doc:"Path of the upgrade request."`
	Protocol         string         `default:"detect" enum:"detect,v1,v2" doc:"Generation: v1 is that of clients up to 14, v2 that from 15 on."`
	Codec            string         `default:"detect" doc:"detect (JSON or min-bin), json, minbin, or a codec that a plugin provides."`
	Ping             pingSettings   `doc:"How a silent client is found out."`
	HandshakeTimeout time.Duration  `default:"10s" doc:"Closes connections that send no #handshake."`
	CallTimeout      time.Duration  `default:"10s" doc:"Ends calls to the client that are not answered."`
	Limits           endpointLimits `doc:"What one connection may cost here. 0 takes the node's setting."`
	AuthScheme       string         `doc:"A scheme of a plugin that verifies and signs tokens here, instead of the auth keys."`
	AuthKeys         []authKey      `doc:"Keys of this endpoint, instead of the node's."`
	Origins          conf.Names     `doc:"Web origins that may connect here, instead of the node's."`
	Subprotocols     []string       `doc:"Subprotocols that may be agreed on, the preferred one first. Absent: the first that a client offers."`
	Lax              bool           `doc:"Serve packets that come before the handshake."`
	Batch            batchSettings  `doc:"Collects what is sent after the handshake into arrays."`
	NoPublish        bool           `doc:"Refuse publications of clients."`
	Compression      *bool          `doc:"Accept permessage-deflate here. Absent: the node's setting."`
	AnswerUnknown    bool           `doc:"Answer calls of unknown procedures with an error, where SocketCluster lets them time out."`
}

// pingSettings are those of one endpoint.
type pingSettings struct {
	Interval time.Duration `default:"8s" doc:"Between pings. Shorter than the timeout."`
	Timeout  time.Duration `default:"30s" doc:"Silence after which a connection is closed, in both directions."`
	Off      bool          `doc:"Send no pings and close nobody. Clients need the same setting."`
}

// batchSettings are those of one endpoint.
type batchSettings struct {
	Duration time.Duration `doc:"How long after the handshake. 0: never."`
	Interval time.Duration `default:"50ms" doc:"Between two arrays."`
}

// endpointLimits are those of one endpoint.
type endpointLimits struct {
	MaxMessage  conf.Size     `doc:"Largest message, after inflating."`
	Depth       int           `doc:"Objects and arrays within one another in a message."`
	Batch       int           `doc:"Packets in one message."`
	Inbox       conf.Size     `doc:"Received bytes that wait to be handled before reading stops."`
	Outbox      conf.Size     `doc:"Bytes that wait for a slow client before it is closed."`
	Channels    int           `doc:"Channels that a session may subscribe to."`
	Calls       int           `doc:"Procedures that a session may have running; further ones wait."`
	OpenCalls   int           `doc:"Calls to the client that may wait for its answer; further ones fail."`
	ChannelName conf.Size     `doc:"Longest channel name."`
	Stall       time.Duration `doc:"How long a send may make no progress."`
	Rates       sessionRates  `doc:"How often a session may do what, as in publishes=100/200,bytes=1MiB/4MiB or as a mapping."`
}

// use is one entry of plugins.
type use struct {
	Use     string    `doc:"Name of the plugin in this binary."`
	As      string    `doc:"Name of this instance, to use one plugin twice."`
	Prefix  string    `doc:"Goes in front of the paths of all its routes."`
	Options conf.Node `doc:"The plugin's own options."`
}
