package client_test

import (
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// FuzzServerMessages has a server say anything to a client of either codec and generation. Whatever it is, the client
// takes what is published behind it, or has noticed that the connection cannot be used.
func FuzzServerMessages(f *testing.F) {
	for _, text := range []string{
		"", "#1", `{"rid":1}`, `{"rid":2,"error":null}`, `{"event":"#gap","data":{"channel":"a"}}`, `{"event":"#gap","data":[1]}`,
		`{"event":"#setAuthToken","data":{"token":"x.eyJhIjoxfQ.y"},"cid":1}`, `{"event":"#removeAuthToken"}`, `{"event":"call","data":{},"cid":7}`,
		`{"event":"#kickOut","data":{"channel":"b","message":"m"}}`, `[{"event":"#publish","data":{"channel":"a","data":1}}]`,
		`{"event":"#disconnect","data":{"code":4001,"data":"bye"}}`, `{"event":"#publish","data":{"channel":"a"}}`, "\x81\xa1p\x92\xa1a\x01",
	} {
		f.Add([]byte(text), false, false, false)
		f.Add([]byte(text), true, true, true)
	}
	f.Fuzz(func(t *testing.T, message []byte, binary, minbin, legacy bool) {
		if !binary && !utf8.Valid(message) {
			return // the connection does not let it through
		}
		synctest.Test(t, func(t *testing.T) {
			s, o := newServer(t), client.Options{Protocol: 2, Reconnect: client.Backoff{Off: true}}
			if minbin {
				s.codec = wire.MinBin
			}
			if legacy {
				o.Protocol = 1
			}
			c := s.dial(o)
			sub := subscribe(t, c, "last")
			_ = s.last().conn.Send(ws.NewFrame(binary, message))
			synctest.Wait()
			s.publish("last", `"mark"`)
			synctest.Wait()
			checkMark(t, c, sub, message)
		})
	})
}

// checkMark expects the mark, last of what a message may have brought along.
func checkMark(t *testing.T, c *client.Client, sub *client.Subscription, message []byte) {
	t.Helper()
	for {
		m, err := sub.Next(t.Context())
		switch {
		case err != nil && (c.State() == client.Closed || sub.Err() != nil): // closed, or kicked out
			return
		case err != nil:
			t.Fatalf("behind %q: %v", message, err)
		case string(m.Data) == `"mark"`:
			return
		case m.Data != nil && !wire.Valid(m.Data):
			t.Fatalf("%q brought %q", message, m.Data)
		}
	}
}
