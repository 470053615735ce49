package skeincmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// registerPublished keeps the keys that an issuer publishes fresh. A node starts without them, too: until they are there,
// tokens of the issuer are refused so that clients keep them.
func (n *node) registerPublished() error {
	set := n.config.published
	if set == nil {
		return nil
	}
	return n.Register(skein.Func("auth-jwks", func(ctx context.Context, h *skein.Host) error {
		if err := set.Fetch(ctx); err != nil {
			n.log.LogAttrs(ctx, slog.LevelWarn, "the keys of the issuer are not there yet", slog.Any("error", err))
		}
		h.Go("fetch", set.Run)
		return nil
	}), skein.Use{Source: n.config.source("authJWKS")})
}

// keyring is the keys of one endpoint that has its own.
type keyring struct {
	endpoint string
	tokens   *auth.Tokens
}

// keyWatch reads the keys of a running node again: when a file that says them has changed, and when it is told to. Only
// keys change by it; sessions stay, with the tokens that they have.
type keyWatch struct {
	node   *node
	app    *app
	load   func() (*config, error)
	stamps map[string]stamp
}

// lookAtKeys is how often files are looked at.
const lookAtKeys = time.Second

// watchKeys starts watching. What it returns ends it.
func (n *node) watchKeys(ctx context.Context, a *app, load func() (*config, error)) (stop func()) {
	w := &keyWatch{node: n, app: a, load: load}
	w.stamps = w.look(n.config)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var told <-chan os.Signal
	deaf := func() {}
	if a.hangUps != nil {
		told, deaf = a.hangUps()
	}
	go func() {
		defer close(done)
		w.run(ctx, told)
	}()
	return func() {
		deaf()
		cancel()
		<-done
	}
}

func (w *keyWatch) run(ctx context.Context, told <-chan os.Signal) {
	tick := time.NewTicker(lookAtKeys)
	defer tick.Stop()
	current := w.node.config
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-told:
			asked = true
		case <-tick.C:
		}
		stamps := w.look(current)
		if !asked && maps.EqualFunc(stamps, w.stamps, stamp.is) {
			continue
		}
		w.stamps = stamps
		next, err := w.reload()
		if err != nil {
			w.node.log.LogAttrs(ctx, slog.LevelWarn, "the keys cannot be read again; those before stay in force", slog.Any("error", err))
			continue
		}
		current = next // where it names other files, they are read once more: they may have changed behind the first time
		w.node.log.LogAttrs(ctx, slog.LevelInfo, "keys read again")
	}
}

// look takes the stamps of all files that say keys. One that is not there has none.
func (w *keyWatch) look(c *config) map[string]stamp {
	stamps := map[string]stamp{}
	for _, file := range c.keyFiles() {
		if info, err := os.Stat(w.app.path(file)); err == nil {
			stamps[file] = stamp{info}
		}
	}
	return stamps
}

// keyFiles lists the files that the node's keys are in.
func (c *config) keyFiles() []string {
	var files []string
	if c.file != "" {
		files = append(files, c.file)
	}
	named := slices.Concat([]authKey{{Secret: c.Auth.AuthKey}, {PublicKey: c.Auth.AuthPublicKey}, {PrivateKey: c.Auth.AuthPrivateKey}}, c.Auth.AuthKeys)
	for _, e := range c.Lists.Endpoints {
		named = append(named, e.AuthKeys...)
	}
	for _, k := range named {
		if file, ok := strings.CutPrefix(k.Secret, "@"); ok {
			files = append(files, file)
		}
		for _, file := range []string{k.PublicKey, k.PrivateKey} {
			if file != "" {
				files = append(files, file)
			}
		}
	}
	return files
}

// change is the keys that tokens are to be verified with.
type change struct {
	tokens *auth.Tokens
	keys   []auth.Key
	path   string // of the setting
}

// reload puts the keys of the configuration as it is now into force, all of them or, where something is wrong with it, none.
func (w *keyWatch) reload() (*config, error) {
	c, err := w.load()
	if err != nil {
		return nil, err
	}
	changes, err := w.changes(c)
	for _, x := range changes {
		if err == nil && len(x.keys) > 0 {
			_, wrong := c.signer(x.keys, nil)
			err = c.blame(x.path, wrong)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, x := range changes {
		if err := x.tokens.SetKeys(x.keys); err != nil {
			return nil, c.blame(x.path, err)
		}
	}
	return c, nil
}

func (w *keyWatch) changes(c *config) ([]change, error) {
	n := w.node
	keys, err := c.nodeKeys(w.app)
	changes, errs := []change{{n.tokens, keys, c.firstKey()}}, []error{err}
	switch {
	case len(keys) > 0 || n.config.published != nil:
	case n.random:
		changes = nil // it keeps the key that it has made
	default:
		errs = append(errs, errors.New("there is no key any more"))
	}
	for _, r := range n.config.rings {
		i := slices.IndexFunc(c.Lists.Endpoints, func(e endpoint) bool { return e.Path == r.endpoint })
		if i < 0 || len(c.Lists.Endpoints[i].AuthKeys) == 0 {
			errs = append(errs, fmt.Errorf("endpoint %s has no keys of its own any more", r.endpoint))
			continue
		}
		path := conf.Join(conf.Item("endpoints", i), "authKeys")
		keys, err := c.listedKeys(w.app, path, c.Lists.Endpoints[i].AuthKeys)
		changes, errs = append(changes, change{r.tokens, keys, path}), append(errs, err)
	}
	return changes, errors.Join(errs...)
}
