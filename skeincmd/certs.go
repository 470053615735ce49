package skeincmd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/skeinrt/skein/skeincmd/internal/conf"
)

// clusterCmd is about what nodes know each other by.
type clusterCmd struct {
	Init clusterInitCmd `cmd:"" help:"Make an authority, a secret and the certificates of nodes, by which the nodes of a cluster know each other."`
	Cert clusterCertCmd `cmd:"" help:"Make certificates of more nodes, or new ones of the same, with the authority that init has made."`
}

// certFlags are what the two have in common.
type certFlags struct {
	Dir     string        `default:"certs" placeholder:"DIR" help:"Directory of the files."`
	Host    conf.Names    `placeholder:"HOST,…" help:"Names and addresses that the certificates are for, besides the node's name and this machine. Nodes do not compare them: the authority decides."`
	Expires time.Duration `placeholder:"TIME" help:"How long what is made is good. Default: two years for certificates of nodes."`
	Nodes   []string      `arg:"" name:"node" help:"Names of nodes."`
}

// Files of the authority. Those of a node are its name with .crt and .key.
const (
	caCert     = "ca.crt"
	caKey      = "ca.key"
	secretFile = "secret"
)

const nodeLife = 2 * 365 * 24 * time.Hour

// files lists those of the nodes.
func (f *certFlags) files() []string {
	var names []string
	for _, node := range f.Nodes {
		names = append(names, node+".key", node+".crt")
	}
	return names
}

// check refuses names that are no names of files.
func (f *certFlags) check() error {
	for _, node := range f.Nodes {
		if !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`).MatchString(node) || node == "ca" {
			return usageError(fmt.Sprintf("%q cannot name files: want letters, digits, dots, _ and -, and not ca", node))
		}
	}
	if f.Expires < 0 {
		return usageError("--expires: it must not be negative")
	}
	return nil
}

// absent refuses to overwrite.
func (f *certFlags) absent(a *app, names []string, hint string) error {
	for _, n := range names {
		shown := filepath.Join(f.Dir, n)
		if _, err := os.Lstat(a.path(shown)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already; %s", shown, hint)
		}
	}
	return nil
}

// issue makes the files of the nodes.
func (f *certFlags) issue(a *app, by *authority, put func(file string, text []byte) error) error {
	life := f.Expires
	if life == 0 {
		life = nodeLife
	}
	for _, node := range f.Nodes {
		cert, key, err := by.issue(node, f.Host, time.Now().Add(life))
		if err != nil {
			return fmt.Errorf("certificate of %s: %w", node, err)
		}
		base := a.path(filepath.Join(f.Dir, node))
		if err := errors.Join(put(base+".key", key), put(base+".crt", cert)); err != nil {
			return err
		}
		a.printf("%s.crt, %s.key: node %s, until %s\n", filepath.Join(f.Dir, node), node, node, time.Now().Add(life).Format(time.DateOnly))
	}
	return nil
}

// next prints how the nodes are started.
func (f *certFlags) next(a *app) {
	a.printf("\nStart the nodes, each with an address that the others reach, and all with the same --auth-key for tokens:\n\n")
	for i, node := range f.Nodes {
		at := func(name string) string { return filepath.Join(f.Dir, name) }
		join := ""
		switch {
		case i > 0:
			join = fmt.Sprintf(" --cluster-join %s:6201", f.Nodes[0])
		case len(f.Nodes) == 1:
			join = " --cluster-join OTHER:6201"
		}
		a.printf("  %s serve --addr %s:8000 --auth-key @KEY --node %s --cluster-listen %s:6201%s \\\n    --cluster-ca %s --cluster-cert %s --cluster-key %s --cluster-secret @%s\n",
			name, node, node, node, join, at(caCert), at(node+".crt"), at(node+".key"), at(secretFile))
	}
}

type clusterInitCmd struct {
	certFlags `embed:""`
}

// Run makes all of the files, or none where one of them is there already.
func (s *clusterInitCmd) Run(a *app) error {
	if err := s.check(); err != nil {
		return err
	}
	names := append([]string{caKey, caCert, secretFile}, s.files()...)
	if err := s.absent(a, names, `nothing is overwritten: "skein cluster cert" makes certificates of more nodes`); err != nil {
		return err
	}
	dir := a.path(s.Dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	made, cert, key, err := newAuthority(time.Now())
	if err != nil {
		return fmt.Errorf("make the authority: %w", err)
	}
	err = errors.Join(
		create(filepath.Join(dir, caKey), key), create(filepath.Join(dir, caCert), cert),
		create(filepath.Join(dir, secretFile), []byte(rand.Text()+"\n")),
	)
	if err != nil {
		return err
	}
	a.printf("%s, %s: the authority; its key is for making certificates, keep it off the nodes\n", filepath.Join(s.Dir, caCert), caKey)
	a.printf("%s: the secret of the cluster\n", filepath.Join(s.Dir, secretFile))
	if err := s.issue(a, made, create); err != nil {
		return err
	}
	s.next(a)
	return nil
}

type clusterCertCmd struct {
	certFlags `embed:""`
	Replace   bool `help:"Replace the certificates that are there. Running nodes take the new ones by themselves."`
}

// Run makes the files of each node.
func (s *clusterCertCmd) Run(a *app) error {
	if err := s.check(); err != nil {
		return err
	}
	put := replace
	if !s.Replace {
		put = create
		if err := s.absent(a, s.files(), "--replace replaces it"); err != nil {
			return err
		}
	}
	by, err := a.readAuthority(filepath.Join(s.Dir, caCert), filepath.Join(s.Dir, caKey))
	if err != nil {
		return fmt.Errorf(`the authority that "skein cluster init" makes: %w`, err)
	}
	if err := s.issue(a, by, put); err != nil {
		return err
	}
	s.next(a)
	return nil
}

// create writes a file that must not be there.
func create(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user names it
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// replace writes a file so that whoever reads it meanwhile sees the old one or the new one.
func replace(file string, text []byte) error {
	beside := file + ".new"
	_ = os.Remove(beside) // of an attempt that was cut short
	if err := create(beside, text); err != nil {
		return err
	}
	return os.Rename(beside, file)
}
