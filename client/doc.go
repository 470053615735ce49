// Package client is a SocketCluster client: of skein, and of every other server of that protocol, in both its
// generations and with either codec.
//
//	c, err := client.Dial(ctx, client.Options{URL: "ws://127.0.0.1:8000/socketcluster/"})
//	…
//	defer c.Close()
//	news, err := c.Subscribe(ctx, "news")
//	…
//	for m := range news.Messages() {
//		fmt.Println(string(m))
//	}
//	return news.Err()
//
// # What is guaranteed
//
// After Subscribe everything arrives that is published to the channel, in the order of each publisher, as long as the
// connection holds and the consumer keeps up. Where something may be missing Next says so, in its place: see Gap.
// Messages leaves these marks out, for consumers to whom the latest message is enough.
//
// A lost connection is dialled again (see Backoff) unless the server closed it for good, with 1000 or a code from 4500
// on. The channels are asked for again before anything else is sent. Calls and acknowledged publications wait for the
// connection when there is none, but are never sent twice.
//
// A token that the server sets or removes is taken over, kept in the TokenStore, and presented with each connection.
//
// # What it costs, and the bounds
//
// A client has three or four goroutines and some 70 KB, however many channels and calls. The connection never waits for a consumer: each
// Stream is a queue of Options.Queue bytes from which the oldest messages are dropped, counted and told. What waits for
// the network is bounded by Options.Outbox: calls and publications wait for room, transmits return ErrBusy. At most 128
// procedures run at once. The client's own memory for a message is never more than twice what it counts.
package client
