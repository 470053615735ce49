// Package socketio has the load generator speak the fourth version of Engine.IO, and Socket.IO in it, over a WebSocket
// from the beginning: a digit for Engine.IO's message (4), one for Socket.IO's packet, the number of a call, and JSON.
package socketio

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Protocol is that of a server that knows the events join and publish.
type Protocol struct{}

// Hello connects to the namespace /.
func (Protocol) Hello() []byte { return []byte("40") }

// Subscribe calls join.
func (Protocol) Subscribe(channel string, call uint64) []byte { return event(call, "join", channel) }

// Publish calls publish.
func (Protocol) Publish(channel, text string, call uint64) []byte {
	return event(call, "publish", channel, text)
}

// event asks for an answer unless the call is 0.
func event(call uint64, args ...string) []byte {
	b := []byte("42")
	if call != 0 {
		b = strconv.AppendUint(b, call, 10)
	}
	list, err := json.Marshal(args)
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return append(b, list...)
}

// Answers finds acknowledgements, and the answer to Hello, which is call 1.
func (Protocol) Answers(message []byte, each func(call uint64, refused error)) {
	if len(message) < 2 || message[0] != '4' {
		return
	}
	switch rest := message[2:]; message[1] {
	case '0':
		each(1, nil)
	case '4':
		each(1, fmt.Errorf("%s", rest))
	case '3':
		digits, _, _ := bytes.Cut(rest, []byte("["))
		if call, err := strconv.ParseUint(string(digits), 10, 64); err == nil {
			each(call, nil)
		}
	}
}

// Pong answers Engine.IO's ping.
func (Protocol) Pong(message []byte) (answer []byte, ok bool) {
	return []byte("3"), len(message) == 1 && message[0] == '2'
}
