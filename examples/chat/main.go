// Chat is a chat server in one program: login, rooms, who is there, who is typing, and the last 50 messages of a room.
// Run it, open http://127.0.0.1:8000 in two tabs, and talk to yourself:
//
//	go run ./examples/chat
//
// Each file is one thought:
//
//	main.go   the server and its limits
//	chat.go   the plugin: which questions it answers
//	login.go  who somebody is: names and tokens
//	rooms.go  what is said in a room, and who hears it
//	room.go   what a room remembers
//	page.go   the page, which is in page/
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "where to listen")
	secret := flag.String("auth-key", auth.GenerateSecret(), "signs tokens: at least 32 octets; without one, logins end with the program")
	flag.Parse()
	tokens, err := signing(*secret)
	if err != nil {
		log.Fatal(err)
	}
	srv := newServer(skein.Options{Addr: *addr, Tokens: tokens, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	fmt.Printf("chat on http://%s\n", *addr)
	err = srv.Run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// newServer bounds what one visitor may cost. Everything here is kept in memory, so nothing may grow without end.
func newServer(o skein.Options) *skein.Server {
	o.Limits = skein.Limits{
		MaxMessage: 16 << 10,                                                    // bytes
		Channels:   10,                                                          // of one connection
		Rates:      skein.Rates{Packets: skein.Rate{PerSecond: 20, Burst: 100}}, // for typing and talking
	}
	srv := skein.New(o)
	srv.MustRegister(newChat("lobby", "coffee", "workshop"))
	return srv
}

func signing(secret string) (*auth.Tokens, error) {
	key, err := auth.NewHMAC([]byte(secret))
	if err != nil {
		return nil, err
	}
	return auth.New(auth.Options{Keys: []auth.Key{key}})
}
