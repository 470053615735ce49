package main

import (
	"context"
	"crypto/rand"
	"regexp"
	"strings"
	"sync"

	"github.com/skeinrt/skein"
)

// user is who a token says somebody is. Whoever takes a name after its owner has gone gets another id, so that the
// owner's old token does not make two of them.
type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// userKey is where a session keeps its user.
type userKey struct{}

func userOf(s *skein.Session) (user, bool) {
	u, ok := s.Value(userKey{}).(user)
	return u, ok && u.ID != ""
}

// nameSyntax keeps out what could be mistaken for another name, or for nothing: spaces, controls, marks.
const nameSyntax = `^[\pL\pN][\pL\pN_.-]{0,23}$`

type loginRequest struct {
	Name string `json:"name"`
}

// login gives a free name to whoever asks, and a token that proves it from then on: the client keeps the token and shows
// it at each connection. This chat knows no passwords; examples/auth does.
func (c *chat) login(ctx context.Context, s *skein.Session, in loginRequest) (user, error) {
	if ok, _ := regexp.MatchString(nameSyntax, in.Name); !ok { // the expression is a constant
		return user{}, refuse("BadNameError", "A name has 1 to 24 letters, digits, dots, dashes and underscores")
	}
	u := user{ID: rand.Text(), Name: in.Name}
	if err := c.names.claim(s, u); err != nil {
		return user{}, err
	}
	if err := s.SetToken(ctx, u, skein.TokenOptions{}); err != nil {
		c.names.release(s) // the client has gone, perhaps before the claim
		return user{}, err
	}
	return u, nil
}

// logout ends in authChanged, as do an expired token and one that the client throws away.
func (c *chat) logout(ctx context.Context, s *skein.Session, _ skein.Nothing) (skein.Nothing, error) {
	return skein.Nothing{}, s.RemoveToken(ctx, skein.TokenOptions{})
}

// welcomeBack is asked about a valid token that a client brings. Only the name may have gone to somebody else: then
// BadToken makes the client forget the token.
func (c *chat) welcomeBack(_ context.Context, e *skein.Event) error {
	var u user
	if err := e.Token.Decode(&u); err != nil || u.ID == "" {
		return &skein.Error{Name: "BadTokenError", Message: "This token is not of this chat", BadToken: true}
	}
	if err := c.names.claim(e.Session, u); err != nil {
		err.BadToken = true
		return err
	}
	return nil
}

// authChanged takes who is not logged in any more out of all rooms: in skein, as in SocketCluster, subscriptions
// outlive the token.
func (c *chat) authChanged(_ context.Context, e *skein.Event) error {
	if e.Change == skein.Deauthenticated {
		c.names.release(e.Session)
		e.Session.KickAll("You are logged out") //nolint:contextcheck // it takes none
	}
	return nil
}

func (c *chat) disconnected(_ context.Context, e *skein.Event) error {
	c.names.release(e.Session)
	return nil
}

// names says whom each name belongs to, as long as one of its owner's sessions is there. It cannot have more entries
// than the server has sessions.
type names struct {
	mu     sync.Mutex
	owners map[string]*owner // by name in lower case
}

type owner struct {
	user     user
	sessions map[string]bool // by id
}

// claim makes a session one of the user's, unless the name is somebody else's.
func (n *names) claim(s *skein.Session, u user) *skein.Error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if have, ok := userOf(s); ok && have != u {
		return refuse("LoggedInError", "You are "+have.Name+" already: log out first")
	}
	key := strings.ToLower(u.Name)
	o := n.owners[key]
	if o != nil && o.user.ID != u.ID {
		return refuse("NameTakenError", "Somebody here is called "+o.user.Name+" already")
	}
	if o == nil {
		o = &owner{user: u, sessions: map[string]bool{}}
		if n.owners == nil {
			n.owners = map[string]*owner{}
		}
		n.owners[key] = o
	}
	o.sessions[s.ID()] = true
	s.Set(userKey{}, u)
	return nil
}

// release frees the name with its owner's last session.
func (n *names) release(s *skein.Session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	u, ok := userOf(s)
	if !ok {
		return
	}
	s.Set(userKey{}, user{})
	key := strings.ToLower(u.Name)
	o := n.owners[key]
	delete(o.sessions, s.ID())
	if len(o.sessions) == 0 {
		delete(n.owners, key)
	}
}
