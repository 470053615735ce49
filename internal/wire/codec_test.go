package wire

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestCodecIsDetectedByTheFirstMessage(t *testing.T) {
	t.Parallel()
	handshake := "\x81\xa1e\x93\xaa#handshake\x81\xa9authToken\xc0\x01"
	for _, tt := range []struct {
		name   string
		binary bool
		data   string
		want   Codec
	}{
		{"text", false, `{"event":"#handshake"}`, JSON},
		{"text that looks like min-bin", false, handshake, JSON},
		{"JSON in a binary frame", true, `{"event":"#handshake"}`, JSON},
		{"JSON batch in a binary frame", true, `[{"event":"#handshake"}]`, JSON},
		{"empty binary frame", true, "", JSON},
		{"min-bin", true, handshake, MinBin},
		{"min-bin, cut short", true, "\x81\xa1", JSON},
		{"min-bin batch", true, "\x91" + handshake, MinBin},
		{"min-bin batch of fifteen", true, "\x9f" + handshake, MinBin},
		{"min-bin batch of sixteen", true, "\xdc\x00\x10" + handshake, MinBin},
		{"min-bin batch of many", true, "\xdd\x00\x01\x00\x00" + handshake, MinBin},
		{"batch cut short", true, "\xdc\x00\x10", JSON},
		{"long batch cut short", true, "\xdd\x00\x00\x00\x01", JSON},
		{"empty min-bin batch", true, "\x90", JSON},
		{"another map", true, "\x81\xa1x\xc0", JSON},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Detect(tt.binary, []byte(tt.data)); got != tt.want {
				t.Errorf("got codec %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOnlyMinBinTravelsInBinaryFrames(t *testing.T) {
	t.Parallel()
	if JSON.Binary() || !MinBin.Binary() {
		t.Errorf("got JSON %v, MinBin %v, want false, true", JSON.Binary(), MinBin.Binary())
	}
}

func TestEncodedPingsAreWhatOldPeersSend(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		codec      Codec
		ping, pong string
	}{
		{JSON, "2331", "2332"},
		{MinBin, "a22331", "a22332"},
	} {
		ping, pong := hex.EncodeToString(tt.codec.EncodedPing()), hex.EncodeToString(tt.codec.EncodedPong())
		if ping != tt.ping || pong != tt.pong {
			t.Errorf("codec %v: got ping %s, pong %s, want %s, %s", tt.codec, ping, pong, tt.ping, tt.pong)
		}
	}
	if got := describeAll(MinBin, MinBin.EncodedPing()); got != "Ping" {
		t.Errorf("got %s, want Ping", got)
	}
	if got := describeAll(MinBin, MinBin.EncodedPong()); got != "Pong" {
		t.Errorf("got %s, want Pong", got)
	}
}

func TestTextMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, message, want string }{
		{"nothing", ``, `Raw`},
		{"space only", ` `, `Raw`},
		{"a version 1 ping", `#1`, `Raw`},
		{"a quoted ping", `"#1"`, `Raw`},
		{"a third-party ping", `PING`, `Raw`},
		{"a number", `1`, `Raw`},
		{"null", `null`, `Raw`},
		{"a string", `"{}"`, `Raw`},
		{"an empty object", `{}`, `Raw`},
		{"an unknown object", `{"a":{"event":"x"}}`, `Raw`},
		{"a byte order mark", "\uFEFF" + `{"event":"x"}`, `Raw`},
		{"a non-breaking space", "\u00a0" + `{"event":"x"}`, `Raw`},
		{"a form feed", "\f" + `{"event":"x"}`, `Raw`},
		{"leading space", " \n\r\t" + `{"event":"x"}`, `Event "x"`},
		{"trailing space", `{"event":"x"}` + " \n\r\t", `Event "x"`},
		{"trailing rubbish", `{"event":"x"}x`, `Raw`},
		{"two texts", `{"event":"x"}{"event":"y"}`, `Raw`},
		{"a trailing comma", `{"event":"x",}`, `Raw`},
		{"a missing brace", `{"event":"x"`, `Raw`},
		{"a missing value", `{"event":}`, `Raw`},
		{"a missing colon", `{"event" "x"}`, `Raw`},
		{"a bare key", `{event:"x"}`, `Raw`},
		{"a numeric key", `{1:"x"}`, `Raw`},
		{"bad data behind good members", `{"event":"x","data":{"channel":01}}`, `Raw`},
		{"bad key in data", `{"event":"x","data":{"channel}`, `Raw`},
		{"an empty batch", `[]`, `Empty`},
		{"an empty batch with space", ` [ ] `, `Empty`},
		{"a malformed batch", `[{"event":"x"},]`, `Raw`},
		{"a batch with rubbish behind", `[{"event":"x"}] x`, `Raw`},
		{"a batch whose last element is malformed", `[{"event":"x"},{"event":"y"`, `Raw`},
		{"a batch of one", `[{"event":"x"}]`, `Event "x"`},
		{
			"a batch with all sorts of elements", ` [ null , 1,"s",[{"event":"no"}],{},{"event":"x"} , {"rid":2} ] `,
			"Raw\nRaw\nRaw\nRaw\nRaw\nEvent \"x\"\nResponse rid=2",
		},
		{"bad UTF-8 is replaced", "{\"event\":\"\xff\",\"data\":\"a\xc3\"}", "Event \"\uFFFD\" data=\"a\uFFFD\""},
		{"bad UTF-8 outside of strings", "{\"event\":\"x\"\xff}", "Raw"},
	} {
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

func TestIterationStopsWhenTheCallerHasEnough(t *testing.T) {
	t.Parallel()
	batch := []byte(`[{"event":"a"},{"event":"b"},{"event":"c"}]`)
	var seen []string
	for p := range JSON.Packets(batch) {
		if seen = append(seen, p.Event); p.Event == "b" {
			break
		}
	}
	if want := []string{"a", "b"}; !slices.Equal(seen, want) {
		t.Errorf("got %q, want %q", seen, want)
	}
}

func TestPacketsOfABatchHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	batch := `[{"event":"#publish","data":{"channel":"a","data":1},"cid":1},{"event":"#publish","data":5},{"event":"#publish"}]`
	want := "Publish cid=1 data={\"channel\":\"a\",\"data\":1} payload=1 channel=\"a\"\nPublish data=5\nPublish"
	if got := describeAll(JSON, []byte(batch)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPayloadsAreTheMessagesOwnBytes(t *testing.T) {
	t.Parallel()
	payload := `{ "n" : 1.0e+2 , "s":"\u00e9\/" , "big":12345678901234567890, "dup":1,"dup":2}`
	message := []byte(`{"event":"#publish","data":{"channel":"c","data": ` + payload + ` },"cid":1.50}`)
	p := only(t, JSON, message)
	if string(p.Payload) != payload {
		t.Errorf("got payload %s, want %s", p.Payload, payload)
	}
	if at := bytes.Index(message, []byte(payload)); &p.Payload[0] != &message[at] {
		t.Error("the payload is a copy")
	}
	if string(p.CID) != "1.50" {
		t.Errorf("got cid %s, want it as written", p.CID)
	}
	_ = append(p.Payload, "XXXX"...)
	if !bytes.HasSuffix(message, []byte(` },"cid":1.50}`)) {
		t.Errorf("appending to the payload wrote into the message: %s", message)
	}
}

func TestDecodingAllocatesOnlyNames(t *testing.T) {
	for _, tt := range []struct {
		message string
		want    float64
	}{
		{publishText, 1},
		{`{"rid":1,"data":{"a":[1,2,3]}}`, 0},
		{`{"event":"#handshake","data":{"authToken":null},"cid":1}`, 0},
		{`{"event":"custom","data":{},"cid":1}`, 1},
		{`[` + strings.Repeat(publishText+`,`, 9) + publishText + `]`, 10},
		{strings.Repeat(`[`, 64) + strings.Repeat(`]`, 64), 0},
		{`not a packet`, 0},
	} {
		message := []byte(tt.message)
		got := testing.AllocsPerRun(100, func() {
			for p := range JSON.Packets(message) {
				if p.Kind == Ping {
					t.Error("got a ping")
				}
			}
		})
		if got != tt.want {
			t.Errorf("%.80s: got %v allocations, want %v", tt.message, got, tt.want)
		}
	}
}
