package jwks_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/auth/jwks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const address = "https://issuer.example/keys"

// issuer answers requests as it is told.
type issuer struct {
	mu      sync.Mutex
	body    string
	status  int
	header  http.Header
	fails   error
	delay   time.Duration
	fetches int
	urls    []string
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.fetches++
	i.urls = append(i.urls, r.URL.String())
	res := &http.Response{
		StatusCode: max(200, i.status), Status: fmt.Sprint(max(200, i.status)), Header: i.header.Clone(),
		Body: io.NopCloser(strings.NewReader(i.body)), Request: r,
	}
	delay, err := i.delay, i.fails
	i.mu.Unlock()
	if err == nil {
		err = r.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(delay):
		return res, nil
	case <-r.Context().Done():
		return nil, context.Cause(r.Context())
	}
}

// asked returns the URLs that were asked for.
func (i *issuer) asked() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.urls)
}

// journal is a log that is read while it is written to.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// set changes what the issuer says.
func (i *issuer) set(fn func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	fn()
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func ed(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// edKey is a key as a set has it.
func edKey(id string, private ed25519.PrivateKey) string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, id, b64(private.Public().(ed25519.PublicKey)))
}

func keySet(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// token is signed with a key under an id.
func token(t *testing.T, id string, private crypto.PrivateKey) string {
	t.Helper()
	key, err := auth.NewPrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	key.ID = id
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := tokens.Sign(map[string]string{"sub": id}, auth.SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// running is a set that is kept fresh, and tokens that verify with it.
func running(t *testing.T, i *issuer, log io.Writer) *auth.Tokens {
	t.Helper()
	o := jwks.Options{URL: address, Transport: i}
	if log != nil {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	s, err := jwks.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	tokens, err := auth.New(auth.Options{Source: s})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return tokens
}

func reason(err error) auth.Reason {
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return e.Reason
	}
	return ""
}

func check(t *testing.T, tokens *auth.Tokens, signed string, want auth.Reason) {
	t.Helper()
	if _, err := tokens.Verify(signed); reason(err) != want {
		t.Errorf("got %v (%s), want %q", err, reason(err), want)
	}
}

func TestURLMustBeSafe(t *testing.T) {
	t.Parallel()
	for url, good := range map[string]bool{
		"https://issuer.example/keys": true, "http://127.0.0.1:1/keys": true, "http://[::1]/keys": true, "http://localhost/keys": true,
		"": false, "issuer.example": false, "http://issuer.example/keys": false, "http://127.0.0.1.issuer.example/": false,
		"ftp://issuer.example/": false, "file:///etc/passwd": false, "https://user:pass@issuer.example/": false, "https:///keys": false, "://": false,
	} {
		if _, err := jwks.New(jwks.Options{URL: url}); (err == nil) != good {
			t.Errorf("%q: got %v, want good %v", url, err, good)
		}
	}
	for _, o := range []jwks.Options{{URL: address, Timeout: -1}, {URL: address, Refresh: -1}} {
		if _, err := jwks.New(o); err == nil {
			t.Errorf("%+v: got no error", o)
		}
	}
}

func TestErrorsTellNothingOfTheURLThatMayBeSecret(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://ann:hidden@issuer.example/keys", "http://issuer.example/keys?key=hidden"} {
		if _, err := jwks.New(jwks.Options{URL: url}); err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "issuer.example/keys") {
			t.Errorf("got %v, want a refusal that names the issuer alone", err)
		}
	}
	s, err := jwks.New(jwks.Options{URL: "http://127.0.0.1:1/keys?key=hidden"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Fetch(t.Context()); err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "http://127.0.0.1:1/keys: ") {
		t.Errorf("got %v, want that nobody answers", err)
	}
}

func TestKeysRotateWithoutAWaitForTheNextRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		older, newer := ed(t), ed(t)
		i := &issuer{body: keySet(edKey("a", older))}
		tokens := running(t, i, nil)
		check(t, tokens, token(t, "a", older), "")
		<-time.After(2 * time.Minute)
		i.set(func() { i.body = keySet(edKey("a", older), edKey("b", newer)) })
		check(t, tokens, token(t, "b", newer), "")
		check(t, tokens, token(t, "a", older), "")
		check(t, tokens, token(t, "a", newer), auth.ReasonSignature)
		if got := i.count(); got != 2 {
			t.Errorf("got %d fetches, want 2", got)
		}
		i.set(func() { i.body = keySet(edKey("b", newer)) })
		<-time.After(80 * time.Minute) // behind one refresh, which comes after 45 to 60, and well before the next
		check(t, tokens, token(t, "b", newer), "")
		check(t, tokens, token(t, "a", older), auth.ReasonSignature)
	})
}

// Tokens of made-up keys must not become requests to the issuer, nor cost clients good tokens.
func TestUnknownKeysAreLookedForOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		private := ed(t)
		i := &issuer{body: keySet(edKey("a", private)), delay: time.Second}
		tokens := running(t, i, nil)
		check(t, tokens, token(t, "a", private), "") // it waits for the first fetch
		<-time.After(pauseOver)
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() { check(t, tokens, token(t, fmt.Sprint("x", n), private), auth.ReasonSignature) })
		}
		all.Wait()
		if got := i.count(); got != 2 {
			t.Errorf("got %d fetches, want one more for all", got)
		}
		began := time.Now()
		for n := range 50 {
			check(t, tokens, token(t, fmt.Sprint("y", n), private), auth.ReasonKeys) // it is not known whether there is one
			<-time.After(time.Second)
		}
		if got := i.count(); got != 2 || time.Since(began) != 50*time.Second {
			t.Errorf("got %d fetches after %v, want no more, and no wait", got, time.Since(began))
		}
		check(t, tokens, token(t, "a", private), "")
	})
}

const pauseOver = 61 * time.Second

func TestLastGoodSetStaysWhileTheIssuerFails(t *testing.T) {
	t.Parallel()
	private := ed(t)
	good := keySet(edKey("a", private))
	for name, fail := range map[string]func(i *issuer){
		"unreachable":      func(i *issuer) { i.fails = errors.New("no route") },
		"status":           func(i *issuer) { i.status = http.StatusInternalServerError },
		"no JSON":          func(i *issuer) { i.body = "<html>" },
		"no set":           func(i *issuer) { i.body = `{"keys":"none"}` },
		"empty":            func(i *issuer) { i.body = keySet() },
		"cut off":          func(i *issuer) { i.body = good[:20] },
		"too large":        func(i *issuer) { i.body = good + strings.Repeat(" ", 600<<10) },
		"too many":         func(i *issuer) { i.body = keySet(strings.Repeat(edKey("a", private)+",", 100) + edKey("a", private)) },
		"too slow":         func(i *issuer) { i.delay = 6 * time.Second },
		"only weak":        func(i *issuer) { i.body = keySet(`{"kty":"oct","k":"c2VjcmV0"}`) },
		"elsewhere":        func(i *issuer) { i.status, i.header = 302, http.Header{"Location": {"https://evil.example/keys"}} },
		"without TLS":      func(i *issuer) { i.status, i.header = 302, http.Header{"Location": {"http://issuer.example/keys"}} },
		"round in circles": func(i *issuer) { i.status, i.header = 302, http.Header{"Location": {address}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log journal
				i := &issuer{body: good}
				tokens := running(t, i, &log)
				i.set(func() { fail(i) })
				<-time.After(90 * time.Minute)
				check(t, tokens, token(t, "a", private), "")
				check(t, tokens, token(t, "b", private), auth.ReasonKeys)
				if !strings.Contains(log.String(), "those before stay") {
					t.Errorf("the log says %s", log.String())
				}
				for _, url := range i.asked() {
					if url != address {
						t.Errorf("%s was asked", url)
					}
				}
				if got := i.count(); got > 2*(7+90/4) { // with up to four requests for a fetch that is redirected
					if name != "round in circles" || got > 8*(7+90/4) {
						t.Errorf("got %d fetches, want that they become rare", got)
					}
				}
				i.set(func() { i.body, i.status, i.fails, i.delay = keySet(edKey("b", private)), 0, nil, 0 })
				<-time.After(6 * time.Minute)
				check(t, tokens, token(t, "b", private), "")
			})
		})
	}
}

func TestIssuerThatIsNotThereYetCostsNoToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		private := ed(t)
		i := &issuer{fails: errors.New("no route"), body: keySet(edKey("a", private))}
		tokens := running(t, i, nil)
		_, err := tokens.Verify(token(t, "a", private))
		if e, ok := errors.AsType[*auth.Error](err); !ok || e.Name != "AuthTokenError" || e.Bad {
			t.Errorf("got %+v, want that the client keeps its token", err)
		}
		i.set(func() { i.fails = nil })
		<-time.After(10 * time.Second)
		check(t, tokens, token(t, "a", private), "")
	})
}

func TestSetThatIsNotKeptFreshSaysSo(t *testing.T) {
	t.Parallel()
	private := ed(t)
	i := &issuer{body: keySet(edKey("a", private))}
	s, err := jwks.New(jwks.Options{URL: address, Transport: i})
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Keys("a"); len(keys) != 0 || err == nil {
		t.Errorf("got %v, %v, want that nothing is known", keys, err)
	}
	if err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.Keys("a"); len(keys) != 1 || err != nil {
		t.Errorf("got %v, %v, want the key", keys, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Fetch(ctx); err == nil {
		t.Error("fetched after the end")
	}
}

func TestRefreshFollowsTheIssuerWithinBounds(t *testing.T) {
	t.Parallel()
	for control, want := range map[string]time.Duration{
		"": time.Hour, "no-store": time.Hour, "max-age=x": time.Hour, "max-age=-1": time.Hour, "public, Max-Age=7200": 2 * time.Hour,
		"max-age=0": 5 * time.Minute, "max-age=999999999": 24 * time.Hour, "max-age=99999999999999999999": time.Hour,
	} {
		t.Run(control, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{body: keySet(edKey("a", ed(t))), header: http.Header{"Cache-Control": {control}}}
				running(t, i, nil)
				<-time.After(want*3/4 - time.Second)
				if got := i.count(); got != 1 {
					t.Errorf("got %d fetches before %v, want one", got, want*3/4)
				}
				<-time.After(want/4 + 2*time.Second)
				if got := i.count(); got != 2 {
					t.Errorf("got %d fetches after %v, want two", got, want)
				}
			})
		})
	}
}

// member replaces members of a key in JSON, and adds them.
func member(key string, more string) string { return strings.TrimSuffix(key, "}") + "," + more + "}" }

// material is what keys of a set are made of.
type material struct{ ed, rsa, n, weak, x, y string }

func newMaterial(t *testing.T) material {
	t.Helper()
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := curve.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m := material{ed: edKey("k", ed(t)), n: b64(strong.N.Bytes()), x: b64(point[1:33]), y: b64(point[33:])}
	m.rsa, m.weak = rsaOf(m.n, "AQAB"), b64(new(big.Int).Rsh(strong.N, 1024).Bytes())
	return m
}

func rsaOf(n, e string) string { return fmt.Sprintf(`{"kty":"RSA","kid":"k","n":%q,"e":%q}`, n, e) }

func ecOf(crv, x, y string) string {
	return fmt.Sprintf(`{"kty":"EC","kid":"k","crv":%q,"x":%q,"y":%q}`, crv, x, y)
}

// published is a key in a set: the algorithm that it is taken for, or why it is not.
type published struct{ key, algorithm, why string }

func (m material) good() map[string]published {
	return map[string]published{
		"RSA":                  {m.rsa, "RS256", ""},
		"RSA, as Auth0 has it": {member(m.rsa, `"alg":"RS256","use":"sig","x5c":["AA=="],"x5t":"x"`), "RS256", ""},
		"RSA for PS512":        {member(m.rsa, `"alg":"PS512"`), "PS512", ""},
		"curve":                {ecOf("P-256", m.x, m.y), "ES256", ""},
		"Ed25519":              {member(m.ed, `"key_ops":["verify"]`), "EdDSA", ""},
	}
}

func (m material) bad() map[string]published {
	return map[string]published{
		"for encryption":           {member(m.rsa, `"use":"enc","alg":"RSA-OAEP"`), "", "no key that could be taken"},
		"for encryption, unsaid":   {member(m.rsa, `"alg":"RSA-OAEP-256"`), "", "no key that could be taken"},
		"for signing alone":        {member(m.ed, `"key_ops":["sign"]`), "", "no key that could be taken"},
		"secret":                   {`{"kty":"oct","kid":"k","alg":"HS256","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`, "", "it is a secret"},
		"private":                  {member(m.ed, `"d":"AAAA"`), "", "it is a private key"},
		"RSA's key for HS256":      {member(m.rsa, `"alg":"HS256"`), "", `algorithm "HS256" does not fit`},
		"RSA's key for none":       {member(m.rsa, `"alg":"none"`), "", `algorithm "none" does not fit`},
		"RSA's key for ES256":      {member(m.rsa, `"alg":"ES256"`), "", `algorithm "ES256" does not fit`},
		"RSA of 1024 bits":         {rsaOf(m.weak, "AQAB"), "", "too weak"},
		"RSA with the exponent 1":  {rsaOf(m.n, "AQ"), "", "the exponent 1"},
		"RSA with the exponent 3":  {rsaOf(m.n, "Aw"), "", "the exponent 3"},
		"RSA with a huge exponent": {rsaOf(m.n, b64(bytes.Repeat([]byte{255}, 8))), "", "its e is larger"},
		"RSA with a huge modulus":  {rsaOf(b64(bytes.Repeat([]byte{255}, 3000)), "AQAB"), "", "its n has 3000 octets"},
		"RSA of 8193 bits":         {rsaOf(b64(append([]byte{1}, bytes.Repeat([]byte{255}, 1024)...)), "AQAB"), "", "too large"},
		"RSA without a modulus":    {rsaOf("", "AQAB"), "", "its n has 0 octets"},
		"RSA without an exponent":  {rsaOf(m.n, ""), "", "its e has 0 octets"},
		"RSA in standard base64":   {rsaOf("+/+/", "AQAB"), "", "its n is not base64url"},
		"P-224":                    {ecOf("P-224", m.x, m.y), "", `its curve is "P-224"`},
		"secp256k1":                {ecOf("secp256k1", m.x, m.y), "", `its curve is "secp256k1"`},
		"no point":                 {ecOf("P-256", m.y, m.x), "", "not on"},
		"infinity":                 {ecOf("P-256", b64(make([]byte, 32)), b64(make([]byte, 32))), "", "not on"},
		"short coordinates":        {ecOf("P-256", m.x[:40], m.y), "", "octets"},
		"another curve's":          {ecOf("P-384", m.x, m.y), "", "octets"},
		"no y":                     {ecOf("P-521", m.x, ""), "", "its y has 0 octets"},
		"no x":                     {ecOf("P-521", "", m.y), "", "its x has 0 octets"},
		"X25519":                   {strings.Replace(m.ed, "Ed25519", "X25519", 1), "", `its curve is "X25519"`},
		"Ed25519, short":           {`{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"}`, "", "3 octets"},
		"Ed25519 without x":        {`{"kty":"OKP","crv":"Ed25519","kid":"k"}`, "", "its x has 0 octets"},
		"unknown type":             {`{"kty":"AKP","kid":"k"}`, "", `its kty is "AKP"`},
		"kid that is a number":     {strings.Replace(m.ed, `"k"`, "7", 1), "", "json:"},
		"kid that is long":         {strings.Replace(m.ed, `"k"`, `"`+strings.Repeat("k", 1025)+`"`, 1), "", "its kid has 1025 bytes"},
		"no object":                {`"key"`, "", "json:"},
	}
}

func TestOnlyStrongPublicKeysForSignaturesAreTaken(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	all := m.good()
	maps.Copy(all, m.bad())
	for name, c := range all {
		i := &issuer{body: keySet(c.key)}
		s, err := jwks.New(jwks.Options{URL: address, Transport: i})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Fetch(t.Context())
		keys, _ := s.Keys("k")
		switch {
		case c.why == "" && (err != nil || len(keys) != 1 || keys[0].ID != "k" || fmt.Sprint(keys[0].Algorithms()) != "["+c.algorithm+"]" || keys[0].CanSign()):
			t.Errorf("%s: got %v, %v, want it for %s", name, keys, err, c.algorithm)
		case c.why != "" && (err == nil || len(keys) != 0 || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%s: got %v, %v, want %q", name, keys, err, c.why)
		}
	}
}

func TestWhatIsNotTakenIsToldOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		private := ed(t)
		var log journal
		i := &issuer{body: keySet(edKey("good", private), `{"kty":"oct","kid":"bad"}`, `{"kty":"RSA","use":"enc","kid":"other"}`)}
		tokens := running(t, i, &log)
		<-time.After(5 * time.Hour)
		check(t, tokens, token(t, "good", private), "")
		if got := strings.Count(log.String(), "not taken"); got != 1 || strings.Contains(log.String(), "other") {
			t.Errorf("got %s, want one line about the secret", log.String())
		}
	})
}
