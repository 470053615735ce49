package auth_test

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/auth"
)

func marshalPKIX(t *testing.T, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// payload returns what a token says, as it is written.
func payload(tb testing.TB, token string) string {
	tb.Helper()
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestSignKeepsTheClaimsAndAddsWhatIsMissing(t *testing.T) {
	t.Parallel()
	keys := []auth.Key{newHMAC(t, secret)}
	plain := auth.Options{Keys: keys}
	parties := auth.Options{Keys: keys, Issuer: `"me" <&>`, Audience: "you"}
	const now, day = 1_800_000_000, 86_400
	type person struct {
		Name string `json:"name"`
		Exp  int64  `json:"exp,omitempty"`
	}
	for _, c := range []struct {
		options auth.Options
		claims  any
		expiry  time.Duration
		want    string
	}{
		{plain, map[string]any{}, 0, `{"iat":1800000000,"exp":1800086400}`},
		{plain, struct{}{}, time.Hour, `{"iat":1800000000,"exp":1800003600}`},
		{plain, person{Name: "Bob"}, 0, `{"name":"Bob","iat":1800000000,"exp":1800086400}`},
		{plain, person{"Bob", 1900000000}, time.Hour, `{"name":"Bob","exp":1900000000,"iat":1800000000}`},
		{plain, json.RawMessage(`{"exp":1}`), 0, `{"exp":1,"iat":1800000000}`},
		{plain, json.RawMessage(`{"iat":1700000000}`), time.Minute, `{"iat":1700000000,"exp":1700000060}`},
		{plain, json.RawMessage(`{"iat":1700000000.5,"exp":1.5}`), 0, `{"iat":1700000000.5,"exp":1.5}`},
		{plain, json.RawMessage(` { "b" : 1 , "a" : [ ] } `), 0, `{"b":1,"a":[],"iat":1800000000,"exp":1800086400}`},
		{plain, json.RawMessage(`{"n":[9007199254740993,123456789012345678901234567890,1.0,-0,1E400,0.10]}`), 0, `{"n":[9007199254740993,123456789012345678901234567890,1.0,-0,1E400,0.10],"iat":1800000000,"exp":1800086400}`},
		{plain, map[string]any{"n": json.Number("1.50"), "i": int64(1<<62 + 1)}, 0, `{"i":4611686018427387905,"n":1.50,"iat":1800000000,"exp":1800086400}`},
		{plain, map[string]string{"html": "<a href='x'>&</a>", "text": "日本 😀"}, 0, `{"html":"<a href='x'>&</a>","text":"日本 😀","iat":1800000000,"exp":1800086400}`},
		{plain, json.RawMessage(`{"EXP":1,"Iat":2}`), 0, `{"EXP":1,"Iat":2,"iat":1800000000,"exp":1800086400}`},
		{plain, struct{}{}, time.Nanosecond, `{"iat":1800000000,"exp":1800000001}`},
		{plain, struct{}{}, 1500 * time.Millisecond, `{"iat":1800000000,"exp":1800000002}`},
		{plain, struct{}{}, 1<<63 - 1, `{"iat":1800000000,"exp":11023372037}`},
		{auth.Options{Keys: keys, DefaultExpiry: time.Minute}, struct{}{}, 0, `{"iat":1800000000,"exp":1800000060}`},
		{parties, struct{}{}, 0, fmt.Sprintf(`{"iat":%d,"exp":%d,"iss":"\"me\" <&>","aud":"you"}`, now, now+day)},
		{parties, map[string]any{"iss": "other", "aud": []string{"all"}}, 0, `{"aud":["all"],"iss":"other","iat":1800000000,"exp":1800086400}`},
	} {
		token, err := newTokens(t, c.options).Sign(c.claims, auth.SignOptions{Expiry: c.expiry})
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if got := payload(t, token); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestSignedTokensAreGood(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}, Issuer: "me", Audience: "you", RequireExpiry: true})
	token := sign(t, tokens, map[string]any{"name": "Bob"})
	if want := seal(secret, token[:strings.LastIndexByte(token, '.')]); token != want {
		t.Errorf("got %s, want %s", token, want)
	}
	claims, err := tokens.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if string(claims.Raw) != payload(t, token) {
		t.Errorf("got %s, want %s", claims.Raw, payload(t, token))
	}
}

func TestSignRefusesWhatIsNoClaims(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	for _, c := range []struct {
		claims any
		expiry time.Duration
		want   string
	}{
		{nil, 0, "must be a JSON object"},
		{map[string]any(nil), 0, "must be a JSON object"},
		{"text", 0, "must be a JSON object"},
		{[]int{1}, 0, "must be a JSON object"},
		{[]byte(`{}`), 0, "must be a JSON object"},
		{json.RawMessage("{\"a\":\"\xff\"}"), 0, "must be a JSON object in UTF-8"},
		{json.RawMessage(`{"a":`), 0, "unexpected end"},
		{make(chan int), 0, "unsupported type"},
		{map[string]any{"exp": "tomorrow"}, 0, `the claim exp must be a number of seconds, not "tomorrow"`},
		{map[string]any{"exp": nil}, 0, "the claim exp must be a number"},
		{map[string]any{"nbf": time.Unix(0, 0).UTC()}, 0, `the claim nbf must be a number of seconds, not "1970-01-01T00:00:00Z"`},
		{map[string]any{"iat": true}, 0, "the claim iat must be a number"},
		{struct{}{}, -time.Second, "Expiry is -1s: it must not be negative"},
	} {
		token, err := tokens.Sign(c.claims, auth.SignOptions{Expiry: c.expiry})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %q and %v, want an error with %q", c.claims, token, err, c.want)
		}
	}
}

func TestFirstKeyThatCanSignSigns(t *testing.T) {
	t.Parallel()
	p256, p384 := ecdsaKey(t, elliptic.P256()), ecdsaKey(t, elliptic.P384())
	public := newPublic(t, p256.Public())
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{public, newPrivate(t, p384), newHMAC(t, secret)}})
	if token := sign(t, tokens, struct{}{}); !strings.HasPrefix(token, encode(`{"alg":"ES384","typ":"JWT"}`)+".") {
		t.Errorf("got %s, want a token with ES384", token)
	}
	checkMessage(t, tokens, sign(t, newTokens(t, auth.Options{Keys: []auth.Key{newPrivate(t, p256)}}), struct{}{}), "")

	verifier := newTokens(t, auth.Options{Keys: []auth.Key{public}})
	if _, err := verifier.Sign(struct{}{}, auth.SignOptions{}); !errors.Is(err, auth.ErrVerifyOnly) {
		t.Errorf("Sign without a key that can: got %v, want ErrVerifyOnly", err)
	}
}

// Whatever can be signed, verifies: with its own dates it may be early or late,
// but never invalid.
func FuzzSign(f *testing.F) {
	tokens := newTokens(f, auth.Options{Keys: []auth.Key{newHMAC(f, secret)}})
	for _, seed := range []string{"{}", `{"a":1.0}`, `{"exp":1}`, `{"iat":1e300}`, `{"nbf":-1E-400,"":{}}`, "null", "[{}]", `{"a":"}"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		token, err := tokens.Sign(json.RawMessage(claims), auth.SignOptions{})
		if err != nil {
			return
		}
		_, err = tokens.Verify(token)
		switch got := message(t, err); got {
		case "", "jwt expired", "jwt not active":
		default:
			t.Errorf("signed %q as %q: %s", claims, payload(t, token), got)
		}
		var given, signed map[string]json.RawMessage
		if json.Unmarshal(claims, &given) != nil || json.Unmarshal([]byte(payload(t, token)), &signed) != nil {
			t.Fatalf("signed %q as %q", claims, payload(t, token))
		}
		for name := range given {
			if _, ok := signed[name]; !ok {
				t.Errorf("%q lost %q: %q", claims, name, payload(t, token))
			}
		}
	})
}

func BenchmarkTokens(b *testing.B) {
	for _, c := range []struct {
		name string
		key  auth.Key
	}{
		{"HS256", newHMAC(b, secret)},
		{"RS256", newPrivate(b, rsaKey(b, 2048))},
		{"ES256", newPrivate(b, ecdsaKey(b, elliptic.P256()))},
		{"EdDSA", newPrivate(b, ed25519Key(b))},
	} {
		tokens := newTokens(b, auth.Options{Keys: []auth.Key{c.key}})
		claims := map[string]any{"username": "bob", "channels": []string{"a", "b"}}
		token := sign(b, tokens, claims)
		b.Run("Verify/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Sign/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sign(b, tokens, claims)
			}
		})
	}
}
