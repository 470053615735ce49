package wire

import (
	"slices"
	"strconv"
)

// What a packet's frame costs beside its names and payload, at most.
const overhead = 64

// room makes a buffer for a packet with parts of n bytes, unless the caller has brought one.
func room(dst []byte, n int) []byte {
	if cap(dst) > len(dst) {
		return dst
	}
	return slices.Grow(dst, n+overhead)
}

// AppendEvent appends an event: a call with a cid, a transmit without (0). Data is valid JSON text; nil: undefined.
func (c Codec) AppendEvent(dst []byte, event string, data []byte, cid uint64) []byte {
	dst = room(dst, len(event)+len(data))
	if c == MinBin {
		return packEvent(dst, event, data, cid)
	}
	dst = append(dst, `{"event":`...)
	dst = AppendString(dst, event)
	dst = appendMember(dst, `,"data":`, data)
	if cid != 0 {
		dst = append(dst, `,"cid":`...)
		dst = strconv.AppendUint(dst, cid, 10)
	}
	return append(dst, '}')
}

// AppendPublish appends a channel's message to a subscriber, or a publication that needs no answer. Data is valid JSON
// text; nil: undefined.
func (c Codec) AppendPublish(dst []byte, channel string, data []byte) []byte {
	dst = room(dst, len(channel)+len(data))
	if c == MinBin {
		return packPublish(dst, channel, data)
	}
	dst = append(dst, `{"event":"#publish","data":{"channel":`...)
	dst = AppendString(dst, channel)
	dst = appendMember(dst, `,"data":`, data)
	return append(dst, "}}"...)
}

// AppendResult appends the good answer to a call. Rid is the call's number, as it came; data is valid JSON text; nil:
// undefined.
func (c Codec) AppendResult(dst []byte, rid Number, data []byte) []byte {
	dst = room(dst, len(rid)+len(data))
	if c == MinBin {
		return packResponse(dst, rid, nil, data)
	}
	dst = appendMember(dst, `{"rid":`, rid)
	dst = appendMember(dst, `,"data":`, data)
	return append(dst, '}')
}

// AppendFailure appends the bad answer to a call. Rid is the call's number, as it came; err is valid JSON text and not
// null.
func (c Codec) AppendFailure(dst []byte, rid Number, err []byte) []byte {
	return c.AppendRefusal(dst, rid, err, nil)
}

// AppendRefusal is AppendFailure with data beside the error, where clients up to version 14 look for the close code of a
// refused handshake.
func (c Codec) AppendRefusal(dst []byte, rid Number, err, data []byte) []byte {
	dst = room(dst, len(rid)+len(err)+len(data))
	if c == MinBin {
		return packResponse(dst, rid, err, data)
	}
	dst = appendMember(dst, `{"rid":`, rid)
	dst = appendMember(dst, `,"error":`, err)
	dst = appendMember(dst, `,"data":`, data)
	return append(dst, '}')
}

// AppendBatch appends one message of several encoded packets.
func (c Codec) AppendBatch(dst []byte, packets [][]byte) []byte {
	size := overhead
	for _, p := range packets {
		size += len(p) + 1
	}
	dst = slices.Grow(dst, size)
	if c == MinBin {
		dst = packLength(dst, fixArray, array16, len(packets))
		for _, p := range packets {
			dst = append(dst, p...)
		}
		return dst
	}
	dst = append(dst, '[')
	for i, p := range packets {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, p...)
	}
	return append(dst, ']')
}

// appendMember appends a member of an object unless its value is absent.
func appendMember(dst []byte, head string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	dst = append(dst, head...)
	return append(dst, value...)
}
