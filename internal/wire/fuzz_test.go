package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// tooDeep reports whether text may be nested deeper than encoding/json or a translation follows.
func tooDeep(text []byte) bool {
	return strings.Count(string(text), "[")+strings.Count(string(text), "{") > maxDepth-8
}

func addTexts(f *testing.F) {
	f.Helper()
	for _, tt := range packetTable() {
		f.Add([]byte(tt.message))
	}
	for _, text := range []string{
		``, ` `, `[]`, `[ ]`, `[{"event":"x"},null,{"rid":1}]`, `"\ud800"`, `{"a":[[[1e-5]]],"b":"\u00e9"}`,
		"{\"event\":\"\xff\"}", `{"event":"x","data":{"base64":true,"data":"AAEC"},"cid":1}`, `[1.5,-0,1e999,9007199254740993]`,
		`{"event":"#publish","data":{"channel":"c","data":[` + strings.Repeat(`[`, 70) + strings.Repeat(`]`, 70) + `]}}`,
	} {
		f.Add([]byte(text))
	}
}

// Two differences to encoding/json are meant: bad UTF-8 is invalid, and no depth is.
func FuzzValid(f *testing.F) {
	addTexts(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Valid(text)
		if !utf8.Valid(text) {
			if got {
				t.Errorf("%q: got valid, but it is not UTF-8", text)
			}
			return
		}
		if want := json.Valid(text); got != want && (want || !tooDeep(text)) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	})
}

func FuzzTextPackets(f *testing.F) {
	addTexts(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		got := describeAll(JSON, message)
		if want, ok := oracle(message); ok && got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", message, got, want)
		}
		for p := range JSON.Packets(message) {
			checkParts(t, p)
			checkRoundTrip(t, p)
		}
	})
}

func FuzzMinBinPackets(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.bytes(f))
	}
	f.Add([]byte("\xa2#1"))
	f.Add([]byte("\x81\xa1e\x92\xa1x\x86\x01\x01\xc0\x02\xc3\x03\xff\x04\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x05\xa2\x0a\x22\x06"))
	f.Add([]byte("\x81\xa1e\x92\xa1x\xc9\x00\x00\x00\x01\x01\x02"))
	f.Fuzz(func(t *testing.T, message []byte) {
		n := 0
		for p := range MinBin.Packets(message) {
			n++
			checkParts(t, p)
			checkRoundTrip(t, p)
		}
		if n == 0 {
			t.Errorf("%x: got no packet at all", message)
		}
	})
}

// FuzzTranslation sends any JSON through min-bin: it comes back with the same meaning, and then stays as it is.
func FuzzTranslation(f *testing.F) {
	addTexts(f)
	for _, v := range vectors(f) {
		f.Add([]byte(v.JSON))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !Valid(text) || tooDeep(text) {
			return
		}
		first := only(t, MinBin, MinBin.AppendPublish(nil, "c", text)).Payload
		if !Valid(first) {
			t.Fatalf("%q came back malformed: %q", text, first)
		}
		want, wantOK := meaning(text)
		if got, ok := meaning(first); ok && wantOK && !reflect.DeepEqual(got, want) {
			t.Errorf("%q came back as %q", text, first)
		}
		if second := only(t, MinBin, MinBin.AppendPublish(nil, "c", first)).Payload; string(second) != string(first) {
			t.Errorf("%q became %q the first time and %q the second", text, first, second)
		}
	})
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c", "\x00\x1f\x7f", "é😀\u2028", "\xff", "\xed\xa0\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := AppendString(nil, s)
		if !Valid(quoted) {
			t.Fatalf("%q became %q, which is malformed", s, quoted)
		}
		want := string([]rune(s)) // with U+FFFD for what is no UTF-8
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil || got != want {
			t.Errorf("%q: encoding/json reads %q (%v), want %q", s, got, err, want)
		}
		if got := string(appendUnquoted(nil, quoted)); got != want {
			t.Errorf("%q: got %q back, want %q", s, got, want)
		}
	})
}

// checkParts holds that all text in a packet may be embedded unchecked.
func checkParts(t *testing.T, p Packet) {
	t.Helper()
	for _, part := range [][]byte{p.CID, p.RID, p.Data, p.Error, p.Payload, p.Token} {
		if part != nil && !Valid(part) {
			t.Errorf("%s: malformed part %q", describe(p), part)
		}
	}
	if !utf8.ValidString(p.Event) || !utf8.ValidString(p.Channel) {
		t.Errorf("%s: a name is not UTF-8", describe(p))
	}
}

// checkRoundTrip holds that a packet, encoded, is the same packet: in JSON octet by octet, in min-bin by meaning.
func checkRoundTrip(t *testing.T, p Packet) {
	t.Helper()
	if !isPacket(p) {
		return
	}
	text, ok := encode(JSON, p)
	if !ok {
		return
	}
	got, want := only(t, JSON, text), p
	if p.Kind == Publish && p.Named {
		got.Data, want.Data = nil, nil // what is neither channel nor payload is nobody's
	}
	if describe(got) != describe(want) {
		t.Errorf("in JSON:\ngot  %s\nwant %s", describe(got), describe(want))
	}
	if tooDeep(text) {
		return
	}
	packed, _ := encode(MinBin, p)
	got, want = only(t, MinBin, packed), undefinedAsNull(p)
	if p.Kind == Publish && oracleMembers(p.Data) != nil {
		got.Data, want.Data, want.Payload = nil, nil, orNull(p.Payload)
	}
	samePacket(t, got, want)
}

// undefinedAsNull is what min-bin can say of a packet.
func undefinedAsNull(p Packet) Packet {
	p.Data = orNull(p.Data)
	if p.Kind == Authenticate {
		p.Token = p.Data
	}
	return p
}

func orNull(raw []byte) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}
