// Package admin is a page for operators: what this node is, what it carries, who owns which hook and route, and the pages
// that other plugins bring. It reads, and changes nothing. Whoever wants to see it needs the key.
package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/skeinrt/skein"
	"github.com/skeinrt/skein/internal/secure"
)

//go:embed admin.html login.html assets
var files embed.FS

// Plugin serves the page. The zero value serves it to nobody: it needs a key.
type Plugin struct {
	// Path of the page; its parts are below it. "" is /admin.
	Path string `default:"/admin" doc:"path of the page"`
	// Key opens the page: typed into the login, or as "Authorization: Bearer KEY". "" lets nobody in.
	Key string `doc:"key that opens the page; without one nobody can" secret:"true"`
	// Login is how long a login lasts. 0 is 12 h.
	Login time.Duration `default:"12h" doc:"how long a login lasts"`
	// Version is shown on the page. "" is what the program was built from.
	Version string `doc:"version shown on the page"`
}

const minKey = 16

// New returns the plugin with its default options.
func New() *Plugin { return &Plugin{} }

// Meta names the plugin.
func (p *Plugin) Meta() skein.Meta { return skein.Meta{Name: "admin"} }

// Validate checks the options.
func (p *Plugin) Validate() error {
	switch {
	case p.Path != "" && (!strings.HasPrefix(p.Path, "/") || strings.HasSuffix(p.Path, "/")):
		return fmt.Errorf("path is %q: it must start with %q and not end with it", p.Path, "/")
	case p.Key != "" && len(p.Key) < minKey:
		return fmt.Errorf("key has %d octets: it must have %d or more", len(p.Key), minKey)
	case p.Login < 0:
		return fmt.Errorf("login is %v: it must not be negative", p.Login)
	}
	return nil
}

// Setup registers the page and its parts.
func (p *Plugin) Setup(ctx context.Context, h *skein.Host) error {
	key := p.Key
	if key == "" {
		key = rand.Text()
		h.Logger().LogAttrs(ctx, slog.LevelWarn, "the admin page has no key: nobody can open it")
	}
	pages, err := template.ParseFS(files, "*.html")
	if err != nil {
		return err
	}
	at := cmp.Or(p.Path, "/admin")
	base := h.Prefix() + at
	static, err := secure.Assets(files, "assets", base+"/assets")
	if err != nil {
		return err
	}
	d := &desk{
		server: h.Server(), log: h.Logger(), pages: pages, path: at, base: base,
		version: cmp.Or(p.Version, builtVersion()), began: time.Now(),
		login: newLogin(key, cmp.Or(p.Login, 12*time.Hour), base, h.Server()),
	}
	d.register(h, static)
	return nil
}

// desk is what operators talk to.
type desk struct {
	server  *skein.Server
	log     *slog.Logger
	pages   *template.Template
	path    string // as the routes have it
	base    string // as the browser has it
	version string
	began   time.Time
	login   *login
}

func (d *desk) register(h *skein.Host, static http.Handler) {
	h.HandleFunc("GET "+d.path, d.page, skein.Operators)
	h.HandleFunc("GET "+d.path+"/{$}", d.page, skein.Operators)
	h.Handle("GET "+d.path+"/assets/{file}", static, skein.Operators)
	h.HandleFunc("POST "+d.path+"/login", d.signIn, skein.Operators)
	h.HandleFunc("POST "+d.path+"/logout", d.signOut, skein.Operators)
	h.HandleFunc("GET "+d.path+"/state", d.state, skein.Operators)
	h.HandleFunc(d.path+"/pages/{plugin}/", d.foreign, skein.Operators)
}

// view is what the templates show.
type view struct{ Base, Node, Version, Complaint string }

func (d *desk) render(w http.ResponseWriter, code int, name, complaint string) {
	var body bytes.Buffer
	err := d.pages.ExecuteTemplate(&body, name, view{d.base, d.server.Node(), d.version, complaint})
	if err != nil {
		panic(err) // the template does not fit its view: a bug
	}
	secure.Page(w.Header(), "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes()) // the reader has gone
}

// ask answers with the login page. The challenge is one that browsers do not open a dialogue for.
func (d *desk) ask(w http.ResponseWriter, complaint string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="skein admin"`)
	d.render(w, http.StatusUnauthorized, "login.html", complaint)
}

func (d *desk) page(w http.ResponseWriter, r *http.Request) {
	if !d.login.holds(r) {
		d.ask(w, "")
		return
	}
	d.render(w, http.StatusOK, "admin.html", "")
}

func (d *desk) signIn(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		d.render(w, http.StatusForbidden, "login.html", "That came from another site.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	pause, ok := d.login.try(d.server.ClientAddr(r), r.PostFormValue("key"))
	switch {
	case pause > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(pause.Seconds())+1))
		d.render(w, http.StatusTooManyRequests, "login.html", "Too many wrong keys. Wait a minute.")
	case !ok:
		d.log.LogAttrs(r.Context(), slog.LevelWarn, "a wrong admin key", slog.String("from", d.server.ClientAddr(r).String()))
		d.ask(w, "That is not the key.")
	default:
		http.SetCookie(w, d.login.cookie(r))
		http.Redirect(w, r, d.base, http.StatusSeeOther)
	}
}

func (d *desk) signOut(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, "that came from another site", http.StatusForbidden)
		return
	}
	gone := d.login.cookie(r) //nolint:gosec // it has all attributes, Secure where there is TLS
	gone.Value, gone.MaxAge = "", -1
	http.SetCookie(w, gone)
	http.Redirect(w, r, d.base, http.StatusSeeOther)
}

// foreign serves the pages of other plugins, to whom the login is not shown.
func (d *desk) foreign(w http.ResponseWriter, r *http.Request) {
	if !d.login.holds(r) {
		d.ask(w, "")
		return
	}
	prefix := d.base + "/pages/" + r.PathValue("plugin")
	rest := strings.TrimPrefix(r.URL.Path, prefix)
	for _, one := range d.server.AdminPages() {
		if one.Plugin == r.PathValue("plugin") && one.Path == rest {
			secure.Page(w.Header(), "text/html; charset=utf-8")
			r = r.Clone(r.Context())
			r.Header.Del("Authorization")
			r.Header.Del("Cookie")
			http.StripPrefix(prefix, one.Handler).ServeHTTP(w, r)
			return
		}
	}
	http.NotFound(w, r)
}

// builtVersion is the version of the program.
func builtVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return "unknown"
}
