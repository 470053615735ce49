// Package api is the HTTP API: publish without a WebSocket, ask what there is, and act on sessions, on all nodes.
//
//	POST /api/publish          {"channel": "a", "data": 1} or {"channels": ["a", "b"], "data": 1}  →  200 {}
//	GET  /api/channels         ?prefix=chat.&limit=100  →  {"channels": [{"name": "chat.1", "subscribers": 3}]}
//	GET  /api/channels/{name}  →  {"name": "chat.1", "subscribers": 3}
//	GET  /api/sessions         →  {"sessions": 3}
//	GET  /api/nodes            →  {"nodes": [{"name": "a", "sessions": 3, …}]}
//	POST /api/disconnect       {"user": "ann", "code": 4500, "reason": "banned"}  →  {"sessions": 3}
//	POST /api/kick             {"user": "ann", "channel": "a", "message": "no"}  →  {"sessions": 1}
//	POST /api/set-token        {"user": "ann", "claims": {"username": "ann", "role": "host"}}  →  {"sessions": 3}
//	POST /api/remove-token     {"user": "ann"}  →  {"sessions": 3}
//	POST /api/revocations      {"user": "ann"}, {"tokenId": "t1"} or {"before": "2026-01-02T03:04:05Z"}  →  {"sessions": 3}
//	GET  /api/revocations      →  {"revocations": [{"user": "ann", "before": "…", "at": "…"}]}
//	DELETE /api/revocations    ?user=ann, ?tokenId=t1 or ?all=true  →  {}
//
// A "session" or a "tokenId" may stand in place of the user of what acts on sessions. 200 to a publication means what Server.Publish promises: the
// hooks have allowed it and the engine has taken it over. Every error is {"error": {"name", "message"}}.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/skeinrt/skein"
)

// Plugin serves the API. The zero value serves it below /api, to this machine only.
type Plugin struct {
	// Path that the API is below. "" is /api.
	Path string `default:"/api" doc:"path that the API is below"`
	// Keys that open all of the API, shown as "Authorization: Bearer KEY". None needs none, and answers only requests
	// that come over loopback, unless Open. Each has 16 octets or more.
	Keys []string `doc:"keys that open the API, shown as bearer tokens; needed from elsewhere than this machine" secret:"true"`
	// Claim of a token of the server, shown in place of a key, says where its bearer may publish: a channel, a prefix that
	// ends in "*", or a list of them; true is everywhere, and lets it list what there is too. Acting on sessions takes a key.
	// "" is publish.
	Claim string `default:"publish" doc:"claim that says what the bearer of a token may do"`
	// Open serves whoever can reach the server, without a key: everybody can then publish anything.
	Open bool `doc:"serve everybody without a key"`
	// Operators serves it on the listener for operators alone, where there is one (Door.Operators).
	Operators bool `doc:"serve it on the listener for operators alone"`
	// MaxBody is the largest body of a request in bytes. 0 is 1 MiB.
	MaxBody int64 `default:"1048576" doc:"largest body of a request in bytes"`
}

const (
	minKey         = 16
	defaultMaxBody = 1 << 20
	mostChannels   = 1000 // of one publication, and of one listing
)

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "api"} }

// Validate checks the options.
func (p *Plugin) Validate() error {
	if p.Path != "" && (!strings.HasPrefix(p.Path, "/") || strings.HasSuffix(p.Path, "/")) {
		return fmt.Errorf("path is %q: it must start with %q and not end with it", p.Path, "/")
	}
	for i, key := range p.Keys {
		if len(key) < minKey {
			return fmt.Errorf("key %d has %d octets: it must have %d or more", i+1, len(key), minKey)
		}
	}
	if len(p.Keys) > 0 && p.Open {
		return errors.New("keys and open: give one of them, keys that are not asked for protect nothing")
	}
	if p.MaxBody < 0 {
		return fmt.Errorf("maxBody is %d: it must not be negative", p.MaxBody)
	}
	return nil
}

// Setup registers the routes.
func (p *Plugin) Setup(_ context.Context, h *skein.Host) error {
	s := &service{
		host: h, server: h.Server(), audience: skein.Clients, maxBody: cmp.Or(p.MaxBody, defaultMaxBody),
		door: newDoor(h.Server(), p.Keys, cmp.Or(p.Claim, "publish"), p.Open),
	}
	if p.Operators {
		s.audience = skein.Operators
	}
	base := cmp.Or(p.Path, "/api")
	s.route(h, http.MethodPost, base+"/publish", s.publish)
	s.route(h, http.MethodGet, base+"/channels", s.channels)
	s.route(h, http.MethodGet, base+"/channels/{name}", s.channel)
	s.route(h, http.MethodGet, base+"/sessions", s.sessions)
	s.route(h, http.MethodGet, base+"/nodes", s.nodes)
	s.route(h, http.MethodPost, base+"/disconnect", s.disconnect)
	s.route(h, http.MethodPost, base+"/kick", s.kick)
	s.route(h, http.MethodPost, base+"/set-token", s.setToken)
	s.route(h, http.MethodPost, base+"/remove-token", s.removeToken)
	s.routes(h, base+"/revocations", map[string]operation{
		http.MethodPost: s.revoke, http.MethodGet: s.revocations, http.MethodDelete: s.unrevoke,
	})
	h.HandleFunc(base+"/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, problem(http.StatusNotFound, "NotFoundError", "there is no %s in the API", r.URL.Path))
	}, s.audience)
	return nil
}

// service is the API of one server.
type service struct {
	host     *skein.Host
	server   *skein.Server
	door     *door
	audience skein.Audience
	maxBody  int64
}

// met counts a limit that an error tells of.
func (s *service) met(err error) {
	if e, ok := errors.AsType[*skein.Error](err); ok && e.Name == nameTooLarge {
		s.host.Limited("body")
	}
}

// operation answers a request that the door has let in: a value to encode, or an error.
type operation func(r *http.Request, g grant) (any, error)

func (s *service) route(h *skein.Host, method, path string, op operation) {
	s.routes(h, path, map[string]operation{method: op})
}

// routes serves a path by the methods that it takes.
func (s *service) routes(h *skein.Host, path string, ops map[string]operation) {
	methods := slices.Sorted(maps.Keys(ops))
	for _, method := range methods {
		h.HandleFunc(method+" "+path, s.serve(ops[method]), s.audience)
	}
	allowed := strings.Join(methods, ", ")
	h.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		fail(w, problem(http.StatusMethodNotAllowed, "MethodNotAllowedError", "%s takes %s, not %s", r.URL.Path, allowed, r.Method))
	}, s.audience)
}

func (s *service) serve(op operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g, err := s.door.admit(r)
		if err != nil {
			fail(w, err)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, s.maxBody)
		out, err := op(r, g)
		if err != nil {
			s.met(err)
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, out)
	}
}
