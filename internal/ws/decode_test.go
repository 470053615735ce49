package ws

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// said is what a decoder made of some octets: its events as text, and the close code of the error or 0.
type said struct {
	events string
	code   int
}

// decodeIn feeds octets in pieces of that size.
func decodeIn(tb testing.TB, r rules, octets []byte, piece int) said {
	tb.Helper()
	var d decoder
	d.reset(r)
	var s said
	for len(octets) > 0 && s.code == 0 {
		n := min(piece, len(octets))
		s.add(tb, &d, octets[:n])
		octets = octets[n:]
	}
	return s
}

func (s *said) add(tb testing.TB, d *decoder, b []byte) {
	tb.Helper()
	for len(b) > 0 {
		ev, rest, err := d.next(b)
		if err != nil {
			var e CloseError
			if !errors.As(err, &e) || !e.Local || e.Err == nil || e.Reason != "" {
				tb.Fatalf("got error %#v, want a CloseError of this side with a cause that the peer is not told", err)
			}
			s.code = e.Code
			return
		}
		b = rest
		switch {
		case ev.op != 0:
			s.events += fmt.Sprintf("%x:%s;", ev.op, ev.data)
		case len(rest) > 0:
			tb.Fatalf("%d octets left over without an event", len(rest))
		}
	}
}

func frag(op byte, s string) raw { return raw{first: op, payload: s} }
func last(s string) raw          { return raw{first: bitFin, payload: s} }

type decodeCase struct {
	name   string
	frames []raw
	want   string
	code   int
}

func framingCases() []decodeCase {
	long, longer := strings.Repeat("x", 126), strings.Repeat("y", 65536)
	return []decodeCase{
		{"empty text", []raw{text("")}, "1:;", 0},
		{"text and binary", []raw{text("hi"), binaryOf("\xff\x00")}, "1:hi;2:\xff\x00;", 0},
		{"126 octets", []raw{text(long)}, "1:" + long + ";", 0},
		{"65536 octets", []raw{binaryOf(longer)}, "2:" + longer + ";", 0},
		{"5 octets in the 16-bit form", []raw{{first: 0x81, payload: "hello", form: 16}}, "", 1002},
		{"125 octets in the 16-bit form", []raw{{first: 0x81, payload: long[1:], form: 16}}, "", 1002},
		{"5 octets in the 64-bit form", []raw{{first: 0x81, payload: "hello", form: 64}}, "", 1002},
		{"65535 octets in the 64-bit form", []raw{{first: 0x82, payload: longer[1:], form: 64}}, "", 1002},
		{"length 2^63", []raw{{first: 0x82, payload: "x", form: 64, declare: 1 << 63}}, "", 1002},
		{"length 2^64-1", []raw{{first: 0x82, payload: "x", form: 64, declare: 1<<64 - 1}}, "", 1002},
		{"length 2^64-14", []raw{{first: 0x80, payload: "x", form: 64, declare: 1<<64 - 14}}, "", 1002},
		{"length 2^63-1", []raw{{first: 0x82, payload: "x", form: 64, declare: 1<<63 - 1}}, "", 1009},
		{"length 2^62", []raw{{first: 0x81, payload: "x", form: 64, declare: 1 << 62}}, "", 1009},
		{"length 2^32", []raw{{first: 0x81, payload: "x", form: 64, declare: 1 << 32}}, "", 1009},
		{"length 2^31", []raw{{first: 0x81, payload: "x", form: 64, declare: 1 << 31}}, "", 1009},
		{"a fragment whose length overflows the sum", []raw{frag(opText, "a"), {first: 0x80, form: 64, declare: 1<<63 - 1}}, "", 1009},
		{"one octet over the limit", []raw{{first: 0x82, payload: "x", declare: 1<<17 + 1}}, "", 1009},
		{"one octet over the limit in two fragments", []raw{frag(opBinary, longer), frag(0, longer), last("z")}, "", 1009},
		{"unmasked text", []raw{{first: 0x81, bare: true, payload: "x"}}, "", 1002},
		{"unmasked ping", []raw{{first: 0x89, bare: true}}, "", 1002},
		{"unmasked continuation", []raw{frag(opText, "a"), {first: 0x80, bare: true, payload: "b"}}, "", 1002},
		{"messages before an error", []raw{text("a"), text("b"), last("c")}, "1:a;1:b;", 1002},
	}
}

func fragmentCases() []decodeCase {
	return []decodeCase{
		{"two fragments", []raw{frag(opText, "a"), last("b")}, "1:ab;", 0},
		{"control between fragments", []raw{frag(opBinary, "a"), ping("p"), frag(0, ""), frag(0, "b"), last("")}, "9:p;2:ab;", 0},
		{"empty fragments only", []raw{frag(opText, ""), frag(0, ""), last("")}, "1:;", 0},
		{"continuation of nothing", []raw{last("x")}, "", 1002},
		{"open continuation of nothing", []raw{frag(0, "x")}, "", 1002},
		{"continuation after a whole message", []raw{frag(opText, "o"), last("k"), frag(0, "x")}, "1:ok;", 1002},
		{"text inside text", []raw{frag(opText, "a"), text("b")}, "", 1002},
		{"binary inside text", []raw{frag(opText, "a"), frag(opBinary, "b")}, "", 1002},
		{"text inside binary", []raw{frag(opBinary, "a"), frag(0, "b"), text("c")}, "", 1002},
		{"close inside a message", []raw{frag(opText, "a"), closing(1000, "")}, "8:\x03\xe8;", 0},
	}
}

func controlCases() []decodeCase {
	full := strings.Repeat("p", 125)
	cases := []decodeCase{
		{"ping of 125 octets", []raw{ping(full)}, "9:" + full + ";", 0},
		{"pong", []raw{{first: 0x8a, payload: "x"}}, "a:x;", 0},
		{"ping of 126 octets", []raw{ping(full + "p")}, "", 1002},
		{"ping in the 64-bit form", []raw{{first: 0x89, form: 64, declare: 1 << 40}}, "", 1002},
		{"ping in two fragments", []raw{frag(opPing, "a"), last("b")}, "", 1002},
		{"pong in two fragments", []raw{frag(opPong, "a"), last("b")}, "", 1002},
		{"close in two fragments", []raw{frag(opClose, "\x03\xe8"), last("b")}, "", 1002},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases, decodeCase{fmt.Sprint("reserved opcode ", op), []raw{text("a"), {first: bitFin | op, payload: "x"}}, "1:a;", 1002})
	}
	for rsv := byte(0x10); rsv < bitFin; rsv += 0x10 {
		for _, op := range []byte{opText, opBinary, opPing, opPong, opClose} {
			cases = append(cases, decodeCase{fmt.Sprintf("reserved bits %#x, opcode %d", rsv, op), []raw{{first: bitFin | rsv | op}}, "", 1002})
		}
	}
	return cases
}

func textCases() []decodeCase {
	cases := []decodeCase{
		{"binary may hold anything", []raw{binaryOf("\xff\xed\xa0\x80\xc0")}, "2:\xff\xed\xa0\x80\xc0;", 0},
		{"cut at the end", []raw{text("<\xe6\xbc")}, "", 1007},
		{"cut at the end of the last fragment", []raw{frag(opText, "<\xe6"), last("\xbc")}, "", 1007},
		{"wrong in an unfinished message", []raw{frag(opText, "\xce\xba"), frag(0, "\xf4\x90")}, "", 1007},
		{"the state of a message does not reach the next", []raw{text("a"), frag(opText, "\xc3"), last("\xa9"), text("b")}, "1:a;1:é;1:b;", 0},
	}
	for _, s := range []string{"\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\uffff", "\U00010000", "\U0010ffff", "κόσμος", "👩‍👩‍👧‍👦", "aé漢𝄞z"} {
		cases = append(cases, decodeCase{fmt.Sprintf("valid %q", s), []raw{text("<" + s + ">")}, "1:<" + s + ">;", 0})
	}
	for _, s := range []string{
		"\x80", "\xbf", "\xc0", "\xc1 ", "\xc2 ", "\xdf ", "\xe0 ", "\xef ", "\xf0 ", "\xf4 ", "\xf5", "\xf8", "\xfe", "\xff",
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf", "\xfc\x84\x80\x80\x80\x80",
	} {
		cases = append(cases, decodeCase{fmt.Sprintf("invalid %q", s), []raw{text("<" + s + ">")}, "", 1007})
	}
	return cases
}

func TestDecoderKeepsEveryRuleHoweverTheOctetsAreCut(t *testing.T) {
	t.Parallel()
	r := rules{max: 1 << 17}
	for _, set := range [][]decodeCase{framingCases(), fragmentCases(), controlCases(), textCases()} {
		for _, tc := range set {
			octets := wire(tc.frames...)
			pieces := []int{1, 2, 3, 7, 997, len(octets)}
			if len(octets) > 1<<12 {
				pieces = pieces[3:]
			}
			for _, piece := range pieces {
				if got, want := decodeIn(t, r, octets, piece), (said{tc.want, tc.code}); got != want {
					t.Errorf("%s, in pieces of %d: got %.80q, want %.80q", tc.name, piece, fmt.Sprint(got), fmt.Sprint(want))
				}
			}
		}
	}
}

func TestDecoderOfAClientWantsFramesWithoutMask(t *testing.T) {
	t.Parallel()
	r := rules{max: 100, client: true}
	if got := decodeIn(t, r, raw{first: 0x81, bare: true, payload: "hi"}.bytes(), 1); got != (said{"1:hi;", 0}) {
		t.Errorf("unmasked: got %v", got)
	}
	if got := decodeIn(t, r, text("hi").bytes(), 9); got.code != CodeProtocol {
		t.Errorf("masked: got %v, want 1002", got)
	}
}

func TestDecoderFindsErrorsBeforeTheRestHasCome(t *testing.T) {
	t.Parallel()
	whole := text("\xce\xba\xf4\x90\x80\x80" + strings.Repeat("x", 40)).bytes()
	for _, tc := range []struct {
		name   string
		octets []byte
		code   int
	}{
		{"wrong UTF-8 inside a frame", whole[:len(whole)-30], CodeInvalidData},
		{"reserved opcode after two octets", []byte{0x83, 0x85}, CodeProtocol},
		{"missing mask after two octets", []byte{0x81, 0x05}, CodeProtocol},
		{"length before any payload", raw{first: 0x82, declare: 1 << 40}.bytes(), CodeTooBig},
	} {
		if got := decodeIn(t, rules{max: 1 << 20}, tc.octets, 1); got.code != tc.code {
			t.Errorf("%s: got %v, want %d", tc.name, got, tc.code)
		}
	}
}

func TestFragmentsOfAMessageAreBounded(t *testing.T) {
	t.Parallel()
	many := func(n int, payload string) []byte {
		b := frag(opBinary, payload).bytes()
		one := frag(0, payload).bytes()
		b = append(b, bytes.Repeat(one, n-2)...)
		return append(b, last(payload).bytes()...)
	}
	r := rules{max: 1 << 20}
	for _, tc := range []struct {
		name    string
		n       int
		payload string
		code    int
	}{
		{"as many empty ones as allowed", maxEmptyFragments, "", 0},
		{"one empty one too many", maxEmptyFragments + 1, "", CodeTooBig},
		{"as many as allowed", maxFragments, "x", 0},
		{"one too many", maxFragments + 1, "x", CodeTooBig},
	} {
		got := decodeIn(t, r, many(tc.n, tc.payload), 4096)
		if got.code != tc.code || tc.code == 0 && got.events == "" {
			t.Errorf("%s: got code %d and %d octets of events, want code %d", tc.name, got.code, len(got.events), tc.code)
		}
	}
	// The counts are of one message.
	two := append(many(maxEmptyFragments, ""), many(maxEmptyFragments, "")...)
	if got := decodeIn(t, r, two, 4096); got.code != 0 {
		t.Errorf("two messages: got code %d, want none", got.code)
	}
}

func TestAnnouncedMessageCostsNothingBeforeItComes(t *testing.T) {
	t.Parallel()
	var d decoder
	d.reset(rules{max: 1 << 30})
	head := raw{first: 0x82, payload: "0123456789", declare: 1 << 30}.bytes()
	if _, _, err := d.next(head); err != nil {
		t.Fatal(err)
	}
	if got := cap(d.message); got > 64 {
		t.Errorf("after 10 of 2^30 octets: got a buffer of %d, want at most 64", got)
	}
	for range 100 {
		if _, _, err := d.next(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if got := cap(d.message); got > 4*100010 {
		t.Errorf("after 100,010 of 2^30 octets: got a buffer of %d", got)
	}
}

func TestDecoderIsIdleBetweenMessagesOnly(t *testing.T) {
	t.Parallel()
	var d decoder
	d.reset(rules{max: 100})
	octets := wire(frag(opText, "a"), ping("b"), last("c"))
	for i := range octets {
		if d.idle() != (i == 0) {
			t.Fatalf("after %d octets: got idle %v", i, d.idle())
		}
		if _, _, err := d.next(octets[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if !d.idle() {
		t.Error("after the message: got busy, want idle")
	}
}

func FuzzDecoder(f *testing.F) {
	for _, set := range [][]decodeCase{framingCases(), fragmentCases(), controlCases(), textCases()} {
		for _, tc := range set {
			if octets := wire(tc.frames...); len(octets) < 1000 {
				f.Add(octets, false, false)
			}
		}
	}
	f.Add(raw{first: 0xc1, payload: "\xf2\x48\xcd\xc9\xc9\x07\x00"}.bytes(), false, true)
	f.Fuzz(func(t *testing.T, octets []byte, client, deflate bool) {
		r := rules{max: 1 << 12, client: client, deflate: deflate, pools: new(flatePools)}
		whole := decodeIn(t, r, octets, len(octets)+1)
		for _, piece := range []int{1, 3} {
			if got := decodeIn(t, r, octets, piece); got != whole {
				t.Fatalf("in pieces of %d: got %v, want %v as in one", piece, got, whole)
			}
		}
		if len(whole.events) > 2*len(octets)*1100+64 {
			t.Fatalf("%d octets became %d", len(octets), len(whole.events))
		}
	})
}
