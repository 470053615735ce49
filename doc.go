// Package skein is a realtime server: SocketCluster clients subscribe to channels, and what is published reaches every
// one of them, on every node.
//
// # What it guarantees
//
//   - Wire: unmodified socketcluster-client from npm, versions 5 to 20, both protocol generations, JSON and min-bin, all
//     on one endpoint, found out for each connection.
//   - Order: a session's packets are handled one at a time, in order. What one publisher sends to a channel arrives in
//     the order in which it was sent.
//   - Acknowledged subscribe: what is published anywhere after the acknowledgement arrives.
//   - Acknowledged publish: the engine has taken the message over. A failure is told, never swallowed.
//   - Bounds: every queue has a limit and a named policy at it. A slow client costs nobody else anything: it is closed
//     with CloseSlow.
//
// # How it is used
//
// A [Server] is made of plugins. A [Plugin] registers with its [Host] what it brings: HTTP routes, raw WebSocket
// endpoints, procedures, and hooks, which are the questions that it may be asked: may this client subscribe, publish,
// call? New never fails; Start reports everything that is wrong at once; Run does it all.
//
//	srv := skein.New(skein.Options{Addr: "localhost:8000"})
//	srv.MustRegister(skein.Func("clock", func(ctx context.Context, h *skein.Host) error {
//		h.Every("tick", time.Second, func(ctx context.Context) error {
//			return h.Publish(ctx, "time", json.RawMessage(strconv.FormatInt(time.Now().Unix(), 10)))
//		})
//		return nil
//	}))
//	log.Fatal(srv.Run(ctx))
//
// # What it costs
//
// A message is encoded and framed once for each codec, whoever receives it. Hooks run on the goroutine of the session
// that caused them, so a slow one delays that session alone. Message payloads are passed through as they came, without
// being parsed into values: they are JSON text, and numbers keep all their digits.
package skein
