package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/auth"
)

// victim has a key of each kind, and wants much of a token.
type victim struct {
	tokens *auth.Tokens
	hmac   string
	rsa    *rsa.PrivateKey
	ecdsa  *ecdsa.PrivateKey
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{hmac: secret, rsa: rsaKey(t, 2048), ecdsa: ecdsaKey(t, elliptic.P256())}
	hmac := newHMAC(t, secret)
	hmac.ID = "h"
	public := newPublic(t, v.rsa.Public())
	public.ID = "r"
	v.tokens = newTokens(t, auth.Options{
		Keys:     []auth.Key{hmac, public, newPublic(t, v.ecdsa.Public())},
		Audience: "us", Issuer: "them", RequireExpiry: true, MaxLifetime: 24 * time.Hour,
	})
	return v
}

// good is what a good token says, with more members.
func good(more string) string {
	return `{"exp":1800003600,"aud":["us"],"iss":"them","iat":1800000000` + more + "}"
}

// odd is good with one member replaced.
func odd(name, value string) string {
	members := map[string]string{"exp": "1800003600", "aud": `"us"`, "iss": `"them"`, "iat": "1800000000"}
	members[name] = value
	var parts []string
	for _, n := range []string{"exp", "aud", "iss", "iat", "nbf"} {
		if members[n] != "" {
			parts = append(parts, `"`+n+`":`+members[n])
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// by signs a good payload with the secret, whatever the header says.
func (v *victim) by(header string) string { return forge(v.hmac, header, good("")) }

// says signs a payload well.
func (v *victim) says(payload string) string { return forge(v.hmac, `{"alg":"HS256"}`, payload) }

// with puts any signature behind a good payload.
func with(header string, signature []byte) string {
	return encode(header) + "." + encode(good("")) + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func digest(header string) []byte {
	sum := sha256.Sum256([]byte(encode(header) + "." + encode(good(""))))
	return sum[:]
}

func (v *victim) rs256(t *testing.T, header string) []byte {
	t.Helper()
	signature, err := rsa.SignPKCS1v15(rand.Reader, v.rsa, crypto.SHA256, digest(header))
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (v *victim) ps256(t *testing.T, header string) []byte {
	t.Helper()
	signature, err := rsa.SignPSS(rand.Reader, v.rsa, crypto.SHA256, digest(header), nil)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func (v *victim) es256(t *testing.T, header string) (r, s *big.Int) {
	t.Helper()
	r, s, err := ecdsa.Sign(rand.Reader, v.ecdsa, digest(header))
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func raw64(r, s *big.Int) []byte {
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

type attack struct {
	name, token string
	want        auth.Reason
}

const (
	hs = `{"alg":"HS256"}`
	rs = `{"alg":"RS256"}`
	es = `{"alg":"ES256"}`
)

func attacksOnTheForm(v *victim) []attack {
	whole := v.says(good(""))
	head, signature, _ := strings.Cut(whole[strings.IndexByte(whole, '.')+1:], ".")
	head = encode(hs) + "." + head + "."
	next := string(signature[len(signature)-1] + 1) // the digit's last two bits say nothing, and are not set
	return []attack{
		{"nothing", "", auth.ReasonMissing},
		{"one part", "garbage", auth.ReasonParts},
		{"two parts", encode(hs) + "." + encode(good("")), auth.ReasonParts},
		{"four parts", whole + ".", auth.ReasonParts},
		{"five parts, as JWE", encode(`{"alg":"dir","enc":"A256GCM"}`) + "..AAAA.AAAA.AAAA", auth.ReasonParts},
		{"JSON serialisation", `{"payload":"` + encode(good("")) + `","signatures":[]}`, auth.ReasonParts},
		{"only dots", "..", auth.ReasonHeader},
		{"a mebibyte", v.says(good(`,"x":"` + strings.Repeat("x", 1<<20) + `"`)), auth.ReasonLength},
		{"just too long", head + strings.Repeat("A", 64<<10), auth.ReasonLength},
		{"padding", whole + "=", auth.ReasonEncoding},
		{"padding in the header", encode(hs) + "==." + encode(good("")) + "." + signature, auth.ReasonEncoding},
		{"standard base64", head + "+/" + signature[2:], auth.ReasonEncoding},
		{"a line's end in front", "\r\n" + whole, auth.ReasonEncoding},
		{"a line's end within", head + "\n" + signature, auth.ReasonEncoding},
		{"a space behind", whole + " ", auth.ReasonEncoding},
		{"a zero octet behind", whole + "\x00", auth.ReasonEncoding},
		{"a scheme in front", "Bearer " + whole, auth.ReasonEncoding},
		{"bits in the signature's last digit", whole[:len(whole)-1] + next, auth.ReasonEncoding},
		{"bits in the header's last digit", seal(v.hmac, encode(hs + "  ")[:len(encode(hs+"  "))-1]+"B."+encode(good(""))), auth.ReasonEncoding},
		{"a length that cannot be", seal(v.hmac, encode(hs)+"A."+encode(good(""))), auth.ReasonEncoding},
	}
}

func attacksOnTheHeader(v *victim) []attack {
	list := []attack{
		{"no signature", encode(hs) + "." + encode(good("")) + ".", auth.ReasonUnsigned},
		{"none without a signature", encode(`{"alg":"none"}`) + "." + encode(good("")) + ".", auth.ReasonUnsigned},
		{"two algorithms", v.by(`{"alg":"none","alg":"HS256"}`), auth.ReasonDuplicate},
		{"two algorithms, one escaped", v.by(`{"\u0061lg":"none","alg":"HS256"}`), auth.ReasonDuplicate},
		{"two kids", v.by(`{"alg":"HS256","kid":"x","kid":"h"}`), auth.ReasonDuplicate},
		{"crit", v.by(`{"alg":"HS256","crit":["exp"]}`), auth.ReasonCritical},
		{"empty crit", v.by(`{"alg":"HS256","crit":[]}`), auth.ReasonCritical},
		{"unencoded payload", v.by(`{"alg":"HS256","b64":false,"crit":["b64"]}`), auth.ReasonCritical},
		{"unencoded payload, not critical", v.by(`{"alg":"HS256","b64":false}`), auth.ReasonCritical},
		{"null", v.by("null"), auth.ReasonHeader},
		{"array", v.by(`[{"alg":"HS256"}]`), auth.ReasonHeader},
		{"not JSON", v.by("alg=HS256"), auth.ReasonHeader},
		{"not UTF-8", v.by("{\"alg\":\"HS256\",\"x\":\"\xff\"}"), auth.ReasonHeader},
		{"deep", v.by(`{"alg":"HS256","x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`), auth.ReasonHeader},
		{"typ that is a number", v.by(`{"alg":"HS256","typ":7}`), auth.ReasonHeader},
	}
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `""`, `null`, `["HS256"]`, `["none"]`, `{}`, `256`, `true`, `"hs256"`, `"HS256\u0000"`, `"HS384"`, `"HS512"`, `"RS384"`, `"PS256"`, `"ES384"`, `"EdDSA"`, `"dir"`} {
		list = append(list, attack{"alg " + alg, v.by(`{"alg":` + alg + `}`), auth.ReasonAlgorithm})
	}
	for _, kid := range []string{"1", "null", `["h"]`, `{"h":1}`, "true"} {
		list = append(list, attack{"kid " + kid, v.by(`{"alg":"HS256","kid":` + kid + `}`), auth.ReasonHeader})
	}
	for _, kid := range []string{"../../dev/null", "/proc/self/environ", "h' OR '1'='1", "h\\u0000", "H", "|id", "https://evil.example/", strings.Repeat("k", 30_000)} {
		list = append(list, attack{"kid " + kid[:min(20, len(kid))], v.by(`{"alg":"HS256","kid":"` + kid + `"}`), auth.ReasonSignature})
	}
	return append(list,
		attack{"a key of its own", seal("mine", encode(`{"alg":"HS256","jwk":{"kty":"oct","k":"bWluZQ"}}`)+"."+encode(good(""))), auth.ReasonSignature},
		attack{"a key from elsewhere", seal("mine", encode(`{"alg":"HS256","jku":"https://evil.example/","x5u":"https://evil.example/"}`)+"."+encode(good(""))), auth.ReasonSignature},
		attack{"the empty secret", forge("", hs, good("")), auth.ReasonSignature},
	)
}

func attacksOnTheSignature(t *testing.T, v *victim) []attack {
	t.Helper()
	der := marshalPKIX(t, v.rsa.Public())
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	r, s := v.es256(t, es)
	asn, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	order := elliptic.P256().Params().N
	list := []attack{
		{"RSA's PEM as the secret", forge(string(text), hs, good("")), auth.ReasonSignature},
		{"RSA's PEM without its line's end", forge(strings.TrimSpace(string(text)), hs, good("")), auth.ReasonSignature},
		{"RSA's DER as the secret", forge(string(der), hs, good("")), auth.ReasonSignature},
		{"RSA's modulus as the secret", forge(string(v.rsa.N.Bytes()), hs, good("")), auth.ReasonSignature},
		{"PS256 for RS256", with(`{"alg":"PS256"}`, v.ps256(t, `{"alg":"PS256"}`)), auth.ReasonAlgorithm},
		{"PS256 called RS256", with(rs, v.ps256(t, rs)), auth.ReasonSignature},
		{"RS256 called ES256", with(es, v.rs256(t, es)), auth.ReasonSignature},
		{"RS256 with the secret's kid", with(`{"alg":"RS256","kid":"h"}`, v.rs256(t, `{"alg":"RS256","kid":"h"}`)), auth.ReasonSignature},
		{"RSA, short", with(rs, v.rs256(t, rs)[1:]), auth.ReasonSignature},
		{"RSA, long", with(rs, append([]byte{0}, v.rs256(t, rs)...)), auth.ReasonSignature},
		{"RSA, zero", with(rs, make([]byte, 256)), auth.ReasonSignature},
		{"RSA, one", with(rs, append(make([]byte, 255), 1)), auth.ReasonSignature},
		{"RSA, the modulus", with(rs, v.rsa.N.Bytes()), auth.ReasonSignature},
		{"RSA, one octet", with(rs, []byte{1}), auth.ReasonSignature},
		{"ECDSA, zeros", with(es, make([]byte, 64)), auth.ReasonSignature},
		{"ECDSA, r is zero", with(es, raw64(new(big.Int), s)), auth.ReasonSignature},
		{"ECDSA, s is zero", with(es, raw64(r, new(big.Int))), auth.ReasonSignature},
		{"ECDSA, the order", with(es, raw64(order, order)), auth.ReasonSignature},
		{"ECDSA, short", with(es, raw64(r, s)[:63]), auth.ReasonSignature},
		{"ECDSA, long", with(es, append(raw64(r, s), 0)), auth.ReasonSignature},
		{"ECDSA in ASN.1", with(es, asn), auth.ReasonSignature},
		{"another payload's", encode(hs) + "." + encode(good(`,"admin":true`)) + v.says(good(""))[strings.LastIndexByte(v.says(good("")), '.'):], auth.ReasonSignature},
		{"a token within", v.says(v.says(good(""))), auth.ReasonPayload},
	}
	for _, c := range [][]byte{v.rs256(t, rs)} {
		for _, i := range []int{0, 128, 255} {
			flipped := bytes.Clone(c)
			flipped[i] ^= 1
			list = append(list, attack{"RSA, a bit flipped", with(rs, flipped), auth.ReasonSignature})
		}
	}
	return list
}

func attacksOnTheClaims(v *victim) []attack {
	list := []attack{
		{"no JSON", v.says("user=admin"), auth.ReasonPayload},
		{"null", v.says("null"), auth.ReasonPayload},
		{"array", v.says("[" + good("") + "]"), auth.ReasonPayload},
		{"not UTF-8", v.says(good(",\"x\":\"\xff\"")), auth.ReasonPayload},
		{"something behind", v.says(good("") + good("")), auth.ReasonPayload},
		{"NaN", v.says(odd("exp", "NaN")), auth.ReasonPayload},
		{"Infinity", v.says(odd("exp", "Infinity")), auth.ReasonPayload},
		{"deep objects", v.says(good(`,"x":` + strings.Repeat(`{"x":`, 64) + "1" + strings.Repeat("}", 64))), auth.ReasonPayload},
		{"very deep arrays", v.says(good(`,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000))), auth.ReasonPayload},
		{"two exp", v.says(good(`,"exp":1900000000`)), auth.ReasonDuplicate},
		{"two users", v.says(good(`,"username":"ann","username":"admin"`)), auth.ReasonDuplicate},
		{"no exp", v.says(odd("exp", "")), auth.ReasonNoExpiry},
		{"exp has passed", v.says(odd("exp", "1799999999")), auth.ReasonExpired},
		{"exp is now", v.says(odd("exp", "1800000000")), auth.ReasonExpired},
		{"exp is negative", v.says(odd("exp", "-1")), auth.ReasonExpired},
		{"exp is beyond all numbers, negative", v.says(odd("exp", "-1e400")), auth.ReasonExpired},
		{"exp is a fraction", v.says(odd("exp", "1799999999.9")), auth.ReasonExpired},
		{"exp is far", v.says(odd("exp", "4102444800")), auth.ReasonLifetime},
		{"exp is beyond all numbers", v.says(odd("exp", "1e400")), auth.ReasonLifetime},
		{"exp is in milliseconds", v.says(odd("exp", "1800003600000")), auth.ReasonLifetime},
		{"iat is long ago", v.says(odd("iat", "1700000000")), auth.ReasonLifetime},
		{"no iat", v.says(odd("iat", "")), auth.ReasonUndated},
		{"nbf is to come", v.says(odd("nbf", "1800000001")), auth.ReasonNotBefore},
		{"nbf is beyond all numbers", v.says(odd("nbf", "1e400")), auth.ReasonNotBefore},
		{"iat is to come", v.says(odd("iat", "1800000301")), auth.ReasonFuture},
		{"iat is in milliseconds", v.says(odd("iat", "1800000000000")), auth.ReasonFuture},
		{"Exp is not exp", v.says(`{"Exp":1800003600,"aud":"us","iss":"them"}`), auth.ReasonNoExpiry},
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		for _, value := range []string{`"1800003600"`, `"1e9"`, "null", "[1800003600]", `{"n":1}`, "true"} {
			list = append(list, attack{name + " is " + value, v.says(odd(name, value)), auth.ReasonDate})
		}
	}
	for _, value := range []string{"", `"others"`, `["others"]`, "[]", "null", "1", "true", `{"us":1}`, `["us",1]`, `[["us"]]`, `"US"`, `"us,others"`} {
		list = append(list, attack{"aud is " + value, v.says(odd("aud", value)), auth.ReasonAudience})
	}
	for _, value := range []string{"", `"others"`, `["them"]`, "null", "1", `"them/"`, `"THEM"`} {
		list = append(list, attack{"iss is " + value, v.says(odd("iss", value)), auth.ReasonIssuer})
	}
	return list
}

// nameOf is what clients see for a reason.
func nameOf(why auth.Reason) (name string, bad bool) {
	switch why {
	case auth.ReasonNotBefore, auth.ReasonFuture:
		return "AuthTokenNotBeforeError", false
	case auth.ReasonExpired:
		return "AuthTokenExpiredError", true
	default:
		return "AuthTokenInvalidError", true
	}
}

func TestHostileTokensAreRefusedByName(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for _, token := range []string{
		v.says(good("")), v.says(odd("aud", `"us"`)), v.by(`{"alg":"HS256","kid":"h"}`), with(rs, v.rs256(t, rs)),
		with(`{"alg":"RS256","kid":"r"}`, v.rs256(t, `{"alg":"RS256","kid":"r"}`)), with(es, raw64(v.es256(t, es))),
	} {
		checkMessage(t, v.tokens, token, "") // else nothing below means anything
	}
	attacks := attacksOnTheForm(v)
	attacks = append(attacks, attacksOnTheHeader(v)...)
	attacks = append(attacks, attacksOnTheSignature(t, v)...)
	attacks = append(attacks, attacksOnTheClaims(v)...)
	if len(attacks) < 60 {
		t.Errorf("got %d attacks, want 60 or more", len(attacks))
	}
	messages := map[auth.Reason]map[string]bool{}
	for _, a := range attacks {
		_, err := v.tokens.Verify(a.token)
		var got *auth.Error
		if !errors.As(err, &got) {
			t.Errorf("%s: got %v, want a refusal", a.name, err)
			continue
		}
		name, bad := nameOf(a.want)
		if got.Reason != a.want || got.Name != name || got.Bad != bad {
			t.Errorf("%s: got %s %q (%s), want %s (%s)", a.name, got.Name, got.Message, got.Reason, name, a.want)
		}
		if messages[got.Reason] == nil {
			messages[got.Reason] = map[string]bool{}
		}
		messages[got.Reason][got.Message] = true
	}
	// What the client is told must not depend on which keys there are, nor hold anything of the token.
	if got := messages[auth.ReasonSignature]; len(got) != 1 || !got["invalid signature"] {
		t.Errorf("bad signatures are told as %v", got)
	}
}

// Half of all signatures are: RFC 7518 asks for no low s. Revocations look at what a token says, not at its text.
func TestBothFormsOfACurvesSignatureAreGood(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	r, s := v.es256(t, es)
	checkMessage(t, v.tokens, with(es, raw64(r, s)), "")
	checkMessage(t, v.tokens, with(es, raw64(r, new(big.Int).Sub(elliptic.P256().Params().N, s))), "")
}

func TestWeakKeysAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	strong := rsaKey(t, 2048)
	der, err := x509.MarshalPKIXPublicKey(strong.Public())
	if err != nil {
		t.Fatal(err)
	}
	off := *ecdsaKey(t, elliptic.P256()).Public().(*ecdsa.PublicKey)
	off.Y = new(big.Int).Add(off.Y, big.NewInt(1)) //nolint:staticcheck // a point that is none
	for _, c := range []struct {
		make func() (auth.Key, error)
		want string
	}{
		{func() (auth.Key, error) { return auth.NewPublic(&rsa.PublicKey{N: strong.N, E: 1}) }, "RSA key with the exponent 1"},
		{func() (auth.Key, error) { return auth.NewPublic(&rsa.PublicKey{N: strong.N, E: 3}) }, "RSA key with the exponent 3"},
		{func() (auth.Key, error) { return auth.NewPublic(&rsa.PublicKey{N: strong.N, E: 65538}) }, "RSA key with the exponent 65538"},
		{func() (auth.Key, error) {
			return auth.NewPublic(&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 9000), E: 65537})
		}, "RSA key of 9001 bits is too large"},
		{func() (auth.Key, error) { return auth.NewPublic(&off) }, "ECDSA key that is no point of P-256"},
		{func() (auth.Key, error) { return auth.NewHMAC(der) }, "HMAC secret is a public key"},
	} {
		if _, err := c.make(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
}

func TestKeysAreReplacedWhileTokensAreVerified(t *testing.T) {
	t.Parallel()
	first, second := newHMAC(t, strings.Repeat("1", 32)), newHMAC(t, strings.Repeat("2", 32))
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{first}})
	before := sign(t, tokens, map[string]any{})
	if err := tokens.SetKeys([]auth.Key{second, first}); err != nil {
		t.Fatal(err)
	}
	after := sign(t, tokens, map[string]any{})
	checkMessage(t, tokens, before, "")
	checkMessage(t, newTokens(t, auth.Options{Keys: []auth.Key{second}}), after, "")
	if err := tokens.SetKeys([]auth.Key{second}); err != nil {
		t.Fatal(err)
	}
	checkMessage(t, tokens, before, "invalid signature")
	for name, keys := range map[string][]auth.Key{"no keys": nil, "too weak": {newHMAC(t, "short")}} {
		if err := tokens.SetKeys(keys); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
	checkMessage(t, tokens, after, "")
	if !tokens.CanSign() || newTokens(t, auth.Options{Keys: []auth.Key{newPublic(t, ed25519Key(t).Public())}}).CanSign() {
		t.Error("secrets sign, and public keys do not")
	}
}

// shelf is a source of keys that notes what it is asked for.
type shelf struct {
	keys  []auth.Key
	err   error
	asked []string
}

func (s *shelf) Keys(id string) ([]auth.Key, error) {
	s.asked = append(s.asked, id)
	return s.keys, s.err
}

func TestKeysOfASourceOnlyVerifyWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	private := ed25519Key(t)
	signing, own := newPrivate(t, private), newHMAC(t, secret)
	signing.ID, own.ID = "s1", "own"
	public := newPublic(t, private.Public())
	public.ID = "s1"
	s := &shelf{keys: []auth.Key{public}}
	token := sign(t, newTokens(t, auth.Options{Keys: []auth.Key{signing}}), map[string]any{})

	alone := newTokens(t, auth.Options{Source: s})
	checkMessage(t, alone, token, "")
	checkMessage(t, alone, hs256("{}"), "invalid algorithm")
	if _, err := alone.Sign(map[string]any{}, auth.SignOptions{}); !errors.Is(err, auth.ErrVerifyOnly) {
		t.Errorf("got %v, want %v", err, auth.ErrVerifyOnly)
	}
	both := newTokens(t, auth.Options{Keys: []auth.Key{own}, Source: s})
	checkMessage(t, both, token, "")
	s.asked = nil
	checkMessage(t, both, sign(t, both, map[string]any{}), "")
	checkMessage(t, both, forge(secret, `{"alg":"HS256","kid":"x"}`, "{}"), "invalid signature")
	if s.asked != nil {
		t.Errorf("the source was asked for %q, which is none of its algorithms", s.asked)
	}

	// What the source cannot find out must not cost the client its token.
	s.keys, s.err = nil, errors.New("unreachable")
	_, err := both.Verify(token)
	var got *auth.Error
	if !errors.As(err, &got) || got.Name != "AuthTokenError" || got.Reason != auth.ReasonKeys || got.Bad {
		t.Errorf("got %+v, want that the key is not known yet", got)
	}
	s.err = nil
	checkMessage(t, both, token, "invalid algorithm")
}

func TestMaxLifetimeIsToldWithItsLeeway(t *testing.T) {
	t.Parallel()
	key := newHMAC(t, secret)
	if got := newTokens(t, auth.Options{Keys: []auth.Key{key}}).MaxLifetime(); got != 0 {
		t.Errorf("got %v, want none", got)
	}
	o := auth.Options{Keys: []auth.Key{key}, MaxLifetime: time.Hour, Leeway: time.Minute}
	if got := newTokens(t, o).MaxLifetime(); got != time.Hour+8*time.Minute {
		t.Errorf("got %v, want 1h8m: iat is up to 6 minutes ahead, exp one too far, and past for one", got)
	}
	for payload, want := range map[string]string{
		`{"iat":1800000000,"exp":1800003660}`: "",
		`{"iat":1800000000,"exp":1800003661}`: "jwt lifetime is too long",
		`{"iat":1799996500,"exp":1800000161}`: "jwt lifetime is too long", // though it ends soon
		`{"iat":1800000360,"exp":1800004020}`: "",
		`{"iat":1800000000,"exp":1e400}`:      "jwt lifetime is too long",
		`{"exp":1800000001}`:                  "jwt iat is required",
		`{"iat":1800000000}`:                  "jwt expiry is required",
	} {
		checkMessage(t, newTokens(t, o), hs256(payload), want)
	}
	far := auth.Options{Keys: []auth.Key{key}, MaxLifetime: math.MaxInt64, Leeway: time.Minute}
	if got := newTokens(t, far).MaxLifetime(); got != math.MaxInt64 {
		t.Errorf("got %v, want the longest that there is", got)
	}
	o.MaxLifetime = -1
	if _, err := auth.New(o); err == nil || !strings.Contains(err.Error(), "MaxLifetime") {
		t.Errorf("got %v, want an error about MaxLifetime", err)
	}
}
