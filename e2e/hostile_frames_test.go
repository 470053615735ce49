package e2e_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"sync"
)

// hostileFrames are WebSocket clients that keep to RFC 6455 hardly, or not at all.
func hostileFrames() []hostility {
	return []hostility{
		{"frames: pings between fragments of one octet", (*assault).pingsBetweenFragments},
		{"frames: publications behind the close frame", (*assault).publishBehindClose},
		{"frames: the close frame is never answered", (*assault).ignoreClose},
		{"frames: a reason that is no text", (*assault).reasonThatIsNoText},
		{"frames: a reason for the log", (*assault).reasonForTheLog},
		{"frames: JSON in binary frames", (*assault).binaryJSON},
		{"frames: one message in as many fragments as octets, never finished", (*assault).endlessFragments},
		{"frames: empty fragments without end", (*assault).endlessNothing},
		{"frames: the largest message from many at once", (*assault).largestMessages},
		{"frames: one octet more than the largest message", (*assault).tooLarge},
		{"frames: a bomb in fragments", (*assault).bombInFragments},
		{"frames: many bombs at once", (*assault).manyBombs},
		{"frames: a bomb of blocks without content", (*assault).emptyBomb},
		{"frames: a compressor for each window", (*assault).everyWindow},
		{"frames: half of one, and the end", (*assault).halfFrames},
		{"frames: pongs that nobody asked for, and empty messages", (*assault).pongFlood},
		{"frames: pings, and no pong is read", (*assault).pingFlood},
	}
}

// all does something so many times at once.
func all(n int, do func(i int)) {
	var working sync.WaitGroup
	for i := range n {
		working.Go(func() { do(i) })
	}
	working.Wait()
}

// deflated is the payload of a compressed message of zeros.
func deflated(n int) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // it is a level
	_, _ = w.Write(make([]byte, n))                    // into memory
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), syncTail)
}

func (s *assault) pingsBetweenFragments() {
	p := s.open("/echo")
	var all [][]byte
	for i := range 5000 {
		first := byte(part)
		if i == 0 {
			first = textPart
		}
		all = append(all, frame(first, "a"), frame(ping, fmt.Sprint(i)))
	}
	go p.send(append(all, frame(lastPart, "z"))...)
	for pongs := 0; ; {
		switch op, payload := p.next(); op {
		case 10:
			pongs++
			continue
		case 1:
			if len(payload) != 5001 || pongs == 0 {
				s.Errorf("got a message of %d octets behind %d pongs, want 5,001 and some", len(payload), pongs)
			}
		default:
			s.Errorf("got a frame with opcode %d and %q, want the message", op, payload)
		}
		return
	}
}

func (s *assault) publishBehindClose() {
	listener := s.session()
	listener.send(say(`{"event":"#subscribe","data":{"channel":"behind"},"cid":2}`))
	listener.wantReply(`"rid":2`)
	p := s.session()
	p.send(frame(closing, "\x03\xe8bye"), say(`{"event":"#publish","data":{"channel":"behind","data":"late"}}`))
	p.wantCode(1000)
	listener.send(say(`{"event":"#publish","data":{"channel":"behind","data":"last"},"cid":3}`))
	for {
		_, payload := listener.next()
		if strings.Contains(string(payload), "late") {
			s.Error("what came behind the close frame was published")
		}
		if strings.Contains(string(payload), `"rid":3`) {
			return
		}
	}
}

func (s *assault) ignoreClose() {
	p := s.open("/socketcluster/")
	p.send(say(`{"event":"#publish","data":{"channel":"a"}}`)) // before the handshake
	p.wantCode(4009)
}

func (s *assault) reasonThatIsNoText() {
	p := s.session()
	p.send(frame(closing, "\x03\xe8\xff\xfe"))
	p.wantCode(1002, 1007)
}

func (s *assault) reasonForTheLog() {
	p := s.session()
	p.send(say(`{"event":"#disconnect","data":{"code":1000,"data":%s}}`, quoted(forged)), frame(closing, "\x0f\xa0"+forged))
	p.wantCode(4000)
}

func (s *assault) binaryJSON() {
	p := s.session()
	p.send(frame(binaryData, `{"event":"#subscribe","data":{"channel":"binary"},"cid":2}`), frame(binaryData, "\x00\x01\xff"), frame(binaryData, ""))
	p.wantAlive()
}

func (s *assault) endlessFragments() {
	p := s.session()
	p.send(frame(textPart, "{"), bytes.Repeat(frame(part, "a"), 140000))
	p.wantCode(1009)
}

func (s *assault) endlessNothing() {
	p := s.session()
	p.send(frame(textPart, "{"), bytes.Repeat(frame(part, ""), 5000))
	p.wantCode(1009)
}

func (s *assault) largestMessages() {
	largest := say(`{"event":"#publish","data":{"channel":"large","data":%q},"cid":5}`, strings.Repeat("x", 1<<20-100))
	all(16, func(int) {
		p := s.session()
		p.send(largest)
		p.wantReply(`"rid":5`)
	})
}

func (s *assault) tooLarge() {
	p := s.session()
	p.send(frame(text, strings.Repeat(" ", 1<<20+1)))
	p.wantCode(1009)
}

func (s *assault) bombInFragments() {
	bomb := deflated(64 << 20)
	p := s.open("/echo", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
	p.send(frame(squeezed&^0x80, bomb[:100]))
	for rest := bomb[100:]; len(rest) > 0; rest = rest[min(64, len(rest)):] {
		first := byte(part)
		if len(rest) <= 64 {
			first = lastPart
		}
		p.send(frame(first, rest[:min(64, len(rest))]))
	}
	p.wantCode(1009)
}

func (s *assault) manyBombs() {
	bomb := frame(squeezed, deflated(64<<20))
	all(20, func(int) {
		p := s.open("/socketcluster/", "Sec-WebSocket-Extensions: permessage-deflate")
		p.send(say(`{"event":"#handshake","cid":1}`), bomb)
		p.wantCode(1009)
	})
}

func (s *assault) emptyBomb() {
	p := s.open("/echo", "Sec-WebSocket-Extensions: permessage-deflate")
	p.send(frame(squeezed, strings.Repeat("\x00\x00\x00\xff\xff", 100000)+"\x00"))
	if op, payload := p.next(); op != 1 || len(payload) > 0 {
		s.Errorf("got a frame with opcode %d and %d octets, want an empty message", op, len(payload))
	}
}

func (s *assault) everyWindow() {
	message := strings.Repeat("all work and no play ", 500)
	for bits := 8; bits <= 15; bits++ {
		p := s.open("/echo", fmt.Sprintf("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=%d", bits))
		p.send(say("%s", message))
		if op, payload := p.next(); op != 1 || len(payload) > len(message)/3 {
			s.Errorf("%d bits: got a frame with opcode %d and %d octets, want it compressed", bits, op, len(payload))
		}
	}
}

func (s *assault) halfFrames() {
	whole := say(`{"event":"#publish","data":{"channel":"half","data":%q}}`, strings.Repeat("h", 3000))
	all(60, func(i int) {
		p := s.session()
		p.send(whole[:1+i*50])
		if i%2 == 0 {
			p.reset()
		}
	})
}

func (s *assault) pongFlood() {
	p := s.session()
	p.send(bytes.Repeat(frame(0x8a, strings.Repeat("p", 125)), 10000), bytes.Repeat(frame(text, ""), 10000))
	p.wantAlive()
}

func (s *assault) pingFlood() {
	p := s.session()
	flood := bytes.Repeat(frame(ping, strings.Repeat("p", 125)), 1000)
	for range 200 {
		if !p.send(flood) {
			break
		}
	}
}
