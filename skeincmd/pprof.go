package skeincmd

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/skeinrt/skein/internal/secure"
)

// profiler serves Go's profiles on a listener of its own.
type profiler struct {
	addr  net.Addr
	close func()
}

func (n *node) servePprof(ctx context.Context, a *app) (profiler, error) {
	addr := n.config.Operators.Pprof
	if addr == "" {
		return profiler{close: func() {}}, nil
	}
	key, err := a.secret(n.config.Operators.OperatorKey)
	if err != nil {
		return profiler{}, err
	}
	l, err := listen(ctx, "pprof", addr)
	if err != nil {
		return profiler{}, err
	}
	server := &http.Server{Handler: secured(n.withKey(key, profiles())), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return profiler{l.Addr(), func() {
		_ = server.Close() // profiles are nobody's loss
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			n.log.LogAttrs(ctx, slog.LevelError, "profiles were not served to the end", slog.Any("error", err))
		}
	}}, nil
}

// secured is a handler whose answers let a browser do little.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure.Data(w.Header())
		next.ServeHTTP(w, r)
	})
}

// profiles leaves out the command line, which can hold keys.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// withKey asks for the key as a bearer token. Digests are compared, so that the time tells nothing. Without a key it serves
// the machine's own users.
func (n *node) withKey(key string, next http.Handler) http.Handler {
	if key == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !n.Local(r) {
				http.Error(w, "profiles without an operator key are for requests over loopback, to a loopback name", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	want := sha256.Sum256([]byte(key))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(shown))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="skein profiles"`)
			http.Error(w, "profiles need the operator key as a bearer token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
