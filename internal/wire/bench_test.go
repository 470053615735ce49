package wire

import (
	"strings"
	"testing"
)

const (
	payloadText = `{"user":"ada","text":"Hello, is anybody there?","at":1700000000000}`
	publishText = `{"event":"#publish","data":{"channel":"room/42","data":` + payloadText + `},"cid":17}`
)

func BenchmarkDecodePublish(b *testing.B) {
	large := `{"channel":"room/42","data":"` + strings.Repeat("lorem ipsum ", 340) + `"}`
	for _, bm := range []struct {
		name    string
		codec   Codec
		message []byte
	}{
		{"json", JSON, []byte(publishText)},
		{"json-4KiB", JSON, JSON.AppendEvent(nil, "#publish", []byte(large), 17)},
		{"json-batch-of-100", JSON, []byte("[" + strings.Repeat(publishText+",", 99) + publishText + "]")},
		{"minbin", MinBin, MinBin.AppendEvent(nil, "#publish", []byte(`{"channel":"room/42","data":`+payloadText+`}`), 17)},
		{"minbin-4KiB", MinBin, MinBin.AppendEvent(nil, "#publish", []byte(large), 17)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bm.message)))
			for b.Loop() {
				for p := range bm.codec.Packets(bm.message) {
					if p.Kind != Publish || p.Channel != "room/42" {
						b.Fatalf("got %v %q", p.Kind, p.Channel)
					}
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	dst := make([]byte, 0, 1024)
	payload := []byte(payloadText)
	for _, bm := range []struct {
		name   string
		encode func(c Codec)
	}{
		{"publish", func(c Codec) { c.AppendPublish(dst, "room/42", payload) }},
		{"call", func(c Codec) { c.AppendEvent(dst, "move", payload, 17) }},
		{"result", func(c Codec) { c.AppendResult(dst, Number("17"), nil) }},
	} {
		for _, codec := range []struct {
			name string
			Codec
		}{{"json", JSON}, {"minbin", MinBin}} {
			b.Run(bm.name+"/"+codec.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					bm.encode(codec.Codec)
				}
			})
		}
	}
}

func BenchmarkValid(b *testing.B) {
	for _, bm := range []struct{ name, text string }{
		{"prose", `"` + strings.Repeat("lorem ipsum ", 1000) + `"`},
		{"cyrillic", `"` + strings.Repeat("съешь же ещё ", 500) + `"`},
		{"objects", `[` + strings.Repeat(payloadText+`,`, 200) + payloadText + `]`},
		{"numbers", `[` + strings.Repeat(`1.25,-3,1e9,`, 1000) + `0]`},
		{"deep", strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)},
	} {
		b.Run(bm.name, func(b *testing.B) {
			text := []byte(bm.text)
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if !Valid(text) {
					b.Fatal("got invalid")
				}
			}
		})
	}
}
