// Package ws carries WebSocket connections (RFC 6455, and permessage-deflate of RFC 7692) for very many peers at once.
//
// # What is guaranteed
//
// Order: the messages of a connection reach [Handler.Message] one at a time, as they came, on the connection's
// executor; frames given to [Conn.Send] leave in the order of the calls, but that one of a [Topic] with [KeepLatest] may take
// the place of an older one. [Handler.Closed] is called once, last.
//
// Bounds: a message is refused before it is allocated, the inbox stops the reading when it is full, and the outbox
// ends the connection of a peer that does not take what it is sent (Options.SlowCode), or drops what the topics of
// [Conn.SendTopic] allow and tells the peer where. Send never blocks and no peer
// can make another one wait.
//
// Safety: what a peer sends is checked in full; a panic in a Handler ends its own connection with 1011.
//
// # What the user must do
//
// Close the [Runtime], which waits for everything it started. Never change a [Frame]'s bytes; Message.Data is the
// receiver's own. Tick must not block: it runs on the goroutine of the timer wheel.
//
// # What it costs
//
// An idle TCP connection is one Conn of 240 bytes. With [DriverPark] a parked goroutine without a buffer adds to it,
// 4.2 KB resident in all; with [DriverEpoll] there is none, and 0.7 KB. TLS, pipes and net.Conn types that hide their
// descriptor keep a read buffer of 2 KB each, and a writer goroutine while something is pending. Batching comes from
// back-pressure alone, so it adds no delay: what has gathered while a flush shard was busy leaves in one send.
package ws
