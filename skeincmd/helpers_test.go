package skeincmd

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/bundled"
)

// testCatalog is the stock one and some plugins of a stranger.
func testCatalog() skein.Catalog {
	return bundled.Catalog().
		With("censor", func() skein.Plugin { return &censor{Mask: "***"} }).
		With("calculator", func() skein.Plugin { return skein.Func("calculator", calculator) }).
		With("needy", func() skein.Plugin { return wired{skein.Meta{Name: "needy", Requires: []string{"absent"}}} }).
		With("egg", func() skein.Plugin { return wired{skein.Meta{Name: "egg", Requires: []string{"hen"}}} }).
		With("hen", func() skein.Plugin { return wired{skein.Meta{Name: "hen", Requires: []string{"egg"}}} }).
		With("clash", func() skein.Plugin { return skein.Func("clash", clash) })
}

// censor is a plugin with options and hooks.
type censor struct {
	Words []string      `doc:"Words to replace."`
	Mask  string        `doc:"What replaces them." default:"***"`
	After string        `doc:"Plugin whose hooks run before."`
	Wait  time.Duration `doc:"Unused."`
	Token string
}

func (*censor) Meta() skein.Meta {
	return skein.Meta{Name: "censor", Version: "1.2.3", After: []string{"rawws"}}
}

func (c *censor) Validate() error {
	if len(c.Words) == 0 {
		return errors.New("words is empty: it needs one word or more")
	}
	return nil
}

func (c *censor) Setup(_ context.Context, h *skein.Host) error {
	h.OnPublish("*", func(_ context.Context, e *skein.Event) error {
		for _, w := range c.Words {
			e.Data = json.RawMessage(strings.ReplaceAll(string(e.Data), w, c.Mask))
		}
		return nil
	}).After(c.After)
	h.HandleFunc("GET /words", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Join(c.Words, " ")) // the client's loss
	})
	return nil
}

func calculator(_ context.Context, h *skein.Host) error {
	skein.Procedure(h, "sum", func(_ context.Context, _ *skein.Session, in []float64) (float64, error) {
		sum := 0.0
		for _, x := range in {
			sum += x
		}
		return sum, nil
	})
	h.OnPublish("closed", func(context.Context, *skein.Event) error {
		return &skein.Error{Name: "ClosedError", Message: "this channel is closed"}
	})
	h.OnSubscribe("closed", func(context.Context, *skein.Event) error {
		return &skein.Error{Name: "ClosedError", Message: "this channel is closed"}
	})
	return nil
}

func clash(_ context.Context, h *skein.Host) error {
	h.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return nil
}

// wired is a plugin that has only dependencies.
type wired struct{ meta skein.Meta }

func (w wired) Meta() skein.Meta { return w.meta }

func (wired) Setup(context.Context, *skein.Host) error { return nil }

// sendRaw is a WebSocket client that only sends texts.
func sendRaw(ts *testscript.TestScript, _ bool, args []string) {
	u, err := url.Parse(args[0])
	ts.Check(err)
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp", u.Host)
	ts.Check(err)
	ts.Defer(func() { _ = conn.Close() }) // the script is over
	ts.Check(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", u.Path, u.Host, sampleKey)
	ts.Check(err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	ts.Check(err)
	ts.Check(res.Body.Close())
	if res.StatusCode != http.StatusSwitchingProtocols {
		ts.Fatalf("upgrade %s: got %s", u, res.Status)
	}
	for _, text := range args[1:] {
		_, err = conn.Write(frame(1, []byte(text)))
		ts.Check(err)
	}
}

// frame is a short frame of a client, masked with zeros.
func frame(opcode byte, payload []byte) []byte {
	return append([]byte{128 | opcode, 128 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func keypair(ts *testscript.TestScript, _ bool, args []string) {
	var private crypto.Signer
	var err error
	switch args[0] {
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ec":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	ts.Check(err)
	b, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	writePEM(ts, args[1], "PRIVATE KEY", b)
	b, err = x509.MarshalPKIXPublicKey(private.Public())
	ts.Check(err)
	writePEM(ts, args[2], "PUBLIC KEY", b)
}

func certificate(ts *testscript.TestScript, _ bool, args []string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	b, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	writePEM(ts, args[0], "CERTIFICATE", b)
	b, err = x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	writePEM(ts, args[1], "PRIVATE KEY", b)
}

func writePEM(ts *testscript.TestScript, file, kind string, b []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600))
}
