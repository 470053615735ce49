package natsengine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// External says how a node finds the others by a NATS that runs elsewhere.
type External struct {
	Options
	// URLs are servers of one NATS cluster, as nats://host:port or
	// tls://host:port. One that answers is enough. There must be one.
	URLs []string
	// CredentialsFile holds a JWT and its key, as NATS writes it.
	CredentialsFile string
	// User and Password are one way to get in.
	User, Password string
	// Token is another.
	Token string
	// NKeyFile holds the seed of a key of NATS.
	NKeyFile string
	// TLS is for the connection, with a client certificate where NATS asks for
	// one. nil means what the URLs and NATS demand, with the system's roots.
	TLS *tls.Config
}

const (
	// externalHellos is for how long a node looks for others: long enough for
	// interest to get through a NATS cluster.
	externalHellos = 300 * time.Millisecond
	// externalMost is how long it waits for all of those that there are.
	externalMost = 10 * time.Second
)

// Open returns an engine that connects to a NATS elsewhere. Nodes must be
// connected to one cluster of NATS servers, not to several that are joined by
// gateways or leaf nodes, where interest does not travel ahead of messages.
func Open(o External) *Engine {
	return newEngine(o.Options, &external{External: o})
}

// external is the source of NATS elsewhere.
type external struct{ External }

// check returns all that is wrong, joined.
func (s *external) check() error {
	var wrong []error
	if len(s.URLs) == 0 {
		wrong = append(wrong, errors.New("no URL of NATS"))
	}
	for _, text := range s.URLs {
		u, err := url.Parse(text)
		if err != nil {
			wrong = append(wrong, errors.New("NATS: that is no URL, as in nats://host:port")) // its text may hold a secret
		} else if u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			wrong = append(wrong, fmt.Errorf("NATS %q: want nats://host:port or tls://host:port", u.Scheme+"://"+u.Host))
		}
	}
	ways := 0
	for _, given := range []string{s.CredentialsFile, s.User, s.Token, s.NKeyFile} {
		if given != "" {
			ways++
		}
	}
	if ways > 1 {
		wrong = append(wrong, errors.New("NATS: more than one of credentials file, user, token and key file"))
	}
	return errors.Join(wrong...)
}

func (s *external) start(context.Context, *Engine) (dial, error) {
	var options []nats.Option
	switch {
	case s.CredentialsFile != "":
		options = append(options, nats.UserCredentials(s.CredentialsFile))
	case s.User != "":
		options = append(options, nats.UserInfo(s.User, s.Password))
	case s.Token != "":
		options = append(options, nats.Token(s.Token))
	case s.NKeyFile != "":
		key, err := nats.NkeyOptionFromSeed(s.NKeyFile)
		if err != nil {
			return dial{}, err
		}
		options = append(options, key)
	}
	if s.TLS != nil {
		options = append(options, nats.Secure(s.TLS))
	}
	return dial{urls: strings.Join(s.URLs, ","), remote: true, options: options}, nil
}

func (s *external) address() string { return "" }

func (s *external) patience() patience { return patience{alone: externalHellos, most: externalMost} }

func (s *external) diagnose(context.Context) []string { return nil }

func (s *external) pending() int64 { return 0 }

func (s *external) stop() {}
