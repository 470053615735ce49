package ws

import (
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCloseFrameOfAPeerIsJudged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		payload string
		code    int
		reason  string
		fails   bool
	}{
		{"", CodeNoStatus, "", false},
		{"\x03", CodeProtocol, "", true},
		{"\x03\xe8", 1000, "", false},
		{"\x03\xe8bye", 1000, "bye", false},
		{"\x0f\xa0\xc3\xa9", 4000, "é", false},
		{"\x03\xe8\xce\xba\xed\xa0\x80", CodeInvalidData, "", true},
	} {
		e, err := parseClose([]byte(tc.payload))
		if (err != nil) != tc.fails {
			t.Errorf("%q: got error %v", tc.payload, err)
			continue
		}
		if tc.fails {
			if got := closeCode(t, err); got != tc.code {
				t.Errorf("%q: got code %d, want %d", tc.payload, got, tc.code)
			}
			continue
		}
		if e.Code != tc.code || e.Reason != tc.reason || e.Local {
			t.Errorf("%q: got %+v", tc.payload, e)
		}
	}
}

func TestOnlyRegisteredCloseCodesAreValid(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		if !validCode(code) || sendableCode(code) != code {
			t.Errorf("%d: got invalid, want valid", code)
		}
	}
	for _, code := range []int{-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535, 70000} {
		if validCode(code) {
			t.Errorf("%d: got valid, want invalid", code)
		}
		want := CodeNormal
		if code == CodeNoStatus {
			want = CodeNoStatus
		}
		if got := sendableCode(code); got != want {
			t.Errorf("%d: got %d sent, want %d", code, got, want)
		}
	}
}

func TestReasonIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"short", "short"},
		{strings.Repeat("x", 200), strings.Repeat("x", 123)},
		{strings.Repeat("é", 100), strings.Repeat("é", 61)},
		{"x" + strings.Repeat("𝄞", 40), "x" + strings.Repeat("𝄞", 30)},
		{"a\xffb", "a\ufffdb"},
	} {
		got := cutReason(tc.in)
		if got != tc.want || !utf8.ValidString(got) {
			t.Errorf("%.30q: got %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestCloseErrorTellsSideCodeAndCause(t *testing.T) {
	t.Parallel()
	e := CloseError{Code: 1006, Err: io.ErrUnexpectedEOF}
	if !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Error("the cause is not wrapped")
	}
	if got, want := e.Error(), `ws: closed by peer: 1006 "": unexpected EOF`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := (CloseError{Code: 4000, Reason: "x", Local: true}).Error(), `ws: closed by this side: 4000 "x"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
