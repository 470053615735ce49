package skein_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
)

const testKey = "a key of the tests, of 32 octets"

// newTokens are HS256 with a key.
func newTokens(t *testing.T, o auth.Options, key string) *auth.Tokens {
	t.Helper()
	k, err := auth.NewHMAC([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	o.Keys = []auth.Key{k}
	tokens, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// mint signs a token by hand, also one that nobody should accept.
func mint(alg, key string, claims map[string]any) string {
	enc := base64.RawURLEncoding
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed := enc.EncodeToString([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." + enc.EncodeToString(body)
	var sum func() hash.Hash
	switch alg {
	case "HS256":
		sum = sha256.New
	case "HS512":
		sum = sha512.New
	default:
		return signed + "."
	}
	mac := hmac.New(sum, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + enc.EncodeToString(mac.Sum(nil))
}

// tokensByName are what $name stands for in a scenario.
func tokensByName() map[string]string {
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	of := func(user string) string {
		return mint("HS256", testKey, map[string]any{"user": user, "exp": in(time.Hour)})
	}
	return map[string]string{
		"$bob": of("bob"), "$eve": of("eve"), "$banned": of("banned"), "$revoked": of("revoked"), "$quiet": of("quiet"), "$panic": of("panic"),
		"$soon":    mint("HS256", testKey, map[string]any{"user": "bob", "exp": in(5 * time.Second)}),
		"$expired": mint("HS256", testKey, map[string]any{"user": "bob", "exp": in(-time.Hour)}),
		"$future":  mint("HS256", testKey, map[string]any{"user": "bob", "nbf": in(time.Hour)}),
		"$forged":  mint("HS256", "another key, also of thirty-two o", map[string]any{"user": "bob"}),
		"$none":    mint("none", "", map[string]any{"user": "bob"}),
		"$hs512":   mint("HS512", testKey, map[string]any{"user": "bob"}),
	}
}

// verdict refuses names that begin with "no/".
func verdict(name string) error {
	what, no := strings.CutPrefix(name, "no/")
	if !no {
		return nil
	}
	switch what {
	case "silent":
		return skein.Silent()
	case "hidden":
		return &skein.Error{Name: "Hidden", Message: "a secret", Silent: true}
	case "text":
		return skein.ErrorText("just text")
	case "error":
		return &skein.Error{Name: "NoError", Message: "not allowed", Props: map[string]any{"code": 7}}
	case "panic":
		panic("as asked")
	default:
		return errors.New("not " + what)
	}
}

// fixture is the plugin that scenarios talk to.
func fixture() skein.Plugin {
	return skein.Func("fixture", func(_ context.Context, h *skein.Host) error {
		fixtureHooks(h)
		fixtureProcedures(h)
		h.Receive("note", func(ctx context.Context, _ *skein.Session, data json.RawMessage) error {
			return h.Publish(ctx, "notes", data)
		})
		h.Receive("panic", func(context.Context, *skein.Session, json.RawMessage) error { panic("as asked") })
		return nil
	})
}

func fixtureHooks(h *skein.Host) {
	h.OnUpgrade(func(_ context.Context, e *skein.Event) error { return verdict(e.Request.URL.Query().Get("upgrade")) })
	h.OnHandshake(func(_ context.Context, e *skein.Event) error {
		what := e.Session.Query().Get("handshake")
		if what == "no/status" {
			return &skein.Error{Name: "Banned", Message: "stay away", Code: 4501}
		}
		return verdict(what)
	})
	h.OnAuthenticate(judgeToken)
	h.OnSubscribe("*", judgeSubscription)
	h.OnPublish("*", judgePublication)
	h.OnDeliver("out/*", judgeDelivery)
	h.OnCall("*", func(_ context.Context, e *skein.Event) error {
		if e.Name == "edited" {
			e.Name, e.Data = "echo", json.RawMessage(`"edited"`) // the name is not the hook's to change
		}
		return verdict(e.Name)
	})
	h.OnTransmit("*", func(_ context.Context, e *skein.Event) error { return verdict(e.Name) })
}

func judgeToken(_ context.Context, e *skein.Event) error {
	var claims struct{ User string }
	if err := e.Token.Decode(&claims); err != nil {
		return err
	}
	switch claims.User {
	case "banned":
		return &skein.Error{Name: "BannedError", Message: "the user is banned"}
	case "revoked":
		return &skein.Error{Name: "RevokedError", Message: "the token is revoked", BadToken: true}
	case "quiet":
		return skein.Silent()
	case "panic":
		panic("as asked")
	}
	return nil
}

func judgeSubscription(_ context.Context, e *skein.Event) error {
	switch {
	case e.Channel == "slow":
		pass(80 * time.Millisecond)
	case e.Channel == "data":
		return errors.New("data " + string(e.Data))
	case e.Channel == "members" && e.Session.Token() == nil:
		if e.Expired != nil {
			return e.Expired
		}
		return errors.New("members only")
	}
	return verdict(e.Channel)
}

func judgePublication(_ context.Context, e *skein.Event) error {
	switch e.Channel {
	case "upper":
		e.Data = json.RawMessage(strings.ToUpper(string(e.Data)))
	case "old":
		e.Channel = "new"
	case "hop/1", "hop/2":
		e.Channel = map[string]string{"hop/1": "hop/2", "hop/2": "hop/3"}[e.Channel]
	case "broken":
		e.Data = json.RawMessage("{")
	}
	return verdict(e.Channel)
}

func judgeDelivery(_ context.Context, e *skein.Event) error {
	switch string(e.Data) {
	case `"block"`:
		return errors.New("not for you")
	case `"mine"`:
		e.Data, _ = json.Marshal(e.Session.Query().Get("name")) // a string
	case `"panic"`:
		panic("as asked")
	case `"leave"`:
		return e.Session.Kick(e.Channel, "")
	}
	return nil
}

func fixtureProcedures(h *skein.Host) {
	type raw = json.RawMessage
	serve := func(name string, fn func(ctx context.Context, s *skein.Session, in raw) (raw, error)) {
		skein.Procedure(h, name, fn)
	}
	serve("echo", func(_ context.Context, _ *skein.Session, in raw) (raw, error) { return in, nil })
	serve("edited", func(_ context.Context, _ *skein.Session, in raw) (raw, error) { return in, nil })
	serve("null", func(context.Context, *skein.Session, raw) (raw, error) { return raw("null"), nil })
	serve("bad", func(context.Context, *skein.Session, raw) (raw, error) { return raw("{"), nil })
	serve("fail", func(_ context.Context, _ *skein.Session, in raw) (raw, error) {
		var what string
		if err := json.Unmarshal(in, &what); err != nil {
			return nil, err
		}
		return nil, verdict("no/" + what)
	})
	serve("never", func(context.Context, *skein.Session, raw) (raw, error) { return nil, skein.ErrNoReply })
	serve("slow", func(_ context.Context, _ *skein.Session, in raw) (raw, error) {
		pass(time.Second)
		return in, nil
	})
	serve("wait", func(ctx context.Context, _ *skein.Session, _ raw) (raw, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	skein.Procedure(h, "nothing", func(context.Context, *skein.Session, raw) (skein.Nothing, error) { return skein.Nothing{}, nil })
	skein.Procedure(h, "add", func(_ context.Context, _ *skein.Session, in struct{ A, B int }) (map[string]int, error) {
		return map[string]int{"sum": in.A + in.B}, nil
	})
	skein.Procedure(h, "who", func(ctx context.Context, s *skein.Session, _ raw) (string, error) {
		if t := skein.FromContext(ctx).Token(); t != nil {
			return string(t.Claims), nil
		}
		return "nobody at " + s.Endpoint(), nil
	})
	skein.Procedure(h, "login", func(ctx context.Context, s *skein.Session, in struct{ User string }) (skein.Nothing, error) {
		if in.User != "bob" {
			return skein.Nothing{}, &skein.Error{Name: "LoginError", Message: "who is " + in.User + "?"}
		}
		return skein.Nothing{}, s.SetToken(ctx, map[string]any{"user": "bob"}, skein.TokenOptions{Expiry: time.Hour})
	})
	skein.Procedure(h, "logout", func(ctx context.Context, s *skein.Session, _ raw) (skein.Nothing, error) {
		return skein.Nothing{}, s.RemoveToken(ctx, skein.TokenOptions{})
	})
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// described is an error in full.
func described(err error) string {
	if e, ok := errors.AsType[*skein.Error](err); ok {
		b, _ := e.MarshalJSON() // never fails
		return string(b)
	}
	return fmt.Sprint(err)
}
