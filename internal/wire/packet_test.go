package wire

import (
	"math"
	"slices"
	"testing"
)

// decoding is a JSON message of one packet and what it says.
type decoding struct{ name, message, want string }

// packetTable holds packets of each sort; both the decoder and the oracle of the fuzzers are held to it.
func packetTable() []decoding {
	return slices.Concat(events(), repeatedKeys(), callNumbers(), responses(), authentications(), channelPackets())
}

func events() []decoding {
	return []decoding{
		{"transmit", `{"event":"e","data":{"a":1}}`, `Event "e" data={"a":1}`},
		{"call", `{"event":"e","data":[1],"cid":3}`, `Event "e" cid=3 data=[1]`},
		{"call in the server's order of keys", `{"event":"e","cid":3,"data":[1]}`, `Event "e" cid=3 data=[1]`},
		{"data first", `{"data":{"channel":"c","data":1},"cid":3,"event":"#publish"}`, `Publish cid=3 data={"channel":"c","data":1} payload=1 channel="c"`},
		{"no data", `{"event":"e"}`, `Event "e"`},
		{"null data", `{"event":"e","data":null}`, `Event "e" data=null`},
		{"empty name", `{"event":""}`, `Event ""`},
		{"names of JavaScript", `{"event":"__proto__"}`, `Event "__proto__"`},
		{"unknown reserved name", `{"event":"#gap"}`, `Event "#gap"`},
		{"wrong case", `{"event":"#Publish"}`, `Event "#Publish"`},
		{"keys in the wrong case", `{"Event":"e","EVENT":"e"}`, `Raw`},
		{"event that is no string", `{"event":5}`, `Raw`},
		{"null event", `{"event":null,"rid":1}`, `Response rid=1`},
		{"unknown keys", `{"x":{"event":"no"},"event":"e","y":[{}],"data":1}`, `Event "e" data=1`},
		{"event and rid", `{"rid":1,"event":"e"}`, `Event "e"`},
		{"number as event and rid", `{"rid":1,"event":1}`, `Response rid=1`},
		{"escaped name", `{"event":"\u0061\"b\ud83d\ude00"}`, `Event "a\"b😀"`},
		{"escaped reserved name", `{"event":"\u0023publish"}`, `Publish`},
		{"escaped keys", `{"\u0065vent":"e","d\u0061ta":{"ch\u0061nnel":1},"cid":1}`, `Event "e" cid=1 data={"ch\u0061nnel":1}`},
		{"escaped key in data", `{"event":"#publish","data":{"ch\u0061nnel":"c"}}`, `Publish data={"ch\u0061nnel":"c"} channel="c"`},
		{"key that ends like another", `{"\"event":"e"}`, `Raw`},
	}
}

// repeatedKeys: the last one counts.
func repeatedKeys() []decoding {
	return []decoding{
		{"two events", `{"event":"a","event":"b"}`, `Event "b"`},
		{"a string, then none", `{"event":"a","event":1}`, `Raw`},
		{"two data", `{"event":"#publish","data":{"channel":"a","data":1},"data":{"channel":"b"}}`, `Publish data={"channel":"b"} channel="b"`},
		{"an object, then a number", `{"event":"#publish","data":{"channel":"a"},"data":1}`, `Publish data=1`},
		{"two channels", `{"event":"#publish","data":{"channel":"a","channel":"b"}}`, `Publish data={"channel":"a","channel":"b"} channel="b"`},
		{"two channels, one no string", `{"event":"#publish","data":{"channel":"a","channel":1}}`, `Publish data={"channel":"a","channel":1}`},
		{"escaped and plain", `{"event":"a","\u0065vent":"b"}`, `Event "b"`},
	}
}

func callNumbers() []decoding {
	return []decoding{
		{"cid 0", `{"event":"e","cid":0}`, `Event "e" cid=0`},
		{"negative cid", `{"event":"e","cid":-7}`, `Event "e" cid=-7`},
		{"fraction", `{"event":"e","cid":1.5}`, `Event "e" cid=1.5`},
		{"exponent", `{"event":"e","cid":1E+2}`, `Event "e" cid=1E+2`},
		{"string cid", `{"event":"e","cid":"1"}`, `Event "e"`},
		{"null cid", `{"event":"e","cid":null}`, `Event "e"`},
		{"object cid", `{"event":"e","cid":{}}`, `Event "e"`},
		{"malformed cid", `{"event":"e","cid":01}`, `Raw`},
	}
}

func responses() []decoding {
	return []decoding{
		{"result", `{"rid":2}`, `Response rid=2`},
		{"result with data", `{"rid":2,"data":{"a":null}}`, `Response rid=2 data={"a":null}`},
		{"null result", `{"rid":2,"data":null}`, `Response rid=2 data=null`},
		{"failure", `{"rid":2,"error":{"message":"m"}}`, `Response rid=2 error={"message":"m"}`},
		{"failure with a string", `{"rid":2,"error":"m"}`, `Response rid=2 error="m"`},
		{"null error", `{"rid":2,"error":null,"data":1}`, `Response rid=2 data=1`},
		{"legacy failure", `{"rid":1,"error":{"name":"E"},"data":{"code":4008}}`, `Response rid=1 data={"code":4008} error={"name":"E"}`},
		{"fractional rid", `{"rid":-1.50}`, `Response rid=-1.50`},
		{"string rid", `{"rid":"2"}`, `Raw`},
		{"null rid", `{"rid":null}`, `Raw`},
		{"cid of a response", `{"rid":2,"cid":3}`, `Response rid=2`},
	}
}

func authentications() []decoding {
	return []decoding{
		{"handshake", `{"event":"#handshake","data":{"authToken":null},"cid":1}`, `Handshake cid=1 data={"authToken":null} token=null`},
		{"handshake with a token", `{"event":"#handshake","data":{"authToken":"a.b.c"},"cid":1}`, `Handshake cid=1 data={"authToken":"a.b.c"} token="a.b.c"`},
		{"handshake without data", `{"event":"#handshake","cid":1}`, `Handshake cid=1`},
		{"handshake with odd data", `{"event":"#handshake","data":[{"authToken":"x"}],"cid":1}`, `Handshake cid=1 data=[{"authToken":"x"}]`},
		{"authenticate", `{"event":"#authenticate","data":"a.b.c","cid":2}`, `Authenticate cid=2 data="a.b.c" token="a.b.c"`},
		{"authenticate with nothing", `{"event":"#authenticate","cid":2}`, `Authenticate cid=2`},
		{"authenticate with null", `{"event":"#authenticate","data":null,"cid":2}`, `Authenticate cid=2 data=null token=null`},
		{"setAuthToken", `{"event":"#setAuthToken","data":{"token":"a.b.c"},"cid":1}`, `SetAuthToken cid=1 data={"token":"a.b.c"} token="a.b.c"`},
		{"removeAuthToken", `{"event":"#removeAuthToken"}`, `RemoveAuthToken`},
		{"legacy removeAuthToken", `{"event":"#removeAuthToken","data":null}`, `RemoveAuthToken data=null`},
		{"disconnect", `{"event":"#disconnect","data":{"code":4500,"data":"bye"}}`, `Disconnect data={"code":4500,"data":"bye"}`},
	}
}

func channelPackets() []decoding {
	return []decoding{
		{
			"subscribe", `{"event":"#subscribe","data":{"channel":"foo","waitForAuth":true,"data":{"k":"v"}},"cid":2}`,
			`Subscribe cid=2 data={"channel":"foo","waitForAuth":true,"data":{"k":"v"}} payload={"k":"v"} channel="foo" waitForAuth`,
		},
		{"subscribe without waiting", `{"event":"#subscribe","data":{"channel":"foo","waitForAuth":false}}`, `Subscribe data={"channel":"foo","waitForAuth":false} channel="foo"`},
		{"subscribe to a bare string", `{"event":"#subscribe","data":"foo","cid":2}`, `Subscribe cid=2 data="foo"`},
		{"subscribe to nothing", `{"event":"#subscribe","cid":2}`, `Subscribe cid=2`},
		{"subscribe to a number", `{"event":"#subscribe","data":{"channel":5},"cid":2}`, `Subscribe cid=2 data={"channel":5}`},
		{"subscribe to an array", `{"event":"#subscribe","data":["foo"],"cid":2}`, `Subscribe cid=2 data=["foo"]`},
		{"empty channel", `{"event":"#subscribe","data":{"channel":""}}`, `Subscribe data={"channel":""} channel=""`},
		{"channel of JavaScript", `{"event":"#subscribe","data":{"channel":"constructor"}}`, `Subscribe data={"channel":"constructor"} channel="constructor"`},
		{"channel with escapes", `{"event":"#unsubscribe","data":"a\n\/\\\b\f\r\t\u00e9"}`, `Unsubscribe data="a\n\/\\\b\f\r\t\u00e9" channel="a\n/\\\b\f\r\té"`},
		{"unsubscribe", `{"event":"#unsubscribe","data":"foo","cid":9}`, `Unsubscribe cid=9 data="foo" channel="foo"`},
		{"unsubscribe with an object", `{"event":"#unsubscribe","data":{"channel":"foo"}}`, `Unsubscribe data={"channel":"foo"}`},
		{"publish", `{"event":"#publish","data":{"channel":"c","data":"two"}}`, `Publish data={"channel":"c","data":"two"} payload="two" channel="c"`},
		{"publish undefined", `{"event":"#publish","data":{"channel":"c"}}`, `Publish data={"channel":"c"} channel="c"`},
		{"publish null", `{"event":"#publish","data":{"channel":"c","data":null}}`, `Publish data={"channel":"c","data":null} payload=null channel="c"`},
		{"publish with extra keys", `{"event":"#publish","data":{"x":{"channel":"no"},"channel":"c"}}`, `Publish data={"x":{"channel":"no"},"channel":"c"} channel="c"`},
		{"publish to a bare string", `{"event":"#publish","data":"c"}`, `Publish data="c"`},
		{"kickOut", `{"event":"#kickOut","data":{"channel":"a","message":"bye"}}`, `KickOut data={"channel":"a","message":"bye"} channel="a"`},
	}
}

func TestPacketsAreDecodedAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	for _, tt := range packetTable() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := describeAll(JSON, []byte(tt.message)); got != tt.want {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.message, got, tt.want)
			}
			if got, _ := oracle([]byte(tt.message)); got != tt.want {
				t.Errorf("%s:\nthe oracle says %s, want %s", tt.message, got, tt.want)
			}
		})
	}
}

func TestReservedEventsKeepTheirNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"#handshake", "#authenticate", "#setAuthToken", "#removeAuthToken", "#subscribe", "#unsubscribe",
		"#publish", "#kickOut", "#disconnect",
	} {
		for _, c := range []Codec{JSON, MinBin} {
			p := only(t, c, c.AppendEvent(nil, name, nil, 0))
			if p.Event != name || p.Kind != kindByName(name) {
				t.Errorf("codec %v: got %s %q, want %q", c, kindName(p.Kind), p.Event, name)
			}
		}
	}
}

func TestNumberIsReadWhenItIsAPlainInteger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		number string
		want   uint64
		ok     bool
	}{
		{"0", 0, true},
		{"42", 42, true},
		{"18446744073709551615", math.MaxUint64, true},
		{"18446744073709551616", 0, false},
		{"-1", 0, false},
		{"1.0", 0, false},
		{"1e3", 0, false},
		{"", 0, false},
	} {
		got, ok := Number(tt.number).Uint64()
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: got %d, %v, want %d, %v", tt.number, got, ok, tt.want, tt.ok)
		}
	}
}
