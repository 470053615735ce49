package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show what it is to show.
const patience = 20 * time.Second

// browser is a Chromium with a profile of its own.
type browser struct {
	ctx context.Context //nolint:containedctx // the browser's own lifetime
}

func startBrowser(t *testing.T) browser {
	t.Helper()
	program := slices.IndexFunc(chromiums(), func(name string) bool { return exec.CommandContext(t.Context(), name, "--version").Run() == nil })
	if program < 0 {
		t.Fatalf("there is none of %q: run `make chromium`", chromiums())
	}
	// Not t.Context: that ends before the clean-up, which closes the browser.
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(chromiums()[program]), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 800),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", chromiums()[program], err)
	}
	return browser{ctx}
}

func chromiums() []string { return []string{"chromium", "google-chrome", "chromium-browser"} }

// tab is one page, with everything that went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // the tab's own lifetime

	mu    sync.Mutex
	wrong []string
}

// open opens a URL in a tab of its own.
func (b browser) open(t *testing.T, url string) *tab {
	t.Helper()
	p := &tab{t: t}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithListener(p.watch))
	t.Cleanup(cancel)
	p.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of the first action
		t.Fatalf("open a tab: %v", err)
	}
	p.do(chromedp.Navigate(url))
	return p
}

// watch notes what a developer would see in red: exceptions, violations of the page's policy, requests that fail. A
// dialog is the mark of a script that should not have run.
func (p *tab) watch(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.wrong = append(p.wrong, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text = e.ExceptionDetails.Exception.Description
		}
		p.wrong = append(p.wrong, "exception: "+text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "assert" {
			p.wrong = append(p.wrong, fmt.Sprintf("console.%s", e.Type))
		}
	case *page.EventJavascriptDialogOpening:
		p.wrong = append(p.wrong, "dialog: "+e.Message)
	}
}

// complaints are those so far.
func (p *tab) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrong)
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%v\nthe console: %q", err, p.complaints())
	}
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// write replaces what is in a field, as a person would with the keyboard.
func (p *tab) write(selector, text string) {
	p.t.Helper()
	empty := fmt.Sprintf("document.querySelector(%q).value = ''", selector)
	p.do(chromedp.Evaluate[chromedp.Void](empty), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// wait waits until an expression is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	if err := p.await(expression); err != nil {
		p.t.Fatalf("waiting for %s: %v\nthe page says:\n%s\nthe console: %q", expression, err, p.text(), p.complaints())
	}
}

// await lets the debugger evaluate an expression until it is true: the page's policy does not concern it.
func (p *tab) await(expression string) error {
	poll := `new Promise((resolve) => { const look = () => ((` + expression + `) ? resolve(true) : setTimeout(look, 20)); look(); })`
	_, err := evaluate[bool](p, poll)
	return err
}

func evaluate[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// text is all that the page shows.
func (p *tab) text() string {
	text, err := evaluate[string](p, `document.body.innerText`)
	if err != nil {
		return err.Error()
	}
	return text
}

// items waits until the elements that a selector finds have the wanted texts.
func (p *tab) items(selector string, want ...string) {
	p.t.Helper()
	texts := fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.textContent)`, selector)
	wanted, err := json.Marshal(append([]string{}, want...))
	if err != nil {
		p.t.Fatal(err)
	}
	if p.await(fmt.Sprintf(`JSON.stringify(%s) === JSON.stringify(%s)`, texts, wanted)) == nil {
		return
	}
	got, err := evaluate[[]string](p, texts)
	p.t.Fatalf("%s: got %q, %v, want %q\nthe console: %q", selector, got, err, want, p.complaints())
}

// quiet fails the test where anything went wrong in the page.
func (p *tab) quiet() {
	p.t.Helper()
	if wrong := p.complaints(); len(wrong) > 0 {
		p.t.Errorf("the console:\n%s", strings.Join(wrong, "\n"))
	}
}
