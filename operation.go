package skein

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"

	"github.com/skeinrt/skein/internal/secure"
)

// Operation serves a typed HTTP operation below the plugin's prefix: the pattern is "METHOD /path". The JSON body is
// decoded into I, strictly: unknown fields are refused. Fields of I tagged path:"name" or query:"name" (strings, whole
// numbers and booleans) are taken from the URL. The value returned is the JSON response; Nothing is {}. Errors are
// answered as {"error":{"name":…,"message":…}} with Error.Status, or 403 for a refusal of a hook and 500 for others. Web
// pages of foreign origins are refused, but for reading: see Options.Origins.
func Operation[I, O any](h *Host, pattern string, fn func(ctx context.Context, in I) (O, error)) {
	h.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := h.server.foreign(h.server.origins, r); err != nil {
			writeError(w, err)
			return
		}
		serveOperation(h, w, r, h.server.options.Limits.over(Limits{}).MaxMessage, fn)
	})
}

// serveOperation decodes, calls and answers. limit is the largest body in bytes.
func serveOperation[I, O any](h *Host, w http.ResponseWriter, r *http.Request, limit int, fn func(ctx context.Context, in I) (O, error)) {
	out, err := operate(h, w, r, limit, fn)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func operate[I, O any](h *Host, w http.ResponseWriter, r *http.Request, limit int, fn func(ctx context.Context, in I) (O, error)) (out json.RawMessage, err error) {
	defer h.recovered(r.Context(), &err)
	var in I
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodDelete {
		if err := h.server.readBody(w, r, limit, &in); err != nil {
			return nil, err
		}
	}
	if err := bindURL(r, &in); err != nil {
		return nil, err
	}
	v, err := fn(r.Context(), in)
	if err != nil {
		return nil, err
	}
	if out, err = toJSON(v); out == nil {
		out = json.RawMessage("{}")
	}
	return out, err
}

// readBody decodes a JSON body of at most limit bytes.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int, in any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); !mayBeJSON(kind) {
		return &Error{Name: NameInvalidArgument, Status: http.StatusUnsupportedMediaType, Message: fmt.Sprintf("the Content-Type is %s: send application/json", kind)}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		s.counters.limited.add(limitBody)
		return &Error{Name: NameInvalidArgument, Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", limit)}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.counters.limited.add(limitBodyTime)
	}
	if err != nil {
		return badRequest("the body broke off")
	}
	if raw, ok := in.(*json.RawMessage); ok {
		if !json.Valid(body) {
			return badRequest("the body is not JSON")
		}
		*raw = body
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err = d.Decode(in)
	if err == nil && d.More() {
		err = errors.New("something follows the JSON value")
	}
	if err != nil {
		return badRequest(describeBodyError(err, in))
	}
	return nil
}

func badRequest(message string) *Error {
	return &Error{Name: NameInvalidArgument, Status: http.StatusBadRequest, Message: message}
}

// mayBeJSON reports whether a body of that type is worth reading: JSON, and what clients send that were told nothing.
func mayBeJSON(kind string) bool {
	switch kind {
	case "", "application/json", "text/plain", "application/x-www-form-urlencoded":
		return true
	default:
		return strings.HasSuffix(kind, "+json")
	}
}

// describeBodyError says what is wrong with a body, and which fields there are.
func describeBodyError(err error, in any) string {
	if errors.Is(err, io.EOF) {
		return "the body is empty: send a JSON object"
	}
	if field, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		if known := jsonFields(reflect.TypeOf(in).Elem()); len(known) > 0 {
			return fmt.Sprintf("there is no field %s; there are %s", field, strings.Join(known, ", "))
		}
		return fmt.Sprintf("there is no field %s", field)
	}
	return describeJSONError(err)
}

func jsonFields(t reflect.Type) []string {
	var names []string
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" && f.IsExported() {
			names = append(names, or(name, f.Name))
		}
	}
	return names
}

// bindURL fills the fields that are tagged with path or query.
func bindURL(r *http.Request, in any) error {
	v := reflect.ValueOf(in).Elem()
	if v.Kind() != reflect.Struct {
		return nil
	}
	query := r.URL.Query()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, text := f.Tag.Get("path"), ""
		if name != "" {
			text = r.PathValue(name)
		} else if name = f.Tag.Get("query"); name != "" {
			text = query.Get(name)
		}
		if text == "" {
			continue
		}
		if err := setText(v.Field(i), text); err != nil {
			return badRequest(fmt.Sprintf("the parameter %q is %q where %s is expected", name, cut(text, 64), article(jsonKind(f.Type))))
		}
	}
	return nil
}

func setText(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		v.SetInt(n)
	default:
		return errors.New("fields from the URL are strings, whole numbers and booleans")
	}
	return nil
}

// jsonKind is a Go type in the words of JSON.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Pointer:
		return jsonKind(t.Elem())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "whole number"
	default:
		return "number"
	}
}

// article puts a noun behind a or an.
func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if e, ok := errors.AsType[*Error](err); ok {
		status = or(e.Status, http.StatusForbidden)
		if e.Name == NamePlugin {
			status = http.StatusInternalServerError
		}
		if e.Name == NameBroker {
			status = http.StatusServiceUnavailable
		}
	}
	if errors.Is(err, ErrStopped) {
		status = http.StatusServiceUnavailable
	}
	body := append([]byte(`{"error":`), errorJSON(refusal(err, "request", "inbound"))...)
	writeJSON(w, status, append(body, '}'))
}

func writeJSON(w http.ResponseWriter, status int, body json.RawMessage) {
	secure.Data(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON, with nosniff
}

// marshal is json.Marshal without the escapes for web pages, which would change what clients receive.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
