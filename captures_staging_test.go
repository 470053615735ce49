package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skeinrt/skein"
)

// staging is the server's side of a recording.
type staging struct {
	endpoint func(e *skein.Endpoint)
	plugin   func(h *skein.Host)
	cues     []cue
	// skip says why a recording is not compared, unordered why only as a set, and because why edit changes what is
	// wanted. Numbers are sections of protocol.md.
	skip, unordered, because string
	edit                     func(want []string) []string
}

// cue is something that the server's program did of itself: before is part of what was then sent.
type cue struct {
	before string
	do     act
}

type act = func(r *replayed, s *skein.Session) error

type raw = json.RawMessage

// staged lists the recordings that need a server's side, or a word about how they are compared.
func staged() map[string]staging {
	all := map[string]staging{}
	for dir, table := range map[string]map[string]staging{
		"server-20.0.1": stagedModern(), "server-14.7.2": stagedLegacy(), "cross": stagedCross(), "wslevel": stagedWS(), "golden": stagedGolden(),
	} {
		for name, set := range table {
			all[dir+"/"+name] = set
		}
	}
	return all
}

// without leaves out what contains one of the texts.
func without(texts ...string) func([]string) []string {
	return func(want []string) []string {
		return slices.DeleteFunc(slices.Clone(want), func(m string) bool {
			return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(m, text) })
		})
	}
}

// replaced replaces texts: pairs of old and new.
func replaced(pairs ...string) func([]string) []string {
	r := strings.NewReplacer(pairs...)
	return func(want []string) []string {
		out := make([]string, len(want))
		for i, m := range want {
			out[i] = r.Replace(m)
		}
		return out
	}
}

// jsError is an error as a program in JavaScript made it.
func jsError(name, message string, props map[string]any) *skein.Error {
	return &skein.Error{Name: name, Message: message, Props: props}
}

func calling(name string, data raw) act {
	return func(r *replayed, s *skein.Session) error {
		go func() { _, _ = s.Call(r.t.Context(), name, data) }() // what the client answers is not what is compared
		return nil
	}
}

func kick(channel, message string) act {
	return func(_ *replayed, s *skein.Session) error { return s.Kick(channel, message) }
}

func transmit(event string, data raw) act {
	return func(_ *replayed, s *skein.Session) error { return s.Transmit(event, data) }
}

func publish(channel, data string) act {
	return func(r *replayed, _ *skein.Session) error { return r.srv.Publish(r.t.Context(), channel, raw(data)) }
}

func setToken(claims string, expiry time.Duration) act {
	return func(r *replayed, s *skein.Session) error {
		return s.SetToken(r.t.Context(), raw(claims), skein.TokenOptions{Expiry: expiry})
	}
}

// doing is an act that cannot fail.
func doing(fn func(s *skein.Session)) act {
	return func(_ *replayed, s *skein.Session) error {
		fn(s)
		return nil
	}
}

func disconnect(code int, reason string) act {
	return doing(func(s *skein.Session) { s.Disconnect(code, reason) })
}

// refusing refuses the handshake with an error.
func refusing(err error) staging {
	return staging{plugin: func(h *skein.Host) {
		h.OnHandshake(func(context.Context, *skein.Event) error { return err })
	}}
}

func refusingUpgrades(err error) staging {
	return staging{plugin: func(h *skein.Host) {
		h.OnUpgrade(func(context.Context, *skein.Event) error { return err })
	}}
}

func refusingTokens(err error) staging {
	return staging{plugin: func(h *skein.Host) {
		h.OnAuthenticate(func(context.Context, *skein.Event) error { return err })
	}}
}

func (s staging) edited(because string, edit func([]string) []string) staging {
	s.because, s.edit = because, edit
	return s
}

func (s staging) anyOrder(why string) staging {
	s.unordered = why
	return s
}

// loginServer has the procedures login, loginack and logout.
func loginServer(h *skein.Host) {
	type user struct{ Username string }
	skein.Procedure(h, "login", func(ctx context.Context, s *skein.Session, in *user) (skein.Nothing, error) {
		if in != nil && in.Username != "" && in.Username != "bob" {
			return skein.Nothing{}, jsError("LoginError", "Login error", map[string]any{"isClientError": true})
		}
		return skein.Nothing{}, s.SetToken(ctx, map[string]string{"username": "bob"}, skein.TokenOptions{})
	})
	skein.Procedure(h, "loginack", func(ctx context.Context, s *skein.Session, _ raw) (string, error) {
		return "ok", s.SetToken(ctx, map[string]string{"username": "bob"}, skein.TokenOptions{Confirm: true})
	})
	skein.Procedure(h, "logout", func(ctx context.Context, s *skein.Session, _ raw) (skein.Nothing, error) {
		return skein.Nothing{}, s.RemoveToken(ctx, skein.TokenOptions{})
	})
}

func confirmingLoginServer(h *skein.Host) {
	confirm := skein.TokenOptions{Confirm: true}
	skein.Procedure(h, "login", func(ctx context.Context, s *skein.Session, _ raw) (string, error) {
		return "ok", s.SetToken(ctx, raw(`{"username":"bob","exp":4102444800,"iat":1500000000}`), confirm)
	})
	skein.Procedure(h, "logout", func(ctx context.Context, s *skein.Session, _ raw) (string, error) {
		return "bye", s.RemoveToken(ctx, confirm)
	})
}

// byName refuses by the name of the call or event, or of the channel.
func byName(errs map[string]error) func(ctx context.Context, e *skein.Event) error {
	return func(_ context.Context, e *skein.Event) error {
		if e.Name != "" {
			return errs[e.Name]
		}
		return errs[e.Channel]
	}
}

// rpcServer has a procedure for each kind of answer.
func rpcServer(h *skein.Host) {
	for name, data := range map[string]string{"ok": `{"sum":3}`, "nul": "null", "zero": "0", "twice": "1", "undef": "", "eundef": ""} {
		skein.Procedure(h, name, func(context.Context, *skein.Session, raw) (raw, error) { return rawOrNil(data), nil })
	}
	for name, err := range map[string]error{
		"err": errors.New("plain error"), "str": skein.ErrorText("string error"), "efunc": skein.ErrorText("[function foo]"),
		"custom":  jsError("CustomError", "custom msg", map[string]any{"code": 99, "list": []int{1}, "nested": map[string]int{"a": 1}}),
		"type":    errors.New("Cannot read properties of null (reading 'x')"),
		"errdata": jsError("CustomError", "custom msg", map[string]any{"code": 99}),
		"code":    errors.New("1234"),
	} {
		skein.Procedure(h, name, func(context.Context, *skein.Session, raw) (raw, error) { return nil, err })
	}
	skein.Procedure(h, "enull", func(context.Context, *skein.Session, raw) (raw, error) { return nil, nil })
}

// delivering withholds and changes messages, as the recordings' middleware did.
func delivering(h *skein.Host) {
	h.OnDeliver("foo", func(_ context.Context, e *skein.Event) error {
		switch string(e.Data) {
		case `"block"`:
			return errors.New("blocked")
		case `"mod"`:
			e.Data = raw(`"MOD"`)
		}
		return nil
	})
}

const invalidOrigin = "403 Failed to authorize socket handshake - Invalid origin: "

const loginOrder = "6, Ordering 3: a token event may come before or behind the answer to the login; clients tolerate both"

// stagedHandshakes are the upgrades, handshakes and tokens of server 20.
func stagedHandshakes() map[string]staging {
	return map[string]staging{
		"handshake-sc-refused-default":     refusing(jsError("CustomError", "go away", map[string]any{"foo": 42})),
		"handshake-sc-refused-status":      refusing(&skein.Error{Name: "CustomError", Message: "banned", Code: 4501}),
		"handshake-sc-refused-silent":      refusing(skein.Silent()),
		"handshake-ws-refused-http":        refusingUpgrades(jsError("X", "no ws for you", nil)),
		"handshake-ws-refused-silent-http": refusingUpgrades(skein.Silent()),
		"handshake-http-paths": staging{}.edited("16.10: unknown paths are 404; security.md: a wrong version is 426; the words are ours", replaced(
			"400 Bad Request", "404 404 page not found",
			"400 Missing or invalid Sec-WebSocket-Version header", "426 WebSocket version 13 only",
			"400 Missing or invalid Sec-WebSocket-Key header", "400 Sec-WebSocket-Key must be 16 octets in base64",
			"400 Invalid Upgrade header", "426 This path speaks WebSocket: connect with ws:// or wss://")),
		"handshake-origin": staging{}.edited("16.2: upstream found an entry anywhere in the list's text", func(want []string) []string {
			for i, origin := range []string{"http://evil.com", "*", "*", "not a url"} {
				want[4+i] = invalidOrigin + origin
			}
			return want
		}),
		"handshake-origin-simple": staging{}.edited("16.2: the same", func(want []string) []string {
			want[6], want[8] = invalidOrigin+"http://ample.com", invalidOrigin+"http://le.com:80"
			return want
		}),
		"handshake-token-hs512": {skip: "16.9: a shared key verifies HS256 only"},

		"authenticate-token-hs512":       {skip: "16.9: a shared key verifies HS256 only"},
		"authenticate-mw-block":          refusingTokens(jsError("AuthMwError", "user disabled", nil)),
		"authenticate-mw-block-badtoken": refusingTokens(&skein.Error{Name: "AuthMwError", Message: "token revoked", BadToken: true}),
		"authenticate-mw-block-silent":   refusingTokens(skein.Silent()),
	}
}

func stagedModern() map[string]staging {
	subError := jsError("SubError", "not allowed", map[string]any{"code": 7})
	all := map[string]staging{
		"login-procedure-setAuthToken":        staging{plugin: loginServer}.anyOrder(loginOrder),
		"client-deauthenticate":               staging{plugin: loginServer}.anyOrder(loginOrder),
		"reconnect-with-saved-token":          staging{plugin: loginServer}.anyOrder(loginOrder),
		"setAuthToken-rejectOnFailedDelivery": {plugin: confirmingLoginServer},
		"subscribe-data-priority-waitForAuth": staging{plugin: loginServer}.anyOrder(loginOrder),
		"token-expired-publish-subscribe-mw-sees-error": {plugin: func(h *skein.Host) {
			h.OnSubscribe("*", func(_ context.Context, e *skein.Event) error {
				if e.Expired != nil {
					return e.Expired
				}
				return nil
			})
		}},

		"client-ping-timeout-4000": {skip: "it needs a ping interval longer than the time-out, which Start refuses"},
		"inbound-raw-mw-block": {endpoint: func(e *skein.Endpoint) {
			e.Inbound = func(_ context.Context, _ *skein.Session, m skein.RawMessage) error {
				if strings.Contains(string(m.Raw), "drop") {
					return errors.New("dropped")
				}
				return nil
			}
		}},

		"subscribe-blocked": {plugin: func(h *skein.Host) {
			h.OnSubscribe("*", byName(map[string]error{
				"e": subError, "silent": skein.Silent(), "silentprop": &skein.Error{Name: "Hidden", Message: "secret", Silent: true},
				"str": skein.ErrorText("just a string"),
			}))
		}},
	}
	for _, more := range []map[string]staging{stagedHandshakes(), stagedTraffic(), stagedActs()} {
		maps.Copy(all, more)
	}
	return all
}

// stagedTraffic are publications and calls.
func stagedTraffic() map[string]staging {
	return map[string]staging{
		"publish-blocked": {plugin: func(h *skein.Host) {
			h.OnPublish("*", byName(map[string]error{"e": jsError("PubError", "cannot publish", nil), "silent": skein.Silent()}))
			h.OnPublish("mod", func(_ context.Context, e *skein.Event) error {
				e.Data = raw(`"modified"`)
				return nil
			})
		}},
		"publish-out-mw": staging{plugin: delivering}.anyOrder("12: PUBLISH_OUT ran behind the acknowledgement; our hooks run before it"),
		"order-of-replies": {plugin: func(h *skein.Host) {
			h.OnSubscribe("slow", func(context.Context, *skein.Event) error {
				pass(80 * time.Millisecond)
				return nil
			})
		}},
		"batching-runtime": {plugin: func(h *skein.Host) {
			h.OnConnect(func(_ context.Context, e *skein.Event) error {
				e.Session.StartBatching()
				return nil
			})
		}},
		"rpc-client-to-server": staging{plugin: rpcServer}.edited("3: error:null is success, which we say without an error", replaced(`{"error":null,"rid":9}`, `{"rid":9}`)),
		"rpc-blocked": {plugin: func(h *skein.Host) {
			h.OnCall("*", byName(map[string]error{"e": jsError("E", "blocked", nil), "s": skein.Silent()}))
			h.OnTransmit("*", byName(map[string]error{"t": jsError("E", "blocked transmit", nil)}))
		}},
		"codec-minbin": {plugin: func(h *skein.Host) {
			skein.Procedure(h, "ok", func(context.Context, *skein.Session, raw) (raw, error) { return raw(`{"sum":3}`), nil })
			skein.Procedure(h, "undef", func(context.Context, *skein.Session, raw) (skein.Nothing, error) { return skein.Nothing{}, nil })
			skein.Procedure(h, "err", func(context.Context, *skein.Session, raw) (raw, error) {
				return nil, jsError("E", "boom", map[string]any{"code": 1})
			})
		}, cues: []cue{{"#setAuthToken", setToken(`{"username":"bob","exp":4102444800,"iat":1500000000}`, 0)}}},
		"max-payload": {skip: "the message that was too large is not in the recording; packets.txt has one"},
	}
}

// stagedActs are those in which the server did something of itself.
func stagedActs() map[string]staging {
	return map[string]staging{
		"kickout":                 {cues: []cue{{`"channel":"a"`, kick("a", "bye a")}, {`"channel":"b"`, kick("b", "")}, {`"channel":"c"`, doing(func(s *skein.Session) { s.KickAll("") })}}},
		"x-kickout-array":         {cues: []cue{{`"channel":"a"`, kick("a", "both")}, {`"channel":"c"`, kick("c", "both")}}},
		"kickout-not-subscribed":  {cues: []cue{{"#kickOut", doing(func(s *skein.Session) { _ = s.Kick("nope", "m") })}}},
		"server-exchange-publish": {cues: []cue{{`"from":"server"`, publish("foo", `{"from":"server"}`)}, {`"two"`, publish("foo", `"two"`)}}},
		"server-socket-transmit-publish-not-subscribed": {cues: []cue{{"zzz", transmit("#publish", raw(`{"channel":"zzz","data":1}`))}}},
		"rpc-builtin-reserved-to-client":                {skip: "it tests the client with packets that the server is made to send"},
		"rpc-pending-on-disconnect":                     {cues: []cue{{"close 4200", disconnect(4200, "server bye")}}},
		"rpc-server-to-client": {cues: []cue{
			{`"event":"ok"`, calling("ok", raw("5"))},
			{`"event":"ok"`, calling("ok", nil)},
			{`"event":"bad"`, calling("bad", raw("5"))},
			{`"event":"none"`, calling("none", raw("5"))},
			{`"event":"ev"`, transmit("ev", raw(`{"a":1}`))},
			{`"event":"ev"`, transmit("ev", nil)},
		}},
		"server-close":                  {skip: "9: upstream cuts TCP where we close with 1001"},
		"server-disconnect-default":     {cues: []cue{{"close 1000", disconnect(0, "")}}},
		"server-disconnect-code-reason": {cues: []cue{{"close 4500", disconnect(4500, "permanently")}}},
		"server-terminate-1006":         {cues: []cue{{"cut", doing((*skein.Session).Terminate)}}},
		"v1-client-frames-to-v2-server": {skip: "a matter of ping times, which liveness.txt has: the other generation's pong is a sign of life as any message"},
		"v2-client-frames-to-v1-server": {skip: "the same"},
		"x-close-reason-too-long":       {skip: "16.3: the reason is cut, where upstream throws"},
		"x-disconnect-invalid-code":     {skip: "9: upstream throws"},
		"x-deauthenticate-when-not-authenticated": {cues: []cue{{"#removeAuthToken", func(r *replayed, s *skein.Session) error {
			return s.RemoveToken(r.t.Context(), skein.TokenOptions{})
		}}}},
		"x-json-number-and-key-normalisation":         {skip: "3: payloads are passed through unchanged, where JavaScript loses digits"},
		"x-server-batch-then-disconnect-loses-buffer": {skip: "what was batched is flushed before the close, where upstream loses it"},
		"x-setAuthToken-payload-and-default-expiry": {cues: []cue{
			{`"#setAuthToken"`, setToken(`{"username":"a","channels":["x"]}`, 0)},
			{`"#setAuthToken"`, setToken(`{"username":"a"}`, 5*time.Second)},
			{`"#setAuthToken"`, setToken(`{"username":"a","exp":4102444800}`, 5*time.Second)},
		}},
	}
}

// modern says what a server up to 14 said in the words of later ones, where protocol.md has a "legacy" note or a row of
// 14: no #disconnect, no data in #removeAuthToken, which comes behind a bad token's answer; isBadToken; no data beside an
// error but a close code, which stands in the error too; silent refusals.
func modern(want []string) []string {
	var out []string
	for _, m := range want {
		var p map[string]any
		if json.Unmarshal([]byte(m), &p) == nil {
			if p["event"] == "#disconnect" {
				continue
			}
			modernPacket(p)
			b, _ := json.Marshal(p) // it was JSON
			m = string(b)
		}
		for old, now := range map[string][2]string{
			"handshakeWS": {"handshakeWS", "handshake"}, "handshakeSC": {"handshakeSC", "handshake"}, "emit": {"invoke", "inbound"},
			"subscribe": {"subscribe", "inbound"}, "publishIn": {"publishIn", "inbound"},
		} {
			m = strings.Replace(m, "Action was silently blocked by "+old+" middleware", "The "+now[0]+" AGAction was blocked by "+now[1]+" middleware", 1)
			m = strings.Replace(m, `"type":"`+old+`"`, `"type":"`+now[1]+`"`, 1)
		}
		out = append(out, m)
	}
	return removedBehind(out)
}

// removedBehind puts #removeAuthToken behind the answer that says why.
func removedBehind(want []string) []string {
	for i := 1; i < len(want); i++ {
		if want[i-1] == `{"event":"#removeAuthToken"}` && strings.Contains(want[i], `"isBadToken":true`) {
			want[i-1], want[i] = want[i], want[i-1]
			i++
		}
	}
	return want
}

func modernPacket(p map[string]any) {
	if p["event"] == "#removeAuthToken" {
		delete(p, "data")
	}
	data, _ := p["data"].(map[string]any)
	if problem, ok := p["error"].(map[string]any); ok {
		if code := data["code"]; code != nil {
			problem["statusCode"] = code // protocol 1 keeps the one beside it, too
			return
		}
		if data["authError"] != nil {
			problem["isBadToken"] = true
		}
		delete(p, "data")
		return
	}
	problem, _ := data["authError"].(map[string]any)
	if name, _ := problem["name"].(string); strings.HasPrefix(name, "AuthToken") {
		problem["isBadToken"] = name != "AuthTokenNotBeforeError"
	}
}

// stagedLegacy has words about the recordings of server 14.7.2, compared where protocol.md's section 14 and its legacy
// notes say nothing else (16.12).
func stagedLegacy() map[string]staging {
	all := map[string]staging{
		"after-handshake-odd-frames": staging{}.edited("3: cid 0 is answered and a text is no cid, since 18.1", func(want []string) []string {
			return append(without(`"rid":"s"`)(want)[:1:1], `{"rid":0}`, `{"rid":40}`)
		}),
		"authenticate-mw-block": refusingTokens(jsError("AuthMwError", "user disabled", nil)),
		"authenticate-mw-block-badtoken": refusingTokens(&skein.Error{Name: "AuthMwError", Message: "token revoked", BadToken: true}).edited("14: isBadToken", func(want []string) []string {
			return removedBehind(replaced(`{"message":"token revoked"`, `{"isBadToken":true,"message":"token revoked"`)(want))
		}),
		"authenticate-null": staging{}.edited("14: #authenticate without a cid is closed with 4008", func(want []string) []string { return append(want[:len(want)-1:len(want)-1], "close 4008 ") }),

		"before-handshake-array-handshake":      {skip: "14: array handshake"},
		"before-handshake-handshake-cid-0":      {skip: "14: handshake answers"},
		"before-handshake-handshake-cid-string": {skip: "14: since 18.1 a text is no cid"},
		"before-handshake-handshake-no-cid":     {skip: "14: since 18.1 it is closed with 4008"},
		"double-handshake":                      {skip: "4: up to 14 the second is ignored"},
		"client-ping-timeout-4000":              {skip: "it needs a ping interval longer than the time-out, which Start refuses"},
		"client-disconnect-default":             {skip: "9: it closed upon #disconnect, where we wait for the close"},
		"client-disconnect-code-reason":         {skip: "9: it closed upon #disconnect, where we wait for the close"},
		"raw-hash-disconnect":                   {skip: "16.8: #disconnect is recorded, and the connection stays open"},
		"publish-invalid":                       {skip: "6: legacy words"},
		"subscribe-odd":                         {skip: "6: legacy words, and a channel's name as bare data"},

		"handshake-http-paths": staging{}.edited("16.10: unknown paths are 404", replaced("400 Bad Request", "404 404 page not found")),

		"handshake-sc-refused-default":     refusing(jsError("CustomError", "go away", map[string]any{"foo": 42})),
		"handshake-sc-refused-status":      refusing(&skein.Error{Name: "CustomError", Message: "banned", Code: 4501}),
		"handshake-sc-refused-silent":      refusing(skein.Silent()),
		"handshake-ws-refused-http":        refusingUpgrades(jsError("X", "no ws for you", nil)),
		"handshake-ws-refused-silent-http": refusingUpgrades(skein.Silent()),
		"login-procedure-setAuthToken": staging{plugin: loginServer}.edited("the program's error had no property", replaced(
			`"message":"Login error"`, `"isClientError":true,"message":"Login error"`)),
		"reconnect-with-saved-token": {plugin: loginServer},
		"subscribe-data-priority-waitForAuth-batch": staging{plugin: loginServer}.edited("10: legacy acknowledgements to an array came as an array", func(want []string) []string {
			i := slices.Index(want, `[{"rid":5},{"rid":6},{"rid":7}]`)
			return slices.Replace(slices.Clone(want), i, i+1, `{"rid":5}`, `{"rid":6}`, `{"rid":7}`)
		}),
		"subscribe-blocked":    stagedModern()["subscribe-blocked"],
		"publish-blocked":      stagedModern()["publish-blocked"].edited("6: legacy middleware could answer with data", replaced(`{"data":{"acked":1},"rid":5}`, `{"rid":5}`)),
		"publish-out-mw":       {plugin: delivering},
		"rpc-blocked":          stagedModern()["rpc-blocked"],
		"rpc-client-to-server": staging{plugin: rpcServer}.edited("an error of ours is an object or a text", replaced(`"error":1234`, `"error":{"message":"1234"}`)),
		"rpc-server-to-client": {cues: []cue{
			{`"event":"ok"`, calling("ok", raw("5"))},
			{`"event":"bad"`, calling("bad", raw("5"))},
			{`"event":"none"`, calling("none", raw("5"))},
			{`"event":"ev"`, transmit("ev", raw(`{"a":1}`))},
			{`"event":"ev"`, transmit("ev", nil)},
		}},
		"server-disconnect-default": staging{cues: []cue{{"#disconnect", disconnect(0, "")}}}.edited("9: legacy answered the client's #disconnect with a second close", firstClose),
		"server-disconnect-code-reason": staging{cues: []cue{{"#disconnect", disconnect(4500, "permanently")}}}.edited("9: the reason was in #disconnect", func(want []string) []string {
			return replaced("close 4500 ", "close 4500 permanently")(firstClose(want))
		}),
		"server-exchange-publish": {cues: []cue{{`"from":"server"`, publish("foo", `{"from":"server"}`)}}},
		"kickout":                 stagedActs()["kickout"],
		"codec-minbin":            {plugin: rpcServer},
	}
	return all
}

// firstClose leaves out what follows the first close.
func firstClose(want []string) []string {
	i := slices.IndexFunc(want, func(m string) bool { return strings.HasPrefix(m, "close ") })
	return want[:i+1]
}

func stagedCross() map[string]staging {
	server := func(result string) func(h *skein.Host) {
		return func(h *skein.Host) {
			skein.Procedure(h, "login", func(ctx context.Context, s *skein.Session, _ raw) (raw, error) {
				return rawOrNil(result), s.SetToken(ctx, map[string]string{"username": "bob"}, skein.TokenOptions{})
			})
			skein.Procedure(h, "fail", func(context.Context, *skein.Session, raw) (raw, error) { return nil, jsError("NopeError", "nope", nil) })
		}
	}
	all := map[string]staging{
		"client-14.3.2-to-server-20.0.1-protocolVersion1": staging{plugin: server(""), cues: []cue{
			{"#kickOut", kick("foo", "bye")}, {"close 4444", disconnect(4444, "server reason")},
		}}.anyOrder(loginOrder),
		"client-20.0.2-protocolVersion1-to-server-14.7.2": staging{plugin: server(""), cues: []cue{{"#disconnect", disconnect(4444, "x")}}}.edited(
			"9: the reason was in #disconnect", replaced("close 4444 ", "close 4444 x")),
	}
	for _, client := range []string{
		"5.5.2-to-server-20.0.1-protocolVersion1", "8.0.2-to-server-20.0.1-protocolVersion1", "10.1.2-to-server-20.0.1-protocolVersion1",
		"13.0.1-to-server-20.0.1-protocolVersion1", "15.1.0-to-server-20.0.1", "18.3.0-to-server-20.0.1",
	} {
		all["client-"+client] = staging{plugin: server(`{"ok":1}`)}.anyOrder(loginOrder)
	}
	return all
}

func stagedWS() map[string]staging {
	return map[string]staging{"ws-level-server-20.0.1": {skip: "frames are the matter of internal/ws and its tests"}}
}

func stagedGolden() map[string]staging {
	return map[string]staging{
		"rooms": {cues: []cue{{"#kickOut", kick("room", "closing time")}, {"close 4500", disconnect(4500, "good night")}}},
		"login": {plugin: loginServer},
		"calls": {plugin: rpcServer, cues: []cue{{`"event":"weather"`, calling("weather", raw(`"Oslo"`))}}},
	}
}
