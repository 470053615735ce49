package skeincmd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// healthCmd asks a node whether it should get traffic, for supervisors that run a command, such as Docker's HEALTHCHECK.
type healthCmd struct {
	URL      string        `arg:"" optional:"" default:"http://127.0.0.1:8000/readyz" help:"What to ask: /readyz, or /healthz, which answers as long as the process serves."`
	Timeout  time.Duration `default:"5s" placeholder:"TIME" help:"How long the answer may take."`
	Insecure bool          `help:"Believe any certificate: a node's own is not for 127.0.0.1."`
}

// longestHealth is more than any list of failing checks needs.
const longestHealth = 64 << 10

// Run succeeds when the node is well, and tells what is not.
func (h *healthCmd) Run(ctx context.Context, a *app) error {
	target, err := h.target()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.Timeout, fmt.Errorf("no answer within %v", h.Timeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	// No proxy of the environment: it would answer for itself.
	transport := &http.Transport{
		DialContext:     a.Dial,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: h.Insecure}, //nolint:gosec // on request, and nothing is sent
	}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r) // a redirection is no answer either
	if err != nil {
		return unanswered(ctx, target, err)
	}
	defer res.Body.Close() //nolint:errcheck // it has been read, or its error told
	body, err := io.ReadAll(io.LimitReader(res.Body, longestHealth))
	if err != nil {
		return unanswered(ctx, target, err)
	}
	return a.diagnose(target, res, body)
}

// target is the URL to ask: /readyz where it names only a host.
func (h *healthCmd) target() (string, error) {
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https"}, u.Scheme) {
		return "", usageError(fmt.Sprintf("%q is not a URL such as http://127.0.0.1:8000/readyz", h.URL))
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/readyz"
	}
	return u.String(), nil
}

// diagnose prints the answer of a node that is well, and makes an error of every other one.
func (a *app) diagnose(target string, res *http.Response, body []byte) error {
	var told struct {
		Status  string
		Failing []string
	}
	switch wrong := json.Unmarshal(body, &told); {
	case wrong != nil || told.Status == "":
		return fmt.Errorf("%s answers with %s: is it a health check of a node?", target, res.Status)
	case res.StatusCode == http.StatusOK:
		a.printf("%s\n", printable(told.Status))
		return nil
	}
	errs := []error{fmt.Errorf("%s: %s", target, printable(told.Status))}
	for _, check := range told.Failing {
		errs = append(errs, errors.New(printable(check)))
	}
	return errors.Join(errs...)
}
