package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// validity says whether a text is valid JSON.
type validity struct {
	text string
	want bool
}

func TestValidTakesTheScalarsOfJSONParse(t *testing.T) {
	t.Parallel()
	checkValidity(t, []validity{
		{`null`, true},
		{`true`, true},
		{`false`, true},
		{`nul`, false},
		{`nulll`, false},
		{`True`, false},
		{``, false},
		{` `, false},
		{" \t\r\n1 \t\r\n", true},
		{"\v1", false},
		{"\uFEFF1", false},
		{"1\x00", false},
		{`0`, true},
		{`-0`, true},
		{`00`, false},
		{`01`, false},
		{`-`, false},
		{`+1`, false},
		{`1.`, false},
		{`.5`, false},
		{`1.5`, true},
		{`1e`, false},
		{`1e+`, false},
		{`1e5`, true},
		{`1E-5`, true},
		{`1.25e+10`, true},
		{`1e5.0`, false},
		{`0x10`, false},
		{`NaN`, false},
		{`1e999`, true},
		{`12345678901234567890123456789`, true},
	})
}

func TestValidTakesTheStringsOfJSONParse(t *testing.T) {
	t.Parallel()
	checkValidity(t, []validity{
		{`""`, true},
		{`"`, false},
		{`'a'`, false},
		{`"\"`, false},
		{`"\\"`, true},
		{`"\b\f\n\r\t\/\"\\"`, true},
		{`"\a"`, false},
		{`"\u00e9"`, true},
		{`"\u00E9"`, true},
		{`"\u00g9"`, false},
		{`"\u00e"`, false},
		{`"\u`, false},
		{`"\U00e9"`, false},
		{`"\ud800"`, true},
		{`"\udc00\ud800"`, true},
		{"\"\x7f\u2028\u2029\"", true},
		{"\"\x1f\"", false},
		{"\"a\nb\"", false},
		{"\"a\tb\"", false},
		{"\"\x00\"", false},
		{"\"é码😀\"", true},
		{"\"\xff\"", false},
		{"\"\xc3\"", false},
		{"\"\xe7\xa0\"", false},
		{"\"\xed\xa0\x80\"", false}, // half a surrogate pair
		{"\"\xc0\x80\"", false},     // overlong
		{"\"\uFFFD\"", true},
	})
}

func TestValidTakesTheContainersOfJSONParse(t *testing.T) {
	t.Parallel()
	checkValidity(t, []validity{
		{`[]`, true},
		{`[ ]`, true},
		{`[1]`, true},
		{`[1,2 , 3]`, true},
		{`[,]`, false},
		{`[1,]`, false},
		{`[,1]`, false},
		{`[1 2]`, false},
		{`[1`, false},
		{`[`, false},
		{`]`, false},
		{`[1}`, false},
		{`{}`, true},
		{`{ }`, true},
		{`{"a":1}`, true},
		{`{ "a" : 1 , "b" : [ { } ] }`, true},
		{`{"a":1,"a":2}`, true},
		{`{"a"}`, false},
		{`{"a":}`, false},
		{`{"a":1,}`, false},
		{`{,}`, false},
		{`{"a":1 "b":2}`, false},
		{`{"a",1}`, false},
		{`{a:1}`, false},
		{`{1:1}`, false},
		{`{null:1}`, false},
		{`{"a":1]`, false},
		{`{`, false},
		{`}`, false},
		{`{"a":1}}`, false},
		{`[[[]],{"a":[{}]}]`, true},
		{`[[[]],{"a":[{}]}`, false},
		{`[] []`, false},
		{`// comment` + "\n1", false},
	})
}

func checkValidity(t *testing.T, table []validity) {
	t.Helper()
	for _, tt := range table {
		if got := Valid([]byte(tt.text)); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.text, got, tt.want)
		}
		if utf8.ValidString(tt.text) && json.Valid([]byte(tt.text)) != tt.want {
			t.Errorf("%q: encoding/json thinks otherwise", tt.text)
		}
	}
}

func TestEveryBytePositionOfALongStringIsChecked(t *testing.T) {
	t.Parallel()
	for at := range 20 {
		for _, tt := range []struct {
			insert string
			want   bool
		}{
			{`"`, false},
			{`\`, false},
			{"\x00", false},
			{"\x1f", false},
			{"\x80", false},
			{"\xff", false},
			{`\n`, true},
			{"\x7f", true},
			{" ", true},
			{"!#[]", true},
			{"é", true},
		} {
			text := `"` + strings.Repeat("a", at) + tt.insert + strings.Repeat("c", 20-at) + `"`
			if got := Valid([]byte(text)); got != tt.want {
				t.Errorf("%q: got %v, want %v", text, got, tt.want)
			}
		}
	}
}

func TestDepthIsUnbounded(t *testing.T) {
	t.Parallel()
	const depth = 100_000
	arrays := strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth)
	objects := strings.Repeat(`{"a":`, depth) + `0` + strings.Repeat(`}`, depth)
	for name, text := range map[string]string{"arrays": arrays, "objects": objects} {
		if !Valid([]byte(text)) {
			t.Errorf("%s: got invalid, want valid", name)
		}
		if Valid([]byte(text[:len(text)-1])) {
			t.Errorf("%s: got valid without the last bracket", name)
		}
		p := only(t, JSON, []byte(`{"event":"#publish","data":{"channel":"c","data":`+text+`}}`))
		if p.Kind != Publish || string(p.Payload) != text {
			t.Errorf("%s: got %s and %d bytes, want the payload of %d", name, kindName(p.Kind), len(p.Payload), len(text))
		}
	}
}

func TestEveryLevelRemembersItsBracket(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{1, 2, 63, 64, 65, 127, 128, 129, 200} {
		var openers, closers string
		for i := range depth {
			if i*i%7 < 3 {
				openers, closers = openers+`[`, `]`+closers
			} else {
				openers, closers = openers+`{"k":`, `}`+closers
			}
		}
		text := []byte(openers + `1` + closers)
		if !Valid(text) {
			t.Fatalf("depth %d: got invalid, want valid: %s", depth, text)
		}
		for i := len(text) - depth; i < len(text); i++ {
			text[i] ^= '[' ^ '{' // and so ']' becomes '}'
			if Valid(text) {
				t.Fatalf("depth %d: got valid with a wrong bracket at %d: %s", depth, i, text)
			}
			text[i] ^= '[' ^ '{'
		}
	}
}

func TestPrefixesOfAMessageAreMalformed(t *testing.T) {
	t.Parallel()
	message := `{"event":"#publish","data":{"channel":"c\u00e9","data":[{"a":-1.5e+7},true,false,null,"é"]},"cid":10}`
	for end := range len(message) {
		if got := describeAll(JSON, []byte(message[:end])); got != "Raw" {
			t.Errorf("%s: got %s, want Raw", message[:end], got)
		}
		// The same within a longer buffer, so that reading past the end would be seen.
		buffer := []byte(message)
		if Valid(buffer[:end]) {
			t.Errorf("%s: got valid, want not", message[:end])
		}
	}
}

func TestDepthIsBoundedWhereAsked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		depth     int
		text      string
		within    Kind
		unbounded bool // the kind without a bound is the same
	}{
		{1, `{"event":"e"}`, Event, true},
		{1, `{"event":"e","data":{}}`, TooDeep, false},
		{1, `{"event":"e","data":[]}`, TooDeep, false},
		{2, `{"event":"e","data":{}}`, Event, true},
		{2, `{"event":"e","data":[]}`, Event, true},
		{2, `{"event":"e","data":[[]]}`, TooDeep, false},
		{2, `{"event":"e","data":[1,{"a":1}]}`, TooDeep, false},
		{2, `{"event":"#publish","data":{"channel":"c","data":1}}`, Publish, true},
		{2, `{"event":"#publish","data":{"channel":"c","data":[1]}}`, TooDeep, false},
		{3, `{"event":"#publish","data":{"channel":"c","data":[1]}}`, Publish, true},
		{3, `{"event":"#publish","data":{"x":[[1]]}}`, TooDeep, false},
		{3, `{"event":"#publish","data":{"x":[[]]}}`, TooDeep, false},
		{2, ` [ {"event":"e"} ] `, Event, true},
		{1, `[{"event":"e"}]`, TooDeep, false},
		{2, `[[[]]]`, TooDeep, false},
		{2, `[[[]`, Raw, true},
		{2, `{"a":[[}`, Raw, true},
		{2, `{"event":"e","data":[["\xff"]]}`, TooDeep, false},
		{1, `[]`, Empty, true},
		{1, `{}`, Raw, true},
		{1, `5`, Raw, true},
	} {
		text := strings.ReplaceAll(tt.text, `\xff`, "\xff")
		var got []Kind
		for p := range JSON.PacketsWithin([]byte(text), tt.depth) {
			got = append(got, p.Kind)
		}
		if len(got) != 1 || got[0] != tt.within {
			t.Errorf("%s within %d: got %v, want %v", text, tt.depth, got, tt.within)
		}
		for p := range JSON.Packets([]byte(text)) {
			if p.Kind == TooDeep || tt.unbounded && p.Kind != tt.within {
				t.Errorf("%s without a bound: got %v", text, p.Kind)
			}
		}
	}
}

func TestDepthOfMinBinIsBoundedWhereAsked(t *testing.T) {
	t.Parallel()
	for levels, want := range map[int]Kind{0: Event, 8: Event, 9: TooDeep, 1024: TooDeep, 1025: TooDeep, 100_000: TooDeep} {
		text := []byte("\x81\xa1e\x92\xa1x" + strings.Repeat("\x91", levels) + "\xc0")
		for p := range MinBin.PacketsWithin(text, 9) {
			if p.Kind != want {
				t.Errorf("%d levels: got %v, want %v", levels, p.Kind, want)
			}
		}
	}
	for p := range MinBin.PacketsWithin([]byte("\x81\xa1e\xdf\xff"), 9) {
		if p.Kind != Raw {
			t.Errorf("malformed: got %v, want Raw", p.Kind)
		}
	}
}
