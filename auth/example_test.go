package auth_test

import (
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/skeinrt/skein/auth"
)

// A clock that stands still, so that the examples always say the same.
func atNoon() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

func ExampleTokens_Sign() {
	key, err := auth.NewHMAC([]byte("a secret of at least thirty-two octets"))
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{key}, Now: atNoon})
	if err != nil {
		log.Fatal(err)
	}
	token, err := tokens.Sign(map[string]any{"username": "bob"}, auth.SignOptions{Expiry: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	for part := range strings.SplitSeq(token, ".") {
		fmt.Println(part)
	}
	// Output:
	// eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9
	// eyJ1c2VybmFtZSI6ImJvYiIsImlhdCI6MTc2NzI2ODgwMCwiZXhwIjoxNzY3MjcyNDAwfQ
	// tRP5vmJwd1EAG-37iuW1msx2x1Px6AUY5L0YUiSCfkk
}

func ExampleTokens_Verify() {
	key, err := auth.NewHMAC([]byte("a secret of at least thirty-two octets"))
	if err != nil {
		log.Fatal(err)
	}
	now := atNoon()
	tokens, err := auth.New(auth.Options{Keys: []auth.Key{key}, Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	token, err := tokens.Sign(map[string]any{"username": "bob"}, auth.SignOptions{Expiry: time.Hour})
	if err != nil {
		log.Fatal(err)
	}

	claims, err := tokens.Verify(token)
	if err != nil {
		log.Fatal(err)
	}
	var user struct{ Username string }
	if err := claims.Decode(&user); err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Username, "until", claims.Expiry.UTC())

	now = now.Add(2 * time.Hour)
	_, err = tokens.Verify(token)
	if bad, ok := errors.AsType[*auth.Error](err); ok {
		fmt.Println(bad.Name+":", bad.Message)
	}
	// Output:
	// bob until 2026-01-01 13:00:00 +0000 UTC
	// AuthTokenExpiredError: jwt expired
}

// A new key signs, and the old one goes on verifying until its last token has
// expired.
func ExampleTokens_rotation() {
	older, err := auth.NewHMAC([]byte("last year's secret, thirty-two octets"))
	if err != nil {
		log.Fatal(err)
	}
	newer, err := auth.NewHMAC([]byte("this year's secret, thirty-two octets"))
	if err != nil {
		log.Fatal(err)
	}
	older.ID, newer.ID = "2025", "2026"

	before, err := auth.New(auth.Options{Keys: []auth.Key{older}})
	if err != nil {
		log.Fatal(err)
	}
	token, err := before.Sign(map[string]any{"username": "bob"}, auth.SignOptions{})
	if err != nil {
		log.Fatal(err)
	}

	for _, keys := range [][]auth.Key{{newer, older}, {newer}} {
		tokens, err := auth.New(auth.Options{Keys: keys})
		if err != nil {
			log.Fatal(err)
		}
		_, err = tokens.Verify(token)
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// invalid signature
}

func ExampleNew() {
	key, err := auth.NewHMAC([]byte("too short"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = auth.New(auth.Options{Keys: []auth.Key{key}})
	fmt.Println(err)
	// Output:
	// auth: key 1: HMAC secret of 9 octets is too weak: at least 32 are required unless weak keys are allowed (AllowWeak, --auth-allow-weak)
}
