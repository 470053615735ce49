package e2e_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// exchange is a case of size: messages, each in fragments, sent and sent back.
type exchange struct {
	offer                      string // of compression; "" for none
	messages, octets, fragment int
}

// TestLargeMessagesInSmallFragmentsComeBack has the shapes that public suites measure the time of: each of their cases, of
// ten times as many messages, may take minutes.
func TestLargeMessagesInSmallFragmentsComeBack(t *testing.T) {
	t.Parallel()
	const offer = "permessage-deflate; client_max_window_bits"
	s := &site{host: hostOf(t, serve(t, anyURL, build(t, "./cmd/skein"), "serve", "--addr", "127.0.0.1:0", "--echo", "/echo", "--compression"))}
	for _, e := range []exchange{
		{"", 1, 16 << 20, 16 << 20},
		{"", 1, 4 << 20, 64},
		{"", 1, 4 << 20, 4096},
		{"", 1, 16 << 20, 1 << 20},
		{"", 1000, 2048, 2048},
		{offer, 100, 131072, 256},
		{offer, 100, 131072, 32768},
		{offer, 1, 16 << 20, 1 << 20},
		{offer + "; server_no_context_takeover; server_max_window_bits=8", 100, 131072, 1024},
		{offer + "; server_max_window_bits=9", 100, 131072, 1024},
		{offer + "; server_max_window_bits=12", 100, 16384, 16384},
	} {
		t.Run(fmt.Sprintf("%d of %d in %d %s", e.messages, e.octets, e.fragment, e.offer), func(t *testing.T) {
			began := time.Now()
			e.run(&assault{s, t})
			s.hangUp()
			t.Logf("%v", time.Since(began).Round(time.Millisecond))
		})
	}
}

func (e exchange) run(s *assault) {
	s.Helper()
	first, headers := byte(textPart), []string{}
	if e.offer != "" {
		first, headers = squeezed&^lastPart, []string{"Sec-WebSocket-Extensions: " + e.offer}
	}
	p := s.open("/echo", headers...)
	var plain strings.Builder
	for i := 0; plain.Len() < e.octets; i++ {
		fmt.Fprintf(&plain, `{"id":%d,"name":"user-%d","ok":%t},`, i*7919%100003, i%997, i%3 == 0)
	}
	want := plain.String()[:e.octets]
	payload := want
	if e.offer != "" {
		payload = squeeze(want)
	}
	whole := fragments(first, payload, e.fragment)
	for range e.messages {
		go p.send(whole)
		op, got := p.next()
		if e.offer != "" && len(got) > 0 {
			got = inflated(got, len(want)+1)
		}
		if op != 1 || string(got) != want {
			s.Fatalf("got a frame with opcode %d and %d octets, want the same %d octets", op, len(got), len(want))
		}
	}
}

// fragments is a message in frames of so many octets.
func fragments(first byte, payload string, size int) []byte {
	var b bytes.Buffer
	for {
		n := min(size, len(payload))
		if n == len(payload) {
			first |= lastPart
		}
		b.Write(frame(first, payload[:n]))
		if payload, first = payload[n:], part; len(payload) == 0 {
			return b.Bytes()
		}
	}
}

const syncTail = "\x00\x00\xff\xff"

func squeeze(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed) // it is a level
	_, _ = w.Write([]byte(text))                 // into memory
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), syncTail)
}

// inflated is at most so many octets of a compressed message, or nothing where it is none.
func inflated(flat []byte, most int) []byte {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(flat), strings.NewReader(syncTail+"\x01\x00\x00\xff\xff")))
	plain, err := io.ReadAll(io.LimitReader(r, int64(most)))
	if err != nil {
		return nil
	}
	return plain
}
