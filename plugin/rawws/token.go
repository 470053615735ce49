package rawws

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/skeinrt/skein"
)

// protocolPrefix begins the subprotocol by which a browser, which can set no header, shows its token.
const protocolPrefix = "bearer."

// authorize lets in who shows a good token of the server.
func authorize(ctx context.Context, s *skein.Server, r *http.Request) (*skein.Token, error) {
	signed := shown(r)
	if signed == "" {
		return nil, &skein.Error{
			Name: skein.NameAuth, Status: http.StatusUnauthorized,
			Message: "a token is required: Authorization: Bearer JWT, or the subprotocol " + protocolPrefix + "JWT",
		}
	}
	token, err := s.Verify(ctx, signed)
	if err == nil {
		return token, nil
	}
	refused := &skein.Error{Name: skein.NameAuth, Message: err.Error()}
	if e, ok := errors.AsType[*skein.Error](err); ok {
		refused.Name, refused.Message = e.Name, e.Message
	}
	refused.Status = http.StatusUnauthorized
	return nil, refused
}

// shown is the token of the request, or "".
func shown(r *http.Request) string {
	if signed, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return signed
	}
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for offered := range strings.SplitSeq(line, ",") {
			if signed, ok := strings.CutPrefix(strings.TrimSpace(offered), protocolPrefix); ok {
				return signed
			}
		}
	}
	return ""
}
