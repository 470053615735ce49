package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

func TestStringsAreQuotedWithNoMoreEscapesThanNeeded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ s, want string }{
		{``, `""`},
		{`plain`, `"plain"`},
		{`<script>&'`, `"<script>&'"`},
		{`a"b\c/d`, `"a\"b\\c/d"`},
		{"\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"\x00\x01\x1f\x7f", `"\u0000\u0001\u001f` + "\x7f\""},
		{"é码😀\u2028\u2029", "\"é码😀\u2028\u2029\""},
		{"\uFFFD", "\"\uFFFD\""},
		{"\xff", "\"\uFFFD\""},
		{"a\xc3", "\"a\uFFFD\""},
		{"\xe7\xa0b", "\"\uFFFD\uFFFDb\""},
		{"\xed\xa0\x80", "\"\uFFFD\uFFFD\uFFFD\""},
		{strings.Repeat("x", 300) + "\n", `"` + strings.Repeat("x", 300) + `\n"`},
	} {
		if got := string(AppendString([]byte("before:"), tt.s)); got != "before:"+tt.want {
			t.Errorf("%q: got %s, want %s", tt.s, got, tt.want)
		}
	}
}

func TestUnquotingAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, quoted := range []string{
		`""`,
		`"plain é"`,
		`"\"\\\/\b\f\n\r\t"`,
		`"\u0000\u00e9\u00E9\uffff"`,
		`"\ud83d\ude00"`,
		`"\uD83D\uDE00!"`,
		`"\ud83d"`,
		`"\ud83dx"`,
		`"\ud83d\n"`,
		`"\ud83d\u0041"`,
		`"\ud83d\ud83d\ude00"`,
		`"\ude00\ud83d"`,
		`"a\\u0041"`,
	} {
		var want string
		if err := json.Unmarshal([]byte(quoted), &want); err != nil {
			t.Fatalf("%s: %v", quoted, err)
		}
		if got := string(appendUnquoted([]byte("x"), []byte(quoted))); got != "x"+want {
			t.Errorf("%s: got %q, want %q", quoted, got, "x"+want)
		}
	}
}

func TestBinaryIsBase64InAnObject(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{nil, {0}, {0, 1}, {0, 1, 2}, {0xfb, 0xff, 0xbf}, bytes.Repeat([]byte{7}, 1000)} {
		got := Binary(raw)
		want := `{"base64":true,"data":"` + base64.StdEncoding.EncodeToString(raw) + `"}`
		if string(got) != want {
			t.Errorf("%x: got %s, want %s", raw, got, want)
		}
		if cap(got) != len(got) {
			t.Errorf("%x: got %d bytes of memory for %d", raw, cap(got), len(got))
		}
	}
}
