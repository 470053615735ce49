package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/skeinrt/skein"
)

// door decides who gets in, and what for.
type door struct {
	server *skein.Server
	keys   [][sha256.Size]byte // hashed, so that comparing takes the same time for every length
	claim  string
	open   bool
}

func newDoor(server *skein.Server, keys []string, claim string, open bool) *door {
	d := &door{server: server, claim: claim, open: open}
	for _, key := range keys {
		d.keys = append(d.keys, sha256.Sum256([]byte(key)))
	}
	return d
}

// grant is what somebody may do.
type grant struct {
	all      bool
	operator bool     // may act on sessions
	channels []string // where to publish: names, and prefixes that end in "*"
	token    *skein.Token
	client   bool // the limits of clients hold; whoever has a key, or this machine, is none
}

func (g grant) covers(channel string) bool {
	if g.all {
		return true
	}
	for _, c := range g.channels {
		prefix, isPrefix := strings.CutSuffix(c, "*")
		if c == channel || isPrefix && strings.HasPrefix(channel, prefix) {
			return true
		}
	}
	return false
}

// admit refuses web pages of others, and whoever shows nothing good. What is shown must be good even where nothing is
// needed: somebody relies on it.
func (d *door) admit(r *http.Request) (grant, error) {
	if origin := r.Header.Values("Origin"); len(origin) > 0 && !d.server.OwnOrigin(r) {
		return grant{}, problem(http.StatusForbidden, "OriginError", "the origin %q is not this server's own", cut(origin[0]))
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		if len(d.keys) == 0 && (d.open || d.server.Local(r)) {
			return grant{all: true, operator: true, client: !d.server.Local(r)}, nil
		}
		return grant{}, problem(http.StatusUnauthorized, skein.NameAuth, "the API needs a key or a token: Authorization: Bearer …")
	}
	shown, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return grant{}, problem(http.StatusUnauthorized, skein.NameAuth, "the API takes Authorization: Bearer …, nothing else")
	}
	if d.knows(shown) {
		return grant{all: true, operator: true}, nil
	}
	return d.verify(r, shown)
}

// knows compares with every key, whether or not one has matched.
func (d *door) knows(shown string) bool {
	sum, found := sha256.Sum256([]byte(shown)), 0
	for _, key := range d.keys {
		found |= subtle.ConstantTimeCompare(sum[:], key[:])
	}
	return found == 1
}

func (d *door) verify(r *http.Request, signed string) (grant, error) {
	token, err := d.server.Verify(r.Context(), signed)
	if err != nil {
		return grant{}, problem(http.StatusUnauthorized, skein.NameAuth, "neither a key nor a good token: %v", err)
	}
	var claims map[string]json.RawMessage
	if err := token.Decode(&claims); err != nil {
		return grant{}, problem(http.StatusUnauthorized, skein.NameAuth, "the token's claims are no object")
	}
	g, ok := granted(claims[d.claim])
	if !ok {
		return grant{}, problem(http.StatusForbidden, skein.NameAuth, "the token's claim %q must be true, a channel or a list of channels", d.claim)
	}
	g.token, g.client = token, true
	return g, nil
}

// granted reads the claim.
func granted(claim json.RawMessage) (grant, bool) {
	var g grant
	var one string
	switch {
	case string(claim) == "true":
		g.all = true
	case json.Unmarshal(claim, &one) == nil && one != "":
		g.channels = []string{one}
	case json.Unmarshal(claim, &g.channels) == nil && g.channels != nil:
	default:
		return grant{}, false
	}
	return g, true
}
