package natsengine

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func samplePackets() []packet {
	of := func(k kind, p packet) packet {
		p.preamble, p.name = preamble{protocol, k, 42}, "node ü"
		return p
	}
	full := status{
		joining: true, started: -5, address: "h:1", info: []byte(`{}`), seq: math.MaxUint64, beat: 7, stamp: 9,
		view:  []other{{1, "a"}, {2, ""}},
		notes: []note{{"room", 3}, {"", 1}},
	}
	return []packet{
		of(kindHello, packet{status: full, proof: []byte("proof")}),
		of(kindWelcome, packet{status: status{info: []byte{}}, proof: []byte{}}),
		of(kindBeat, packet{status: full}),
		of(kindBye, packet{status: full}),
		of(kindFarewell, packet{}),
		of(kindBarrier, packet{id: 1}),
		of(kindPassed, packet{id: 1, seq: 2}),
		of(kindRefuse, packet{text: "because"}),
		of(kindAsk, packet{id: 1, text: "topic", data: []byte("data"), patience: time.Second}),
		of(kindAnswer, packet{id: 1, data: []byte("data"), failed: true}),
		of(kindAbandon, packet{id: 1}),
		of(kindEcho, packet{id: math.MaxUint64}),
		of(kindMark, packet{id: 1}),
		of(kindMarked, packet{id: 1}),
	}
}

func TestPacketsComeBack(t *testing.T) {
	t.Parallel()
	for _, want := range samplePackets() {
		pre, body, err := readPreamble(want.encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := readPacket(pre, body)
		if err != nil {
			t.Errorf("kind %d: %v", want.kind, err)
		}
		all := cmp.AllowUnexported(packet{}, preamble{}, status{}, other{}, note{})
		if diff := cmp.Diff(want, got, all); diff != "" {
			t.Errorf("kind %d (-want +got):\n%s", want.kind, diff)
		}
	}
}

func TestCutPacketsAreMalformed(t *testing.T) {
	t.Parallel()
	for _, p := range samplePackets() {
		whole := p.encode()
		for n := range len(whole) - len(p.data) {
			pre, body, err := readPreamble(whole[:n])
			if err == nil {
				_, err = readPacket(pre, body)
			}
			if !errors.Is(err, errMalformed) {
				t.Errorf("kind %d cut to %d octets: got %v, want errMalformed", p.kind, n, err)
			}
		}
	}
}

func TestForeignPacketsKeepWhatAllProtocolsShare(t *testing.T) {
	t.Parallel()
	for _, p := range samplePackets() {
		data := append(p.encode(), "more"...)
		data[1] = protocol + 1
		pre, body, err := readPreamble(data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readPacket(pre, body)
		if !errors.Is(err, errProtocol) || got.name != p.name || got.protocol != protocol+1 || got.text != p.text && p.kind == kindRefuse {
			t.Errorf("kind %d of another protocol: got %+v, %v, want its name and errProtocol", p.kind, got, err)
		}
	}
}

func TestHeadersComeBack(t *testing.T) {
	t.Parallel()
	for _, want := range []header{{seq: 1}, {seq: math.MaxUint64, prev: math.MaxUint64 - 1, origin: "x", channel: "long"}} {
		got, data, err := readHeader(append(appendHeader(nil, want), "data"...))
		if err != nil || got != want || string(data) != "data" {
			t.Errorf("got %+v, %q, %v, want %+v and the data", got, data, err, want)
		}
	}
	for _, bad := range [][]byte{nil, {1}, {1, 0}, {1, 1, 0, 0}, {0, 0, 0, 0}, {2, 1, 9, 0}, bytes.Repeat([]byte{0xff}, 20)} {
		if got, _, err := readHeader(bad); err == nil {
			t.Errorf("%x: got %+v, want an error", bad, got)
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, p := range samplePackets() {
		f.Add(p.encode())
	}
	f.Add(appendHeader(appendPreamble(nil, kindMessage, 1), header{seq: 1, origin: "o"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		pre, body, err := readPreamble(data)
		if err != nil {
			return
		}
		if h, rest, err := readHeader(body); err == nil && len(rest)+len(h.origin)+len(h.channel) > len(data) {
			t.Fatalf("%x: a header of %d octets", data, len(rest))
		}
		p, err := readPacket(pre, body)
		if err != nil {
			return
		}
		if len(p.status.view) > len(data) || len(p.status.notes) > len(data) {
			t.Fatalf("%x: %d members and %d notes", data, len(p.status.view), len(p.status.notes))
		}
		again, body, err := readPreamble(p.encode())
		if err != nil {
			t.Fatal(err)
		}
		back, err := readPacket(again, body)
		if err != nil {
			t.Fatalf("%x: encoded again it is %v", data, err)
		}
		if diff := cmp.Diff(p, back, cmp.AllowUnexported(packet{}, preamble{}, status{}, other{}, note{}), cmp.Transformer("octets", func(b []byte) string { return string(b) })); diff != "" {
			t.Fatalf("%x (-first +second):\n%s", data, diff)
		}
	})
}
