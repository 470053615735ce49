package skeincmd

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
)

// pair is a certificate with its key, which are read again when their files have changed.
type pair struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	stamps  [2]stamp // of the files when they were last read
	current *tls.Certificate
	told    string // the last complaint, which is not repeated at each handshake
}

// stamp tells whether a file has changed, or another one has taken its place.
type stamp struct{ os.FileInfo }

func (s stamp) is(other stamp) bool {
	return s.FileInfo != nil && other.FileInfo != nil && os.SameFile(s.FileInfo, other.FileInfo) && s.ModTime().Equal(other.ModTime()) && s.Size() == other.Size()
}

// pair reads the files for the first time.
func (a *app) pair(cert, key string, log *slog.Logger) (*pair, error) {
	p := &pair{cert: a.path(cert), key: a.path(key), log: log}
	p.stamps, _ = p.look() // loading tells it better
	loaded, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, err
	}
	p.current = &loaded
	return p, nil
}

func (p *pair) look() (stamps [2]stamp, err error) {
	for i, file := range []string{p.cert, p.key} {
		info, err := os.Stat(file)
		if err != nil {
			return stamps, err
		}
		stamps[i] = stamp{info}
	}
	return stamps, nil
}

// get returns the certificate for a handshake. One that cannot be read leaves the one before in force: of two files that
// are replaced one after the other, the new one may be seen first.
func (p *pair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamps, err := p.look()
	if err == nil && stamps[0].is(p.stamps[0]) && stamps[1].is(p.stamps[1]) {
		return p.current, nil
	}
	var loaded tls.Certificate
	if err == nil {
		p.stamps = stamps
		loaded, err = tls.LoadX509KeyPair(p.cert, p.key)
	}
	if err != nil {
		if err.Error() == p.told {
			return p.current, nil
		}
		p.told = err.Error()
		p.log.Warn("the certificate has changed and cannot be read; the one before stays in force",
			slog.String("file", p.cert), slog.Any("error", err))
		return p.current, nil
	}
	p.current, p.told = &loaded, ""
	p.log.Info("certificate read again", slog.String("file", p.cert))
	return p.current, nil
}

// certificates are those of several hosts.
type certificates []*pair

// get returns the first certificate that the client can use: that of the host which it names. One that names none, or a
// stranger, gets the first of all.
func (p certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	for _, one := range p {
		cert, err := one.get(hello)
		if err == nil && hello.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	return p[0].get(hello)
}
