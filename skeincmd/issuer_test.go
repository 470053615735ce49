package skeincmd

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// startIssuer publishes keys as an issuer of tokens does.
func startIssuer(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[1])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		keys, err := publishedKeys(dir)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys}) // whoever asks has gone
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}

func publishedKeys(dir string) ([]map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return nil, err
	}
	var keys []map[string]string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(text)
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		key, ok := public.(*rsa.PublicKey)
		if !ok {
			return nil, errors.New("not a key of RSA")
		}
		b64 := base64.RawURLEncoding.EncodeToString
		keys = append(keys, map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": strings.TrimSuffix(filepath.Base(file), ".pub"),
			"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		})
	}
	return keys, nil
}

// replaceWith never leaves half of a file to be read.
func replaceWith(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(replace(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[1]))))
}

func TestHangUpLetsTheNodeReadItsKeysAgain(t *testing.T) {
	t.Parallel()
	cmd, log := process(t, "--config", "keyed.yaml")
	for _, want := range []string{"keys read again", "keys read again"} { // nothing has changed: it was told to
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitFor(t, log, want)
	}
	if err := os.WriteFile(cmd.Dir+"/keyed.yaml", []byte("authKey: short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, log, "the keys cannot be read again")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	waitFor(t, log, "stopping")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
