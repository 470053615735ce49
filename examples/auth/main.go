// Auth shows login with tokens: a procedure that checks a password and sets the client's token, and hooks that ask for
// it. Run it, then connect with any SocketCluster client:
//
//	await socket.invoke('login', {user: 'ada', password: 'lovelace'})   // the client keeps the token and brings it again
//	await socket.subscribe('private/ada').listener('subscribe').once()
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"flag"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8000", "where to listen")
	secret := flag.String("auth-key", os.Getenv("SKEIN_AUTH_KEY"), "signs tokens: at least 32 octets; without one, tokens end with the program")
	flag.Parse()
	tokens, err := signing(*secret)
	if err != nil {
		log.Fatal(err)
	}
	srv := skein.New(skein.Options{Addr: *addr, Tokens: tokens, Logger: slog.Default()})
	srv.MustRegister(accounts())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = srv.Run(ctx) // when ctx ends, clients are sent away and it returns nil
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// signing makes the tokens of a secret; nil leaves the key to the server.
func signing(secret string) (*auth.Tokens, error) {
	if secret == "" {
		return nil, nil //nolint:nilnil // the server makes a key of its own
	}
	key, err := auth.NewHMAC([]byte(secret))
	if err != nil {
		return nil, err
	}
	return auth.New(auth.Options{Keys: []auth.Key{key}})
}

// credentials is what login gets.
type credentials struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// claims is what a token says.
type claims struct {
	User string `json:"user"`
}

// accounts is the plugin: login, logout, and a private channel for each user.
func accounts() skein.Plugin {
	return skein.Func("accounts", func(_ context.Context, h *skein.Host) error {
		skein.Procedure(h, "login", login)
		skein.Procedure(h, "logout", logout)
		h.OnSubscribe("private/*", ownOnly)
		h.OnPublish("private/*", ownOnly)
		h.OnAuthChange(loggedOut)
		return nil
	})
}

func login(ctx context.Context, s *skein.Session, in credentials) (skein.Nothing, error) {
	if !known(in) {
		return skein.Nothing{}, &skein.Error{Name: "FailedLoginError", Message: "Wrong user or password"}
	}
	return skein.Nothing{}, s.SetToken(ctx, claims{in.User}, skein.TokenOptions{})
}

func logout(ctx context.Context, s *skein.Session, _ skein.Nothing) (skein.Nothing, error) {
	return skein.Nothing{}, s.RemoveToken(ctx, skein.TokenOptions{})
}

// ownOnly lets a user into the own private channel, and nobody else.
func ownOnly(_ context.Context, e *skein.Event) error {
	refused := &skein.Error{Name: "NotAuthorizedError", Message: "This channel is private", Props: map[string]any{"channel": e.Channel}}
	if e.Session == nil {
		return nil // the program itself publishes
	}
	token := e.Session.Token()
	if token == nil {
		return refused
	}
	var who claims
	if err := token.Decode(&who); err != nil || e.Channel != "private/"+who.User {
		return refused
	}
	return nil
}

// loggedOut ends the private subscriptions with the token, whether it was removed or has expired: by themselves they would
// outlive it, in skein as in SocketCluster.
func loggedOut(_ context.Context, e *skein.Event) error {
	if e.Change != skein.Deauthenticated {
		return nil
	}
	for _, channel := range e.Session.Channels() {
		if strings.HasPrefix(channel, "private/") {
			_ = e.Session.Kick(channel, "You are logged out") //nolint:contextcheck // it takes none; it may have left meanwhile
		}
	}
	return nil
}

// known checks a password against a table. A real program asks its database for a bcrypt or argon2 hash.
func known(c credentials) bool {
	users := map[string][32]byte{
		"ada":   sha256.Sum256([]byte("lovelace")),
		"grace": sha256.Sum256([]byte("hopper")),
	}
	want, ok := users[c.User]
	got := sha256.Sum256([]byte(c.Password))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && ok
}
