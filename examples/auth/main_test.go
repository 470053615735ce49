package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/skeintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin starts a server of the test's own, in memory.
func begin(t *testing.T) *skeintest.Server {
	t.Helper()
	tokens, err := signing(strings.Repeat("k", 32))
	if err != nil {
		t.Fatal(err)
	}
	return skeintest.Start(t, skein.Options{Tokens: tokens}, accounts())
}

func loggedIn(t *testing.T, srv *skeintest.Server) *client.Client {
	t.Helper()
	c := srv.Dial(t, client.Options{})
	if _, err := c.Call(t.Context(), "login", credentials{"ada", "lovelace"}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return c
}

// refused fails the test where the error has not the name.
func refused(t *testing.T, what string, err error, name string) {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Name != name {
		t.Errorf("%s: got %v, want %s", what, err, name)
	}
}

func failure(_ any, err error) error { return err }

func TestLoginNeedsThePassword(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		c := srv.Dial(t, client.Options{})
		for _, in := range []credentials{{}, {"ada", ""}, {"ada", "hopper"}, {"nobody", "lovelace"}, {"nobody", ""}} {
			refused(t, in.User, failure(c.Call(t.Context(), "login", in)), "FailedLoginError")
		}
		refused(t, "no object", failure(c.Call(t.Context(), "login", 7)), skein.NameInvalidArgument)
		if c.Authenticated() || c.Token() != "" {
			t.Error("logged in without the password")
		}
		ada := loggedIn(t, srv)
		var who claims
		if err := json.Unmarshal(ada.Claims(), &who); err != nil || who.User != "ada" || !ada.Authenticated() {
			t.Errorf("got the claims %s, want those of ada", ada.Claims())
		}
	})
}

func TestPrivateChannelsAreTheirOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		ctx := t.Context()
		stranger, ada := srv.Dial(t, client.Options{}), loggedIn(t, srv)
		var e *client.Error
		if _, err := stranger.Subscribe(ctx, "private/ada"); !errors.As(err, &e) || e.Name != "NotAuthorizedError" {
			t.Fatalf("a stranger listens: got %v, want NotAuthorizedError", err)
		}
		if e.Message != "This channel is private" || e.Props["channel"] != "private/ada" {
			t.Errorf("got %q and %v, want message and channel as the hook has given them", e.Message, e.Props)
		}
		refused(t, "a stranger speaks", stranger.Publish(ctx, "private/ada", 1), "NotAuthorizedError")
		refused(t, "ada listens to grace", failure(ada.Subscribe(ctx, "private/grace")), "NotAuthorizedError")
		refused(t, "ada speaks to grace", ada.Publish(ctx, "private/grace", 1), "NotAuthorizedError")
		if _, err := stranger.Subscribe(ctx, "public"); err != nil {
			t.Errorf("other channels are open, but: %v", err)
		}
		own, err := ada.Subscribe(ctx, "private/ada")
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Publish(ctx, "private/ada", json.RawMessage(`"from the program"`)); err != nil {
			t.Fatal(err)
		}
		if m, err := own.Next(ctx); err != nil || string(m.Data) != `"from the program"` {
			t.Errorf("got %s and %v", m.Data, err)
		}
	})
}

func TestTokenIsBroughtAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := begin(t)
		token := loggedIn(t, srv).Token()
		again := srv.Dial(t, client.Options{Token: token})
		if _, err := again.Subscribe(t.Context(), "private/ada"); err != nil {
			t.Errorf("with the token in the handshake: %v", err)
		}
		later := srv.Dial(t, client.Options{})
		if err := later.Authenticate(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if _, err := later.Subscribe(t.Context(), "private/ada"); err != nil {
			t.Errorf("with the token shown later: %v", err)
		}
		forged := srv.Dial(t, client.Options{Token: token + "x"})
		synctest.Wait()
		if forged.Authenticated() || forged.AuthError() == nil || forged.Token() != "" {
			t.Errorf("a forged token: got %v, want it refused and forgotten", forged.AuthError())
		}
	})
}

func TestPrivateSubscriptionsEndWithLogout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ada := loggedIn(t, begin(t))
		privateEnds(t, ada, func() {
			if _, err := ada.Call(t.Context(), "logout", nil); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestPrivateSubscriptionsEndWhenTheTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		privateEnds(t, loggedIn(t, begin(t)), func() { <-time.After(24*time.Hour + time.Minute) })
	})
}

// privateEnds expects that what ends the token ends the private subscription, and no other.
func privateEnds(t *testing.T, c *client.Client, end func()) {
	t.Helper()
	private, err := c.Subscribe(t.Context(), "private/ada")
	if err != nil {
		t.Fatal(err)
	}
	public, err := c.Subscribe(t.Context(), "public")
	if err != nil {
		t.Fatal(err)
	}
	end()
	synctest.Wait()
	if c.Authenticated() {
		t.Error("the client still has its token")
	}
	if err := private.Err(); err == nil || !strings.Contains(err.Error(), "logged out") {
		t.Errorf("the private subscription ended with %v, want that she is logged out", err)
	}
	if err := public.Err(); err != nil {
		t.Errorf("the public subscription ended with %v", err)
	}
}

func TestSecretSignsWhereThereIsOne(t *testing.T) {
	t.Parallel()
	if tokens, err := signing(""); tokens != nil || err != nil {
		t.Errorf("without a secret: got %v and %v, want neither", tokens, err)
	}
	if _, err := signing("short"); err == nil {
		t.Error("a secret of 5 octets was taken")
	}
}
