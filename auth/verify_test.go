package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein/auth"
)

// forge signs any header and payload with HS256.
func forge(secret, header, payload string) string {
	return seal(secret, encode(header)+"."+encode(payload))
}

func seal(secret, signed string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// hs256 signs a payload under the usual header.
func hs256(payload string) string {
	return forge(secret, `{"alg":"HS256","typ":"JWT"}`, payload)
}

// The tokens were made for a SocketCluster server 20.0.1, which gave these
// answers.
func TestTokensAreJudgedAsSocketClusterJudgesThem(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{
		Keys:      []auth.Key{newHMAC(t, "skein-golden-test-key", "HS256", "HS384", "HS512")},
		AllowWeak: true,
	})
	for name, c := range map[string]struct {
		token string
		want  auth.Error
	}{
		"valid": {"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImJvYiIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzk1MzU3MTYzfQ.bLQknm8C5vl1atrmMeU3nocp9ejIT-E5rB7hGe_p1_A", auth.Error{}},
		"HS512": {"eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImJvYiIsImV4cCI6NDEwMjQ0NDgwMCwiaWF0IjoxNzk1MzU3MTY1fQ.gbARi43GWrr7E3om1wWXSKgEZpH2VsFY97om8iXZ2HFnHy_xSN14ix6uYKKMEjpoCnHZ-idJukEALzc1kpb81Q", auth.Error{}},
		"expired": {
			"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImJvYiIsImV4cCI6MTUwMDAwMDAwMCwiaWF0IjoxNzk1MzU3MTY0fQ.E_jWAzF-tiQN5aTorGtO6QQKViAAZ-3EW7CGWXx1hQY",
			auth.Error{Name: "AuthTokenExpiredError", Message: "jwt expired", Bad: true, Expiry: time.Date(2017, 7, 14, 2, 40, 0, 0, time.UTC)},
		},
		"not before": {
			"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImJvYiIsIm5iZiI6NDEwMjQ0NDgwMCwiaWF0IjoxNzk1MzU3MTY0fQ.pn9_sbJbYiAzqS0VWWEsK_P42ahi7Qm2pHEXolMtEao",
			auth.Error{Name: "AuthTokenNotBeforeError", Message: "jwt not active", Date: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)},
		},
		"wrong key": {"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImJvYiIsImlhdCI6MTc5NTM1NzE2NH0.mwEKRbr2pmqCD0riG_8teO5WjMplI2eUXn6jhmqZchM", auth.Error{Name: "AuthTokenInvalidError", Message: "invalid signature", Bad: true}},
		"none":      {"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJ1c2VybmFtZSI6ImJvYiIsImlhdCI6MTc5NTM1NzE2NH0.", auth.Error{Name: "AuthTokenInvalidError", Message: "jwt signature is required", Bad: true}},
		"malformed": {"a.b.c", auth.Error{Name: "AuthTokenInvalidError", Message: "invalid token", Bad: true}},
		"garbage":   {"garbage", auth.Error{Name: "AuthTokenInvalidError", Message: "jwt malformed", Bad: true}},
		"empty":     {"", auth.Error{Name: "AuthTokenInvalidError", Message: "jwt must be provided", Bad: true}},
	} {
		claims, err := tokens.Verify(c.token)
		if c.want.Name == "" {
			var got struct{ Username string }
			if err != nil || claims.Decode(&got) != nil || got.Username != "bob" {
				t.Errorf("%s: got %+v and %v, want bob's claims", name, got, err)
			}
			continue
		}
		var got *auth.Error
		if !errors.As(err, &got) {
			t.Errorf("%s: got %v, want an *auth.Error", name, err)
			continue
		}
		same := got.Name == c.want.Name && got.Message == c.want.Message && got.Bad == c.want.Bad &&
			got.Expiry.Equal(c.want.Expiry) && got.Date.Equal(c.want.Date)
		if !same || err.Error() != c.want.Message {
			t.Errorf("%s: got %+v, want %+v", name, *got, c.want)
		}
	}
}

// Appendices A.1 and A.3 of RFC 7515.
func TestTokensOfTheStandardVerify(t *testing.T) {
	t.Parallel()
	decode := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	hmac := newHMAC(t, string(decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")))
	point := append([]byte{4}, decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
	point = append(point, decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	const payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	tokens := newTokens(t, auth.Options{
		Keys: []auth.Key{hmac, newPublic(t, public)},
		Now:  func() time.Time { return time.Unix(1300819380-1, 0) },
	})
	for _, token := range []string{
		"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + payload + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		"eyJhbGciOiJFUzI1NiJ9." + payload + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
	} {
		claims, err := tokens.Verify(token)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if want := "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"; string(claims.Raw) != want {
			t.Errorf("got %q, want %q", claims.Raw, want)
		}
		if want := time.Unix(1300819380, 0); !claims.Expiry.Equal(want) {
			t.Errorf("got expiry %v, want %v", claims.Expiry, want)
		}
	}
}

// Each token has a fault that its message names, and every fault further down.
func TestFirstFaultDecidesAboutTheMessage(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}, RequireExpiry: true, Issuer: "me", Audience: "you"})
	const header = `{"alg":"HS256"}`
	const early, late = `"nbf":1800000001,"exp":1800000000`, `"exp":1800000000,"iat":"x"`
	for _, c := range []struct{ token, want string }{
		{"", "jwt must be provided"},
		{"{}", "jwt malformed"},
		{encode(header) + "." + encode("{}"), "jwt malformed"},
		{hs256("{}") + ".", "jwt malformed"},
		{"..", "invalid token"},
		{"." + encode("{}") + ".", "invalid token"},
		{encode(header) + "..", "invalid token"},
		{encode("{") + "." + encode("{}") + ".", "invalid token"},
		{encode(header) + "." + encode("{") + ".", "invalid token"},
		{encode(`{"alg":"none"}`) + "." + encode("{"+early+"}") + ".", "jwt signature is required"},
		{encode(`{"alg":"none"}`) + "." + encode("{"+early+"}") + ".x", "invalid algorithm"},
		{encode(header) + "." + encode("{"+early+"}") + ".x", "invalid signature"},
		{encode(header) + "." + encode("{"+early+"}") + ".xxxx", "invalid signature"},
		{hs256(`{"nbf":"x",` + late + `}`), "invalid nbf value"},
		{hs256(`{` + early + `}`), "jwt not active"},
		{hs256(`{"exp":"x","iat":"x"}`), "invalid exp value"},
		{hs256(`{` + late + `}`), "jwt expired"},
		{hs256(`{"iat":"x"}`), "jwt expiry is required"},
		{hs256(`{"exp":1800000001,"iat":"x"}`), "invalid iat value"},
		{hs256(`{"exp":1800000001}`), "jwt audience invalid. expected: you"},
		{hs256(`{"exp":1800000001,"aud":"you"}`), "jwt issuer invalid. expected: me"},
		{hs256(`{"exp":1800000001,"aud":"you","iss":"me"}`), ""},
	} {
		checkMessage(t, tokens, c.token, c.want)
	}
}

func TestHeaderCannotChooseWhatIsTrusted(t *testing.T) {
	t.Parallel()
	rsa := rsaKey(t, 2048)
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	const claims = `{"sub":"mallory"}`
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `""`, `"null"`, `null`, `["HS256"]`, `["none"]`, `{}`, `0`, `true`, `"hs256"`, `"HS256 "`, `"HS384"`, `"HS512"`, `"RS256"`, `"EdDSA"`} {
		checkMessage(t, tokens, forge(secret, `{"alg":`+alg+`}`, claims), "invalid algorithm")
		checkMessage(t, tokens, encode(`{"alg":`+alg+`}`)+"."+encode(claims)+".", "jwt signature is required")
	}
	for _, c := range []struct{ header, want string }{
		{`{"typ":"JWT"}`, "invalid algorithm"},
		{`{"ALG":"HS256"}`, "invalid algorithm"},
		{`{"alg":"HS256","ALG":"none"}`, ""},
		{`{"alg":"HS256","alg":"none"}`, "invalid token"},
		{`{"alg":"none","alg":"HS256"}`, "invalid token"},
		{`{"alg":"HS256","crit":["b64"],"b64":false}`, "invalid token"},
		{`{"alg":"HS256","crit":[]}`, "invalid token"},
		{`{"alg":"HS256","crit":null}`, "invalid token"},
		{`{"alg":"HS256","kid":1}`, "invalid token"},
		{`{"alg":"HS256","kid":null}`, "invalid token"},
		{`{"alg":"HS256","kid":"../../dev/null"}`, ""},
		{`{"alg":"HS256","typ":7}`, "invalid token"},
		{`{"alg":"HS256","typ":"at+jwt"}`, ""},
		{`{"alg":"HS256","b64":true}`, ""},
		{`null`, "invalid token"},
		{`[]`, "invalid token"},
		{`"alg"`, "invalid token"},
		{`{"alg":"HS256"} x`, "invalid token"},
		{"{\"alg\":\"HS256\",\"x\":\"\xff\"}", "invalid token"},
	} {
		checkMessage(t, tokens, forge(secret, c.header, claims), c.want)
	}
	signed := encode(`{"alg":"HS256","jwk":{"kty":"oct","k":"`+encode("mine")+`"},"jku":"http://127.0.0.1/","x5u":"http://127.0.0.1/","x5c":["AA=="]}`) + "." + encode(claims)
	checkMessage(t, tokens, seal("mine", signed), "invalid signature")
	checkMessage(t, tokens, seal(secret, signed), "")

	public := encodePEM(t, "PUBLIC KEY", marshalPKIX(t, rsa.Public()), nil)
	verifier := newTokens(t, auth.Options{Keys: []auth.Key{newPublic(t, rsa.Public())}})
	block, _ := pem.Decode(public)
	for _, known := range []string{string(public), strings.TrimSpace(string(public)), string(block.Bytes)} {
		checkMessage(t, verifier, forge(known, `{"alg":"HS256"}`, claims), "invalid algorithm")
		checkMessage(t, verifier, forge(known, `{"alg":"RS256"}`, claims), "invalid signature")
	}
}

func TestTokenCanBeWrittenInOneWayOnly(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	good := hs256(`{"a":1}`)
	checkMessage(t, tokens, good, "")
	head, signature := good[:strings.LastIndexByte(good, '.')+1], good[strings.LastIndexByte(good, '.')+1:]

	// Of the last digit of 32 octets two bits are not used.
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, signature[42])
	for other := range len(digits) {
		want := "invalid signature"
		if other == last {
			want = ""
		}
		checkMessage(t, tokens, head+signature[:42]+digits[other:other+1], want)
	}
	for _, changed := range []string{good + "=", good + "\n", " " + good, "\r\n" + good, good + " ", head + "\n" + signature, head + " ", head + "+/" + signature, "Bearer " + good, good + "\x00", "é" + good} {
		checkMessage(t, tokens, changed, "invalid token")
	}
	for i := range signature {
		flipped := []byte(signature)
		flipped[i] = digits[(strings.IndexByte(digits, flipped[i])+32)%64]
		checkMessage(t, tokens, head+string(flipped), "invalid signature")
		checkMessage(t, tokens, head+signature[:i]+signature[i+1:], "invalid signature")
	}
}

func TestPayloadMustBeAnObject(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	for _, payload := range []string{"null", "[]", "1", `"text"`, "true", "{", "{}{}", "text", "\ufeff{}", "{\"a\":\"\xff\"}", "{'a':1}", `{"a":01}`} {
		checkMessage(t, tokens, hs256(payload), "invalid token")
	}
	for _, payload := range []string{"{}", " {\n} ", `{"exp ":1}`, `{"EXP":1}`, `{"":{"exp":1}}`, strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64), `{"a:a":"{\\\":[","b":{"a":1,"a":2}}`} {
		claims, err := tokens.Verify(hs256(payload))
		if err != nil || string(claims.Raw) != payload {
			t.Errorf("%.60q: got %.60q and %v, want it unchanged", payload, claims.Raw, err)
		}
	}
}

func TestDatesAreNumbers(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	for _, value := range []string{`null`, `"1900000000"`, `""`, `{}`, `[]`, `[1900000000]`, `true`, `false`} {
		for _, name := range []string{"exp", "nbf", "iat"} {
			checkMessage(t, tokens, hs256(`{"`+name+`":`+value+`}`), "invalid "+name+" value")
		}
	}
	for _, c := range []struct{ claims, want string }{
		{`"exp":1800000000`, "jwt expired"},
		{`"exp":1800000001`, ""},
		{`"exp":1800000000.5`, ""},
		{`"exp":1799999999.5`, "jwt expired"},
		{`"exp":18e8`, "jwt expired"},
		{`"exp":1.9E+9`, ""},
		{`"exp":0`, "jwt expired"},
		{`"exp":-0`, "jwt expired"},
		{`"exp":-1`, "jwt expired"},
		{`"exp":-62135596800`, "jwt expired"}, // Go's zero time
		{`"exp":-1e400`, "jwt expired"},
		{`"exp":1900000000000`, ""},
		{`"exp":1e18`, ""},
		{`"exp":1e400`, ""},
		{`"exp":1,"exp":1900000000`, "invalid token"},
		{`"exp":1900000000,"\u0065xp":1`, "invalid token"},
		{`"exp":1900000000,"Exp":1`, ""},
		{`"nbf":1800000000`, ""},
		{`"nbf":1800000000.5`, "jwt not active"},
		{`"nbf":1800000001`, "jwt not active"},
		{`"nbf":-1e400`, ""},
		{`"nbf":1e400`, "jwt not active"},
		{`"iat":1800000300`, ""}, // upstream does not look; this one must be met by revocations
		{`"iat":1800000301`, "jwt not active"},
		{`"iat":1800000000000`, "jwt not active"},
		{`"iat":-5`, ""},
	} {
		checkMessage(t, tokens, hs256(`{`+c.claims+`}`), c.want)
	}
}

func TestFarDatesCanBeCountedWith(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}, Leeway: time.Hour})
	claims, err := tokens.Verify(hs256(`{"exp":1e400,"nbf":-1e400}`))
	if err != nil {
		t.Fatal(err)
	}
	if !claims.Expiry.After(clock()) || claims.Expiry.Sub(clock()) <= 0 || !claims.NotBefore.Before(clock()) || claims.NotBefore.IsZero() {
		t.Errorf("got %v to %v, want a time before and one after now", claims.NotBefore, claims.Expiry)
	}
}

func TestLeewayIsGivenToBothSides(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}, Leeway: 10 * time.Second})
	for _, c := range []struct{ claims, want string }{
		{`"exp":1799999991`, ""},
		{`"exp":1799999990`, "jwt expired"},
		{`"nbf":1800000010`, ""},
		{`"nbf":1800000011`, "jwt not active"},
	} {
		checkMessage(t, tokens, hs256(`{`+c.claims+`}`), c.want)
	}
}

func TestClaimsTellTheirDates(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}})
	claims, err := tokens.Verify(hs256(`{"exp":1800000060.25,"nbf":1799999940,"iat":1799999880}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		got, want time.Time
	}{
		{"Expiry", claims.Expiry, clock().Add(60*time.Second + 250*time.Millisecond)},
		{"NotBefore", claims.NotBefore, clock().Add(-time.Minute)},
		{"IssuedAt", claims.IssuedAt, clock().Add(-2 * time.Minute)},
	} {
		if !c.got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
	none, err := tokens.Verify(hs256(`{}`))
	if err != nil || !none.Expiry.IsZero() || !none.NotBefore.IsZero() || !none.IssuedAt.IsZero() {
		t.Errorf("got %+v and %v, want zero times", none, err)
	}
	if err := none.Decode(&[]int{}); err == nil {
		t.Error("an object was decoded into a slice")
	}
}

func TestAudienceMayBeOneOfSeveral(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newHMAC(t, secret)}, Audience: "you"})
	for aud, good := range map[string]bool{
		`"you"`: true, `["you"]`: true, `["me","you"]`: true,
		`"me"`: false, `"You"`: false, `"you "`: false, `[]`: false, `["me"]`: false, `null`: false, `1`: false, `["you",1]`: false, `{"you":1}`: false,
	} {
		want := "jwt audience invalid. expected: you"
		if good {
			want = ""
		}
		checkMessage(t, tokens, hs256(`{"aud":`+aud+`}`), want)
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	key := func(id, secret string) auth.Key {
		k := newHMAC(t, strings.Repeat(secret, 32))
		k.ID = id
		return k
	}
	older, newer, nameless := key("a", "a"), key("b", "b"), key("", "c")
	tokens := newTokens(t, auth.Options{Keys: []auth.Key{newer, older, nameless}})
	by := func(secret, header string) string { return forge(strings.Repeat(secret, 32), header, "{}") }
	for _, c := range []struct{ token, want string }{
		{sign(t, tokens, map[string]any{}), ""},
		{sign(t, newTokens(t, auth.Options{Keys: []auth.Key{older}}), map[string]any{}), ""},
		{sign(t, newTokens(t, auth.Options{Keys: []auth.Key{nameless}}), map[string]any{}), ""},
		{by("a", `{"alg":"HS256"}`), ""},
		{by("b", `{"alg":"HS256"}`), ""},
		{by("a", `{"alg":"HS256","kid":"a"}`), ""},
		{by("a", `{"alg":"HS256","kid":""}`), ""},
		{by("a", `{"alg":"HS256","kid":"b"}`), "invalid signature"},
		{by("a", `{"alg":"HS256","kid":"unknown"}`), "invalid signature"},
		{by("c", `{"alg":"HS256","kid":"unknown"}`), ""}, // the issuer may have names of its own
		{by("d", `{"alg":"HS256"}`), "invalid signature"},
	} {
		checkMessage(t, tokens, c.token, c.want)
	}
	if got, want := strings.Split(sign(t, tokens, map[string]any{}), ".")[0], encode(`{"alg":"HS256","typ":"JWT","kid":"b"}`); got != want {
		t.Errorf("got header %s, want %s", got, want)
	}
}

func FuzzVerify(f *testing.F) {
	tokens := newTokens(f, auth.Options{Keys: []auth.Key{newHMAC(f, secret)}})
	for _, seed := range []string{"", ".", "..", "a.b.c", hs256("{}"), hs256(`{"exp":1e400}`), hs256("{}") + "=", encode(`{"alg":"none"}`) + ".e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := tokens.Verify(token)
		if err != nil {
			if message(t, err) == "" {
				t.Error("an error without a message")
			}
			return
		}
		if want := seal(secret, token[:strings.LastIndexByte(token, '.')]); token != want {
			t.Errorf("accepted %q, but %q would have been right", token, want)
		}
		if !json.Valid(claims.Raw) {
			t.Errorf("accepted a payload that is no JSON: %q", claims.Raw)
		}
	})
}

// Everything is signed well here, so that what lies behind the signature is
// reached.
func FuzzVerifySigned(f *testing.F) {
	tokens := newTokens(f, auth.Options{Keys: []auth.Key{newHMAC(f, secret)}})
	for _, payload := range []string{"{}", `{"exp":1800000000.5,"nbf":-1,"iat":1e400}`, `{"exp":null}`, "[]", "null", `{"a":"\ud800"}`} {
		f.Add(`{"alg":"HS256"}`, payload)
		f.Add(`{"alg":"HS256","kid":"x","crit":[]}`, payload)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		claims, err := tokens.Verify(forge(secret, header, payload))
		if err != nil {
			message(t, err)
			return
		}
		var h, p map[string]any
		if err := json.Unmarshal([]byte(header), &h); err != nil || h["alg"] != "HS256" || h["crit"] != nil {
			t.Errorf("accepted the header %q", header)
		}
		decoder := json.NewDecoder(strings.NewReader(payload))
		decoder.UseNumber()
		if err := decoder.Decode(&p); err != nil || p == nil || string(claims.Raw) != payload {
			t.Errorf("accepted the payload %q as %q: %v", payload, claims.Raw, err)
		}
		for _, name := range []string{"exp", "nbf", "iat"} {
			if v, ok := p[name]; ok && fmt.Sprintf("%T", v) != "json.Number" {
				t.Errorf("accepted %s of type %T", name, v)
			}
		}
		if !claims.Expiry.IsZero() && !claims.Expiry.After(clock()) || claims.NotBefore.After(clock()) {
			t.Errorf("accepted %q, good from %v to %v, at %v", payload, claims.NotBefore, claims.Expiry, clock())
		}
	})
}
