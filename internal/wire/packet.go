package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Kind says what a packet is.
type Kind uint8

const (
	// Raw is no packet; it is ignored after the handshake.
	Raw Kind = iota
	// Empty is an empty batch, which is tolerated even before the handshake.
	Empty
	// Ping and Pong are protocol 1's liveness messages, when they come through the MinBin codec. As text frames
	// they never reach a codec.
	Ping
	// Pong answers Ping.
	Pong
	// Handshake opens the session.
	Handshake
	// Authenticate presents a token on an open session.
	Authenticate
	// SetAuthToken hands a token to the client.
	SetAuthToken
	// RemoveAuthToken ends the authentication, in both directions.
	RemoveAuthToken
	// Subscribe asks to join a channel.
	Subscribe
	// Unsubscribe leaves a channel.
	Unsubscribe
	// Publish is a publication, or the message that it became.
	Publish
	// KickOut tells the client that the server has unsubscribed it.
	KickOut
	// Disconnect is the goodbye of clients up to version 14.
	Disconnect
	// Event is an event of the application: a call when CID is set, else a transmit.
	Event
	// Response answers the call whose CID is RID.
	Response
	// TooDeep is a message that is nested deeper than PacketsWithin allows.
	TooDeep
)

// Names of the reserved events.
const (
	handshakeName       = "#handshake"
	authenticateName    = "#authenticate"
	setAuthTokenName    = "#setAuthToken"    //nolint:gosec // a name, no secret
	removeAuthTokenName = "#removeAuthToken" //nolint:gosec // a name, no secret
	subscribeName       = "#subscribe"
	unsubscribeName     = "#unsubscribe"
	publishName         = "#publish"
	kickOutName         = "#kickOut"
	disconnectName      = "#disconnect"
)

// Number is a JSON number as written, so that it can be echoed exactly. Nil means absent.
type Number []byte

// Uint64 returns the number when it is written as a plain non-negative integer.
func (n Number) Uint64() (uint64, bool) {
	v, err := strconv.ParseUint(string(n), 10, 64)
	return v, err == nil
}

// Packet is one decoded protocol message. Its slices alias the input or, with MinBin, memory of the packet's own.
type Packet struct {
	// Kind says which of the other fields mean something.
	Kind Kind
	// Event is the name of an event, reserved ones included.
	Event string
	// CID is an event's call number; nil: a transmit, which is never answered.
	CID Number
	// RID is the number of the call that a Response answers.
	RID Number
	// Data is the packet's data; nil: undefined.
	Data json.RawMessage
	// Error is the error of a Response; nil: none, null included.
	Error json.RawMessage
	// Channel is the channel of a Subscribe, Unsubscribe, Publish or KickOut.
	Channel string
	// Named reports whether there was a channel and it was a string.
	Named bool
	// Payload is what a Publish carries, and the application's data of a Subscribe; nil: undefined.
	Payload json.RawMessage
	// WaitForAuth is a Subscribe's wish to be refused quietly while not authenticated.
	WaitForAuth bool
	// Token is what a Handshake, Authenticate or SetAuthToken has in the place of the token; nil: absent.
	Token json.RawMessage
}

// fields are the members of a packet that mean something, as they stand in the message; nil: absent.
type fields struct {
	event, cid, rid, data, err []byte
	inner                      dataFields
	depth                      int // most levels of the packet
}

// dataFields are the members of a packet's data that reserved events know.
type dataFields struct {
	channel, data, waitForAuth, authToken, token []byte
}

// scope says whose members are being read.
type scope uint8

const (
	inPacket scope = iota
	inData
)

// object reads the object at b[i], whose brace is known, and keeps the members of its scope. It returns the index
// behind it, or -1 when it is malformed. A repeated key overwrites, as in JavaScript.
func (f *fields) object(b []byte, i int, in scope) int {
	i = space(b, i+1)
	if peek(b, i) == '}' {
		return i + 1
	}
	for {
		end, plain := str(b, i)
		start := colon(b, end)
		if start < 0 {
			return -1
		}
		slot := f.slot(content(b[i:end], plain), in)
		if i = f.member(b, start, slot, in); i < 0 {
			return -1
		}
		if slot != nil {
			*slot = b[start:i:i]
		}
		i = space(b, i)
		switch peek(b, i) {
		case ',':
			i = space(b, i+1)
		case '}':
			return i + 1
		default:
			return -1
		}
	}
}

// member reads the value at b[i] and, when it is the packet's data, what is of interest in it.
func (f *fields) member(b []byte, i int, slot *[]byte, in scope) int {
	if slot == &f.data {
		f.inner = dataFields{}
		if f.depth > 1 && peek(b, i) == '{' {
			return f.object(b, i, inData)
		}
	}
	return value(b, i, f.depth-1-int(in))
}

// slot returns the place for the value of a key; nil: nobody asks for it.
func (f *fields) slot(name []byte, in scope) *[]byte {
	if in == inData {
		return f.inner.slot(name)
	}
	switch string(name) {
	case "event":
		return &f.event
	case "cid":
		return &f.cid
	case "data":
		return &f.data
	case "rid":
		return &f.rid
	case "error":
		return &f.err
	}
	return nil
}

func (d *dataFields) slot(name []byte) *[]byte {
	switch string(name) {
	case "channel":
		return &d.channel
	case "data":
		return &d.data
	case "waitForAuth":
		return &d.waitForAuth
	case "authToken":
		return &d.authToken
	case "token":
		return &d.token
	}
	return nil
}

// packet makes of the fields what they are. An event is an event even when it has a rid, as upstream.
func (f *fields) packet() Packet {
	switch {
	case isString(f.event):
		return f.eventPacket()
	case isNumber(f.rid):
		p := Packet{Kind: Response, RID: f.rid, Data: f.data}
		if string(f.err) != "null" {
			p.Error = f.err
		}
		return p
	}
	return Packet{}
}

func (f *fields) eventPacket() Packet {
	p := Packet{Data: f.data}
	p.Kind, p.Event = named(content(f.event, bytes.IndexByte(f.event, '\\') < 0))
	if isNumber(f.cid) {
		p.CID = f.cid
	}
	switch p.Kind {
	case Handshake:
		p.Token = f.inner.authToken
	case Authenticate:
		p.Token = f.data
	case SetAuthToken:
		p.Token = f.inner.token
	case Subscribe:
		p.setChannel(f.inner.channel)
		p.Payload = f.inner.data
		p.WaitForAuth = string(f.inner.waitForAuth) == "true"
	case Publish:
		p.setChannel(f.inner.channel)
		p.Payload = f.inner.data
	case KickOut:
		p.setChannel(f.inner.channel)
	case Unsubscribe:
		p.setChannel(f.data)
	}
	return p
}

func (p *Packet) setChannel(raw []byte) {
	if p.Named = isString(raw); p.Named {
		p.Channel = string(content(raw, bytes.IndexByte(raw, '\\') < 0))
	}
}

// named returns the kind of an event, and its name. Reserved names cost no memory.
func named(name []byte) (Kind, string) {
	switch string(name) {
	case publishName:
		return Publish, publishName
	case subscribeName:
		return Subscribe, subscribeName
	case unsubscribeName:
		return Unsubscribe, unsubscribeName
	case handshakeName:
		return Handshake, handshakeName
	case authenticateName:
		return Authenticate, authenticateName
	case setAuthTokenName:
		return SetAuthToken, setAuthTokenName
	case removeAuthTokenName:
		return RemoveAuthToken, removeAuthTokenName
	case kickOutName:
		return KickOut, kickOutName
	case disconnectName:
		return Disconnect, disconnectName
	}
	return Event, string(name)
}

func isString(raw []byte) bool { return len(raw) > 0 && raw[0] == '"' }

func isNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0]-'0' <= 9)
}
