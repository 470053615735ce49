package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// vector is a packet as sc-codec-min-bin 3 encodes it, and what that makes of the bytes again.
type vector struct {
	JSON    string `json:"json"`
	Hex     string `json:"hex"`
	Decoded string `json:"decoded"`
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	content, err := os.ReadFile("testdata/minbin.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	for line := range bytes.Lines(content) {
		var v vector
		if err := json.Unmarshal(line, &v); err != nil {
			tb.Fatal(err)
		}
		all = append(all, v)
	}
	if len(all) < 40 {
		tb.Fatalf("got only %d vectors", len(all))
	}
	return all
}

func (v vector) bytes(tb testing.TB) []byte {
	tb.Helper()
	raw, err := hex.DecodeString(v.Hex)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestMinBinEncodesToTheBytesOfTheOriginal(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		var packets [][]byte
		for p := range JSON.Packets([]byte(v.JSON)) {
			// The cid 0 means none here; everything else can be said.
			packet, ok := encode(MinBin, p)
			if !ok {
				t.Fatalf("%s: cannot be encoded", v.JSON)
			}
			packets = append(packets, packet)
		}
		got := packets[0]
		if strings.HasPrefix(v.JSON, "[") {
			got = MinBin.AppendBatch(nil, packets)
		}
		if hex.EncodeToString(got) != v.Hex {
			t.Errorf("%.300s:\ngot  %x\nwant %s", v.JSON, got, v.Hex)
		}
	}
}

func TestMinBinDecodesAsTheOriginalDoes(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		var want []Packet
		for p := range JSON.Packets([]byte(v.Decoded)) {
			want = append(want, p)
		}
		i := 0
		for got := range MinBin.Packets(v.bytes(t)) {
			if i == len(want) {
				t.Fatalf("%.300s: got more than %d packets", v.JSON, i)
			}
			samePacket(t, got, want[i])
			i++
		}
		if i != len(want) {
			t.Errorf("%.300s: got %d packets, want %d", v.JSON, i, len(want))
		}
	}
}

// samePacket compares JSON as values.
func samePacket(t *testing.T, got, want Packet) {
	t.Helper()
	for _, pair := range [][2][]byte{
		{got.CID, want.CID},
		{got.RID, want.RID},
		{got.Data, want.Data},
		{got.Error, want.Error},
		{got.Payload, want.Payload},
		{got.Token, want.Token},
	} {
		a, aok := meaning(pair[0])
		b, bok := meaning(pair[1])
		if (pair[0] == nil) != (pair[1] == nil) || aok && bok && !reflect.DeepEqual(a, b) {
			t.Errorf("got  %.300s\nwant %.300s\nbecause of %.200q and %.200q", describe(got), describe(want), pair[0], pair[1])
		}
	}
	if got.Kind != want.Kind || got.Event != want.Event || got.Channel != want.Channel || got.Named != want.Named ||
		got.WaitForAuth != want.WaitForAuth {
		t.Errorf("got  %.300s\nwant %.300s", describe(got), describe(want))
	}
}

func TestMinBinValuesBecomeJSON(t *testing.T) {
	t.Parallel()
	checkMessages(t, []message{
		{"positive fixint", "81a16592a1787f", `Event "x" data=127`},
		{"negative fixint", "81a16592a178e0", `Event "x" data=-32`},
		{"uint8", "81a16592a178ccff", `Event "x" data=255`},
		{"uint16", "81a16592a178cdffff", `Event "x" data=65535`},
		{"uint32", "81a16592a178ceffffffff", `Event "x" data=4294967295`},
		{"uint64", "81a16592a178cfffffffffffffffff", `Event "x" data=18446744073709551615`},
		{"int8", "81a16592a178d080", `Event "x" data=-128`},
		{"int8, positive", "81a16592a178d07f", `Event "x" data=127`},
		{"int16", "81a16592a178d18000", `Event "x" data=-32768`},
		{"int32", "81a16592a178d280000000", `Event "x" data=-2147483648`},
		{"int64", "81a16592a178d38000000000000000", `Event "x" data=-9223372036854775808`},
		{"int64, positive", "81a16592a178d37fffffffffffffff", `Event "x" data=9223372036854775807`},
		{"float32", "81a16592a178ca3dcccccd", `Event "x" data=0.10000000149011612`},
		{"float64", "81a16592a178cb3ff8000000000000", `Event "x" data=1.5`},
		{"whole float", "81a16592a178cb4000000000000000", `Event "x" data=2`},
		{"large float", "81a16592a178cb444b1ae4d6e2ef50", `Event "x" data=1e+21`},
		{"small float", "81a16592a178cb3e7ad7f29abcaf48", `Event "x" data=1e-7`},
		{"zero float", "81a16592a178cb0000000000000000", `Event "x" data=0`},
		{"not a number", "81a16592a178cb7ff8000000000000", `Event "x" data=null`},
		{"infinite", "81a16592a178cb7ff0000000000000", `Event "x" data=null`},
		{"infinite float32", "81a16592a178caff800000", `Event "x" data=null`},
		{"nil", "81a16592a178c0", `Event "x" data=null`},
		{"true", "81a16592a178c3", `Event "x" data=true`},
		{"false", "81a16592a178c2", `Event "x" data=false`},
		{"fixstr", "81a16592a178a22241", `Event "x" data="\"A"`},
		{"str8", "81a16592a178d90141", `Event "x" data="A"`},
		{"str16", "81a16592a178da000141", `Event "x" data="A"`},
		{"str32", "81a16592a178db0000000141", `Event "x" data="A"`},
		{"string that is not UTF-8", "81a16592a178a2ff41", `Event "x" data="` + "\uFFFD" + `A"`},
		{"bin8", "81a16592a178c403000102", `Event "x" data={"base64":true,"data":"AAEC"}`},
		{"bin16", "81a16592a178c5000100", `Event "x" data={"base64":true,"data":"AA=="}`},
		{"bin32", "81a16592a178c6000000020001", `Event "x" data={"base64":true,"data":"AAE="}`},
		{"empty bin", "81a16592a178c400", `Event "x" data={"base64":true,"data":""}`},
		{"fixext1", "81a16592a178d40102", `Event "x" data={"base64":true,"data":"Ag=="}`},
		{"fixext16", "81a16592a178d801" + strings.Repeat("00", 16), `Event "x" data={"base64":true,"data":"AAAAAAAAAAAAAAAAAAAAAA=="}`},
		{"ext8", "81a16592a178c7017f02", `Event "x" data={"base64":true,"data":"Ag=="}`},
		{"ext16", "81a16592a178c800010102", `Event "x" data={"base64":true,"data":"Ag=="}`},
		{"ext32", "81a16592a178c9000000010102", `Event "x" data={"base64":true,"data":"Ag=="}`},
		{"empty ext", "81a16592a178c70001", `Event "x" data={"base64":true,"data":""}`},
		{"array16", "81a16592a178dc000201c0", `Event "x" data=[1,null]`},
		{"array32", "81a16592a178dd0000000201c0", `Event "x" data=[1,null]`},
		{"map16", "81a16592a178de0001a16101", `Event "x" data={"a":1}`},
		{"map32", "81a16592a178df00000001a16101", `Event "x" data={"a":1}`},
		{"keys that are no strings", "81a16592a178860101c002c303ff04cb3ff800000000000005a20a2206", `Event "x" data={"1":1,"null":2,"true":3,"-1":4,"1.5":5,"\n\"":6}`},
	})
}

func TestMinBinPacketsAreThoseOfTheOriginal(t *testing.T) {
	t.Parallel()
	checkMessages(t, []message{
		{"no data", "81a16591a178", `Event "x"`},
		{"nil cid", "81a16593a17801c0", `Event "x" data=1`},
		{"fraction as cid", "81a16593a17801cb3ff8000000000000", `Event "x" cid=1.5 data=1`},
		{"too long event", "81a16595a1780102a16392c0c0", `Event "x" cid=2 data=1`},
		{"empty event", "81a16590", `Raw`},
		{"nil event", "81a165c0", `Raw`},
		{"event that is a string", "81a165a3616263", `Raw`},
		{"publish without data", "81a17091a3666f6f", `Publish data={"channel":"foo"} channel="foo"`},
		{"empty publish", "81a17090", `Publish data={}`},
		{"publish to a number", "81a1709205c0", `Publish data={"channel":5,"data":null} payload=null`},
		{"too long publish", "81a17094a1780102a163", `Publish cid=2 data={"channel":"x","data":1} payload=1 channel="x"`},
		{"short response", "81a1729105", `Response rid=5`},
		{"full response", "81a1729305c0c0", `Response rid=5 data=null`},
		{"failure", "81a1729305a165c0", `Response rid=5 data=null error="e"`},
		{"long keys", "84a56576656e74a178a46461746101a363696402a16102", `Event "x" cid=2 data=1`},
		{"event and response", "82a16593a1780102a17293030405", `Event "x" cid=2 data=5`},
		{"empty map", "80", `Raw`},
		{"ping", "a22331", `Ping`},
		{"pong", "a22332", `Pong`},
		{"another string", "a22333", `Raw`},
		{"number", "01", `Raw`},
		{"nil alone", "c0", `Raw`},
		{"empty array", "90", `Empty`},
		{"batch", "9281a16591a17881a1729105", "Event \"x\"\nResponse rid=5"},
		{"batch of all sorts", "96c00190a22331c400" + "81a16591a178", "Raw\nRaw\nRaw\nRaw\nRaw\nEvent \"x\""},
		{"array16 batch", "dc000181a16591a178", `Event "x"`},
	})
}

func TestMalformedMinBinIsOneRawPacket(t *testing.T) {
	t.Parallel()
	checkMessages(t, []message{
		{"nothing", "", `Raw`},
		{"unused byte", "c1", `Raw`},
		{"unused byte within", "81a16592a178c1", `Raw`},
		{"rubbish behind", "81a16591a178c0", `Raw`},
		{"rubbish behind a batch", "9181a16591a178c0", `Raw`},
		{"cut in a batch", "9281a16591a178", `Raw`},
		{"malformed element", "92c181a16591a178", `Raw`},
		{"malformed packet in a batch", "9281a165c181a16591a178", `Raw`},
		{"malformed value behind the names", "81a16594a1780102c1", `Raw`},
		{"array as key", "81a16592a178819001", `Raw`},
		{"bin as key", "81a16592a17881c40001", `Raw`},
		{"cut key", "81a16592a17881a261", `Raw`},
		{"cut number as key", "81a16592a17881cd61", `Raw`},
		{"number as key of a packet", "810102", `Raw`},
		{"map longer than the message", "df80000000a16101", `Raw`},
		{"array longer than the message", "81a16592a178ddffffffff01", `Raw`},
		{"string longer than the message", "81a16592a178dbffffffff41", `Raw`},
		{"bin longer than the message", "81a16592a178c6ffffffff41", `Raw`},
		{"ext longer than the message", "81a16592a178c9ffffffff0102", `Raw`},
		{"ext without its type", "81a16592a178c700", `Raw`},
		{"batch longer than the message", "ddffffffff81a16591a178", `Raw`},
		{"event longer than the message", "81a1659fa178", `Raw`},
		{"publish longer than the message", "81a1709fa178", `Raw`},
		{"publish with a malformed payload", "81a17092a178c1", `Raw`},
	})
}

// message is a min-bin message and what it says.
type message struct{ name, hex, want string }

func checkMessages(t *testing.T, messages []message) {
	t.Helper()
	for _, tt := range messages {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			raw, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			if got := describeAll(MinBin, raw); got != tt.want {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.hex, got, tt.want)
			}
		})
	}
}

func TestPrefixesOfAMinBinMessageAreMalformed(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		message := v.bytes(t)
		for end := range message {
			got := describeAll(MinBin, message[:end])
			if got != "Raw" {
				t.Fatalf("%x: got %s, want Raw", message[:end], got)
			}
		}
	}
}

func TestMinBinDepthIsBounded(t *testing.T) {
	t.Parallel()
	nested := func(depth int, level string) []byte {
		return []byte("\x81\xa1e\x92\xa1x" + strings.Repeat(level, depth) + "\xc0")
	}
	for name, level := range map[string]string{"arrays": "\x91", "maps": "\x81\xa1a"} {
		if p := only(t, MinBin, nested(maxDepth, level)); p.Kind != Event {
			t.Errorf("%d %s: got %s, want an event", maxDepth, name, kindName(p.Kind))
		}
		for _, depth := range []int{maxDepth + 1, 100_000} {
			if p := only(t, MinBin, nested(depth, level)); p.Kind != Raw {
				t.Errorf("%d %s: got %s, want Raw", depth, name, kindName(p.Kind))
			}
		}
	}
	batch := append([]byte(strings.Repeat("\x91", 100_000)), 0xc0)
	if p := only(t, MinBin, batch); p.Kind != Raw {
		t.Errorf("nested batches: got %s, want Raw", kindName(p.Kind))
	}
}

func TestDecodingMinBinAllocatesNoMoreThanTheInputWarrants(t *testing.T) {
	for name, message := range map[string]string{
		"array of nils":      "\x81\xa1e\x92\xa1x\xdd\x00\x01\x86\xa0" + strings.Repeat("\xc0", 100_000),
		"control characters": "\x81\xa1e\x92\xa1x\xdb\x00\x01\x86\xa0" + strings.Repeat("\x00", 100_000),
		"announced array":    "\x81\xa1e\x92\xa1x\xdd\xff\xff\xff\xff",
		"announced string":   "\x81\xa1e\x92\xa1x\xdb\xff\xff\xff\xff",
		"announced map":      "\xdf\xff\xff\xff\xff\xa1a\xdf\xff\xff\xff\xff",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for p := range MinBin.Packets([]byte(message)) {
			_ = p
		}
		runtime.ReadMemStats(&after)
		// Sixfold text, and what a growing slice leaves behind.
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(40*len(message)+1024); got > limit {
			t.Errorf("%s: got %d bytes for a message of %d, want at most %d", name, got, len(message), limit)
		}
	}
}

func TestTooDeepPayloadsLoseTheirDepthsInMinBin(t *testing.T) {
	t.Parallel()
	deep := func(levels int, core string) string {
		return strings.Repeat(`[1,`, levels) + core + strings.Repeat(`,[2]]`, levels)
	}
	for _, tt := range []struct{ text, want string }{
		{deep(maxDepth-1, `{"a":[]}`), deep(maxDepth-1, `{"a":null}`)},
		{deep(maxDepth-1, `{"a":{"b":[{},[[1,2]]]},"c":{}}`), deep(maxDepth-1, `{"a":null,"c":null}`)},
		{deep(maxDepth-1, `[{"base64":true,"data":"AA=="}]`), deep(maxDepth-1, `[{"base64":true,"data":"AA=="}]`)},
		{strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000), strings.Repeat(`[`, maxDepth) + `null` + strings.Repeat(`]`, maxDepth)},
	} {
		p := only(t, MinBin, MinBin.AppendPublish(nil, "c", []byte(tt.text)))
		if string(p.Payload) != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", around(tt.text), around(string(p.Payload)), around(tt.want))
		}
	}
}

// around is the middle of a long text.
func around(s string) string {
	return s[max(0, len(s)/2-100):min(len(s), len(s)/2+100)]
}

func TestPayloadsComeBackFromMinBinAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{`null`, ``},
		{` [ 1 , { "a" : "b" } ] `, `[1,{"a":"b"}]`},
		{`[ ]`, `[]`},
		{`{ }`, `{}`},
		{`[[],{},[{}]]`, ``},
		{`{"a":1,"a":2}`, ``},
		{`"\u00e9\ud83d\ude00\/\n"`, `"é😀/\n"`},
		{`"\ud800"`, `"` + "\uFFFD" + `"`},
		{`{"\"k\n":"v"}`, ``},
		{`-0`, `0`},
		{`1.0`, `1`},
		{`1e2`, `100`},
		{`1e999`, `null`},
		{`-1e999`, `null`},
		{`2147483648`, ``},
		{`9007199254740993`, `9007199254740992`},
		{`"` + strings.Repeat(`\n`, 31) + `"`, ``},
		{`"` + strings.Repeat(`x`, 70_000) + `"`, ``},
		{`"` + strings.Repeat(`\"`, 70_000) + `"`, ``},
		{`[` + strings.Repeat(`0,`, 70_000) + `0]`, ``},
		{`{"base64":true,"data":"AAEC+/8="}`, ``},
		{`{ "base64" : true , "data" : "AAEC" }`, `{"base64":true,"data":"AAEC"}`},
		{`[{"base64":true,"data":""},[1]]`, ``},
		{`{"base64":true,"data":"` + strings.Repeat(`AAAA`, 30_000) + `"}`, ``},
	} {
		want := tt.want
		if want == "" {
			want = tt.text
		}
		p := only(t, MinBin, MinBin.AppendPublish(nil, "c", []byte(tt.text)))
		if string(p.Payload) != want {
			t.Errorf("%.200s:\ngot  %.200s\nwant %.200s", tt.text, p.Payload, want)
		}
	}
}

func TestOnlyTheExactFormIsBinary(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text   string
		binary bool
	}{
		{`{"base64":true,"data":"AAEC"}`, true},
		{`{"base64":true,"data":""}`, true},
		{"{\n\"base64\": true,\n\"data\": \"AA==\"\n}", true},
		{`{"base64":true,"data":"AB=="}`, false}, // bits that an encoder leaves 0
		{`{"base64":true,"data":"AA"}`, false},
		{`{"base64":true,"data":"AAE"}`, false},
		{`{"base64":true,"data":"A==="}`, false},
		{`{"base64":true,"data":"===="}`, false},
		{`{"base64":true,"data":"AA==AA=="}`, false},
		{`{"base64":true,"data":"AA-_"}`, false},
		{`{"base64":true,"data":"AA\u0041A"}`, false},
		{`{"base64":true,"data":"AA\n=="}`, false},
		{`{"base64":true,"data":null}`, false},
		{`{"base64":true,"data":5}`, false},
		{`{"base64":true,"data":{}}`, false},
		{`{"base64":true}`, false},
		{`{"base64":false,"data":"AAEC"}`, false},
		{`{"base64":true,"data":"AAEC","x":1}`, false},
		{`{"data":"AAEC","base64":true}`, false},
		{`{"base64":true,"base64":true,"data":"AAEC"}`, false},
		{`{}`, false},
	} {
		encoded := MinBin.AppendPublish(nil, "c", []byte(tt.text))
		payload := bytes.TrimPrefix(encoded, []byte("\x81\xa1p\x92\xa1c"))
		if got := payload[0] == bin8; got != tt.binary {
			t.Errorf("%s: got %x, want binary %v", tt.text, payload, tt.binary)
		}
		// Whatever it became, it means the same again.
		got, _ := meaning(only(t, MinBin, encoded).Payload)
		want, _ := meaning([]byte(tt.text))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v back, want %v", tt.text, got, want)
		}
	}
}

func TestMalformedTextBecomesNil(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{`, `[1,`, `"a`, `{"a":}`, `nope`, "\"\xff\"", ` `} {
		if got := packText(nil, []byte(text)); !bytes.Equal(got, []byte{packNil}) {
			t.Errorf("%q: got %x, want nil", text, got)
		}
	}
	got := hex.EncodeToString(MinBin.AppendEvent(nil, "#publish", []byte(`{"channel":"c"`), 0))
	if want := "81a16592a8237075626c697368c0"; got != want {
		t.Errorf("malformed publication: got %s, want %s", got, want)
	}
}

func TestNumbersTakeTheWidthsOfMsgpackLite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		f    float64
		want string
	}{
		{0, "00"},
		{math.Copysign(0, -1), "00"},
		{127, "7f"},
		{128, "cc80"},
		{255, "ccff"},
		{256, "cd0100"},
		{65535, "cdffff"},
		{65536, "ce00010000"},
		{math.MaxInt32, "ce7fffffff"},
		{math.MaxInt32 + 1, "cb41e0000000000000"},
		{-1, "ff"},
		{-32, "e0"},
		{-33, "d0df"},
		{-128, "d080"},
		{-129, "d1ff7f"},
		{-32768, "d18000"},
		{-32769, "d2ffff7fff"},
		{math.MinInt32, "d280000000"},
		{math.MinInt32 - 1, "cbc1e0000000200000"},
		{0.5, "cb3fe0000000000000"},
		{math.Inf(1), "cb7ff0000000000000"},
	} {
		if got := hex.EncodeToString(packFloat(nil, tt.f)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.f, got, tt.want)
		}
	}
}
