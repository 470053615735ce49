package rawws_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/plugin/rawws"
	"github.com/skeinrt/skein/skeintest"
)

// deep is more nesting than encoding/json takes.
const deep = 1000

// FuzzMessages sends one message and one that marks the end: what a subscriber gets is what encoding/json makes of it.
func FuzzMessages(f *testing.F) {
	for _, text := range []string{"", " ", "hello", `{"a": 1}`, `"x"`, "[1,", "null", "\xff", "1e999", `{"a":1,"a":2}`, "\ufeff1", "\x00", `"\ud800"`} {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, message []byte, binary bool) {
		if bytes.Count(message, []byte("["))+bytes.Count(message, []byte("{")) > deep || !binary && !utf8.Valid(message) {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			srv := skeintest.Start(t, skein.Options{}, rawws.New())
			sub := subscribe(t, srv, "testChannel")
			c := srv.Conn(t, "/ws", nil)
			send := func() error { return c.Send(string(message)) }
			if binary {
				send = func() error { return c.SendBinary(message) }
			}
			if err := send(); err != nil {
				t.Fatal(err)
			}
			if err := c.Send(`"end"`); err != nil {
				t.Fatal(err)
			}
			m, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checkMessage(t, m.Data, message, binary)
			expect(t, sub, `"end"`)
		})
	})
}

func checkMessage(t *testing.T, got json.RawMessage, message []byte, binary bool) {
	t.Helper()
	var text string
	var octets struct {
		Base64 bool
		Data   string
	}
	switch {
	case !json.Valid(got):
		t.Errorf("%q became %q, which is no JSON", message, got)
	case binary:
		if err := json.Unmarshal(got, &octets); err != nil || !octets.Base64 || octets.Data != base64.StdEncoding.EncodeToString(message) {
			t.Errorf("the octets %q became %s, %v", message, got, err)
		}
	case json.Valid(message):
		if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(message)) {
			t.Errorf("%q became %q, want it as it is", message, got)
		}
	default:
		if err := json.Unmarshal(got, &text); err != nil || text != string(message) {
			t.Errorf("the text %q became %s, %v", message, got, err)
		}
	}
}
