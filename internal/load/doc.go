// Package load drives a SocketCluster server from outside, as a crowd of clients would, and measures what it does.
//
// # What the figures mean
//
// Every message carries the numbers of its publisher and its channel, its own number there, and the moment when it was
// due, in fixed places of the payload. So each subscriber tells what is lost, repeated or out of order, and how long it
// took.
// A latency counts from the moment when the message was due: when the server stops taking publications, those that had
// to wait for it count with their wait.
//
// # What the user must do
//
// Give the load generator processors of its own where the server is to be measured at its limit: Report.OwnCores tells
// what it took. It refuses to load another machine unless Options.Remote says so.
//
// # What it costs
//
// Subscribers are read without parsing: frames are split, and stamps found, in place. On Linux a few loops read all
// connections without TLS; elsewhere each has a goroutine. A histogram has 15 KB, whatever it counts.
//
// Everything ends: with the context, with the loss of any connection, and after Options.Timeout where the server does
// not answer.
package load
