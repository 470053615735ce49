package skein

import (
	"encoding/json"

	"github.com/skeinrt/skein/internal/wire"
	"github.com/skeinrt/skein/internal/ws"
)

// receive handles one message on the session's executor.
func (s *Session) receive(m ws.Message) {
	if s.closed.Load() {
		return
	}
	if s.codec == nil {
		s.codec = s.endpoint.codecOf(m)
	}
	if s.endpoint.Inbound != nil && s.endpoint.Inbound(s.Context(), s, rawMessage(m)) != nil {
		return
	}
	if !s.affords(rateBytes, len(m.Data)) {
		return
	}
	if s.isPong(m) {
		if s.affords(ratePackets, 1) {
			s.pong()
		}
		return
	}
	data := m.Data
	if d := s.codec.driver; d != nil {
		var err error
		if data, err = d.Decode(m.Binary, m.Data); err != nil {
			data = nil // as malformed as text that is not JSON
		}
	}
	s.unpack(data)
}

// unpack handles the packets of a message, one after the other.
func (s *Session) unpack(data []byte) {
	l, n := &s.endpoint.Limits, 0
	for p := range s.codec.wire.PacketsWithin(data, l.Depth) {
		if s.closed.Load() || !s.affords(ratePackets, 1) {
			return
		}
		switch n++; {
		case p.Kind == wire.TooDeep:
			s.exceed(limitDepth)
		case n > l.Batch:
			s.exceed(limitBatch)
		default:
			s.dispatch(&p)
		}
	}
}

// exceed closes for a message that is more than may be.
func (s *Session) exceed(l limit) {
	s.server.counters.limited.add(l)
	s.shut(CloseTooBig, "")
}

// affords reports whether the session, its user and its address may do n more of something; one that may not is closed.
func (s *Session) affords(k rateKind, n int) bool {
	if s.meter == nil || s.meter.charge(k, n) == nil {
		return true
	}
	s.shut(CloseRate, "")
	return false
}

// pay charges what is answered where it is too much.
func (s *Session) pay(kind wire.Kind) error {
	if s.meter == nil {
		return nil
	}
	k := rateCalls
	switch kind {
	case wire.Subscribe:
		k = rateSubscribes
	case wire.Publish:
		k = ratePublishes
	case wire.Event, wire.SetAuthToken, wire.KickOut:
	default:
		return nil
	}
	if err := s.meter.charge(k, 1); err != nil {
		return err
	}
	return nil
}

// dispatch picks the method for a packet.
func (s *Session) dispatch(p *wire.Packet) {
	if p.Kind == wire.Handshake {
		s.handshake(p)
		return
	}
	if !s.open.Load() && !s.early(p) {
		return
	}
	if err := s.pay(p.Kind); err != nil {
		s.fail(p.CID, err)
		return
	}
	switch p.Kind {
	case wire.Authenticate:
		s.authenticate(p)
	case wire.RemoveAuthToken:
		s.forgetToken()
	case wire.Subscribe:
		s.subscribe(p)
	case wire.Unsubscribe:
		s.unsubscribe(p)
	case wire.Publish:
		s.publish(p)
	case wire.Event, wire.SetAuthToken, wire.KickOut:
		s.event(p) // names that mean something from server to client only are ordinary from client to server
	case wire.Response:
		s.answered(p)
	case wire.Pong: // of a min-bin client up to 14; all others send it as text
		s.answers(V1)
		s.pong()
	case wire.Disconnect:
		s.recordFarewell(p)
	case wire.Raw, wire.Empty, wire.Ping, wire.Handshake, wire.TooDeep:
		// No packet, or one that says nothing: ignored, as SocketCluster does.
	}
}

// early reports whether a packet before the handshake is served, which only a lax endpoint does.
func (s *Session) early(p *wire.Packet) bool {
	if p.Kind == wire.Empty {
		return false
	}
	if !s.endpoint.Lax {
		s.shut(CloseBeforeHandshake, "")
		return false
	}
	if p.Kind == wire.Subscribe {
		s.fail(p.CID, invalidAction("Cannot subscribe socket to a channel before it has completed the handshake"))
		return false
	}
	return true
}

// recordFarewell keeps the reason that clients up to 14 give before they close.
func (s *Session) recordFarewell(p *wire.Packet) {
	var said struct {
		Code int    `json:"code"`
		Data string `json:"data"`
	}
	if json.Unmarshal(p.Data, &said) == nil {
		s.farewell = &closing{said.Code, said.Data}
	}
}

// reply answers a call; data nil is undefined. A packet without a cid gets none.
func (s *Session) reply(cid wire.Number, data json.RawMessage) {
	if cid != nil {
		s.sendPacket(len(cid)+len(data)+16, func(dst []byte) []byte { return s.codec.wire.AppendResult(dst, cid, data) })
	}
}

// fail answers a call with an error.
func (s *Session) fail(cid wire.Number, err error) {
	if cid != nil {
		s.send(s.codec.wire.AppendFailure(nil, cid, errorJSON(err)))
	}
}

// Nothing is the output of a procedure that replies without data.
type Nothing struct{}
