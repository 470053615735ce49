package client_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skeinrt/skein/client"
	"github.com/skeinrt/skein/internal/wire"
)

// store is a TokenStore that remembers what happened to it.
type store struct {
	mu    sync.Mutex
	token string
	saved []string
	err   error
}

func (s *store) Load(context.Context) (string, error) { return s.token, s.err }

func (s *store) Save(_ context.Context, token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
	s.saved = append(s.saved, token)
	return s.err
}

func wantIdentity(t *testing.T, c *client.Client, token string, authenticated bool) {
	t.Helper()
	synctest.Wait()
	if c.Token() != token || c.Authenticated() != authenticated {
		t.Errorf("got token %q, authenticated %v; want %q, %v", c.Token(), c.Authenticated(), token, authenticated)
	}
}

func TestTokenIsPresentedWithEachConnection(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Token: "given", Tokens: &store{token: "kept"}})
		wantIdentity(t, c, "given", true)
		s.last().want(0, `{"event":"#handshake","data":{"authToken":"given"},"cid":1}`)
		s.last().text(`{"event":"#setAuthToken","data":{"token":"new"}}`)
		synctest.Wait()
		s.last().conn.Close(1005, "")
		s.last().want(0, `{"event":"#handshake","data":{"authToken":"new"},"cid":2}`)
		wantIdentity(t, c, "new", true)
	})
}

func TestTokenComesFromTheStoreAndGoesThere(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		kept := &store{token: "kept"}
		c := s.dial(client.Options{Tokens: kept})
		wantIdentity(t, c, "kept", true)
		s.last().text(`{"event":"#setAuthToken","data":{"token":"a"}}`)
		s.last().text(`{"event":"#removeAuthToken"}`)
		synctest.Wait()
		if err := c.Authenticate(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
		if err := c.Deauthenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"a", "", "b", ""}; !slices.Equal(kept.saved, want) {
			t.Errorf("saved %q, want %q", kept.saved, want)
		}
	})
}

func TestTokenStoreThatFailsIsTold(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		broken := errors.New("disk full")
		if _, err := client.Dial(t.Context(), s.options(client.Options{Tokens: &store{err: broken}})); !errors.Is(err, broken) {
			t.Errorf("dial: got %v, want the store's error", err)
		}
		c := s.dial(client.Options{Token: "x", Tokens: &store{err: broken}})
		s.last().text(`{"event":"#setAuthToken","data":{"token":"a"},"cid":7}`)
		s.last().want(1, `{"rid":7}`)
		wantIdentity(t, c, "a", true)
		if err := c.Deauthenticate(t.Context()); !errors.Is(err, broken) {
			t.Errorf("deauthenticate: got %v, want the store's error", err)
		}
		wantIdentity(t, c, "", false)
	})
}

func TestServersChangesOfTheTokenAreConfirmedWhenItAsks(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{})
		for _, tt := range []struct {
			packet, token string
			answers       []string
		}{
			{`{"event":"#setAuthToken","data":{"token":"a"}}`, "a", nil},
			{`{"event":"#setAuthToken","data":{"token":"b"},"cid":1}`, "b", []string{`{"rid":1}`}},
			{
				`{"event":"#setAuthToken","data":{},"cid":2}`, "b",
				[]string{`{"rid":2,"error":{"message":"No token data provided by #setAuthToken event","name":"InvalidMessageError"}}`},
			},
			{`{"event":"#setAuthToken","data":{"token":5}}`, "b", nil},
			{`{"event":"#removeAuthToken","data":null,"cid":3}`, "", []string{`{"rid":3}`}},
			{`{"event":"#removeAuthToken"}`, "", nil},
		} {
			before := len(s.last().received())
			s.last().text(tt.packet)
			s.last().want(before, tt.answers...)
			wantIdentity(t, c, tt.token, tt.token != "")
		}
	})
}

func TestAuthenticateFollowsTheServersVerdict(t *testing.T) {
	const bad = `{"message":"jwt expired","name":"AuthTokenExpiredError","isBadToken":true}`
	for _, tt := range []struct {
		name, answer, failure string
		token, wantErr        string
	}{
		{name: "accepted", answer: `{"isAuthenticated":true,"authError":null}`, token: "new"},
		{name: "says nothing", answer: "", token: "new"},
		{name: "bad", failure: bad, wantErr: "AuthTokenExpiredError"},
		{name: "too early", answer: `{"isAuthenticated":false,"authError":{"message":"jwt not active","name":"AuthTokenNotBeforeError"}}`, wantErr: "AuthTokenNotBeforeError"},
		{name: "not accepted", answer: `{"isAuthenticated":false}`, wantErr: "AuthError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				s.on = func(c *session, p wire.Packet) bool {
					switch {
					case p.Kind != wire.Authenticate:
						return false
					case tt.failure != "":
						c.failure(p, tt.failure)
						c.text(`{"event":"#removeAuthToken"}`)
					default:
						c.result(p, tt.answer)
					}
					return true
				}
				c := s.dial(client.Options{Token: "old"})
				err := c.Authenticate(t.Context(), "new")
				e, failed := errors.AsType[*client.Error](err)
				if failed != (tt.wantErr != "") || failed && e.Name != tt.wantErr {
					t.Errorf("got %v, want %q", err, tt.wantErr)
				}
				wantIdentity(t, c, tt.token, tt.token != "")
				s.last().want(1, `{"event":"#authenticate","data":"new","cid":2}`)
			})
		})
	}
}

func TestRemovalRightBehindTheVerdictIsNotOverwritten(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			c.obey(p)
			if p.Kind == wire.Authenticate {
				c.text(`{"event":"#removeAuthToken"}`)
			}
			return true
		}
		c := s.dial(client.Options{})
		if err := c.Authenticate(t.Context(), "new"); err != nil {
			t.Fatal(err)
		}
		wantIdentity(t, c, "", false)
	})
}

func TestLostConnectionSaysNothingAboutTheToken(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			if p.Kind == wire.Authenticate {
				c.conn.Terminate()
			}
			return false
		}
		c := s.dial(client.Options{Token: "old"})
		if err := c.Authenticate(t.Context(), "new"); !errors.Is(err, client.ErrDisconnected) {
			t.Errorf("got %v, want ErrDisconnected", err)
		}
		wantIdentity(t, c, "old", true)
	})
}

func TestTokenRefusedAtTheHandshakeIsKeptUntilRemoved(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		s.on = func(c *session, p wire.Packet) bool {
			c.result(p, `{"id":"x","pingTimeout":30000,"authError":{"message":"jwt not active","name":"AuthTokenNotBeforeError"},"isAuthenticated":false}`)
			return true
		}
		c := s.dial(client.Options{Token: "early"})
		wantIdentity(t, c, "early", false)
		if e, ok := errors.AsType[*client.Error](c.AuthError()); !ok || e.Name != "AuthTokenNotBeforeError" {
			t.Errorf("got %v, want AuthTokenNotBeforeError", c.AuthError())
		}
		s.last().text(`{"event":"#removeAuthToken"}`)
		wantIdentity(t, c, "", false)
		if c.AuthError() == nil {
			t.Error("the reason went with the token")
		}
		s.on = nil
		s.last().conn.Close(1005, "")
		synctest.Wait()
		if c.AuthError() != nil {
			t.Errorf("got %v, want no error without a token", c.AuthError())
		}
	})
}

func TestDeauthenticateTellsTheServerNowOrAfterTheHandshake(t *testing.T) {
	bubble(t, func(s *server) {
		t := s.t
		c := s.dial(client.Options{Token: "t"})
		if err := c.Deauthenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIdentity(t, c, "", false)
		s.last().want(1, `{"event":"#removeAuthToken"}`)
		if err := c.Authenticate(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}

		var handshake wire.Packet
		s.on = func(_ *session, p wire.Packet) bool {
			handshake = p
			return p.Kind == wire.Handshake
		}
		s.last().conn.Close(1005, "")
		after(time.Second)
		if err := c.Deauthenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.last().want(1)
		s.last().obey(handshake)
		s.last().want(1, `{"event":"#removeAuthToken"}`)
		wantIdentity(t, c, "", false)
	})
}

func TestClaimsAreThePayloadOfTheToken(t *testing.T) {
	for token, want := range map[string]string{
		"eyJhbGciOiJIUzI1NiJ9.eyJ1c2VybmFtZSI6ImFsaWNlIn0.c2ln": `{"username":"alice"}`,
		"x": "", "x.!.y": "", "x.eA.y": "",
	} {
		t.Run(token, func(t *testing.T) {
			bubble(t, func(s *server) {
				t := s.t
				c := s.dial(client.Options{Token: token})
				if got := string(c.Claims()); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}
