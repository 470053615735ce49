package skeincmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// apiFlags say which node to ask, of those that all know the same.
type apiFlags struct {
	URL     string        `default:"http://127.0.0.1:8000/api" placeholder:"URL" help:"HTTP API of any node of the cluster. Of a ws:// or wss:// URL the host is taken."`
	APIKey  string        `secret:"" placeholder:"KEY|@FILE" help:"Key of the API. Without one the node answers its own machine, where it has no key."`
	Timeout time.Duration `default:"10s" placeholder:"TIME" help:"How long the answer may take."`
	JSON    bool          `name:"json" help:"Print JSON."`
}

// largestAnswer is more than any listing needs.
const largestAnswer = 64 << 20

// apiError is what the API says in place of an answer.
type apiError struct {
	Error  *struct{ Message string }
	Failed map[string]struct{ Message string }
}

// base is the URL that the API's paths follow.
func (f *apiFlags) base() (string, error) {
	u, err := url.Parse(f.URL)
	if strings.Contains(f.URL, "@") {
		return "", usageError("--url has a user in it, which others on this machine can read: give --api-key")
	}
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) {
		return "", usageError(fmt.Sprintf("--url: %q is not a URL such as http://127.0.0.1:8000/api", f.URL))
	}
	if rest, ok := strings.CutPrefix(u.Scheme, "ws"); ok {
		u.Scheme, u.Path = "http"+rest, ""
	}
	if u.Path = strings.TrimRight(u.Path, "/"); u.Path == "" {
		u.Path = "/api"
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String(), nil
}

// get asks for something.
func (f *apiFlags) get(ctx context.Context, a *app, path string, query url.Values) ([]byte, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return f.ask(ctx, a, http.MethodGet, path, nil)
}

// post orders something.
func (f *apiFlags) post(ctx context.Context, a *app, path string, order any) ([]byte, error) {
	body, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	return f.ask(ctx, a, http.MethodPost, path, body)
}

// ask returns the answer; beside an error that is about some nodes only, what the others have said.
func (f *apiFlags) ask(ctx context.Context, a *app, method, path string, body []byte) ([]byte, error) {
	key, err := a.secret(f.APIKey)
	if err != nil {
		return nil, fmt.Errorf("--api-key: %w", err)
	}
	base, err := f.base()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, fmt.Errorf("no answer within %v", f.Timeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	transport := &http.Transport{DialContext: a.Dial, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, unanswered(ctx, base, err)
	}
	defer res.Body.Close() //nolint:errcheck // it has been read, or its error told
	answer, err := io.ReadAll(io.LimitReader(res.Body, largestAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", base, err)
	}
	return answer, f.judge(base, res, answer)
}

func unanswered(ctx context.Context, base string, err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: %w; is a node running there?", base, err)
	}
	return fmt.Errorf("%s: %w", base, err)
}

// judge makes errors of answers that are none.
func (f *apiFlags) judge(base string, res *http.Response, answer []byte) error {
	var told apiError
	wrong := json.Unmarshal(answer, &told)
	switch {
	case res.StatusCode == http.StatusOK && wrong == nil:
		return nil
	case wrong != nil || told.Error == nil:
		return fmt.Errorf("%s answers with %s: is it the API of a node, and is it on?", base, res.Status)
	case len(told.Failed) > 0:
		var errs []error
		for _, node := range slices.Sorted(maps.Keys(told.Failed)) {
			errs = append(errs, errors.New(printable(told.Failed[node].Message)))
		}
		return errors.Join(errs...)
	case res.StatusCode == http.StatusUnauthorized && f.APIKey == "":
		return fmt.Errorf("%s: %s; give --api-key", base, printable(told.Error.Message))
	default:
		return fmt.Errorf("%s: %s", base, printable(told.Error.Message))
	}
}

// show prints an answer, as JSON or as people read it, also beside an error that is about some nodes only.
func (f *apiFlags) show(a *app, answer []byte, err error, people func(answer []byte) error) error {
	var partial struct{ Failed json.RawMessage }
	if err != nil && (json.Unmarshal(answer, &partial) != nil || partial.Failed == nil) {
		return err
	}
	if !f.JSON {
		return errors.Join(err, people(answer))
	}
	return errors.Join(err, a.json(json.RawMessage(answer)))
}

// printable is a text of others for a terminal, whose control characters could do anything with it.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// cell is a text of a table, which has no empty cells.
func cell(s string) string { return cmp.Or(printable(s), "-") }
