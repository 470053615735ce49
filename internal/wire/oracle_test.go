package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// describe says everything about a packet in one line, so that tables can be read and failures too.
func describe(p Packet) string {
	var s strings.Builder
	s.WriteString(kindName(p.Kind))
	if p.Kind == Event {
		fmt.Fprintf(&s, " %q", p.Event)
	}
	for _, part := range []struct {
		name string
		raw  []byte
	}{{"cid", p.CID}, {"rid", p.RID}, {"data", p.Data}, {"error", p.Error}, {"payload", p.Payload}, {"token", p.Token}} {
		if part.raw != nil {
			fmt.Fprintf(&s, " %s=%s", part.name, part.raw)
		}
	}
	if p.Named {
		fmt.Fprintf(&s, " channel=%q", p.Channel)
	}
	if p.WaitForAuth {
		s.WriteString(" waitForAuth")
	}
	return s.String()
}

func kindName(k Kind) string {
	return [...]string{
		"Raw", "Empty", "Ping", "Pong", "Handshake", "Authenticate", "SetAuthToken", "RemoveAuthToken",
		"Subscribe", "Unsubscribe", "Publish", "KickOut", "Disconnect", "Event", "Response",
	}[k]
}

func kindByName(name string) Kind {
	kind, ok := map[string]Kind{
		"#handshake": Handshake, "#authenticate": Authenticate, "#setAuthToken": SetAuthToken,
		"#removeAuthToken": RemoveAuthToken, "#subscribe": Subscribe, "#unsubscribe": Unsubscribe,
		"#publish": Publish, "#kickOut": KickOut, "#disconnect": Disconnect,
	}[name]
	if !ok {
		return Event
	}
	return kind
}

// describeAll decodes a message; one line for each packet.
func describeAll(c Codec, message []byte) string {
	var lines []string
	for p := range c.Packets(message) {
		lines = append(lines, describe(p))
	}
	return strings.Join(lines, "\n")
}

// oracle decodes a JSON message as the protocol says and encoding/json makes simple. It cannot say what it thinks
// of text that is too deep for encoding/json.
func oracle(message []byte) (lines string, ok bool) {
	text := bytes.ToValidUTF8(message, []byte("\uFFFD"))
	trimmed := bytes.TrimLeft(text, " \n\r\t")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' {
		return "Raw", true
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return "Raw", !strings.Contains(err.Error(), "max depth")
	}
	if trimmed[0] == '{' {
		return describe(oraclePacket(whole)), true
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return err.Error(), true
	}
	if len(elements) == 0 {
		return "Empty", true
	}
	var all []string
	for _, element := range elements {
		all = append(all, describe(oraclePacket(element)))
	}
	return strings.Join(all, "\n"), true
}

func oraclePacket(raw json.RawMessage) Packet {
	members := oracleMembers(raw)
	event, isEvent := oracleString(members["event"])
	if !isEvent {
		rid := oracleNumber(members["rid"])
		if rid == nil {
			return Packet{}
		}
		p := Packet{Kind: Response, RID: rid, Data: members["data"], Error: members["error"]}
		if string(p.Error) == "null" {
			p.Error = nil
		}
		return p
	}
	data := members["data"]
	inner := oracleMembers(data)
	p := Packet{Kind: kindByName(event), Event: event, CID: oracleNumber(members["cid"]), Data: data}
	switch p.Kind {
	case Subscribe, Publish:
		p.Channel, p.Named = oracleString(inner["channel"])
		p.Payload = inner["data"]
	case KickOut:
		p.Channel, p.Named = oracleString(inner["channel"])
	case Handshake:
		p.Token = inner["authToken"]
	case SetAuthToken:
		p.Token = inner["token"]
	case Authenticate:
		p.Token = data
	case Unsubscribe:
		p.Channel, p.Named = oracleString(data)
	}
	if p.Kind == Subscribe {
		p.WaitForAuth = string(inner["waitForAuth"]) == "true"
	}
	return p
}

func oracleMembers(raw json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	return members
}

func oracleString(raw json.RawMessage) (string, bool) {
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

func oracleNumber(raw json.RawMessage) Number {
	var n json.Number
	if len(raw) == 0 || raw[0] == '"' || json.Unmarshal(raw, &n) != nil || n == "" {
		return nil
	}
	return Number(raw)
}

// encode is the packet's way back to the wire. It reports false for a call number that only a peer can have chosen.
func encode(c Codec, p Packet) ([]byte, bool) {
	if p.Kind == Response {
		if p.Error != nil && p.Data != nil {
			return c.AppendRefusal(nil, p.RID, p.Error, p.Data), true
		}
		if p.Error != nil {
			return c.AppendFailure(nil, p.RID, p.Error), true
		}
		return c.AppendResult(nil, p.RID, p.Data), true
	}
	cid, ok := p.CID.Uint64()
	if p.CID != nil && (!ok || cid == 0 || cid > 1<<53) {
		return nil, false
	}
	if p.Kind == Publish && p.Named && p.CID == nil {
		return c.AppendPublish(nil, p.Channel, p.Payload), true
	}
	return c.AppendEvent(nil, p.Event, p.Data, cid), true
}

func isPacket(p Packet) bool { return p.Kind >= Handshake }

// only returns the one packet of a message.
func only(t *testing.T, c Codec, message []byte) Packet {
	t.Helper()
	var found []Packet
	for p := range c.Packets(message) {
		found = append(found, p)
	}
	if len(found) != 1 {
		t.Fatalf("%.200q: got %d packets, want 1", message, len(found))
	}
	return found[0]
}

// meaning is what JavaScript would make of JSON text. It reports false for what Go cannot say.
func meaning(raw []byte) (any, bool) {
	if raw == nil {
		return nil, true
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, false
	}
	return v, true
}
