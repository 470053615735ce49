package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/auth"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

func TestNamesHaveOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada, other := come(t, srv, "Ada"), srv.Dial(t, client.Options{})
		ctx := t.Context()
		refused(t, "another one wants the name", failure(other.Call(ctx, "login", loginRequest{"aDA"})), "NameTakenError")
		refused(t, "ada wants a second name", failure(ada.Call(ctx, "login", loginRequest{"bea"})), "LoggedInError")
		for _, name := range []string{"", " ", "two words", "<b>", "-", strings.Repeat("x", 25), "tab\t", "\u202eada"} {
			refused(t, "the name "+name, failure(other.Call(ctx, "login", loginRequest{name})), "BadNameError")
		}
		token := ada.Token()
		_ = ada.Close()
		synctest.Wait()
		if _, err := other.Call(ctx, "login", loginRequest{"ada"}); err != nil {
			t.Errorf("the name is free, but: %v", err)
		}
		late := srv.Dial(t, client.Options{Token: token})
		refused(t, "the first owner comes back", late.AuthError(), "NameTakenError")
		synctest.Wait()
		if late.Authenticated() || late.Token() != "" {
			t.Error("the first owner has kept a token that is worth nothing")
		}
	})
}

func TestTokenIsBroughtAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada := come(t, srv, "Zoë-9.x")
		token := ada.Token()
		_ = ada.Close()
		again := srv.Dial(t, client.Options{Token: token})
		if !again.Authenticated() {
			t.Fatalf("not logged in: %v", again.AuthError())
		}
		if names := settled(t, enter(t, again, "lobby")); len(names) != 1 || names[0] != "Zoë-9.x" {
			t.Errorf("got %v in the room, want the name of the token", names)
		}
	})
}

func TestTokenOfAnotherProgramIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tokens, err := signing(strings.Repeat("k", 32))
		if err != nil {
			t.Fatal(err)
		}
		srv := skeintest.Serve(t, newServer(skein.Options{Tokens: tokens}))
		foreign, err := tokens.Sign(map[string]string{"user": "ada"}, auth.SignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c := srv.Dial(t, client.Options{Token: foreign})
		refused(t, "a token without an id", c.AuthError(), "BadTokenError")
	})
}

func TestLogoutLeavesAllRooms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ada, grace := come(t, srv, "ada"), come(t, srv, "grace")
		lobby := enter(t, ada, "lobby")
		seen := enter(t, grace, "lobby")
		if _, err := ada.Call(t.Context(), "logout", nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ada.Token() != "" {
			t.Error("the token is still there")
		}
		if err := lobby.Err(); err == nil || !strings.Contains(err.Error(), "logged out") {
			t.Errorf("the subscription ended with %v, want that she is logged out", err)
		}
		if names := settled(t, seen); len(names) != 1 || names[0] != "grace" {
			t.Errorf("got %v in the room, want grace alone", names)
		}
		if _, err := ada.Call(t.Context(), "login", loginRequest{"bea"}); err != nil {
			t.Errorf("log in anew: %v", err)
		}
	})
}

func TestShortSecretIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := signing("short"); err == nil {
		t.Error("a secret of 5 octets was taken")
	}
}
