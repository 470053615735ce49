package skeincmd

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/auth/jwks"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

const autoAlgorithm = "auto"

// tokens makes the node's signer of all its keys. random tells that there was none.
func (c *config) tokens(a *app) (t *auth.Tokens, random bool, err error) {
	keys, err := c.nodeKeys(a)
	if err != nil {
		return nil, false, err
	}
	var source auth.KeySource // an interface: a nil pointer in it would not be nil
	if c.published != nil {
		source = c.published
	} else if len(keys) == 0 {
		key, err := auth.NewHMAC([]byte(auth.GenerateSecret()))
		if err != nil {
			return nil, false, fmt.Errorf("make a random key: %w", err)
		}
		keys, random = []auth.Key{key}, true
	}
	t, err = c.signer(keys, source)
	return t, random, c.blame(c.firstKey(), err)
}

func (c *config) signer(keys []auth.Key, source auth.KeySource) (*auth.Tokens, error) {
	a := &c.Auth
	return auth.New(auth.Options{
		Keys: keys, Source: source, DefaultExpiry: max(a.AuthExpiry, 0), AllowWeak: a.AuthAllowWeak,
		Issuer: a.AuthIssuer, Audience: a.AuthAudience, RequireExpiry: a.AuthRequireExpiry,
		MaxLifetime: max(a.AuthMaxLifetime, 0), Leeway: max(a.AuthLeeway, 0),
	})
}

// findPublished makes the set of keys that an issuer publishes, where there is one. It fetches nothing.
func (c *config) findPublished(log *slog.Logger) error {
	if c.Auth.AuthJWKS == "" {
		return nil
	}
	set, err := jwks.New(jwks.Options{URL: c.Auth.AuthJWKS, Logger: log})
	if err != nil {
		return c.blame("authJWKS", err)
	}
	c.published = set
	return nil
}

// firstKey is the setting to name where an error is about the keys together.
func (c *config) firstKey() string {
	for _, key := range []string{"authKey", "authPrivateKey", "authPublicKey"} {
		if c.source(key) != "" {
			return key
		}
	}
	return "authKeys"
}

// nodeKeys are those of the flags, then those of the file's list. The private key comes before the public one, so that
// it signs.
func (c *config) nodeKeys(a *app) ([]auth.Key, error) {
	var keys []auth.Key
	var errs []error
	for _, k := range []struct {
		path string
		key  authKey
	}{
		{"authKey", authKey{Secret: c.Auth.AuthKey}},
		{"authPrivateKey", authKey{PrivateKey: c.Auth.AuthPrivateKey}},
		{"authPublicKey", authKey{PublicKey: c.Auth.AuthPublicKey}},
	} {
		if k.key == (authKey{}) {
			continue
		}
		k.key.Algorithm = c.Auth.AuthAlgorithm
		key, err := a.key(k.key)
		keys, errs = append(keys, key), append(errs, c.blame(k.path, err))
	}
	more, err := c.listedKeys(a, "authKeys", c.Auth.AuthKeys)
	return append(keys, more...), errors.Join(append(errs, err)...)
}

func (c *config) listedKeys(a *app, path string, list []authKey) ([]auth.Key, error) {
	var keys []auth.Key
	var errs []error
	for i, k := range list {
		key, err := a.key(k)
		keys, errs = append(keys, key), append(errs, c.blame(conf.Item(path, i), err))
	}
	return keys, errors.Join(errs...)
}

// key reads the one key that k names.
func (a *app) key(k authKey) (auth.Key, error) {
	var algorithms []string
	if k.Algorithm != "" && k.Algorithm != autoAlgorithm {
		algorithms = []string{k.Algorithm}
	}
	key, err := a.material(k, algorithms)
	key.ID = k.ID
	return key, err
}

func (a *app) material(k authKey, algorithms []string) (auth.Key, error) {
	given := 0
	for _, s := range []string{k.Secret, k.PublicKey, k.PrivateKey} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return auth.Key{}, errors.New("a key is one of secret, publicKey and privateKey")
	}
	if k.Secret != "" {
		secret, err := a.secret(k.Secret)
		if err != nil {
			return auth.Key{}, err
		}
		return auth.NewHMAC([]byte(secret), algorithms...)
	}
	parse, file := auth.ParsePublicKey, k.PublicKey
	if k.PrivateKey != "" {
		parse, file = auth.ParsePrivateKey, k.PrivateKey
	}
	text, err := a.read(file)
	if err != nil {
		return auth.Key{}, err
	}
	key, err := parse(text, algorithms...)
	if err != nil {
		return auth.Key{}, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}
