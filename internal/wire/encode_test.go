package wire

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
)

// encoding is a packet and its bytes in both codecs.
type encoding struct {
	name   string
	encode func(c Codec, dst []byte) []byte
	json   string
	minbin string
}

func TestEventsAreEncodedAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	checkEncodings(t, []encoding{
		{
			"transmit",
			func(c Codec, dst []byte) []byte { return c.AppendEvent(dst, "ev", []byte(`1.5`), 0) },
			`{"event":"ev","data":1.5}`, "81a16592a26576cb3ff8000000000000",
		},
		{
			"call without data",
			func(c Codec, dst []byte) []byte { return c.AppendEvent(dst, "undef", nil, 6) },
			`{"event":"undef","cid":6}`, "81a16593a5756e646566c006",
		},
		{
			"call with null",
			func(c Codec, dst []byte) []byte { return c.AppendEvent(dst, "undef", []byte(`null`), 6) },
			`{"event":"undef","data":null,"cid":6}`, "81a16593a5756e646566c006",
		},
		{
			"name with escapes",
			func(c Codec, dst []byte) []byte { return c.AppendEvent(dst, "a\"\xff", nil, 0) },
			`{"event":"a\"` + "\uFFFD" + `"}`, "81a16592a56122efbfbdc0",
		},
		{
			"handshake",
			func(c Codec, dst []byte) []byte {
				return c.AppendEvent(dst, "#handshake", []byte(`{"authToken":null}`), 1)
			},
			`{"event":"#handshake","data":{"authToken":null},"cid":1}`,
			"81a16593aa2368616e647368616b6581a961757468546f6b656ec001",
		},
	})
}

func TestPublicationsAreEncodedAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	checkEncodings(t, []encoding{
		{
			"publish",
			func(c Codec, dst []byte) []byte { return c.AppendPublish(dst, "foo", []byte(`"hi"`)) },
			`{"event":"#publish","data":{"channel":"foo","data":"hi"}}`, "81a17092a3666f6fa26869",
		},
		{
			"publish undefined",
			func(c Codec, dst []byte) []byte { return c.AppendPublish(dst, "foo", nil) },
			`{"event":"#publish","data":{"channel":"foo"}}`, "81a17092a3666f6fc0",
		},
		{
			"publish to a name with escapes",
			func(c Codec, dst []byte) []byte { return c.AppendPublish(dst, "<\n>", []byte(`0`)) },
			`{"event":"#publish","data":{"channel":"<\n>","data":0}}`, "81a17092a33c0a3e00",
		},
		{
			"publish that wants an answer",
			func(c Codec, dst []byte) []byte {
				return c.AppendEvent(dst, "#publish", []byte(` {"data": {"n":1}, "channel":"foo"}`), 3)
			},
			`{"event":"#publish","data": {"data": {"n":1}, "channel":"foo"},"cid":3}`, "81a17093a3666f6f81a16e0103",
		},
		{
			"publish that is none",
			func(c Codec, dst []byte) []byte { return c.AppendEvent(dst, "#publish", []byte(`"foo"`), 3) },
			`{"event":"#publish","data":"foo","cid":3}`, "81a16593a8237075626c697368a3666f6f03",
		},
	})
}

func TestAnswersAreEncodedAsTheProtocolSays(t *testing.T) {
	t.Parallel()
	checkEncodings(t, []encoding{
		{
			"result",
			func(c Codec, dst []byte) []byte { return c.AppendResult(dst, Number("2"), nil) },
			`{"rid":2}`, "81a1729302c0c0",
		},
		{
			"result with data",
			func(c Codec, dst []byte) []byte { return c.AppendResult(dst, Number("5"), []byte(`{"sum":3}`)) },
			`{"rid":5,"data":{"sum":3}}`, "81a1729305c081a373756d03",
		},
		{
			"result of an odd call",
			func(c Codec, dst []byte) []byte { return c.AppendResult(dst, Number("1.50"), []byte(`false`)) },
			`{"rid":1.50,"data":false}`, "81a17293cb3ff8000000000000c0c2",
		},
		{
			"failure",
			func(c Codec, dst []byte) []byte { return c.AppendFailure(dst, Number("-7"), []byte(`{"message":"m"}`)) },
			`{"rid":-7,"error":{"message":"m"}}`, "81a17293f981a76d657373616765a16dc0",
		},
		{
			"refusal",
			func(c Codec, dst []byte) []byte {
				return c.AppendRefusal(dst, Number("1"), []byte(`"no"`), []byte(`{"code":4008}`))
			},
			`{"rid":1,"error":"no","data":{"code":4008}}`, "81a1729301a26e6f81a4636f6465cd0fa8",
		},
		{
			"batch",
			func(c Codec, dst []byte) []byte {
				return c.AppendBatch(dst, [][]byte{
					c.AppendResult(nil, Number("2"), nil),
					c.AppendResult(nil, Number("3"), nil),
				})
			},
			`[{"rid":2},{"rid":3}]`, "9281a1729302c0c081a1729303c0c0",
		},
		{
			"empty batch",
			func(c Codec, dst []byte) []byte { return c.AppendBatch(dst, nil) },
			`[]`, "90",
		},
	})
}

func checkEncodings(t *testing.T, table []encoding) {
	t.Helper()
	for _, tt := range table {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := string(tt.encode(JSON, []byte("before:"))); got != "before:"+tt.json {
				t.Errorf("JSON:\ngot  %s\nwant before:%s", got, tt.json)
			}
			if got := hex.EncodeToString(tt.encode(MinBin, []byte{0xc1})); got != "c1"+tt.minbin {
				t.Errorf("min-bin:\ngot  %s\nwant c1%s", got, tt.minbin)
			}
		})
	}
}

func TestBatchesOfAnySizeAreRead(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{JSON, MinBin} {
		for _, size := range []int{1, 15, 16, 1000} {
			packets := make([][]byte, size)
			for i := range packets {
				packets[i] = c.AppendEvent(nil, "e", nil, uint64(i)+1)
			}
			got := 0
			for p := range c.Packets(c.AppendBatch(nil, packets)) {
				if cid, _ := p.CID.Uint64(); cid != uint64(got)+1 {
					t.Fatalf("codec %v, batch of %d: got cid %d, want %d", c, size, cid, got+1)
				}
				got++
			}
			if got != size {
				t.Errorf("codec %v: got %d packets, want %d", c, got, size)
			}
		}
	}
}

func TestHeadsOfArraysAndMapsHaveThreeWidths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n    int
		want string
	}{
		{0, "80"},
		{15, "8f"},
		{16, "de0010"},
		{65535, "deffff"},
		{65536, "df00010000"},
	} {
		if got := hex.EncodeToString(packLength(nil, fixMap, map16, tt.n)); got != tt.want {
			t.Errorf("%d: got %s, want %s", tt.n, got, tt.want)
		}
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	payload := []byte(`{"user":"ada","text":"a\nb","list":[1,2.5,true,null],"bin":{"base64":true,"data":"AAEC"}}`)
	publication := []byte(`{"channel":"c","data":{"n":1}}`)
	dst := make([]byte, 0, 1024)
	rid := Number("12")
	channel := strings.Repeat("channel/", 20)
	for _, c := range []Codec{JSON, MinBin} {
		packets := [][]byte{c.AppendResult(nil, rid, nil), c.AppendResult(nil, rid, nil)}
		for name, encode := range map[string]func(){
			"publish": func() { c.AppendPublish(dst, channel, payload) },
			"event":   func() { c.AppendEvent(dst, "event", payload, 5) },
			"call":    func() { c.AppendEvent(dst, "#publish", publication, 5) },
			"result":  func() { c.AppendResult(dst, rid, payload) },
			"failure": func() { c.AppendFailure(dst, rid, payload) },
			"batch":   func() { c.AppendBatch(dst, packets) },
		} {
			if got := testing.AllocsPerRun(100, encode); got != 0 {
				t.Errorf("codec %v, %s: got %v allocations, want 0", c, name, got)
			}
		}
	}
}

func TestWhatIsReservedIsEnough(t *testing.T) {
	t.Parallel()
	name, payload := strings.Repeat("n", 300), []byte(`"`+strings.Repeat("x", 1000)+`"`)
	rid := Number("18446744073709551615")
	for _, c := range []Codec{JSON, MinBin} {
		for _, tt := range []struct {
			name    string
			content int
			encode  func(dst []byte) []byte
		}{
			{"publish", len(name) + len(payload), func(dst []byte) []byte { return c.AppendPublish(dst, name, payload) }},
			{"event", len(name) + len(payload), func(dst []byte) []byte { return c.AppendEvent(dst, name, payload, math.MaxUint64) }},
			{"result", len(rid) + len(payload), func(dst []byte) []byte { return c.AppendResult(dst, rid, payload) }},
			{"failure", len(rid) + len(payload), func(dst []byte) []byte { return c.AppendFailure(dst, rid, payload) }},
		} {
			dst := make([]byte, 0, tt.content+overhead)
			if got := tt.encode(dst); &got[0] != &dst[:1][0] {
				t.Errorf("codec %v, %s: got %d bytes, more than the %d reserved", c, tt.name, len(got), cap(dst))
			}
		}
	}
}
