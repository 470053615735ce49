package skeincmd

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/engine/natsengine"
)

// clustered reports whether the node has others, as far as flags say.
func (c *config) clustered() bool { return c.Cluster.ClusterListen != "" || len(c.NATS.Nats) > 0 }

// startTimeout is for what a node starts besides looking for the others.
const startTimeout = 30 * time.Second

// joinCluster sets what makes the node one of several.
func (c *config) joinCluster(a *app, o *skein.Options) error {
	o.MinNodes = c.Cluster.ClusterMin
	if c.Cluster.ClusterAlone == "close" {
		o.CutOff = skein.CloseSessions
	}
	if !c.clustered() {
		return nil
	}
	if o.Node == "" {
		o.Node = "node-" + rand.Text()[:8]
	}
	common := natsengine.Options{Node: o.Node, Prefix: c.Cluster.ClusterPrefix, Logger: o.Logger}
	o.EngineName, o.Timeouts.Start = "", startTimeout+c.Cluster.JoinTimeout
	if c.Cluster.ClusterListen == "" {
		external, err := c.external(a, common)
		o.Engine = natsengine.Open(external)
		return err
	}
	embedded, err := c.embedded(a, common)
	o.Engine = natsengine.Embed(embedded)
	return err
}

// embedded are the nodes that connect to each other.
func (c *config) embedded(a *app, common natsengine.Options) (natsengine.Embedded, error) {
	s := &c.Cluster
	secret, err := a.secret(s.ClusterSecret)
	routes, wrong := c.routeTLS(a, common)
	return natsengine.Embedded{
		Options: common, Listen: s.ClusterListen, Advertise: s.ClusterAdvertise, Seeds: s.ClusterJoin, Cluster: s.ClusterName,
		Secret: secret, TLS: routes, Insecure: s.ClusterInsecure,
		JoinTimeout: max(s.JoinTimeout, time.Millisecond), // 0 is the engine's default
	}, errors.Join(c.blame("clusterSecret", err), wrong)
}

// routeTLS is mutual: the authority decides who is a node.
func (c *config) routeTLS(a *app, common natsengine.Options) (*tls.Config, error) {
	s := &c.Cluster
	if s.ClusterCert == "" || s.ClusterKey == "" || s.ClusterCA == "" {
		return nil, nil // check has told what is missing
	}
	pair, err := a.pair(s.ClusterCert, s.ClusterKey, common.Logger)
	authority, wrong := a.authority(s.ClusterCA)
	if err != nil || wrong != nil {
		return nil, errors.Join(c.blame("clusterCert", err), c.blame("clusterCA", wrong))
	}
	return &tls.Config{RootCAs: authority, ClientCAs: authority, GetCertificate: pair.get, MinVersion: tls.VersionTLS13}, nil
}

// external are nodes that all connect to a NATS elsewhere.
func (c *config) external(a *app, common natsengine.Options) (natsengine.External, error) {
	s := &c.NATS
	password, err := a.secret(s.NatsPassword)
	token, wrong := a.secret(s.NatsToken)
	config, bad := c.natsTLS(a, common)
	made := natsengine.External{
		Options: common, URLs: s.Nats, User: s.NatsUser, Password: password, Token: token, TLS: config,
		CredentialsFile: s.NatsCredentials, NKeyFile: s.NatsNkey,
	}
	errs := []error{c.blame("natsPassword", err), c.blame("natsToken", wrong), bad}
	for key, file := range map[string]*string{"natsCredentials": &made.CredentialsFile, "natsNkey": &made.NKeyFile} {
		if *file == "" {
			continue
		}
		_, err := a.read(*file)
		errs = append(errs, c.blame(key, err))
		*file = a.path(*file)
	}
	return made, errors.Join(errs...)
}

// natsTLS is nil where NATS itself says whether there is TLS.
func (c *config) natsTLS(a *app, common natsengine.Options) (*tls.Config, error) {
	s := &c.NATS
	if s.NatsCA == "" && s.NatsCert == "" {
		return nil, nil
	}
	made := &tls.Config{MinVersion: tls.VersionTLS12}
	var errs []error
	if s.NatsCA != "" {
		authority, err := a.authority(s.NatsCA)
		made.RootCAs, errs = authority, append(errs, c.blame("natsCA", err))
	}
	if s.NatsCert != "" && s.NatsKey != "" {
		pair, err := a.pair(s.NatsCert, s.NatsKey, common.Logger)
		errs = append(errs, c.blame("natsCert", err))
		made.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get(nil) }
	}
	return made, errors.Join(errs...)
}

// authority reads the certificates of those who sign others.
func (a *app) authority(file string) (*x509.CertPool, error) {
	text, err := a.read(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}
