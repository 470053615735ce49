// Package skeintest runs a server and its clients in memory, for tests: no port is opened and no packet leaves the
// process, so that tests run in parallel, and inside a testing/synctest bubble in virtual time.
//
//	func TestChat(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			srv := skeintest.Start(t, skein.Options{}, chat.Plugin{})
//			alice := srv.Dial(t, client.Options{})
//			…
//		})
//	}
//
// Everything that the functions with a testing.TB start ends with its Cleanup, which synctest runs inside the bubble.
// [Server.Dial] gives the Go client, [Server.Conn] a WebSocket connection of which each message is the test's own, and
// [Server.HTTP] an HTTP client.
package skeintest
