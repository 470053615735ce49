package client_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

func TestPingsOfTheClientsGenerationAreAnsweredInItsWay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		codec wire.Codec
		proto int
		send  []ws.Message
		want  []string
	}{
		{"2", wire.JSON, 2, frames("", "#1", "\x00"), []string{""}},
		{"1", wire.JSON, 1, frames("", "#1", "\x00"), []string{"#2"}},
		{"2 minbin", wire.MinBin, 2, frames("", "#1", "\x00\xa2#1"), []string{""}},
		{"1 minbin", wire.MinBin, 1, frames("", "#1", "\x00\xa2#1"), []string{"#2", "a22332"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(s *server) {
				s.codec = tt.codec
				s.dial(client.Options{Protocol: tt.proto})
				for _, m := range tt.send {
					_ = s.last().conn.Send(ws.NewFrame(m.Binary, m.Data))
				}
				s.last().want(1, tt.want...)
			})
		})
	}
}

// frames makes messages; a leading NUL stands for a binary one.
func frames(texts ...string) []ws.Message {
	var all []ws.Message
	for _, s := range texts {
		data, binary := strings.CutPrefix(s, "\x00")
		all = append(all, ws.Message{Binary: binary, Data: []byte(data)})
	}
	return all
}

func TestPingBeforeTheHandshakesAnswerIsNotAnswered(t *testing.T) {
	for proto, ping := range map[int]string{1: "#1", 2: ""} {
		t.Run(fmt.Sprint(proto), func(t *testing.T) {
			bubble(t, func(s *server) {
				s.on = func(c *session, p wire.Packet) bool {
					c.text(ping)
					c.obey(p)
					return true
				}
				s.dial(client.Options{Protocol: proto})
				s.last().want(1)
			})
		})
	}
}

func TestConnectionWithoutPingsIsClosedWith4000AndDialledAtOnce(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		sub := subscribe(t, c, "a")
		first := s.last()
		for range 3 {
			after(20 * time.Second)
			first.text("")
		}
		for range 29 {
			after(time.Second)
			s.publish("a", "0") // other traffic does not count
		}
		if _, ended := first.closed(); ended {
			t.Fatal("closed within the time-out")
		}
		after(1100 * time.Millisecond)
		if e, ended := first.closed(); !ended || e.Code != 4000 {
			t.Fatalf("closed %v with %d, want 4000", ended, e.Code)
		}
		if s.last() == first || c.State() != client.Connected {
			t.Error("not back at once")
		}
		if got := drain(t, sub.Stream); got[len(got)-1] != "<reconnect>" {
			t.Errorf("got %q, want a gap at the end", got)
		}
	})
}

func TestDeadNetworkCountsAsPingTimeOut(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			if p.Kind == wire.Event && p.Event == "hang" {
				<-t.Context().Done() // reads nothing any more, so the close is not echoed
			}
			return false
		}
		var reasons []error
		c := s.dial(client.Options{OnState: func(s client.State, reason error) {
			if s == client.Waiting {
				reasons = append(reasons, reason)
			}
		}})
		_ = c.Transmit("hang", nil)
		after(33 * time.Second)
		if len(reasons) != 1 || !strings.Contains(reasons[0].Error(), "code 4000") {
			t.Errorf("reasons: got %v, want code 4000", reasons)
		}
		if got := len(s.attempts()); got != 2 {
			t.Errorf("dialled %d times, want 2", got)
		}
	})
}

func TestNoPingKeepsASilentConnection(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.dial(client.Options{NoPing: true})
		after(time.Hour)
		if got := len(s.attempts()); got != 1 {
			t.Errorf("dialled %d times, want once", got)
		}
	})
}

func TestPingTimeOutIsWhatTheServerSays(t *testing.T) {
	for answer, want := range map[string]time.Duration{
		`{"id":"x","pingTimeout":5000,"isAuthenticated":false}`:  5 * time.Second,
		`{"id":"x","pingTimeout":500.5,"isAuthenticated":false}`: 500 * time.Millisecond,
		`{"id":"x","isAuthenticated":false}`:                     20 * time.Second,
		`{"id":"x","pingTimeout":-1}`:                            20 * time.Second,
		`{"id":"x","pingTimeout":1e300}`:                         24 * time.Hour,
	} {
		t.Run(answer, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				s.on = func(c *session, p wire.Packet) bool {
					c.result(p, answer)
					return true
				}
				c := s.dial(client.Options{Reconnect: client.Backoff{Off: true}})
				begun := time.Now()
				<-c.Done()
				if got := time.Since(begun); got < want || got > want+100*time.Millisecond {
					t.Errorf("closed after %v, want %v", got, want)
				}
			})
		})
	}
}

func TestUnreadableMessagesAreHarmless(t *testing.T) {
	for _, codec := range []wire.Codec{wire.JSON, wire.MinBin} {
		t.Run(fmt.Sprint(codec), func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				s.codec = codec
				c := s.dial(client.Options{})
				for _, m := range frames(
					"PING", "{", "[]", "[null,1,[]]", `{"rid":1}`, `{"rid":99}`, `{"rid":1.5}`, `{"rid":-1,"error":"x"}`, "\x00\xc1", "\x00",
					`{"event":"#publish"}`, `{"event":"#publish","data":{"channel":5}}`, `{"event":"#kickOut"}`, `{"event":"#gap","data":5}`,
					`{"event":"#subscribe","data":{"channel":"x"},"cid":1}`, `{"event":"#handshake","cid":2}`, `{"event":"#unknown","cid":3}`,
				) {
					_ = s.last().conn.Send(ws.NewFrame(m.Binary, m.Data))
				}
				synctest.Wait()
				// Only the text frame that is empty for the WebSocket, too, would be a ping.
				s.last().want(1)
				if c.State() != client.Connected {
					t.Errorf("state: got %v, want connected", c.State())
				}
			})
		})
	}
}
