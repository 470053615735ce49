package skein_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/skeinrt/skein"
)

type search struct {
	Room  string `path:"room"`
	Query string `query:"q"`
	Limit int    `query:"limit"`
	Since int64  `query:"since"`
	Deep  bool   `query:"deep"`
	Text  string `json:"text,omitempty"`
	Skip  string `json:"-"`
}

// operations is a plugin with an operation of each kind.
func operations(h *skein.Host) {
	find := func(_ context.Context, in search) (search, error) { return in, nil }
	skein.Operation(h, "GET /rooms/{room}", find)
	skein.Operation(h, "POST /rooms/{room}", find)
	skein.Operation(h, "DELETE /rooms/{room}", find)
	skein.Operation(h, "POST /raw", func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	skein.Operation(h, "POST /number", func(_ context.Context, in int) (int, error) { return in + 1, nil })
	skein.Operation(h, "POST /html", func(context.Context, skein.Nothing) (string, error) { return "<&>", nil })
	skein.Operation(h, "POST /bad", func(context.Context, skein.Nothing) (any, error) { return func() {}, nil })
	skein.Operation(h, "GET /odd", func(_ context.Context, in struct {
		F float64 `query:"f"`
	},
	) (skein.Nothing, error) {
		return skein.Nothing{}, nil
	})
	for name, err := range map[string]error{
		"plain": errors.New("it is broken"), "refused": &skein.Error{Name: "No", Message: "not you"}, "status": &skein.Error{Message: "gone", Status: 410},
		"stopped": skein.ErrStopped, "broker": &skein.Error{Name: skein.NameBroker, Message: "no network"}, "silent": skein.Silent(), "text": skein.ErrorText("just text"),
	} {
		skein.Operation(h, "POST /fail/"+name, func(context.Context, skein.Nothing) (skein.Nothing, error) { return skein.Nothing{}, err })
	}
	skein.Operation(h, "POST /fail/panic", func(context.Context, skein.Nothing) (skein.Nothing, error) { panic("oops") })
}

func TestOperationsAreTyped(t *testing.T) {
	t.Parallel()
	srv := start(t, skein.Options{Limits: skein.Limits{MaxMessage: 100}}, operations)
	const all = `"Room":"a b","Query":"x","Limit":3,"Since":-9,"Deep":true`
	for _, test := range []struct{ method, path, body, want string }{
		{"GET", "/rooms/a%20b?q=x&limit=3&since=-9&deep=true", "", "200 {" + all + "}"},
		{"DELETE", "/rooms/a%20b?q=x&limit=3&since=-9&deep=true", "", "200 {" + all + "}"},
		{"POST", "/rooms/a%20b?q=x&limit=3&since=-9&deep=1", `{"text":"t"}`, "200 {" + all + `,"text":"t"}`},
		{"GET", "/rooms/r", "", `200 {"Room":"r","Query":"","Limit":0,"Since":0,"Deep":false}`},
		{"GET", "/rooms/r?limit=many", "", `400 {"error":{"message":"the parameter \"limit\" is \"many\" where a whole number is expected","name":"InvalidArgumentsError"}}`},
		{"GET", "/rooms/r?since=1.5", "", `400 {"error":{"message":"the parameter \"since\" is \"1.5\" where a whole number is expected","name":"InvalidArgumentsError"}}`},
		{"GET", "/rooms/r?deep=very", "", `400 {"error":{"message":"the parameter \"deep\" is \"very\" where a boolean is expected","name":"InvalidArgumentsError"}}`},
		{"GET", "/odd?f=1", "", `400 {"error":{"message":"the parameter \"f\" is \"1\" where a number is expected","name":"InvalidArgumentsError"}}`},
		{"POST", "/rooms/r", "", `400 {"error":{"message":"the body is empty: send a JSON object","name":"InvalidArgumentsError"}}`},
		{"POST", "/rooms/r", "{", `400 {"error":{"message":"the data is malformed: unexpected EOF","name":"InvalidArgumentsError"}}`},
		{"POST", "/rooms/r", "{} {}", `400 {"error":{"message":"the data is malformed: something follows the JSON value","name":"InvalidArgumentsError"}}`},
		{"POST", "/rooms/r", `{"txt":1}`, `400 {"error":{"message":"there is no field \"txt\"; there are Room, Query, Limit, Since, Deep, text","name":"InvalidArgumentsError"}}`},
		{"POST", "/rooms/r", `{"text":["t"]}`, `400 {"error":{"message":"the field \"text\" is an array where a string is expected","name":"InvalidArgumentsError"}}`},
		{"POST", "/rooms/r", `{"text":"` + strings.Repeat("x", 100) + `"}`, `413 {"error":{"message":"the body is larger than 100 bytes","name":"InvalidArgumentsError"}}`},
		{"POST", "/raw", ` {"n": 1.0} `, `200 {"n": 1.0}`},
		{"POST", "/raw", `{`, `400 {"error":{"message":"the body is not JSON","name":"InvalidArgumentsError"}}`},
		{"POST", "/number", "41", "200 42"},
		{"POST", "/html", "{}", `200 "<&>"`},
		{"POST", "/bad", "{}", `500 {"error":{"message":"encode: json: unsupported type: func()"}}`},
		{"POST", "/fail/plain", "{}", `500 {"error":{"message":"it is broken"}}`},
		{"POST", "/fail/refused", "{}", `403 {"error":{"message":"not you","name":"No"}}`},
		{"POST", "/fail/status", "{}", `410 {"error":{"message":"gone"}}`},
		{"POST", "/fail/stopped", "{}", `503 {"error":{"message":"the server is not running"}}`},
		{"POST", "/fail/broker", "{}", `503 {"error":{"message":"no network","name":"BrokerError"}}`},
		{"POST", "/fail/silent", "{}", `403 {"error":{"message":"The request AGAction was blocked by inbound middleware","name":"SilentMiddlewareBlockedError","type":"inbound"}}`},
		{"POST", "/fail/text", "{}", `500 {"error":"just text"}`},
		{"POST", "/fail/panic", "{}", `500 {"error":{"message":"plugin \"test\" failed","name":"PluginError","plugin":"test"}}`},
		{"PUT", "/raw", "1", "405 Method Not Allowed"},
		{"GET", "/nowhere", "", "404 404 page not found"},
	} {
		if got := inject(t, srv, test.method, test.path, test.body); got != test.want {
			t.Errorf("%s %s %s:\n got %s\nwant %s", test.method, test.path, test.body, got, test.want)
		}
	}
}

func TestOperationsReadJSONAndWhatClientsCallNothingElse(t *testing.T) {
	t.Parallel()
	srv := start(t, skein.Options{}, operations)
	for kind, want := range map[string]int{"": 200, "application/json": 200, "application/json; charset=utf-8": 200, "application/cloudevents+json": 200, "text/plain": 200, "application/x-www-form-urlencoded": 200, "multipart/form-data; boundary=x": 415, "text/xml": 415} {
		r := httptest.NewRequest(http.MethodPost, "/raw", strings.NewReader("1"))
		r.Header.Set("Content-Type", kind)
		answer := srv.Inject(r)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%q: got %d, want %d", kind, answer.StatusCode, want)
		}
		for name, want := range map[string]string{"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/raw", iotest.ErrReader(errors.New("cut")))
	answer := srv.Inject(r)
	body, _ := io.ReadAll(answer.Body) // compared below
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "the body broke off") {
		t.Errorf("got %d %s, want 400", answer.StatusCode, body)
	}
}

func TestInjectServesWithoutANetwork(t *testing.T) {
	t.Parallel()
	srv := start(t, skein.Options{}, func(h *skein.Host) {
		h.HandleFunc("GET /nothing", func(http.ResponseWriter, *http.Request) {})
		h.HandleFunc("GET /teapot", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Host", r.Host)
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK) // the first counts
			w.Header().Set("X-Late", "yes")
			_, _ = io.WriteString(w, "short and stout")
		})
		h.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("oops") })
	})
	for path, want := range map[string]string{"/nothing": "200 ", "/teapot": "418 short and stout", "/panic": `500 plugin "test" failed`} {
		if got := inject(t, srv, http.MethodGet, path, ""); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com/teapot", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := srv.Inject(r)
	defer func() { _ = answer.Body.Close() }()
	if answer.Header.Get("X-Host") != "example.com" || answer.Header.Get("X-Late") != "" || answer.Status != "418 I'm a teapot" || answer.ContentLength != 15 {
		t.Errorf("got %v, %q, %d, want the header as it was sent", answer.Header, answer.Status, answer.ContentLength)
	}
	if got := srv.Stats().Panics; got != 1 {
		t.Errorf("got %d panics, want 1", got)
	}
}

func TestAbortedHandlersAbort(t *testing.T) {
	t.Parallel()
	srv := start(t, skein.Options{}, func(h *skein.Host) {
		h.HandleFunc("GET /abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it in the same way
			t.Errorf("got %v, want %v", v, http.ErrAbortHandler)
		}
	}()
	inject(t, srv, http.MethodGet, "/abort", "")
}

func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	srv := start(t, skein.Options{}, operations)
	if got, want := inject(t, srv, http.MethodGet, "/rooms/"+strings.Repeat("x", 9000), ""), "414 The URI is too long"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r := httptest.NewRequest(http.MethodGet, "/rooms/r", nil)
	for range 101 {
		r.Header.Add("X-Many", "x")
	}
	answer := srv.Inject(r)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d, want 431", answer.StatusCode)
	}
}
