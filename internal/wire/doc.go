// Package wire is the SocketCluster protocol without I/O: it turns the bytes of one WebSocket message into packets
// and packets into bytes, in both codecs.
//
// Payloads are JSON text everywhere outside this package. The JSON codec checks them and passes them through as they
// stand, octet for octet; the MinBin codec translates them, so that a publication is encoded once for each codec,
// whatever its author spoke.
//
// Decoding never fails: what is no packet is a packet of kind Raw, which the protocol ignores. Every piece of JSON
// text in a decoded packet is valid JSON and valid UTF-8, however hostile the input, and so may be embedded in
// another packet unchecked. Decoding a JSON message costs one pass over its bytes (two for a batch) and no memory but
// the names in it; nesting is unbounded, at one bit a level. Decoding a MinBin message costs one buffer.
//
// Slices in a packet belong to the message (or, with MinBin, to a buffer of its own): whoever reuses the message's
// memory, copies first. Encoders append and keep nothing.
package wire
