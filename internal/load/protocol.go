package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/skeinrt/skein/internal/wire"
)

// Protocol is what servers differ in above their WebSockets. All connections share one, which keeps nothing of them.
//
// Calls are numbered by the client. Their numbers may stand anywhere in a message, but in full: the messages of two
// calls with numbers of equally many digits differ in these alone.
type Protocol interface {
	// Hello introduces the client as soon as the connection is upgraded. It is call 1.
	Hello() []byte
	// Subscribe asks for a channel.
	Subscribe(channel string, call uint64) []byte
	// Publish sends a text, in which nothing needs escaping, to a channel. Call 0 asks for no answer.
	Publish(channel, text string, call uint64) []byte
	// Answers tells each call that a message of the server answers, and why it was refused, if it was.
	Answers(message []byte, each func(call uint64, refused error))
	// Pong gives the answer to a message that only asks whether the client is there. false: it is another one.
	Pong(message []byte) (answer []byte, ok bool)
}

// socketCluster is the protocol of SocketCluster from 15 on, in JSON.
type socketCluster struct {
	token string // to authenticate with, or empty
}

func (s socketCluster) Hello() []byte {
	data := []byte(`{"authToken":null}`)
	if s.token != "" {
		data = fmt.Appendf(nil, `{"authToken":%s}`, wire.AppendString(nil, s.token))
	}
	return wire.JSON.AppendEvent(nil, "#handshake", data, 1)
}

func (socketCluster) Subscribe(channel string, call uint64) []byte {
	return wire.JSON.AppendEvent(nil, "#subscribe", fmt.Appendf(nil, `{"channel":%s}`, wire.AppendString(nil, channel)), call)
}

func (socketCluster) Publish(channel, text string, call uint64) []byte {
	data := fmt.Appendf(nil, `{"channel":%s,"data":"%s"}`, wire.AppendString(nil, channel), text)
	return wire.JSON.AppendEvent(nil, "#publish", data, call)
}

func (socketCluster) Pong(message []byte) (answer []byte, ok bool) { return nil, len(message) == 0 }

// Answers parses what may tell more than a number: refusals, and the first answers of a connection. The others are
// found by their key, as nothing but answers comes to somebody who has many calls.
func (s socketCluster) Answers(message []byte, each func(call uint64, refused error)) {
	call, rest := nextAnswer(message)
	if call > 0 && call < firstCall || bytes.Contains(message, []byte(`"error"`)) {
		s.parsed(message, each)
		return
	}
	for ; call != 0; call, rest = nextAnswer(rest) {
		each(call, nil)
	}
}

func (s socketCluster) parsed(message []byte, each func(call uint64, refused error)) {
	for p := range wire.JSON.Packets(message) {
		call, ok := p.RID.Uint64()
		switch {
		case p.Kind != wire.Response || !ok:
		case p.Error != nil:
			each(call, refusal(p.Error))
		case call == 1 && s.token != "":
			each(call, authenticated(p.Data))
		default:
			each(call, nil)
		}
	}
}

// authenticated looks whether the answer to a handshake is that to a good token.
func authenticated(data json.RawMessage) error {
	var welcome struct {
		IsAuthenticated bool
		AuthError       json.RawMessage
	}
	if err := json.Unmarshal(data, &welcome); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if !welcome.IsAuthenticated {
		return fmt.Errorf("the token: %w", refusal(welcome.AuthError))
	}
	return nil
}

// refusal is an error of the server in words.
func refusal(data json.RawMessage) error {
	var e struct{ Name, Message string }
	if json.Unmarshal(data, &e) != nil || e.Name+e.Message == "" {
		return errors.New(string(data))
	}
	return errors.New(e.Name + ": " + e.Message)
}

// nextAnswer is the first number of an answered call, 0: none, and what is behind it.
func nextAnswer(b []byte) (call uint64, rest []byte) {
	const key = `"rid":`
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return 0, nil
	}
	for i += len(key); i < len(b) && '0' <= b[i] && b[i] <= '9' && call < math.MaxUint32; i++ {
		call = call*10 + uint64(b[i]-'0')
	}
	return call, b[i:]
}
