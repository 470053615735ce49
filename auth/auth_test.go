package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/auth"
)

// secret is long enough for every algorithm.
const secret = "a secret that is good for tests, and for nothing but tests, since everybody knows it"

// clock stands still.
func clock() time.Time { return time.Unix(1_800_000_000, 0) }

// newTokens returns tokens at the time of clock.
func newTokens(tb testing.TB, o auth.Options) *auth.Tokens {
	tb.Helper()
	if o.Now == nil {
		o.Now = clock
	}
	tokens, err := auth.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return tokens
}

func newHMAC(tb testing.TB, secret string, algorithms ...string) auth.Key {
	tb.Helper()
	k, err := auth.NewHMAC([]byte(secret), algorithms...)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func newPrivate(tb testing.TB, private crypto.PrivateKey, algorithms ...string) auth.Key {
	tb.Helper()
	k, err := auth.NewPrivate(private, algorithms...)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func newPublic(tb testing.TB, public crypto.PublicKey) auth.Key {
	tb.Helper()
	k, err := auth.NewPublic(public)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func rsaKey(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func ecdsaKey(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func ed25519Key(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func sign(tb testing.TB, tokens *auth.Tokens, claims any) string {
	tb.Helper()
	token, err := tokens.Sign(claims, auth.SignOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// checkMessage verifies the token and compares the error's message; "" means
// that the token is good.
func checkMessage(t *testing.T, tokens *auth.Tokens, token, want string) {
	t.Helper()
	_, err := tokens.Verify(token)
	if got := message(t, err); got != want {
		t.Errorf("Verify(%.120q): got %q, want %q", token, got, want)
	}
}

func message(tb testing.TB, err error) string {
	tb.Helper()
	if err == nil {
		return ""
	}
	var e *auth.Error
	if !errors.As(err, &e) {
		tb.Errorf("got an error of type %T, want *auth.Error", err)
		return err.Error()
	}
	return e.Message
}

func TestNewReportsEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	named := newHMAC(t, "0123456789")
	named.ID = "old"
	_, err := auth.New(auth.Options{
		Keys:          []auth.Key{newHMAC(t, secret), {}, named},
		DefaultExpiry: -time.Second,
		Leeway:        -time.Minute,
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"key 2: empty: make it with NewHMAC",
		`key 3 ("old"): HMAC secret of 10 octets is too weak: at least 32 are required unless weak keys are allowed (AllowWeak, --auth-allow-weak)`,
		"DefaultExpiry is -1s",
		"Leeway is -1m0s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to contain %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "0123456789") {
		t.Errorf("%q contains the secret", err)
	}
}

func TestNewWantsAKey(t *testing.T) {
	t.Parallel()
	if _, err := auth.New(auth.Options{}); err == nil || !strings.Contains(err.Error(), "no keys") {
		t.Errorf("got %v, want an error about no keys", err)
	}
}

func TestWeakSecretIsForThoseWhoAskForIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		octets int
		weak   bool
		good   bool
	}{{1, true, true}, {31, true, true}, {1, false, false}, {31, false, false}, {32, false, true}, {64, false, true}} {
		_, err := auth.New(auth.Options{Keys: []auth.Key{newHMAC(t, strings.Repeat("x", c.octets))}, AllowWeak: c.weak})
		if good := err == nil; good != c.good {
			t.Errorf("%d octets, AllowWeak %v: got %v, want good %v", c.octets, c.weak, err, c.good)
		}
	}
}

func TestOptionsBelongToTheCallerAgain(t *testing.T) {
	t.Parallel()
	keys := []auth.Key{newHMAC(t, secret)}
	tokens := newTokens(t, auth.Options{Keys: keys})
	token := sign(t, tokens, map[string]any{})
	keys[0] = newHMAC(t, strings.Repeat("other", 10))
	checkMessage(t, tokens, token, "")
}

func TestDefaultClockIsTheRealOne(t *testing.T) {
	t.Parallel()
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Second)
	claims, err := tokens.Verify(sign(t, tokens, map[string]any{}))
	if err != nil {
		t.Fatal(err)
	}
	if claims.IssuedAt.Before(before) || claims.IssuedAt.After(time.Now()) {
		t.Errorf("issued at %v, want about %v", claims.IssuedAt, before)
	}
	if got := claims.Expiry.Sub(claims.IssuedAt); got != 24*time.Hour {
		t.Errorf("lives for %v, want 24h", got)
	}
}

func TestGeneratedSecretsAreGoodAndDiffer(t *testing.T) {
	t.Parallel()
	a, b := auth.GenerateSecret(), auth.GenerateSecret()
	if len(a) != 64 || strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("got %q, want 64 hexadecimal digits", a)
	}
	if a == b {
		t.Errorf("got %q twice", a)
	}
	newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, a)}})
}
