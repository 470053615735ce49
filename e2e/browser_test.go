package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// serveSkein runs the stock binary on a free port and returns its address.
func serveSkein(t *testing.T, args ...string) string {
	t.Helper()
	found := serve(t, fixtureURL, build(t, "./cmd/skein"), append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	u, err := url.Parse(found)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestStartPageShowsMessagesArriveAtBothSubscribers(t *testing.T) {
	addr := serveSkein(t)
	p := startBrowser(t).open(t, "http://"+addr+"/")
	for _, n := range []string{"1", "2"} {
		p.wait(`document.querySelector('[data-test="subscriber-` + n + `-state"]').dataset.state === 'subscribed'`)
	}
	p.wait(`document.querySelector('[data-test="raw-state"]').dataset.state === 'open'`)
	p.write(`[data-test="raw-input"]`, `{"from": "a browser", "<b>": [1, 2.50]}`)
	p.click(`[data-test="raw-send"]`)
	p.write(`[data-test="raw-input"]`, `no JSON`)
	p.click(`[data-test="raw-send"]`)
	for _, n := range []string{"1", "2"} {
		p.items(`[data-test="subscriber-`+n+`-messages"] .payload`, `{"from":"a browser","<b>":[1,2.5]}`, `"no JSON"`)
		p.items(`[data-test="subscriber-`+n+`-count"]`, "2")
	}
	p.write(`[data-test="subscriber-1-input"]`, `{"published": true}`)
	p.click(`[data-test="subscriber-1-publish"]`)
	p.items(`[data-test="subscriber-2-messages"] li:nth-child(3) .payload`, `{"published":true}`)
	p.items(`[data-test="raw-count"]`, "2")
	p.quiet()
}

// The pages are those of an application: another origin, the npm package's own browser build, a policy of its own.
func TestBrowserBuildsOfTheNpmPackageConnectFromAnotherOrigin(t *testing.T) {
	var skein string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; img-src data:; connect-src ws://"+skein)
		file := filepath.Join("testdata/page", filepath.Base(r.URL.Path))
		switch filepath.Base(file) {
		case "socketcluster-client.min.js":
			file = filepath.Join(clientPackages(t), "node_modules/scc20/socketcluster-client.min.js")
		case "socketcluster.min.js":
			file = filepath.Join(clientPackages(t), "node_modules/scc14/socketcluster.min.js")
		}
		http.ServeFile(w, r, file)
	}))
	t.Cleanup(app.Close)
	skein = serveSkein(t, "--origins", strings.TrimPrefix(app.URL, "http://"))
	_, port, err := net.SplitHostPort(skein)
	if err != nil {
		t.Fatal(err)
	}
	b := startBrowser(t)
	for _, name := range []string{"modern", "legacy"} {
		p := b.open(t, fmt.Sprintf("%s/%s.html?port=%s", app.URL, name, port))
		for _, n := range []string{"1", "2"} {
			p.wait(`document.querySelector('#subscriber-` + n + `').dataset.state === 'subscribed'`)
		}
		p.wait(`!document.querySelector('#send').disabled`)
		p.click("#send")
		for _, n := range []string{"1", "2"} {
			p.items("#subscriber-"+n+" li", `{"hello":"npm"}`)
		}
		p.quiet()
		p.do(chromedp.Navigate("about:blank"))
	}
}

func TestChatPageLetsTwoPeopleTalk(t *testing.T) {
	found := serve(t, regexp.MustCompile(`http://127\.0\.0\.1:\d+`), build(t, "./examples/chat"), "--addr", freeAddr(t))
	b := startBrowser(t)
	ada, grace := b.open(t, found), b.open(t, found)
	enter(ada, "ada")
	enter(grace, "grace")
	ada.items("#people .name", "ada", "grace")
	ada.items(`[data-room="lobby"] .count`, "2")

	ada.write("#text", "hello\r")
	grace.items("#messages .said", "hello")
	grace.items("#messages .name", "ada")
	markup := `<img src=x onerror=alert(1)><script>alert(2)</script> & more`
	grace.write("#text", markup)
	ada.items("#typing", "grace is typing …")
	grace.click("#composer button")
	ada.items("#messages .said", "hello", markup)
	ada.wait(`document.querySelector('#typing').textContent === '' && !document.querySelector('#messages img')`)

	// A reload brings the token again, and the room's history.
	grace.do(chromedp.Reload())
	grace.items("#messages .said", "hello", markup)
	grace.items("#me .name", "grace")
	ada.items("#people .name", "ada", "grace")

	ada.click(`[data-room="coffee"]`)
	ada.items("#people .name", "ada")
	ada.items("#messages .said")
	grace.items("#people .name", "grace")
	grace.click("#logout")
	grace.wait(`!document.querySelector('#door').hidden && document.querySelector('#chat').hidden`)

	grace.write("#name", "ada")
	grace.click("#login button")
	grace.items("#notice", "Somebody here is called ada already")
	ada.quiet()
	grace.quiet()
}

// freeAddr is an address that was free a moment ago, for programs that do not say where they listen.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody has come
	return l.Addr().String()
}

// enter logs somebody in, who is then in the first room.
func enter(p *tab, name string) {
	p.t.Helper()
	p.write("#name", name)
	p.click("#login button")
	p.items("#title", "lobby")
	p.wait(fmt.Sprintf(`document.querySelector('#people').textContent.includes(%q)`, name))
}

// The browser tests are worth nothing where they do not see what the policy blocks.
func TestBlockedScriptsAreNoticed(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "script-src 'self'")
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<link rel="icon" href="data:,"><p id="p" onclick="alert(1)">text</p><script>alert(2)</script>`))
	}))
	t.Cleanup(page.Close)
	p := startBrowser(t).open(t, page.URL)
	p.wait(`document.querySelector('#p')`)
	if wrong := strings.Join(p.complaints(), "\n"); !strings.Contains(wrong, "Content Security Policy") {
		t.Errorf("got %q in the console, want a violation of the policy", wrong)
	}
}
